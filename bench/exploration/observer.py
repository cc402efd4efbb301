"""Watches a run through the simulation's trace, and counts what is worth having happened (bench.exploration.coverage)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from bench.driver.occasions import REFUSED, UNDECIDED
from bench.exploration import coverage

if TYPE_CHECKING:
    from bench.driver.node import Node


ENDLESS = 100_000  # timers in a row, while nobody says anything


class Seen:
    """A replica as it was after its last event."""

    def __init__(self, event: str = "", torn: bool = False) -> None:
        self.role = ""
        self.term = 0
        self.leading = False
        self.last = 0
        self.last_term = 0
        self.base = 0
        self.committed = 0
        self.applied = 0
        self.duplicates = 0
        self.event = event
        self.torn = torn


class Observer:
    """Give ``watch`` to a simulation as its trace, or call it from another one. ``counts``: how often each thing happened."""

    def __init__(self, engine: str, replicas: int) -> None:
        self.engine = engine
        self.one_log = engine != "paxos"  # a Paxos log holds each entry at the ballot it was last accepted at
        self.counts: Counter[str] = Counter()
        self.seen = [Seen() for _ in range(replicas)]
        self.leading: set[int] = set()
        self.ticks = 0  # without a message between them

    def watch(self, event: str, node: Node, detail: Any) -> None:
        """An event of a replica; "done" ends each call of its host."""
        seen = self.seen[node.id]
        if event == "done":
            self._compare(node)
        elif event == "apply":
            self._applied(node, detail[0])
        elif event in ("step", "tick"):
            seen.event = event
            self.ticks = self.ticks + 1 if event == "tick" else 0
            assert self.ticks < ENDLESS, f"replica {node.id} does not move its timer"
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
        if self.one_log and log.base <= seen.last and (seen.last > log.last or log.term(seen.last) != seen.last_term):
            self.counts[coverage.TAILS] += 1
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

    def _applied(self, node: Node, position: int) -> None:
        """A retried command is recognised where it is applied next, and not where a snapshot brought it."""
        seen, duplicates = self.seen[node.id], node.host.machine.duplicates
        if position == seen.applied + 1 and duplicates > seen.duplicates:
            self.counts[coverage.DUPLICATES] += 1
        seen.applied, seen.duplicates = position, duplicates
