# cython: boundscheck=False
"""Watchers outside the replicas: what must hold whatever the protocol, and what a watcher of one protocol is told.

``bench.checkers.statements`` says in words what is watched. ``Agreement`` watches what all engines have in common;
``bench.checkers.watchers`` makes the Watcher of an engine.
"""
from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import cython
import numpy as np

from bench.checkers.statements import AGREEMENT, DIGESTS, MONOTONE, NO_LOSS, ONCE, ONE_LEADER, VALIDITY, name_of
from bench.metrics.trial import FAILED, OK

if not cython.compiled:
    from ext.columns import words_of
    from ext.memory import load_u64

if TYPE_CHECKING:
    from bench.metrics.recorder import Recorder
    from engines.core import Message, Record, Status

RECENT = 1 << 12
STRIDE = 64
LOW = STRIDE - 1
MAX_VIOLATIONS = 20
MAX_OF_A_NAME = 5
NAMED = 5
OPERATION_AT, KEY_AT, KEY_BYTES = 20, 27, 8  # of a command of simulated clients


class Agreement:
    """Compares the replicas' digests: every recent position, and every 64th older one.

    A digest covers the whole history before it, so a difference at any position shows at every later one.

    ``recorder`` has the operations that clients asked for, where it is known. Their rows, plus one, are the sequence numbers
    of commands. ``effective`` says of each whether it has taken effect.
    """

    def __init__(self, replicas: int = 0, recorder: Recorder | None = None) -> None:
        self.columns = [array("Q", bytes(8 * size)) for size in (RECENT, RECENT, RECENT, max(1, replicas))]
        self.recent = words_of(self.columns[0])
        self.repeats = words_of(self.columns[1])
        self.positions = words_of(self.columns[2])
        self.reached = words_of(self.columns[3])
        self.sparse = array("Q")
        self.recorder = recorder
        self.effective = bytearray()
        self.duplicates = 0
        self.highest = 0
        self.commands = 0
        self.answered = 0
        self.violations: list[str] = []
        self.counts: dict[str, int] = {}
        self.leaders: dict[int, int] = {}

    def applied(self, replica: int, position: int, digest: int, duplicates: int, command: bytes) -> bool:
        """A replica applied ``position``; returns whether it was the first to get there.

        ``duplicates`` is how many commands it has found to be retries so far.
        """
        if position <= self.reached[replica]:
            self.violated(f"{MONOTONE}: replica {replica} applied position {position} after {self.reached[replica]}")
        self.reached[replica] = position
        slot = position & (RECENT - 1)
        if position == self.highest + 1:
            self.highest = position
            self.recent[slot] = digest
            self.repeats[slot] = duplicates
            self.positions[slot] = position
            if position & LOW == 0:
                self.sparse.append(digest)
            if len(command) > 0:
                self.commands += 1
                self.decided(position, duplicates, command)
            return True
        if position > self.highest:
            self.violated(f"{AGREEMENT}: replica {replica} applied position {position} before anybody applied {self.highest + 1}")
        elif self.positions[slot] == position:
            if self.recent[slot] != digest:
                self.disagrees(replica, position)
            elif self.repeats[slot] != duplicates:
                self.violated(
                    f"{ONCE}: replica {replica} found {duplicates} retries up to position {position}, others {self.repeats[slot]}"
                )
        elif position & LOW == 0 and self.sparse[position // STRIDE - 1] != digest:
            self.disagrees(replica, position)
        return False

    def decided(self, position: int, duplicates: int, command: bytes) -> None:
        """A command is applied for the first time anywhere: whether it was asked for, and has not taken effect before."""
        effective = duplicates == self.duplicates
        self.duplicates = duplicates
        recorder = self.recorder
        if recorder is None:
            return
        size = len(command)
        raw = command
        sequence = load_u64(raw, 8) if size >= KEY_AT + KEY_BYTES else 0
        if sequence == 0 or sequence > recorder.count or not self.asked(command, sequence - 1):
            self.violated(f"{VALIDITY}: nobody asked for the command at position {position}")
            return
        if not effective:
            return
        if len(self.effective) <= sequence:
            self.effective.extend(bytes(recorder.count + STRIDE))
        if self.effective[sequence]:
            self.violated(f"{ONCE}: command {sequence} took effect again at position {position}")
        self.effective[sequence] = 1

    def asked(self, command: bytes, row: int) -> bool:
        """Whether this is the operation of that row: its client, kind and key."""
        raw = command
        recorder: Any = self.recorder
        asked: bool = recorder.asked(row, load_u64(raw, 0), raw[OPERATION_AT], load_u64(raw, KEY_AT))
        return asked

    def disagrees(self, replica: int, position: int) -> None:
        """Record that a replica's history differs."""
        self.violated(f"{AGREEMENT}: replica {replica} applied another command at or before position {position}")

    def digest_at(self, position: int) -> int:
        """The running digest after a position that was first applied not long ago."""
        slot = position & (RECENT - 1)
        assert self.positions[slot] == position
        digest: int = self.recent[slot]
        return digest

    def acknowledged(self, position: int) -> None:
        """A client is told that this position is decided."""
        self.answered = max(self.answered, position)

    def restarted(self, replica: int) -> None:
        """A replica applies from the beginning, or from a snapshot."""
        self.reached[replica] = 0

    def led(self, replica: int, term: int) -> None:
        """A replica began to lead."""
        other = self.leaders.setdefault(term, replica)
        if other != replica:
            self.violated(f"{ONE_LEADER}: replicas {other} and {replica} both led in term {term}")

    def finish(self, machines: dict[int, Any]) -> None:
        """The end: ``machines`` are the state machines of the replicas that are up."""
        furthest = max([machine.applied for machine in machines.values()], default=self.answered)
        if furthest < self.answered:
            self.violated(
                f"{NO_LOSS}: position {self.answered} was acknowledged, but the replicas have applied only up to {furthest}"
            )
        states: dict[int, tuple[int, bytes]] = {}
        for replica, machine in machines.items():
            state = machine.snapshot()
            other, theirs = states.setdefault(machine.applied, (replica, state))
            if theirs != state:
                self.violated(
                    f"{DIGESTS}: replicas {other} and {replica} have both applied {machine.applied} positions, and differ"
                )

    def outcomes(self, operations: np.ndarray) -> None:
        """What clients were told in the end (rows of dtype OPERATION) is what happened, where it is known what they asked for."""
        if self.recorder is None:
            return
        effective = np.zeros(len(operations), bool)
        known = np.frombuffer(bytes(self.effective[1:]), np.uint8)[: len(operations)]
        effective[: len(known)] = known
        lost = np.flatnonzero((operations["status"] == OK) & ~effective)
        if len(lost):
            self.violated(f"{NO_LOSS}: {len(lost)} acknowledged commands never took effect: {_named(lost)}")
        done = np.flatnonzero((operations["status"] == FAILED) & effective)
        if len(done):
            self.violated(f"{ONCE}: {len(done)} commands were reported as failed and took effect: {_named(done)}")

    def violated(self, statement: str) -> None:
        """Keep a violation, ``NAME: what was seen``, up to a bound that a person would read; of each name at least one."""
        name = name_of(statement)
        count = self.counts.get(name, 0)
        self.counts[name] = count + 1
        if count == 0 or (count < MAX_OF_A_NAME and len(self.violations) < MAX_VIOLATIONS):
            self.violations.append(statement)


def _named(rows: np.ndarray) -> str:
    return ", ".join(str(row + 1) for row in rows[:NAMED].tolist())


class Watcher:
    """What a simulation tells whoever watches one protocol; each call names the replica.

    kept        a record has become durable, in the order of the log
    promised    all that this message promises to be durable should be so now; it leaves, but for one to oneself
    sent        a message leaves that waited for nothing
    chosen      a position was applied, by this replica first; its running digest
    led         it began to lead, having applied so far
    recovered   it restarted, with these records, and says this of itself
    seen        what it says of itself after any event; only where ``thorough``

    One that is not ``durable`` (promises do not wait for the disk) leaves alone what can then not be expected.
    """

    def __init__(self, agreement: Agreement, durable: bool, thorough: bool, alone: str, forward: str) -> None:
        """``alone`` and ``forward`` are the statements that only one replica leads a term, and that terms never go back."""
        self.agreement = agreement
        self.durable = durable
        self.thorough = thorough
        self.alone = alone
        self.forward = forward
        self.leaders: dict[int, int] = {}
        self.speakers: dict[int, int] = {}
        self.statuses: dict[int, tuple[int, int]] = {}

    def kept(self, replica: int, record: Record) -> None:
        raise NotImplementedError

    def promised(self, replica: int, to: int, message: Message) -> None:
        raise NotImplementedError

    def sent(self, replica: int, to: int, message: Message) -> None:
        raise NotImplementedError

    def chosen(self, replica: int, position: int, digest: int, command: bytes) -> None:
        raise NotImplementedError

    def led(self, replica: int, term: int, applied: int) -> None:
        raise NotImplementedError

    def recovered(self, replica: int, records: list[Record], status: Status) -> None:
        raise NotImplementedError

    def seen(self, replica: int, status: Status) -> None:
        """Neither the term nor the commit position goes back while a replica runs."""
        term, commit = self.statuses.get(replica, (0, 0))
        if status.term < term:
            self.violated(self.forward, f"replica {replica} went from {term} to {status.term}")
        if status.commit < commit:
            self.violated(MONOTONE, f"replica {replica} went from commit position {commit} to {status.commit}")
        self.statuses[replica] = (status.term, status.commit)

    def elected(self, replica: int, term: int) -> None:
        """A replica leads a term, which no other may."""
        other = self.leaders.setdefault(term, replica)
        if other != replica:
            self.violated(self.alone, f"replicas {other} and {replica} both lead {term}")

    def speaks(self, replica: int, term: int) -> None:
        """Only the leader of a term says this."""
        other = self.speakers.setdefault(term, replica)
        if other != replica:
            self.violated(self.alone, f"replicas {other} and {replica} both spoke as the leader of {term}")

    def violated(self, name: str, what: str) -> None:
        """Report that a statement does not hold."""
        self.agreement.violated(f"{name}: {what}")
