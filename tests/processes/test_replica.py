"""Replica processes: they commit, survive kill -9, lose no connection unnoticed, and keep the door shut."""
from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bench.driver.frames import FRAME_LIMIT_BYTES, HandshakeError, Request, decode_answers, encode
from bench.driver.occasions import ACCEPTED, REFUSED
from engines.core import NOBODY
from engines.machine import PUT, encode_command
from ext.build import ROOT
from tests.processes.cluster import PATIENCE_S, SECRET, Caller, Cluster, Process, cluster, eventually

ENGINES = ("paxos", "raft", "zab")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Cluster]:
    """One replica, its own leader."""
    with cluster("raft", tmp_path, replicas=1) as running:
        running.put(b"first", b"1")
        yield running


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three replicas that several tests may trouble, but not kill."""
    with cluster("raft", tmp_path_factory.mktemp("trio")) as running:
        yield running


def closed(sock: socket.socket) -> bool:
    """Whether the other end has closed, whatever it said before."""
    sock.settimeout(PATIENCE_S)
    try:
        while sock.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


def command(client: int, sequence: int, value: bytes = b"value") -> bytes:
    return encode_command(client, sequence, sequence, PUT, b"key", value)


@pytest.mark.parametrize("engine", ENGINES)
def test_three_replicas_commit_and_survive_the_death_of_each(engine: str, tmp_path: Path) -> None:
    with cluster(engine, tmp_path) as running:
        for number in range(20):
            running.put(b"key", str(number).encode())
        for id in range(3):
            running.replicas[id].kill()
            running.put(b"while away", str(id).encode())
            said = running.restart(id)
            assert said["recovered_records"] > 0
            assert not said["torn"], "nothing is torn where only the process dies: the kernel writes what it was given"
            running.put(b"again", str(id).encode())
        statuses = running.level()
        assert len({status["digest"] for status in statuses}) == 1
        assert all(status["fsyncs"] > 0 for status in statuses)


def test_a_cluster_comes_back_from_the_death_of_all(tmp_path: Path) -> None:
    with cluster("zab", tmp_path, loop="asyncio") as running:
        for number in range(10):
            running.put(b"key", str(number).encode())
        before = running.level()[0]
        for replica in running.replicas:
            replica.kill()
        for id in range(3):
            running.restart(id)
        running.put(b"after", b"all")
        assert running.level()[0]["applied"] > before["applied"]


@pytest.mark.parametrize("durability", ["batch-interval", "none"])
def test_weaker_durability_syncs_less(durability: str, tmp_path: Path) -> None:
    with cluster("raft", tmp_path, storage={"durability": durability, "interval": "50ms"}) as running:
        for number in range(100):
            running.put(b"key", str(number).encode())
        syncs = [status["fsyncs"] for status in running.level()]
        if durability == "none":
            assert syncs == [0, 0, 0]
        else:
            assert all(0 < count < 100 for count in syncs)
            running.replicas[0].kill(signal.SIGTERM)
            assert running.restart(0)["recovered_records"] > 0


def test_a_log_that_grows_is_compacted_and_what_is_left_is_enough(tmp_path: Path) -> None:
    with cluster("raft", tmp_path, storage={"compact_after": "64KiB"}) as running:
        for number in range(300):
            running.put(b"key%d" % (number % 10), bytes(1000))
        for replica in running.replicas:
            replica.kill()
        for id in range(3):
            assert running.restart(id)["recovered_records"] < 250
        running.put(b"after", b"all")
        assert len({status["digest"] for status in running.level()}) == 1


def test_status_tells_what_watchers_need(trio: Cluster) -> None:
    trio.put(b"key", b"value")
    leader = trio.leader()
    status = leader.status()
    assert status["role"] == "leader"
    assert status["leading"] and status["led"] and status["leader"] == leader.id
    assert status["messages"]["AppendEntries"][0] > 0
    assert status["client_requests"] >= 1
    assert status["commands"] >= 1
    assert all(link["connected"] and link["carried"] > 0 for link in status["links"].values())
    assert status["incarnation"] == 1
    follower = next(replica for replica in trio.replicas if replica is not leader).status()
    assert follower["leader"] == leader.id and not follower["leading"]


def test_a_follower_names_the_leader(trio: Cluster) -> None:
    leader = trio.leader()
    follower = next(replica for replica in trio.replicas if replica is not leader)
    caller = Caller(follower.port, "client", 77, follower.id)
    caller.socket.sendall(encode([Request(77, command(77, 1))]))
    [answer] = decode_answers(caller.body())
    assert (answer.client, answer.sequence, answer.outcome, answer.leader) == (77, 1, REFUSED, leader.id)
    caller.close()


def test_followers_forward_where_that_is_the_routing(tmp_path: Path) -> None:
    with cluster("paxos", tmp_path, workload={"routing": "round-robin"}) as running:
        running.put(b"key", b"value")
        leader = running.leader()
        follower = next(replica for replica in running.replicas if replica is not leader)
        caller = Caller(follower.port, "client", 77, follower.id)
        caller.socket.sendall(encode([Request(77, command(77, 1))]))
        [answer] = decode_answers(caller.body())
        assert (answer.client, answer.sequence, answer.outcome) == (77, 1, ACCEPTED)
        caller.close()


# Safety at the door


@pytest.mark.parametrize("role", ["peer", "client", "control"])
def test_nobody_with_the_wrong_secret_gets_in(trio: Cluster, role: str) -> None:
    replica = trio.replicas[0]
    before = replica.status()["dropped"].get("wrong secret", 0)
    with pytest.raises((ConnectionError, HandshakeError)):
        Caller(replica.port, role, 2, 0, secret=b"guess")  # type: ignore[arg-type]
    assert replica.status()["dropped"]["wrong secret"] == before + 1
    trio.put(b"still", b"served")


def test_a_stranger_may_not_send_long_frames_nor_anything_but_a_hello(trio: Cluster) -> None:
    replica = trio.replicas[0]
    for data, reason in (
        ((1 << 20).to_bytes(4, "little"), "frame too long"),
        (encode([Request(1, command(1, 1))]), "malformed frame"),
        (b"GET / HTTP/1.1\r\n\r\n", "frame too long"),
    ):
        before = replica.status()["dropped"].get(reason, 0)
        with socket.create_connection(("127.0.0.1", replica.port)) as sock:
            sock.sendall(data)
            assert closed(sock)
        assert replica.status()["dropped"][reason] == before + 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode("nonsense"), "malformed frame"),
        (encode([Request(1, b"short")]), "a command that is not its client's"),
        (encode([Request(1, command(2, 1))]), "a command that is not its client's"),
        ((FRAME_LIMIT_BYTES + 1).to_bytes(4, "little"), "frame too long"),
    ],
)
def test_a_client_that_breaks_the_rules_is_dropped_and_hurts_nobody(trio: Cluster, data: bytes, reason: str) -> None:
    replica = trio.leader()
    before = replica.status()["dropped"].get(reason, 0)
    caller = Caller(replica.port, "client", 1, replica.id)
    caller.socket.sendall(data)
    assert closed(caller.socket)
    caller.close()
    assert replica.status()["dropped"][reason] == before + 1
    trio.put(b"still", b"served")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_strangers_cannot_use_up_a_replica(loop: str, tmp_path: Path) -> None:
    """More connections than it has descriptors: it goes on serving those that it has, and others once there is room."""
    lone = Cluster("raft", tmp_path, replicas=1, loop=loop)
    replica = lone.replicas[0]
    replica.config["peers"] = {"0": ["127.0.0.1", 0]}
    try:
        replica.start(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        assert replica.line()["ready"]
        lone.put(b"before", b"1")
        strangers = [socket.create_connection(("127.0.0.1", replica.port)) for _ in range(100)]
        lone.put(b"during", b"2")
        for stranger in strangers:
            stranger.close()
        lone.turn_to(0)
        lone.put(b"after", b"3")
    finally:
        lone.close()


def test_a_replica_is_admitted_only_where_it_has_to_dial(trio: Cluster) -> None:
    """Of each pair the higher id dials: nobody else has anything to say as a replica."""
    replica = trio.replicas[1]
    for id in (0, 1, 3):
        caller = socket.create_connection(("127.0.0.1", replica.port))
        caller.close()
        with pytest.raises((ConnectionError, HandshakeError)):
            Caller(replica.port, "peer", id, 1)
    assert replica.status()["dropped"]["a replica that has nothing to ask here"] == 3


def test_a_connection_without_a_handshake_is_ended(alone: Cluster) -> None:
    """Half-open at the door: whoever connects and says nothing has five seconds."""
    with socket.create_connection(("127.0.0.1", alone.replicas[0].port)) as sock:
        began = time.monotonic()
        assert closed(sock)
        assert time.monotonic() - began > 1.0, "it has some time"
    assert alone.replicas[0].status()["dropped"] == {"no handshake in time": 1}


def test_a_peer_that_dials_anew_has_lost_its_old_connection(trio: Cluster) -> None:
    """Half-open between replicas: the old connection looks alive, but its other end has dialled again. It is ended, both
    ends see it, and the real replica 2 comes back.
    """
    replica = trio.replicas[0]
    impostor = Caller(replica.port, "peer", 2, 0)
    eventually(lambda: trio.replicas[2].status()["links"]["0"]["connected"], "replica 2 has dialled again")
    assert closed(impostor.socket)
    impostor.close()
    for number in range(5):
        trio.put(b"key", str(number).encode())
    assert len({status["digest"] for status in trio.level()}) == 1


def test_an_unknown_action_is_refused_with_a_reason(trio: Cluster) -> None:
    caller = Caller(trio.replicas[0].port, "control", 0, 0)
    for action, arguments in (
        ("dance", {}), ("block", {"nonsense": 1}), ("unblock", {"to": 1}), ("clock", {"rate": 0}), ("block", {"to": 9}),
        ("slow_disk", {"factor": 0}), ("peers", {"9": ["127.0.0.1", 1]}),
    ):  # fmt: skip
        assert "error" in caller.do(action, **arguments), action
    caller.close()
    trio.put(b"still", b"served")


# Faults


def test_a_partition_is_noticed_and_heals(tmp_path: Path) -> None:
    """Both directions of the leader's links are blocked at their senders; when the user timeout is over the connections
    break; afterwards they are made anew, and the old leader follows.
    """
    with cluster("raft", tmp_path) as running:
        running.put(b"before", b"1")
        leader = running.leader()
        callers = {replica.id: Caller(replica.port, "control", 0, replica.id) for replica in running.replicas}
        others = [id for id in callers if id != leader.id]
        for other in others:
            assert callers[leader.id].do("block", to=other) == {}
            assert callers[other].do("block", to=leader.id) == {}
        running.turn_to(others[0])
        running.put(b"during", b"2")
        eventually(lambda: not callers[leader.id].do("status")["leading"], "the old leader gives up")
        links = eventually(
            lambda: [
                link for link in callers[leader.id].do("status")["links"].values() if not link["connected"]
            ],
            "connections break",
        )
        assert all(link["blocked"] > 0 for link in links)
        for other in others:
            callers[leader.id].do("unblock", to=other)
            callers[other].do("unblock", to=leader.id)
        running.put(b"after", b"3")
        assert len({status["digest"] for status in running.level()}) == 1
        for caller in callers.values():
            caller.close()


def test_a_slow_disk_is_felt(tmp_path: Path) -> None:
    with cluster("unreplicated", tmp_path, replicas=1) as running:
        running.put(b"key", b"value")
        caller = Caller(running.replicas[0].port, "control", 0, 0)
        caller.do("slow_disk", factor=100.0)
        before = caller.do("status")
        began_ns = time.monotonic_ns()
        running.put(b"key", b"value")
        took_ns = time.monotonic_ns() - began_ns
        after = caller.do("status")
        assert after["fsyncs"] == before["fsyncs"] + 1
        assert took_ns >= 100 * (after["fsync_ns"] - before["fsync_ns"])
        caller.close()


def test_a_slow_link_is_felt(tmp_path: Path) -> None:
    with cluster("paxos", tmp_path) as running:
        running.put(b"key", b"value")
        leader = running.leader()
        caller = Caller(leader.port, "control", 0, leader.id)
        for other in {0, 1, 2} - {leader.id}:
            caller.do("slow_link", peer=other, extra_ns=50_000_000)
        running.put(b"key", b"value")
        began_ns = time.monotonic_ns()
        running.put(b"key", b"value")
        assert time.monotonic_ns() - began_ns >= 50_000_000
        caller.close()


def test_a_clock_can_be_made_to_run_fast(alone: Cluster) -> None:
    caller = Caller(alone.replicas[0].port, "control", 0, 0)
    caller.do("clock", rate=3.0)
    one, two = caller.do("status"), caller.do("status")
    assert two["local_ns"] - one["local_ns"] == pytest.approx(3 * (two["now_ns"] - one["now_ns"]), abs=10)
    caller.do("clock", rate=1.0)
    three, four = caller.do("status"), caller.do("status")
    assert four["local_ns"] - three["local_ns"] == four["now_ns"] - three["now_ns"]
    assert three["local_ns"] > two["local_ns"]
    alone.put(b"still", b"served")
    caller.close()


# The disk


def test_a_torn_tail_is_reported_and_a_corrupt_middle_refused(tmp_path: Path) -> None:
    with cluster("raft", tmp_path, replicas=1) as running:
        for number in range(10):
            running.put(b"key", bytes([number]) * 200)
        replica = running.replicas[0]
        replica.kill()
        path = sorted((tmp_path / "data-0").glob("wal-*"))[-1]
        whole = path.read_bytes()
        end = len(whole.rstrip(b"\0"))
        path.write_bytes(whole[: end - 5])
        assert running.restart(0)["torn"]
        assert "never promised" in replica.complaints()
        replica.kill()
        path.write_bytes(whole[:200] + b"?" + whole[201:])
        replica.start()
        assert replica.process is not None
        assert replica.process.wait(PATIENCE_S) == 1
        last = replica.complaints().splitlines()[-1]
        assert "damaged" in last and str(path) in last


def test_a_full_disk_stops_the_replica_which_acknowledges_nothing_more(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk. What it acknowledged is found again without the limit."""
    scenario = {"storage": {"compact_after": "1GiB"}}
    lone = Cluster("raft", tmp_path, replicas=1, **scenario)
    replica = lone.replicas[0]

    def limited() -> None:
        # The first segment fits, the second does not.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20 << 20, 20 << 20))

    try:
        replica.config["peers"] = {"0": ["127.0.0.1", 0]}
        replica.start(limited)
        assert replica.line()["ready"]
        lone.leader()
        caller = Caller(replica.port, "client", 1, 0)
        acknowledged = sent = 0
        with contextlib.suppress(OSError):
            while True:
                sent += 1
                value = bytes(1 << 20) if sent < 18 else bytes(21 << 20)
                caller.socket.sendall(encode([Request(1, command(1, sent, value))]))
                [answer] = decode_answers(caller.body())
                assert answer.outcome == ACCEPTED
                acknowledged += 1
        assert replica.process is not None
        assert replica.process.wait(PATIENCE_S) == 1
        assert "File too large" in replica.complaints().splitlines()[-1]
        assert 0 < acknowledged < sent
        replica.start()
        assert replica.line()["ready"]
        eventually(lambda: replica.status()["commit"] >= acknowledged, "what was acknowledged is there")
        assert acknowledged <= replica.status()["commands"] <= sent
        caller.close()
    finally:
        lone.close()


# Beginning and end


def test_it_ends_with_its_parent_at_sigterm_and_when_told(tmp_path: Path) -> None:
    with cluster("raft", tmp_path, replicas=1) as running:
        replica = running.replicas[0]
        running.put(b"key", b"value")
        assert replica.process is not None and replica.process.stdin is not None
        replica.process.stdin.close()
        assert replica.process.wait(PATIENCE_S) == 0
        running.restart(0)
        assert replica.kill(signal.SIGTERM) == 0
        running.restart(0)
        caller = Caller(replica.port, "control", 0, 0)
        assert caller.do("stop") == {}
        assert closed(caller.socket)
        caller.close()
        assert replica.process.wait(PATIENCE_S) == 0
        running.restart(0)
        eventually(lambda: replica.status()["commands"] >= 1, "the command is still there")


def started_wrong(replica: Process, **changes: object) -> str:
    """What a replica with this wrong configuration says before it gives up."""
    path = replica.folder / "wrong.json"
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(replica.config | changes))
    done = subprocess.run(
        [sys.executable, "-m", "bench.driver.replica", str(path)],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    return done.stderr


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    lone = Cluster("raft", tmp_path, replicas=1)
    replica = lone.replicas[0]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        cases = {
            "choose another port": {"listen": ["127.0.0.1", taken.getsockname()[1]], "data": str(tmp_path / "other")},
            "there is no replica 5": {"id": 5},
            "of fastpaxos": {"engine": "fastpaxos"},
            "unknown field `colour`": {"colour": "red"},
            "none of them": {"peers": {"4": ["127.0.0.1", 1]}},
            "cannot be used": {"data": "/proc/nowhere"},
            "durability": {"scenario": replica.config["scenario"] | {"storage": {"durability": "maybe"}}},
            "hexadecimal": {"secret": "xyz"},
        }
        for expected, changes in cases.items():
            complaint = started_wrong(replica, **changes)
            assert expected in complaint
            assert len(complaint.splitlines()) == 1, complaint
    (tmp_path / "wrong.json").chmod(0o644)
    assert "chmod 600" in started_wrong(replica)


def test_two_processes_cannot_run_one_replica(alone: Cluster) -> None:
    assert "in use by another replica" in started_wrong(alone.replicas[0], listen=["127.0.0.1", 0])


def test_a_stopped_leader_that_wakes_up_acknowledges_nothing_stale(tmp_path: Path) -> None:
    """SIGSTOP, as a long pause of a machine: the others go on, and what the sleeper was asked meanwhile it must refuse, or
    have decided with the others.
    """
    with cluster("raft", tmp_path) as running:
        running.put(b"key", b"before")
        leader = running.leader()
        stale = Caller(leader.port, "client", 9, leader.id)
        assert leader.process is not None
        os.kill(leader.process.pid, signal.SIGSTOP)
        stale.socket.sendall(encode([Request(9, command(9, 1))]))
        running.turn_to((leader.id + 1) % 3)
        running.put(b"key", b"during")
        os.kill(leader.process.pid, signal.SIGCONT)
        [answer] = decode_answers(stale.body())
        if answer.outcome == ACCEPTED:
            assert leader.status()["commit"] >= 3
        else:
            assert answer.leader != leader.id or answer.leader == NOBODY
        stale.close()
        assert len({status["digest"] for status in running.level()}) == 1


def test_a_secret_never_shows_in_what_a_replica_says(alone: Cluster) -> None:
    assert SECRET.hex() not in alone.replicas[0].complaints()
    assert SECRET.hex() not in str(alone.replicas[0].status())


def test_a_replica_starts_without_numpy() -> None:
    """Which would be half of its start; only what shapes its network draws."""
    asked = "import bench.driver.replica, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], cwd=ROOT, check=False).returncode == 0
