"""The contract between an engine and whatever hosts it.

An engine is a replication protocol as a pure state machine. It has no clock, socket, disk or dice: it is told the time,
and given a seeded generator for its jitter. Each call returns the effects that the host must perform, in order:

    Send(to, message)           hand the message to the transport; a message to oneself is stepped
                                once the effects at hand are done, at no cost
    Persist(record, then)       write the record; the send in ``then`` promises that it is durable and leaves only once
                                this record and every record before it is. A record of None writes nothing and only
                                waits; a ``then`` of None promises nothing
    Commit(position, command)   the command at this position is decided; positions come in order, each once; an empty
                                command is a no-op of the protocol
    Redirect(leader, commands)  these commands were not accepted; the leader, where known, else NOBODY
    Restore(position, state)    replace the state machine by this snapshot; commits go on at position + 1

A leader may send in parallel with its own disk write: it persists with a send to itself, and so learns of its own
durability the way it learns of a follower's.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import cython
import msgspec

from ext.fields import require_layout
from ext.log import Log

if not cython.compiled:
    from ext.memory import add_effect, empty_effects

NEVER = 2**63 - 1
NOBODY = 2**64 - 1


class Message(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """What one replica sends to another: one class per message, with its paper's name."""


class Record(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """What a replica must find again after a crash: one class per kind of record."""


class Dice(Protocol):
    """The part of ``random.Random`` that an engine may use."""

    def randint(self, a: int, b: int) -> int: ...


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What every engine is told at its construction; durations are in nanoseconds.

    ``election_timeout_ns`` is the range from which each timeout is drawn. ``initial_leader`` asks that replica to stand
    at once, and the others to favour it while nothing has been decided; elections decide where it is None.
    ``inflight_messages`` and ``message_bytes`` bound what a leader has under way to one follower.
    """

    voters: tuple[int, ...]
    election_timeout_ns: tuple[int, int] = (1_000_000_000, 2_000_000_000)
    heartbeat_ns: int = 200_000_000
    initial_leader: int | None = None
    inflight_messages: int = 256
    message_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        low, high = self.election_timeout_ns
        if not self.voters or len(set(self.voters)) != len(self.voters):
            raise ValueError(f"voters must be distinct and at least one, not {self.voters}")
        if not 0 < low <= high:
            raise ValueError(f"election_timeout_ns must be a positive range (low, high), not {self.election_timeout_ns}")
        if not 0 < self.heartbeat_ns < low:
            raise ValueError(f"heartbeat_ns must be positive and below the election timeout, not {self.heartbeat_ns}")
        if self.initial_leader is not None and self.initial_leader not in self.voters:
            raise ValueError(f"initial_leader {self.initial_leader} is not one of the voters {self.voters}")
        if self.inflight_messages < 1 or self.message_bytes < 1:
            raise ValueError("inflight_messages and message_bytes must be at least 1")


class Status(msgspec.Struct, frozen=True):
    """A moment of a replica, for watchers: ``term`` is the term, the packed ballot or the epoch."""

    role: str
    leader: int | None
    term: int
    commit: int
    last: int


# Effects come and go by the million: compiled, some are kept for reuse, and the cycle collector does not look at
# them, since nothing that an effect holds can refer back to it.
@cython.no_gc
@cython.freelist(512)
@cython.cclass
class Send:
    """Hand ``message`` to the transport for replica ``to``."""

    def __init__(self, to: int, message: Message) -> None:
        self.to = to
        self.message = message

    def __repr__(self) -> str:
        return f"Send({self.to}, {self.message})"


@cython.no_gc
@cython.freelist(512)
@cython.cclass
class Persist:
    """Write ``record`` (or only wait, where it is None); ``then`` leaves once it and all before it are durable."""

    def __init__(self, record: Record | None, then: Send | None) -> None:
        self.record = record
        self.then = then

    def __repr__(self) -> str:
        return f"Persist({self.record}, {self.then})"


@cython.freelist(512)
@cython.cclass
class Commit:
    """The command at ``position`` is decided."""

    def __init__(self, position: int, command: bytes) -> None:
        self.position = position
        self.command = command

    def __repr__(self) -> str:
        return f"Commit({self.position}, {self.command!r})"


class Redirect:
    """``commands`` were not accepted here; try ``leader`` (NOBODY where it is not known)."""

    def __init__(self, leader: int, commands: list[bytes]) -> None:
        self.leader = leader
        self.commands = commands

    def __repr__(self) -> str:
        return f"Redirect({'NOBODY' if self.leader == NOBODY else self.leader}, {self.commands})"


class Restore:
    """Replace the state machine by ``state``, which holds everything up to ``position``."""

    def __init__(self, position: int, state: bytes) -> None:
        self.position = position
        self.state = state

    def __repr__(self) -> str:
        return f"Restore({self.position}, {len(self.state)} bytes)"


Effect = Send | Persist | Commit | Redirect | Restore


def send(to: int, message: Message) -> Send:
    """``Send(to, message)`` without the cost of an ``__init__`` call in compiled code."""
    effect = Send.__new__(Send)
    effect.to = to
    effect.message = message
    return effect


# Typed here, because Cython warns of annotations in the body of a compiled class.
NO_HANDLERS: dict[type[Message], Callable[[Any, int, Any], None]] = {}
NO_RECORDS: tuple[type[Record], ...] = ()
NO_HEARTBEATS: frozenset[type[Message]] = frozenset()


class Engine:
    """What all engines share: the dispatch over HANDLERS, the list of effects, and the way commits are announced.

    A subclass gives ``NAME``, ``HANDLERS`` (message class -> handler(self, sender, message)), ``RECORDS`` (the classes it
    persists), ``HEARTBEATS`` (the message classes that flow without load, counted apart), ``FIFO_ONLY``, and the calls
    below that raise here. ``deadline`` is when ``tick`` is next due. ``leading`` is true while proposals are accepted.
    """

    NAME = ""
    HANDLERS = NO_HANDLERS
    RECORDS = NO_RECORDS
    HEARTBEATS = NO_HEARTBEATS
    FIFO_ONLY = False

    def __init__(self, id: int, configuration: Configuration, dice: Dice) -> None:
        if id not in configuration.voters:
            raise ValueError(f"replica {id} is not one of the voters {configuration.voters}")
        self.id = id
        self.configuration = configuration
        self.dice = dice
        self.peers = [voter for voter in configuration.voters if voter != id]
        self.handlers = dict(self.HANDLERS)
        for kind in (*self.handlers, *self.RECORDS):
            require_layout(kind)
        self.log = Log()
        self.effects: list[Effect] = []
        self.now = 0
        self.deadline = NEVER
        self.committed = 0
        self.leader = NOBODY
        self.leading = False

    def step(self, sender: int, message: Message, now: int) -> list[Effect]:
        """A message arrived from ``sender`` (oneself included)."""
        self.begin(now)
        self.dispatch(sender, message)
        return self.effects

    def dispatch(self, sender: int, message: Message) -> None:
        """Call the message's handler; an engine may call those of its steady state itself, which is faster."""
        handler = self.handlers[type(message)]
        handler(self, sender, message)

    def tick(self, now: int) -> list[Effect]:
        """The deadline has come. A call before the deadline changes nothing."""
        raise NotImplementedError

    def propose(self, commands: list[bytes], now: int) -> list[Effect]:
        """Clients' commands, none of them empty: accepted as one batch, or redirected."""
        raise NotImplementedError

    def recover(self, records: list[Record], now: int) -> list[Effect]:
        """The first call of every incarnation: what was persisted, in order; nothing at the very first start."""
        raise NotImplementedError

    def disconnect(self, peer: int, now: int) -> list[Effect]:
        """The channel to ``peer`` broke: what was under way may be lost; what is sent from now on takes a new one."""
        raise NotImplementedError

    def compact(self, position: int, state: bytes, now: int) -> list[Effect]:
        """``state`` is the state machine at the committed ``position``: persist it, drop the log up to there."""
        raise NotImplementedError

    def status(self) -> Status:
        """This moment, for watchers."""
        raise NotImplementedError

    def begin(self, now: int) -> None:
        """Open a call: the time, and an empty list of effects."""
        assert now >= self.now, "time went backwards"
        self.now = now
        self.effects = empty_effects(self.effects)

    def send(self, to: int, message: Message) -> None:
        """Emit a Send."""
        add_effect(self.effects, send(to, message))

    def broadcast(self, message: Message) -> None:
        """Emit a Send to every other voter."""
        for peer in self.peers:
            add_effect(self.effects, send(peer, message))

    def persist(self, record: Record | None, to: int, promise: Message) -> None:
        """Emit a Persist whose one promise goes to ``to`` (oneself included)."""
        effect = Persist.__new__(Persist)
        effect.record = record
        effect.then = send(to, promise)
        add_effect(self.effects, effect)

    def persist_only(self, record: Record) -> None:
        """Emit a Persist on which no promise rides."""
        effect = Persist.__new__(Persist)
        effect.record = record
        effect.then = None
        add_effect(self.effects, effect)

    def redirect(self, commands: list[bytes]) -> None:
        """Emit a Redirect to the leader this replica knows, which is never itself."""
        self.effects.append(Redirect(NOBODY if self.leader == self.id else self.leader, commands))

    def restore(self, position: int, state: bytes) -> None:
        """Emit a Restore; commits go on after ``position``."""
        self.committed = position
        self.effects.append(Restore(position, state))

    def commit_through(self, position: int) -> None:
        """Emit a Commit for every log position after the last committed one, up to ``position``."""
        while self.committed < position:
            self.committed += 1
            effect = Commit.__new__(Commit)
            effect.position = self.committed
            effect.command = self.log.payload(self.committed)
            add_effect(self.effects, effect)
