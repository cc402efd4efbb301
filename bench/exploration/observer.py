"""Watches a run from outside, through the simulation's trace: what must never happen, and what is worth having happened.

Rules, beside those of bench.checkers.invariants:

one command a position     every replica applies the same command at a position, of the same term (Raft) or epoch (Zab)
applied once               a command of a client takes effect at one position only
append-only                a leader gives each of its positions to one command (Raft 3.5; Zab, DSN 2011, III: one zxid, one txn)
primary order              Zab, DSN 2011, III: epochs do not interleave (global primary order), and what is decided of an epoch
                           stands where that epoch proposed it (local primary order: positions grow with proposals)
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from bench.driver.occasions import REFUSED, UNDECIDED
from bench.exploration import coverage
from engines.machine import client_of, sequence_of

if TYPE_CHECKING:
    from bench.driver.simulation import Node

ONCE, PRIMARY_ORDER, ONE_COMMAND, APPEND_ONLY = "applied once", "primary order", "one command a position", "append-only"


class Seen(msgspec.Struct):
    """A replica as it was after its last event."""

    role: str = ""
    term: int = 0
    leading: bool = False
    last: int = 0
    last_term: int = 0
    base: int = 0
    committed: int = 0
    applied: int = 0
    duplicates: int = 0
    event: str = ""
    torn: bool = False


class Observer:
    """Give ``watch`` to a simulation as its trace, or call it from another one.

    ``counts``: how often each thing of bench.exploration.coverage happened. ``violations``: what must not be, in words.
    ``effective``: (client, sequence) -> the position at which that command changed or read the data.
    """

    def __init__(self, engine: str, replicas: int) -> None:
        self.engine = engine
        self.one_log = engine != "paxos"  # a Paxos log holds each entry at the ballot it was last accepted at
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.seen = [Seen() for _ in range(replicas)]
        self.leading: set[int] = set()
        self.decided: dict[int, bytes] = {}
        self.terms: dict[int, int] = {}
        self.proposed: dict[tuple[int, int], bytes] = {}
        self.effective: dict[tuple[int, int], int] = {}

    def watch(self, event: str, node: Node, detail: Any) -> None:
        """An event of a replica; "done" ends each call of its host."""
        if event == "done":
            self._compare(node)
        elif event == "apply":
            self._applied(node, *detail)
        elif event in ("step", "tick"):
            self.seen[node.id].event = event
        elif event != "send":
            self._rare(event, node, detail)

    def _rare(self, event: str, node: Node, detail: Any) -> None:
        seen, counts = self.seen[node.id], self.counts
        if event == "answer":
            counts[coverage.REDIRECTED] += detail[2] == REFUSED
            counts[coverage.LET_GO] += detail[2] == UNDECIDED
        elif event == "boot":
            counts[coverage.RECOVERIES] += detail > 0
            counts[coverage.TORN] += seen.torn
            self.seen[node.id] = Seen(event=event)
        elif event == "crash":
            if seen.leading:
                self._deposed(node, seen)
            self.seen[node.id] = Seen(torn=detail[0] > 0)
        elif event == "disconnect":
            counts[coverage.DISCONNECTED] += 1
        elif event == "lead":
            counts[coverage.ELECTIONS] += 1
            counts[coverage.TWO_LEADERS] += bool(self.leading - {node.id})
            self.leading.add(node.id)
            counts[coverage.INHERITED] += seen.last > seen.committed
        seen.event = event

    def _deposed(self, node: Node, seen: Seen) -> None:
        self.leading.discard(node.id)
        self.counts[coverage.DEPOSED] += seen.last > seen.committed

    def _compare(self, node: Node) -> None:
        """What has the call changed?"""
        seen, engine = self.seen[node.id], node.host.engine
        log, status = engine.log, engine.status()
        if seen.leading and not engine.leading:
            self._deposed(node, seen)
        elif seen.leading and log.last > seen.last:
            self._proposed(engine, seen.last + 1)
        if self.one_log and log.base <= seen.last:
            self.counts[coverage.TAILS] += seen.last > log.last or log.term(seen.last) != seen.last_term
        stood = seen.role == "candidate" if self.engine != "zab" else seen.role == "leading" and not seen.leading
        if stood and not engine.leading and self._gave_up(seen, status.role, status.term):
            self.counts[coverage.NO_WINNER] += 1
        machine = node.host.machine
        if log.base > seen.base and seen.event != "boot":
            self.counts[coverage.INSTALLED if seen.applied < log.base else coverage.COMPACTED] += 1
        seen.role, seen.term, seen.leading = status.role, status.term, engine.leading
        seen.last, seen.last_term, seen.base, seen.committed = log.last, log.last_term, log.base, engine.committed
        seen.applied, seen.duplicates = machine.applied, machine.duplicates

    def _gave_up(self, seen: Seen, role: str, term: int) -> bool:
        """A candidate's time passed (Raft, Paxos), or a prospective leader found no quorum (Zab)."""
        return role != "leading" if self.engine == "zab" else seen.event == "tick" and (role, term) != (seen.role, seen.term)

    def _proposed(self, engine: Any, first: int) -> None:
        for position in range(max(first, engine.log.base + 1), engine.log.last + 1):
            name, command = (engine.log.term(position), position), engine.log.payload(position)
            if self.proposed.setdefault(name, command) != command:
                self._violated(APPEND_ONLY, f"term {name[0]} proposed two commands at position {position}")

    def _applied(self, node: Node, position: int, command: bytes) -> None:
        seen, host = self.seen[node.id], node.host
        if self.decided.setdefault(position, command) != command:
            self._violated(ONE_COMMAND, f"position {position} was decided as two commands")
        if self.one_log and position > host.engine.log.base:
            term = host.engine.log.term(position)
            if self.terms.setdefault(position, term) != term:
                self._violated(ONE_COMMAND, f"position {position} was decided in terms {self.terms[position]} and {term}")
        duplicates = host.machine.duplicates
        if command and position == seen.applied + 1:
            if duplicates == seen.duplicates:
                known = self.effective.setdefault((client_of(command), sequence_of(command)), position)
                if known != position:
                    self._violated(ONCE, f"command {sequence_of(command)} was applied at {known} and {position}")
            else:
                self.counts[coverage.DUPLICATES] += 1
        seen.applied, seen.duplicates = position, duplicates

    def _violated(self, rule: str, what: str) -> None:
        if len(self.violations) < 5:
            self.violations.append(f"{rule}: {what}")

    def finish(self) -> None:
        """The end of the run: check Zab's primary order over all that was decided."""
        last = 0
        for position in range(1, len(self.decided) + 1) if self.engine == "zab" else ():
            epoch = self.terms.get(position, last)
            if epoch < last:
                self._violated(PRIMARY_ORDER, f"epoch {epoch} at position {position} comes after epoch {last}")
            last = epoch
            proposed = self.proposed.get((epoch, position), self.decided.get(position))
            if proposed != self.decided.get(position):
                self._violated(PRIMARY_ORDER, f"position {position} is not what epoch {epoch} proposed there")
