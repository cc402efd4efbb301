"""Conversations: text files that say what was done to a cluster and, after ``----``, what happened.

    start 3 initial_leader=0
    ----
    0 -> 1 RequestVote(term=1, ...)
    ...

They live in conversations/<engine>/<what it shows>.txt and are all run by test_conversations.py. Write the
commands and an empty ``----``, run ``pytest tests/engines --rewrite``, read the difference as you would read
code, commit it. A block is its comments (#), its commands and what is expected, and ends at an empty line. A
line a command:

    start SIZE [key=value]...  transport=datagram, seed=4, initial_leader=0, election=1s..2s,
                               heartbeat=200ms, copies=1, inflight_messages=2, message_bytes=512,
                               disk=instant; options.NAME=VALUE for the engine's own
    tick 0 [150ms]             time moves on (to 0's deadline where no time is given), and only 0 is ticked
    advance 150ms              time moves on, and each deadline in it is ticked; nothing is delivered
    run 500ms                  time passes with deadlines, messages (1 ms each) and disks (1 ms a sync)
    deliver 0->1 [#2] [xN]     the oldest message under way (#2, datagram only: after two others); xN: N
    deliver all                every message that is under way now, link by link; answers stay under way
    drop 0->1 [#2]             lose one (datagram only)
    duplicate 0->1 [#2]        double one (datagram only)
    propose 0 put x 1; get x   one batch of commands: get K, put K V, cas K OLD NEW, append K V; a retry has
                               its session's number at its end: put x 1 @7.3 (client 7, sequence 3)
    sync 0 [1]                 the disk of 0 has written its oldest record (all of them); sync all: every disk
    settle                     deliver and sync until nothing is under way
    crash 1 [torn]             what was not synced is gone
    restart 1
    partition 0 | 1 2
    cut 0->1                   one way
    heal
    break 0-1                  the connection; both ends are told
    compact 0                  hand over a snapshot of this moment
    status                     every replica in a line
    under way                  every message in a line

``quietly`` before a command swallows what happens: for set-up that the conversation is not about.
What happens, a line an effect, in the order of the effects:

    0 -> 1 Accept(...)         sent
    1 <- 0 Accept(...)         received
    0 writes Vote(...), then -> 1 Voted(...)
    0 synced 2                 two writes are durable
    0 commits 3: put x 1 = 01  and the result
    0 redirects to 2: put x 1
    0 restores 3
    0 starts from 2 records
    0 crashes
    0 loses 1                  the connection
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from engines import machine
from engines.core import NOBODY, Engine, Persist, Send
from ext.log import unpack
from tests.engines.cluster import MS, SECOND, Cluster

UNITS_NS = {"ns": 1, "us": 1000, "ms": MS, "s": SECOND}
RULE = "----"


def duration_ns(text: str) -> int:
    """Of "150ms"."""
    number, unit = re.fullmatch(r"(\d+)(ns|us|ms|s)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS_NS[unit]


# -- how things are written ----------------------------------------------------------------------------------


def describe_command(command: bytes) -> str:
    """A command as it is written in ``propose``; anything else as its bytes."""
    if not command:
        return "no-op"
    try:
        read = machine.decode_command(command)
    except ValueError:
        return repr(command)
    texts = [read.key, *([read.expected] if read.operation == machine.CAS else []), read.value]
    return " ".join(
        [machine.OPERATIONS[read.operation], *(text.decode("ascii", "replace") for text in texts if text)]
    )


def describe(value: object) -> str:
    """A message, a record or a field of one: batches of entries as term: command, NOBODY by name."""
    if isinstance(value, bytes):
        return describe_bytes(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(describe(item) for item in value)}]"
    if hasattr(value, "__struct_fields__"):
        fields = ", ".join(f"{name}={describe(getattr(value, name))}" for name in value.__struct_fields__)
        return f"{type(value).__name__}({fields})"
    return "NOBODY" if value == NOBODY else str(value)


def describe_bytes(value: bytes) -> str:
    """A batch of entries, a snapshot, a command, or some bytes."""
    if not value:
        return "[]"
    try:
        entries = unpack(value)
    except ValueError:
        return describe_state(value) or describe_command(value)
    return f"[{', '.join(f'{term}: {describe_command(payload)}' for term, payload in entries)}]"


def describe_state(value: bytes) -> str:
    """A snapshot by its position, empty where it is none."""
    try:
        return f"state of position {msgspec.msgpack.decode(value, type=machine.KeyValueState).applied}"
    except msgspec.DecodeError:
        return ""


def describe_result(result: bytes) -> str:
    """01, or 01 and the value."""
    return f"{result[:1].hex()} {result[1:].decode('ascii', 'replace')}".rstrip()


def describe_event(what: str, replica: int, detail: Any) -> str:
    """The line of one thing that the cluster saw happen."""
    if isinstance(detail, Send):
        return f"{replica} -> {detail.to} {describe(detail.message)}"
    if isinstance(detail, Persist):
        record = "nothing" if detail.record is None else describe(detail.record)
        promise = "" if detail.then is None else f", then -> {detail.then.to} {describe(detail.then.message)}"
        return f"{replica} writes {record}{promise}"
    if what == "receives":
        return f"{replica} <- {detail[0]} {describe(detail[1])}"
    if what == "commits":
        effect, result = detail
        command = describe_command(effect.command)
        return f"{replica} commits {effect.position}: {command} = {describe_result(result)}".removesuffix(
            " = "
        )
    if what == "redirects":
        leader = "nobody" if detail.leader == NOBODY else detail.leader
        return f"{replica} redirects to {leader}: {'; '.join(map(describe_command, detail.commands))}"
    texts = {
        "restores": lambda: f" {detail.position}",
        "starts": lambda: f" from {detail} records",
        "crashes": lambda: " with a torn write" if detail else "",
        "synced": lambda: f" {detail}",
        "loses": lambda: f" {detail}",
    }
    return f"{replica} {what}{texts[what]()}"


# -- what can be said ----------------------------------------------------------------------------------------


class Conversation:
    """One file being played: ``say`` performs a command and returns what happened, a line each."""

    def __init__(self, engine_class: type[Engine]) -> None:
        self.engine_class = engine_class
        self.lines: list[str] = []
        self.cluster: Cluster
        self.verbs: dict[str, Callable[..., None]] = {
            "start": self._start,
            "tick": self._tick,
            "advance": self._advance,
            "run": self._run,
            "deliver": self._deliver,
            "drop": self._drop,
            "duplicate": self._duplicate,
            "propose": self._propose,
            "sync": self._sync,
            "settle": self._settle,
            "crash": self._crash,
            "restart": self._restart,
            "partition": self._partition,
            "cut": self._cut,
            "heal": self._heal,
            "break": self._break,
            "compact": self._compact,
            "status": self._status,
            "under": self._under_way,
        }

    def say(self, command: str) -> list[str]:
        """Perform one command line; ValueError where it is none."""
        self.lines = []
        verb, *words = command.split()
        quietly = verb == "quietly"
        if quietly:
            verb, *words = words
        if verb not in self.verbs:
            raise ValueError(f"{command!r} is no command: see tests/engines/conversation.py")
        self.verbs[verb](*words)
        return [] if quietly else self.lines

    def _start(self, size: str, *settings: str) -> None:
        given = dict(setting.split("=") for setting in settings)
        low, high = given.pop("election", "1s..2s").split("..")
        options = {name[8:]: given.pop(name) for name in sorted(given) if name.startswith("options.")}
        self.cluster = Cluster(
            self.engine_class,
            int(size),
            start=False,
            transport=given.pop("transport", "tcp"),
            options=self._options(options),
            instant_disk=given.pop("disk", "") == "instant",
            election_timeout_ns=(duration_ns(low), duration_ns(high)),
            heartbeat_ns=duration_ns(given.pop("heartbeat", "200ms")),
            **{name: int(value) for name, value in given.items()},
        )

        def observe(what: str, replica: int, detail: Any) -> None:
            self.lines.append(describe_event(what, replica, detail))

        self.cluster.observe = observe
        for id in self.cluster.ids:
            self.cluster.restart(id)

    def _options(self, given: dict[str, str]) -> Any:
        """The engine's own options class, which stands beside it: RaftOptions for Raft."""
        if not given:
            return None
        module = __import__(self.engine_class.__module__, fromlist=["*"])
        options = getattr(module, f"{self.engine_class.__name__}Options")
        return options(
            **{name: {"true": True, "false": False}.get(text, text) for name, text in given.items()}
        )

    def _tick(self, id: str, after: str | None = None) -> None:
        self.cluster.tick(int(id), None if after is None else duration_ns(after))

    def _advance(self, duration: str) -> None:
        self.cluster.advance(duration_ns(duration))

    def _run(self, duration: str) -> None:
        self.cluster.run(duration_ns(duration))

    def _links(self, link: str) -> tuple[int, int]:
        sender, receiver = link.split("->")
        return int(sender), int(receiver)

    def _deliver(self, link: str, *more: str) -> None:
        if link == "all":
            for sender, receiver in sorted(self.cluster.links):
                for _ in range(len(self.cluster.links[sender, receiver])):
                    self.cluster.deliver(sender, receiver)
            return
        times = next((int(word[1:]) for word in more if word.startswith("x")), 1)
        for _ in range(times):
            self.cluster.deliver(*self._links(link), self._index(*more))

    def _index(self, *more: str) -> int:
        return next((int(word[1:]) for word in more if word.startswith("#")), 0)

    def _drop(self, link: str, *more: str) -> None:
        self.cluster.drop(*self._links(link), self._index(*more))

    def _duplicate(self, link: str, *more: str) -> None:
        self.cluster.duplicate(*self._links(link), self._index(*more))

    def _propose(self, id: str, *words: str) -> None:
        batch = [self._command(*command.split()) for command in " ".join(words).split(";")]
        self.cluster.propose(int(id), *batch)

    def _command(self, operation: str, key: str, *values: str) -> bytes:
        texts = [value.encode() for value in values if not value.startswith("@")]
        session = [value[1:].split(".") for value in values if value.startswith("@")]
        code = machine.OPERATIONS.index(operation)
        expected = texts.pop(0) if code == machine.CAS else b""
        value = texts[0] if texts else b""
        if not session:
            return self.cluster.command(code, key.encode(), value, expected)
        client, sequence = map(int, session[0])
        return machine.encode_command(client, sequence, sequence, code, key.encode(), value, expected)

    def _sync(self, id: str, count: str | None = None) -> None:
        for one in self.cluster.up() if id == "all" else [int(id)]:
            if id != "all" or self.cluster.replicas[one].unsynced:
                self.cluster.sync(one, None if count is None else int(count))

    def _settle(self) -> None:
        self.cluster.settle()

    def _crash(self, id: str, torn: str = "") -> None:
        self.cluster.crash(int(id), torn == "torn")

    def _restart(self, id: str) -> None:
        self.cluster.restart(int(id))

    def _partition(self, *words: str) -> None:
        self.cluster.partition(*(map(int, group.split()) for group in " ".join(words).split("|")))

    def _cut(self, link: str) -> None:
        self.cluster.cut(*self._links(link))

    def _heal(self) -> None:
        self.cluster.heal()

    def _break(self, ends: str) -> None:
        a, b = ends.split("-")
        self.cluster.break_connection(int(a), int(b))

    def _compact(self, id: str) -> None:
        self.cluster.compact(int(id))

    def _status(self) -> None:
        for id, replica in self.cluster.replicas.items():
            if replica.engine is None:
                self.lines.append(f"{id} is down")
                continue
            status = replica.engine.status()
            leader = "nobody" if status.leader in (None, NOBODY) else status.leader
            leads = ", leading" if replica.engine.leading else ""
            self.lines.append(
                f"{id} is {status.role}{leads}: leader {leader}, term {status.term}, "
                f"commit {status.commit}, last {status.last}"
            )

    def _under_way(self, _way: str = "") -> None:
        for sender, receiver in sorted(self.cluster.links):
            for message in self.cluster.under_way(sender, receiver):
                self.lines.append(f"{sender} -> {receiver} {describe(message)}")


# -- files ---------------------------------------------------------------------------------------------------


def blocks(text: str) -> Iterator[tuple[list[str], list[str] | None]]:
    """The blocks of a file: the lines before the rule, and those after it (None where there is no rule)."""
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.splitlines()
        if RULE in lines:
            yield lines[: lines.index(RULE)], lines[lines.index(RULE) + 1 :]
        else:
            yield lines, None


def play(engine_class: type[Engine], path: Path, rewrite: bool = False) -> None:
    """Play a file; AssertionError at its first difference, or, where ``rewrite``, write down what happened
    instead.
    """
    conversation = Conversation(engine_class)
    played = []
    for said, expected in blocks(path.read_text()):
        happened = []
        for line in said:
            if not line.startswith("#"):
                happened += conversation.say(line)
        assert rewrite or happened == (expected or []), "\n".join(
            [
                f"{path.name}: after",
                *said,
                "this was expected:",
                *(expected or []),
                "this happened:",
                *happened,
            ]
        )
        played.append("\n".join([*said, RULE, *happened] if happened or expected is not None else said))
    if rewrite:
        path.write_text("\n\n".join(played) + "\n")
