"""Replicas on several hosts: `replbench serve` on each, and `replbench run --cluster` drives them."""
from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme

from bench.cli.commands import call
from bench.driver.frames import HandshakeError
from bench.driver.stations import Hosts as Cluster
from bench.driver.stations import Station, require_alike
from bench.metrics.result import load
from bench.scenario import read_peers
from ext.build import ROOT
from tests.processes.certificates import issue
from tests.processes.cluster import Caller, eventually
from tests.processes.hosts import COUNT, REPLBENCH, Hosts, addresses, namespaces, write_peers, write_private
from tests.processes.real import short

SCENARIO = """
engine = ["raft", "zab"]
duration = "600ms"
warmup = "700ms"
cooldown = "0s"
network = { latency = "0ms" }
timeouts = { election = ["300ms", "600ms"], heartbeat = "50ms" }
workload = { arrivals = { kind = "open", rate = 400 } }
"""
FAULTY = (
    SCENARIO.replace('["raft", "zab"]', '"raft"').replace("600ms", "2500ms", 1)
    + """
[[faults]]
at = "1s"
crash = "leader"
for = "300ms"

[[faults]]
at = "2s"
pause = "random"
for = "300ms"
"""
)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Stewards that several tests may drive, one after the other."""
    with addresses(tmp_path_factory.mktemp("hosts")) as made:
        made.start()
        yield made


def ran(hosts: Hosts, folder: Path, scenario: str, *arguments: str) -> Any:
    """The result of a run that succeeded, and left nothing anywhere."""
    (folder / "own.toml").write_text(scenario)
    done = subprocess.run(
        hosts.command(folder / "own.toml", "--out", str(folder / "out"), *arguments),
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    eventually(hosts.empty, "nothing is left on the hosts")
    result = load(folder / "out")
    for record in result.records.values():
        assert record.checks["agreement"] == record.checks["no acknowledged loss"] == "passed"
        crashed = {fault.target.removeprefix("replica ") for fault in record.faults if fault.kind == "crash"}
        assert set(record.resources["hosts"]) == {"0", "1", "2"}
        assert set(record.resources["replicas"]) == {"0", "1", "2"} - crashed
        assert record.resources["hosts"]["1"]["address"] in hosts.peers.read_text()
    return result


def test_a_run_drives_replicas_in_other_network_namespaces(tmp_path: Path) -> None:
    """The trial of each engine begins with an empty log, on the same stewards."""
    with namespaces(tmp_path) as hosts:
        hosts.start()
        result = ran(hosts, tmp_path, SCENARIO)
        assert list(result.points["engine"]) == ["raft", "zab"]
        assert list(result.points["world"]) == ["processes"] * 2
        assert (result.points["ok"] > 150).all()
        assert hosts.log(0).count("a run begins") == hosts.log(0).count("a run ends") == 2


def test_faults_strike_the_processes_of_other_hosts_through_tls(tmp_path: Path) -> None:
    """Here the hosts are several addresses of this one."""
    names = [f"127.0.0.{number}" for number in range(1, COUNT + 2)]
    files = issue(trustme.CA(), tmp_path, "all", *names)
    table = f'[tls]\nca = "{files.ca}"\ncertificate = "{files.certificate}"\nkey = "{files.key}"\n'
    with addresses(tmp_path) as hosts:
        hosts.start(files)
        result = ran(hosts, tmp_path, FAULTY + table)
        [record] = result.records.values()
        crash, pause = sorted(record.faults, key=lambda fault: fault.injected_ns)
        assert "gone, by SIGKILL" in crash.witness
        assert "incarnation 2, with" in crash.heal_witness
        assert "is stopped" in pause.witness
        assert "answers again" in pause.heal_witness
        assert record.fairness["tls"] is True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nothing_on_the_hosts(hosts: Hosts, tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "own.toml").write_text(SCENARIO.replace("600ms", "30s", 1))
    with subprocess.Popen(
        hosts.command(tmp_path / "own.toml", "--out", str(tmp_path / "out")), cwd=ROOT, stderr=subprocess.PIPE
    ) as process:
        eventually(lambda: not hosts.empty(), "the run has begun")
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    eventually(hosts.empty, "nothing is left on the hosts")


def test_a_replica_that_dies_of_itself_ends_the_run_with_its_last_words(hosts: Hosts, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SCENARIO.replace("600ms", "30s", 1))
    with subprocess.Popen(
        hosts.command(tmp_path / "own.toml", "--out", str(tmp_path / "out")), cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        eventually(lambda: "a run begins" in hosts.log(1).rpartition("a run ends")[2] and not hosts.empty(), "the run has begun")

        def replica() -> list[psutil.Process]:
            children = psutil.Process(hosts.stewards[1].pid).children()
            return [child for child in children if "bench.driver.replica" in child.cmdline()]

        [victim] = eventually(replica, "replica 1 runs")
        victim.kill()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "replica-1-1 was killed by signal 9" in said
    assert "Traceback" not in said
    eventually(hosts.empty, "nothing is left on the hosts")


Refusal = Callable[..., str]


@pytest.fixture
def refusal(
    hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refusal:
    """What a run says that cannot begin, in one line; it makes nothing."""
    monkeypatch.setattr("bench.driver.stations.GREET_S", 0.5)
    (tmp_path / "own.toml").write_text(SCENARIO)

    def said(*arguments: str) -> str:
        capsys.readouterr()
        out = ["--out", str(tmp_path / "out")]
        assert call(hosts.command(tmp_path / "own.toml", *out, *arguments)[len(REPLBENCH) :]) == 2
        complaint = capsys.readouterr().err
        assert len(complaint.splitlines()) == 1, complaint
        assert not list(tmp_path.glob("*out*"))
        return complaint

    return said


def test_a_cluster_that_cannot_run_a_scenario_says_why(hosts: Hosts, refusal: Refusal, tmp_path: Path) -> None:
    assert "the scenario has 5 replicas, and the cluster 3" in refusal("--set", "replicas=5")
    assert "--cluster drives processes" in refusal("--world", "simulation")
    addresses = list(read_peers(hosts.peers).addresses().values())
    port = addresses[0][1]
    elsewhere = write_peers(tmp_path / "peers.toml", [f"127.0.0.{last}:{port}" for last in (2, 3, 5)])
    assert "has another file of peers" in refusal("--cluster", str(elsewhere))
    write_peers(elsewhere, [f"127.0.0.{last}:{port}" for last in (5, 3, 4)])
    assert "not to be had: Connection refused" in refusal("--cluster", str(elsewhere))
    write_peers(elsewhere, [f"127.0.0.{last}:{port}" for last in (3, 2, 4)])
    assert "replica 1 is where replica 0 should be" in refusal("--cluster", str(elsewhere))
    guess = write_private(tmp_path / "guess", "g" * 32)
    assert "not to be had: it closes the connection" in refusal("--secret", str(guess))
    eventually(lambda: "dropped a stranger: wrong secret" in hosts.log(0), "the steward reports it")


def test_an_engine_that_a_host_does_not_know_is_named(hosts: Hosts) -> None:
    """As where another version is installed there."""
    caller = driver(hosts, 0)
    said = caller.do("start", config={"engine": "fastpaxos", "incarnation": 1}, nonce="n")
    assert said["error"].startswith("unknown engine fastpaxos; this host has paxos, raft, zab")
    there = caller.do("describe")
    caller.close()
    cluster = Cluster(read_peers(hosts.peers).addresses(), b"")
    require_alike(0, cluster, ["raft"], there["environment"], there)
    with pytest.raises(ValueError, match=r"replica 0 at 127.0.0.2:\d+ does not know the engine fastpaxos; install the same"):
        require_alike(0, cluster, ["raft", "fastpaxos"], there["environment"], there)
    with pytest.raises(ValueError, match="runs other code: commit is"):
        require_alike(0, cluster, ["raft"], there["environment"] | {"commit": "another"}, there)


def driver(hosts: Hosts, id: int) -> Caller:
    """A connection to a steward, as a run has it."""
    host, port = read_peers(hosts.peers).addresses()[id]
    return Caller(port, "control", 0, id, hosts.secret.read_bytes().strip(), host=host)


def test_one_run_at_a_time_drives_a_host(hosts: Hosts, refusal: Refusal) -> None:
    first = driver(hosts, 0)
    config = {"engine": "raft", "scenario": short().resolved(), "seed": 1, "incarnation": 1, "loop": "uvloop"}
    assert first.do("start", config=config, nonce="n")["ready"]
    assert "is driven by another run; wait for its end" in refusal()
    second = driver(hosts, 0)
    assert "driven by another run" in second.do("start", config=config, nonce="n")["error"]
    first.close()
    eventually(hosts.empty, "what the first had is gone")
    assert second.do("start", config=config, nonce="n")["ready"]
    second.close()
    eventually(hosts.empty, "what the second had is gone")


def test_a_steward_answers_nonsense_and_admits_nobody_but_who_drives_it(hosts: Hosts) -> None:
    caller = driver(hosts, 0)
    for action in ("dance", "kill", "look", "sample"):
        assert caller.do(action)["error"], action
    assert caller.do("start", config={})["error"]
    assert caller.do("describe")["engines"][:3] == ["paxos", "raft", "zab"]
    caller.close()
    host, port = read_peers(hosts.peers).addresses()[0]
    for role in ("client", "peer"):
        with pytest.raises((ConnectionError, HandshakeError)):
            Caller(port, role, 2, 0, hosts.secret.read_bytes().strip(), host=host)  # type: ignore[arg-type]
    eventually(lambda: "a client that has nothing to ask here" in hosts.log(0), "it is reported")


def test_moments_of_another_clock_are_moved_to_this_one_by_the_shortest_round_trip() -> None:
    station = Station.__new__(Station)
    station.round_trip_ns = station.behind_ns = 0
    slow = station.dated({"now_ns": 1_000, "led": [[900, 1]], "noticed": [800]}, 50_000, 50_400)
    assert slow["led"] == [[900 + 49_200, 1]]
    assert slow["noticed"] == [800 + 49_200]
    quick = station.dated({"now_ns": 2_000, "led": [[900, 1]], "noticed": [800]}, 51_100, 51_120)
    assert quick["led"] == [[900 + 49_110, 1]]
    assert station.dated({"now_ns": 3_000, "led": [[900, 1]], "noticed": [800]}, 52_000, 59_000)["led"] == quick["led"]

