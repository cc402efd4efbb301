"""A node of Maelstrom's lin-kv workload: the third World, in which JSON lines on standard input and output are the network.

    {"src": "c1", "dest": "n1", "body": {"type": "cas", "msg_id": 7, "key": 0, "from": 1, "to": 2}}
    {"src": "n1", "dest": "c1", "body": {"type": "cas_ok", "in_reply_to": 7}}
    {"src": "n1", "dest": "n2", "body": {"type": "AppendEntries", "engine": "...base64 of msgpack..."}}

Maelstrom (https://github.com/jepsen-io/maelstrom, doc/protocol.md and doc/workloads.md) starts one process a node, carries
their messages with delays, losses and partitions, and checks what its clients saw. Its network reorders and loses messages, so
engines that rely on FIFO channels get them from ``bench.driver.ordered``. It does not restart processes, so memory is the disk:
durability is "none", and a process that has died must stay dead.

The host is that of the other worlds: it forwards what is not this node's to serve. All commands of a node are one session, which
numbers them; nothing is sent twice, so that "not accepted" is a definite answer.
"""
from __future__ import annotations

import random
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Union, cast

import msgspec

from bench.driver.host import Forward, ForwardAnswer, Host, World
from bench.driver.occasions import ACCEPTED, REFUSED
from bench.driver.ordered import Channel, Parcel
from bench.driver.protocols import PROTOCOLS, Parts, new_host
from bench.scenario import read_scenario
from bench.scenario.fields import Place
from bench.scenario.units import duration_text
from engines import machine
from engines.core import Message
from engines.machine import APPLIED, CAS, GET, PUT, KeyValue, decode_command, encode_command

TIMEOUT, NOT_SUPPORTED, UNAVAILABLE, MALFORMED, CRASH, ABORT = 0, 10, 11, 12, 13, 14
KEY_DOES_NOT_EXIST, PRECONDITION_FAILED = 20, 22
MISMATCH = machine.REFUSED + b"\x01"
PATIENCE = 10  # election timeouts
READ_BYTES = 1 << 16


class Line(msgspec.Struct):
    """A line: who speaks to whom."""

    src: str
    dest: str
    body: msgspec.Raw


class Head(msgspec.Struct):
    """What every body begins with; messages between replicas have no ``msg_id``."""

    type: str
    msg_id: int | None = None


class Init(msgspec.Struct):
    """The first request: this node's name, and everybody's, in the same order everywhere."""

    node_id: str
    node_ids: list[str]


class Read(msgspec.Struct):
    """The value of a key."""

    key: Any


class Write(msgspec.Struct):
    """Set a key."""

    key: Any
    value: Any


class Cas(msgspec.Struct, rename={"expected": "from", "value": "to"}):
    """Set a key where it has the expected value."""

    key: Any
    expected: Any
    value: Any


class Failure(Exception):  # noqa: N818 (an answer, and no fault of the program)
    """A request is answered with an error of this code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Request(msgspec.Struct):
    """One that is under way: whom to answer, and what was asked."""

    client: str
    msg_id: int
    type: str
    since_ns: int


class Registers(KeyValue):
    """The key-value machine, whose refused cas says whether the key was there."""

    def perform(self, command: bytes, value_from: int) -> bytes:
        """As of the KeyValue, but MISMATCH for a cas that found another value."""
        result: bytes = super().perform(command, value_from)
        if result == machine.REFUSED and command[20] == CAS and decode_command(command).key in self.data:
            return MISMATCH
        return result


def canonical(value: Any) -> bytes:
    """Equal JSON values as equal bytes."""
    return msgspec.json.encode(value, order="deterministic")


class Node(World):
    """One process of Maelstrom's. ``out`` has the lines of this turn; ``complain`` is told what nobody can be answered."""

    def __init__(self, engine: str, election_ns: int, seed: int, complain: Callable[[str], None]) -> None:
        engine_class = PROTOCOLS[engine][0]
        kinds = (*engine_class.HANDLERS, Forward, ForwardAnswer)
        self.engine = engine
        self.election_ns = election_ns
        self.patience_ns = PATIENCE * election_ns
        self.seed = seed
        self.complain = complain
        self.ordered = engine_class.FIFO_ONLY
        self.messages: Any = msgspec.msgpack.Decoder(Union[kinds])  # noqa: UP007 (made at run time)
        self.host: Any = None
        self.name = ""
        self.names: list[str] = []
        self.ids: dict[str, int] = {}
        self.channels: dict[int, Channel] = {}
        self.requests: dict[int, Request] = {}
        self.sequence = 0
        self.now = 0
        self.out: list[bytes] = []

    def turn(self, lines: list[bytes], now: int) -> bytes:
        """Take these lines, let the host do what is due; the lines that leave."""
        self.now = now
        for line in lines:
            if line.strip():
                self.take(line, now)
        if self.host is not None:
            self.host.wake(now)
        self.expire(now)
        for to, channel in self.channels.items():
            for parcel in channel.due(now):
                self.say(self.names[to], parcel)
        left, self.out = self.out, []
        return b"".join(left)

    def next_ns(self) -> int:
        """When the next turn is due, though nothing arrives."""
        times = [channel.due_ns for channel in self.channels.values()]
        if self.host is not None:
            times.append(self.host.deadline)
        if self.requests:
            times.append(next(iter(self.requests.values())).since_ns + self.patience_ns)
        return min(times, default=self.now + self.patience_ns)

    def expire(self, now: int) -> None:
        """A request whose forwarding, or whose answer, was lost is never heard of again."""
        for sequence, request in list(self.requests.items()):
            if now < request.since_ns + self.patience_ns:
                return
            del self.requests[sequence]
            self.fail(request.client, request.msg_id, TIMEOUT, "no answer in time: it may happen or not")

    # What arrives

    def take(self, line: bytes, now: int) -> None:
        """One line of input; what is wrong with it is answered where it is a request, and reported where it is none."""
        try:
            message = msgspec.json.decode(line, type=Line)
            head = msgspec.json.decode(message.body, type=Head)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.complain(f"no message of Maelstrom's, ignored: {error}: {line[:80]!r}")
            return
        if self.host is None:
            self.name = message.dest  # whoever asks before init has a name for this node
        if self.host is not None and message.src in self.ids and head.msg_id is None:
            self.hear(message, now)
        elif head.msg_id is None:
            if self.host is not None:  # before that, replicas speak that were told to begin earlier
                self.complain(f"a message that asks nothing, ignored: {line[:80]!r}")
        else:
            try:
                self.serve(message, head.type, head.msg_id, now)
            except msgspec.DecodeError as error:
                self.fail(message.src, head.msg_id, MALFORMED, f"{head.type}: {error}")
            except Failure as failure:
                self.fail(message.src, head.msg_id, failure.code, str(failure))

    def serve(self, message: Line, type: str, msg_id: int, now: int) -> None:
        """A client's request. Raises Failure, and msgspec.DecodeError where its fields are wrong."""
        if type == "init":
            self.begin(msgspec.json.decode(message.body, type=Init), now)
            self.say(message.src, {"type": "init_ok", "in_reply_to": msg_id})
            return
        if type not in ("read", "write", "cas"):
            raise Failure(NOT_SUPPORTED, f"{type} is not of the lin-kv workload")
        if self.host is None:
            raise Failure(UNAVAILABLE, "no init has come yet")
        arguments = self.arguments(message.body, type)
        self.sequence += 1
        lowest = next(iter(self.requests), self.sequence)
        try:
            command = encode_command(self.host.id, self.sequence, lowest, *arguments)
        except ValueError as error:
            raise Failure(MALFORMED, str(error)) from None
        self.requests[self.sequence] = Request(message.src, msg_id, type, now)
        self.host.request(self.host.id, command, now, True)

    def arguments(self, body: msgspec.Raw, type: str) -> tuple[int, bytes, bytes, bytes]:
        """The operation, key, value and expected value of a request."""
        if type == "read":
            read = msgspec.json.decode(body, type=Read)
            return GET, canonical(read.key), b"", b""
        if type == "write":
            write = msgspec.json.decode(body, type=Write)
            return PUT, canonical(write.key), canonical(write.value), b""
        cas = msgspec.json.decode(body, type=Cas)
        return CAS, canonical(cas.key), canonical(cas.value), canonical(cas.expected)

    def begin(self, init: Init, now: int) -> None:
        """Who we are, and who the others are: the replicas are numbered as they are listed."""
        if self.host is not None:
            raise Failure(ABORT, f"this node is {self.name} already")
        if init.node_id not in init.node_ids or len(set(init.node_ids)) != len(init.node_ids):
            raise Failure(MALFORMED, f"node_ids must have {init.node_id} and everybody else once, not {init.node_ids}")
        self.name, self.names = init.node_id, init.node_ids
        self.ids = {name: id for id, name in enumerate(init.node_ids) if name != init.node_id}
        heartbeat_ns = self.election_ns // 10
        if self.ordered:
            self.channels = {id: Channel((heartbeat_ns, self.election_ns)) for id in self.ids.values()}
        scenario = read_scenario(
            {
                "engine": self.engine,
                "replicas": len(self.names),
                "timeouts": {
                    "election": [duration_text(self.election_ns), duration_text(2 * self.election_ns)],
                    "heartbeat": duration_text(heartbeat_ns),
                },
                "storage": {"durability": "none", "compact_after": "64KiB"},
                "workload": {"routing": "nearest"},
            },
            Place("maelstrom", Path()),
        )
        id = init.node_ids.index(init.node_id)
        host = new_host(self, self.engine, id, 1, scenario, self.seed, Parts(machine=Registers))
        host.start([], now)
        self.host = host

    def hear(self, message: Line, now: int) -> None:
        """A message of another replica. What does not decode has not come."""
        sender = self.ids[message.src]
        try:
            parcel = msgspec.json.decode(message.body, type=Parcel)
            only_acknowledges = self.ordered and parcel.number == 0
            content = None if only_acknowledges else self.messages.decode(parcel.engine)
        except msgspec.DecodeError as error:
            self.complain(f"no message of an engine from {message.src}, ignored: {error}")
            return
        for each in self.channels[sender].receive(parcel, content, now) if self.ordered else [content]:
            self.host.receive(sender, each, now, True)

    # What leaves

    def say(self, to: str, body: Any) -> None:
        """A line to somebody."""
        self.out.append(msgspec.json.encode({"src": self.name, "dest": to, "body": body}) + b"\n")

    def fail(self, to: str, msg_id: int, code: int, text: str) -> None:
        """An error instead of an answer."""
        self.say(to, {"type": "error", "in_reply_to": msg_id, "code": code, "text": text})

    def transmit(self, host: Host, to: int, message: Message) -> None:  # noqa: ARG002
        """A message to another replica."""
        type_name, encoded = type(message).__name__, msgspec.msgpack.encode(message)
        if self.ordered:
            parcel = self.channels[to].send(type_name, encoded, self.now)
        else:
            parcel = Parcel(type_name, encoded)
        self.say(self.names[to], parcel)

    def answer(self, host: Host, client: int, sequence: int, outcome: int, leader: int, result: bytes) -> None:  # noqa: ARG002
        """The outcome of a request, unless its time was over."""
        request = self.requests.pop(sequence, None)
        if request is None:
            return
        try:
            body = self.outcome(request.type, outcome, result)
        except Failure as failure:
            self.fail(request.client, request.msg_id, failure.code, str(failure))
        else:
            self.say(request.client, {"type": f"{request.type}_ok", "in_reply_to": request.msg_id} | body)

    def outcome(self, type: str, outcome: int, result: bytes) -> dict[str, Any]:
        """What an answer says beside its type; raises Failure."""
        if outcome == REFUSED:
            raise Failure(UNAVAILABLE, "no leader accepted it")
        if outcome != ACCEPTED or result == machine.STALE:
            raise Failure(CRASH, "leadership was lost: it may happen or not")
        if result == machine.REFUSED:
            raise Failure(KEY_DOES_NOT_EXIST, "no such key")
        if result == MISMATCH:
            raise Failure(PRECONDITION_FAILED, "the key has another value")
        assert result[:1] == APPLIED, "what was encoded here is well formed"
        return {"value": msgspec.Raw(result[1:])} if type == "read" else {}

    def write(self, host: Host, persists: list[Any]) -> None:  # noqa: ARG002
        """Never called: without durability nothing waits for a disk."""
        raise AssertionError("a host without durability writes nothing")

    def applied(self, host: Host, position: int, command: bytes, answered: bool) -> None:
        """Nobody watches from inside: Maelstrom checks what its clients saw."""

    def led(self, host: Host) -> None:
        """Leaders are Maelstrom's to find out."""


def now_ns() -> int:
    """The machine's monotonic clock."""
    return time.monotonic_ns()


def serve(engine: str, election_ns: int) -> None:
    """Be a node until standard input ends. AssertionError, ValueError or OverflowError where a message breaks the protocol."""

    def complain(what: str) -> None:
        sys.stderr.write(f"replbench maelstrom: {what}\n")
        sys.stderr.flush()

    node = Node(engine, election_ns, random.getrandbits(63), complain)
    source, drain = cast(Any, sys.stdin.buffer), sys.stdout.buffer
    rest = b""
    ended = False
    while not ended:
        wait_s = max(0, node.next_ns() - now_ns()) / 1_000_000_000
        arrived: list[bytes] = []
        if select.select([source], [], [], min(wait_s, 3600))[0]:
            chunk = source.raw.read(READ_BYTES)
            ended = not chunk
            *arrived, rest = (rest + (chunk or b"\n")).split(b"\n")
        drain.write(node.turn(arrived, now_ns()))
        drain.flush()
