"""A Maelstrom node: what it answers to whom, and that the histories of its clients are linearizable."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Queue
from typing import Any

import msgspec
import pytest

from bench.checkers.linearizability import LINEARIZABLE, Budget, check
from bench.cli import call
from bench.driver.maelstrom import (
    ABORT,
    CRASH,
    KEY_DOES_NOT_EXIST,
    MALFORMED,
    NOT_SUPPORTED,
    PRECONDITION_FAILED,
    TIMEOUT,
    UNAVAILABLE,
    Node,
)
from bench.driver.ordered import Channel, Parcel
from engines.raft import AppendEntries
from tests.bench.maelstrom import MS, SECOND, Bench, Client

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
ENGINES = ("paxos", "raft", "zab")


def lines_of(bench: Bench, name: str, *lines: bytes | dict[str, Any]) -> list[dict[str, Any]]:
    """The bodies that one node answers with to lines of client c0 (dictionaries are bodies)."""
    raw = [line if isinstance(line, bytes) else json.dumps({"src": "c0", "dest": name, "body": line}).encode() for line in lines]
    said = [json.loads(line) for line in bench.nodes[name].turn(raw, bench.now).splitlines()]
    return [message["body"] for message in said if message["dest"] == "c0"]


def one_node() -> Bench:
    """A cluster of one, which has elected itself."""
    bench = Bench("raft", 1, 0, 1)
    bench.start()
    bench.run(SECOND)
    return bench


# -- what is answered ----------------------------------------------------------------------------------------


def test_lin_kv() -> None:
    """Keys and values are any JSON, and equal where they mean the same."""
    bench = one_node()
    bodies: list[dict[str, Any]] = [
        {"type": "read", "msg_id": 1, "key": "x"},
        {"type": "cas", "msg_id": 2, "key": "x", "from": 1, "to": 2},
        {"type": "write", "msg_id": 3, "key": "x", "value": {"a": 1, "b": [None]}},
        {"type": "read", "msg_id": 4, "key": "x"},
        {"type": "cas", "msg_id": 5, "key": "x", "from": {"b": [None], "a": 2}, "to": 2},
        {"type": "cas", "msg_id": 6, "key": "x", "from": {"b": [None], "a": 1}, "to": 2},
        {"type": "read", "msg_id": 7, "key": "x"},
    ]
    answers = lines_of(bench, "n0", *bodies)
    assert [answer.pop("in_reply_to") for answer in answers] == [1, 2, 3, 4, 5, 6, 7]
    assert [answer.get("code", answer["type"]) for answer in answers] == [
        KEY_DOES_NOT_EXIST,
        KEY_DOES_NOT_EXIST,
        "write_ok",
        "read_ok",
        PRECONDITION_FAILED,
        "cas_ok",
        "read_ok",
    ]
    assert [answer["value"] for answer in answers if "value" in answer] == [{"a": 1, "b": [None]}, 2]


@pytest.mark.parametrize(
    "line, code",
    [
        ({"type": "echo", "msg_id": 1, "echo": "hello"}, NOT_SUPPORTED),
        ({"type": "write", "msg_id": 1, "key": 1}, MALFORMED),
        ({"type": "cas", "msg_id": 1, "key": 1, "from": 2}, MALFORMED),
        ({"type": "read", "msg_id": 1, "key": "x" * 70_000}, MALFORMED),
        ({"type": "init", "msg_id": 1, "node_id": "n7", "node_ids": ["n7"]}, ABORT),
    ],
)
def test_what_cannot_be_done_is_an_error(line: dict[str, Any], code: int) -> None:
    bench = one_node()
    [answer] = lines_of(bench, "n0", line)
    assert (answer["type"], answer["code"], answer["in_reply_to"]) == ("error", code, 1)
    assert bench.complaints == []


@pytest.mark.parametrize("members", [["n1", "n2"], ["n0", "n0"], "n0", None])
def test_an_init_must_name_everybody_once(members: Any) -> None:
    bench = Bench("raft", 1, 0, 1)
    init = {"type": "init", "msg_id": 1, "node_id": "n0", "node_ids": members}
    early, refused = lines_of(bench, "n0", {"type": "read", "msg_id": 9, "key": 1}, init)
    assert (early["code"], refused["code"]) == (UNAVAILABLE, MALFORMED)


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[]",
        b'"\xff"',
        b"{}",
        b'{"src": "c0", "dest": "n0", "body": 7}',
        b'{"src": "c0", "dest": "n0", "body": {"msg_id": 1}}',
        b'{"src": "c0", "dest": "n0", "body": {"type": "read", "key": 1}}',
        b'{"src": "c0", "dest": "n0", "body": {"type": "read", "key": 1, "msg_id": "1"}}',
        b'{"src": "n1", "dest": "n0", "body": {"type": "Heartbeat", "engine": "AAAA"}}',
        b'{"src": "n1", "dest": "n0", "body": {"type": "Heartbeat", "engine": "?"}}',
    ],
)
def test_what_is_no_request_is_reported_in_one_line(line: bytes) -> None:
    bench = Bench("raft", 2, 0, 1)
    bench.start()
    bench.run(SECOND)
    bench.nodes["n0"].turn([line, b"", b"  "], bench.now)
    [complaint] = bench.complaints
    assert "\n" not in complaint
    assert [answer["type"] for answer in lines_of(bench, "n0", {"type": "write", "msg_id": 1, "key": 1, "value": 1})] in (
        ["write_ok"],
        [],
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_request_whose_outcome_is_open_is_answered_in_the_end(engine: str) -> None:
    """Of the leader that is cut off: what it took, it cannot decide; it says so, and takes no more."""
    bench = Bench(engine, 3, 0, 2)
    bench.start()
    bench.run(SECOND)
    leader = next(name for name in bench.names if bench.nodes[name].host.leading)
    bench.isolate(leader)
    bench.clients["c0"] = Client("c0")
    codes = [answer["code"] for answer in lines_of(bench, leader, {"type": "write", "msg_id": 1, "key": 1, "value": 1})]
    seen: list[dict[str, Any]] = []
    bench.answered = lambda _client, body: seen.append(body)  # type: ignore[method-assign]
    bench.run(bench.nodes[leader].patience_ns + SECOND)
    assert codes == []
    assert [body["code"] for body in seen if body["in_reply_to"] == 1] in ([CRASH], [TIMEOUT])
    [refused] = lines_of(bench, leader, {"type": "read", "msg_id": 2, "key": 1})
    assert refused["code"] == UNAVAILABLE


# -- histories -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("engine", ENGINES)
def test_histories_are_linearizable(engine: str, seed: int) -> None:
    """Delays, losses, cut-off nodes and a node that dies for good; then calm, in which requests succeed."""
    bench = Bench(engine, 3 + 2 * (seed % 2), 4, seed)
    bench.start()
    bench.run(SECOND)
    for _ in range(4):
        bench.loss, bench.latency_ns = bench.dice.choice((0.0, 0.1, 0.3)), bench.dice.choice((1, 10, 60)) * MS
        bench.isolate(bench.dice.choice(bench.names))
        bench.run(700 * MS)
        bench.cut.clear()
        bench.run(300 * MS)
    bench.dead.add(bench.dice.choice(bench.names))
    bench.loss, bench.latency_ns = 0.0, 5 * MS
    bench.run(3 * SECOND)
    before = sum(bench.recorder.answers[f"{op}_ok"] for op in ("read", "write", "cas"))
    bench.run(SECOND)
    after = sum(bench.recorder.answers[f"{op}_ok"] for op in ("read", "write", "cas"))
    assert after > before + 20
    verdict = check(bench.finish(), Budget(steps=2_000_000))
    assert verdict.answer == LINEARIZABLE
    assert bench.complaints == []


def test_histories_contain_what_they_should() -> None:
    """Every answer of lin-kv, requests without one, forwarded requests, snapshots; and Zab's acknowledgements of parcels."""
    answers: set[str | int] = set()
    for seed in range(2):
        bench = Bench("zab", 3, 4, seed)
        bench.start()
        bench.run(2 * SECOND)
        bench.isolate(next(name for name in bench.names if bench.nodes[name].host.leading))
        bench.run(3 * SECOND)
        bench.cut.clear()
        bench.run(2 * SECOND)
        bench.finish()
        answers |= bench.recorder.answers.keys()
        assert bench.kinds["Forward"] and bench.kinds["received"]
    assert answers >= {"read_ok", "write_ok", "cas_ok", KEY_DOES_NOT_EXIST, PRECONDITION_FAILED, UNAVAILABLE, "none"}


# -- channels ------------------------------------------------------------------------------------------------


def test_a_channel_keeps_order_and_loses_nothing() -> None:
    here, there = Channel((10, 40)), Channel((10, 40))
    parcels = [here.send("X", b"%d" % number, 0) for number in range(3)]
    assert there.receive(parcels[2], 2, 1) == []
    assert there.receive(parcels[0], 0, 1) == [0]
    [told] = there.due(2)
    assert (told.number, told.through) == (0, 1)
    assert there.due(3) == []
    assert here.receive(told, None, 3) == []
    assert [parcel.number for parcel in here.due(13)] == [2, 3]
    assert [parcel.number for parcel in here.due(14)] == []
    assert there.receive(parcels[1], 1, 15) == [1, 2]
    assert there.receive(parcels[1], 1, 16) == []
    [told] = there.due(17)
    here.receive(told, None, 18)
    assert here.due(1000) == []


def test_a_channel_asks_ever_more_slowly_of_one_who_does_not_answer() -> None:
    channel = Channel((10, 40))
    channel.send("X", b"", 0)
    assert [now for now in range(200) if channel.due(now)] == [10, 30, 70, 110, 150, 190]
    channel.receive(Parcel("received", through=1), None, 200)
    channel.send("X", b"", 200)
    assert [now for now in range(200, 240) if channel.due(now)] == [210, 230]


def test_what_is_sent_says_what_has_arrived() -> None:
    here, there = Channel((10, 40)), Channel((10, 40))
    there.receive(here.send("X", b"", 0), 0, 1)
    assert there.send("Y", b"", 2).through == 1
    assert there.due(3) == []


# -- processes -----------------------------------------------------------------------------------------------


class Cluster:
    """Three processes of the command line, and threads that carry their lines."""

    def __init__(self, engine: str) -> None:
        self.names = ["n1", "n2", "n3"]
        command = [sys.executable, "-c", "from bench.cli import main; main()", "maelstrom", "--engine", engine]
        command += ["--election-timeout", "200ms"]
        pipe = subprocess.PIPE
        self.processes = {name: subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe) for name in self.names}
        self.answers: Queue[dict[str, Any]] = Queue()
        self.lock = threading.Lock()
        for name in self.names:
            threading.Thread(target=self.carry, args=(name,), daemon=True).start()

    def carry(self, name: str) -> None:
        """Everything on a node's standard output is a message."""
        output = self.processes[name].stdout
        assert output is not None
        for line in output:
            message = json.loads(line)
            if message["dest"] in self.processes:
                self.send(message["dest"], message)
            else:
                self.answers.put(message["body"])

    def send(self, node: str, message: dict[str, Any]) -> None:
        """A line for a node; nobody reads what is sent to a dead one."""
        with self.lock:
            try:
                source = self.processes[node].stdin
                assert source is not None
                source.write(json.dumps(message).encode() + b"\n")
                source.flush()
            except (BrokenPipeError, ValueError):
                return

    def ask(self, node: str, **body: Any) -> dict[str, Any]:
        """The answer to one request."""
        self.send(node, {"src": "c1", "dest": node, "body": body})
        return self.answers.get(timeout=30)

    def until_ok(self, node: str, **body: Any) -> dict[str, Any]:
        """The answer to a request that is repeated while nobody can serve it."""
        for _ in range(100):
            answer = self.ask(node, **body)
            if answer.get("code") not in (UNAVAILABLE, CRASH, TIMEOUT):
                return answer
            time.sleep(0.1)
        raise AssertionError(f"{body} is never served")


@pytest.mark.parametrize("engine", ENGINES)
def test_three_processes(engine: str) -> None:
    """Init, a write, a read from another node, a node killed, and an end without a word when standard input ends."""
    cluster = Cluster(engine)
    try:
        for name in cluster.names:
            init = cluster.ask(name, type="init", msg_id=1, node_id=name, node_ids=cluster.names)
            assert init == {"type": "init_ok", "in_reply_to": 1}
        assert cluster.until_ok("n1", type="write", msg_id=2, key=1, value=5)["type"] == "write_ok"
        assert cluster.until_ok("n2", type="read", msg_id=3, key=1)["value"] == 5
        cluster.processes["n3"].kill()
        assert cluster.until_ok("n2", type="cas", msg_id=4, key=1, **{"from": 5, "to": 6})["type"] in ("cas_ok", "error")
        assert cluster.until_ok("n1", type="read", msg_id=5, key=1)["value"] == 6
        for name in ("n1", "n2"):
            source = cluster.processes[name].stdin
            assert source is not None
            with cluster.lock:
                source.close()
            assert cluster.processes[name].wait(30) == 0
            errors = cluster.processes[name].stderr
            assert errors is not None and errors.read() == b""
    finally:
        for process in cluster.processes.values():
            process.kill()
            process.wait()


def test_a_state_that_cannot_be_ends_the_process_with_one_line() -> None:
    """As where two clusters are mixed up: a leader's message of another protocol's course."""
    name = ["n1", "n2"]
    init = {"src": "c0", "dest": "n1", "body": {"type": "init", "msg_id": 1, "node_id": "n1", "node_ids": name}}
    wrong = Parcel("AppendEntries", engine=msgspec.msgpack.encode(AppendEntries(3, 1, 0, 0, b"\x01", 0)))
    body = json.loads(msgspec.json.encode(wrong))
    text = "".join(json.dumps(line) + "\n" for line in (init, {"src": "n2", "dest": "n1", "body": body}))
    program = "from bench.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "maelstrom", "--engine", "raft"],
        cwd=ROOT, input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 1
    assert "a state that cannot be" in ended.stderr


@pytest.mark.parametrize("duration", ["soon", "1ms", "2h"])
def test_a_timeout_must_make_sense(duration: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["maelstrom", "--engine", "raft", "--election-timeout", duration]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_node_answers_in_the_order_of_its_names() -> None:
    """Replicas are numbered by node_ids: every node must see the same numbers."""
    node = Node("raft", 100 * MS, 1, lambda _complaint: None)
    init = {"type": "init", "msg_id": 1, "node_id": "b", "node_ids": ["c", "b", "a"]}
    node.turn([json.dumps({"src": "x", "dest": "b", "body": init}).encode()], 0)
    assert (node.host.id, node.ids) == (1, {"c": 0, "a": 2})
