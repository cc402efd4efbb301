"""Watchers outside the replicas: what must hold at every moment, whatever the protocol.

agreement              no two replicas apply different commands at a position: running digests at equal positions are equal
one leader a term      at most one replica leads in a term (Raft), ballot (Paxos) or epoch (Zab)
no acknowledged loss   what a client was told is decided stays decided: some replica that is up at the end has applied it
assertions             no replica found itself in a state that its engine or host rules out
level                  where the scenario asks: some time after the load, all replicas are up and have applied the same
"""
from __future__ import annotations

from array import array
from typing import Any

AGREEMENT, ONE_LEADER, NO_LOSS = "agreement", "one leader a term", "no acknowledged loss"
ASSERTIONS, LEVEL = "assertions", "level"
STATEMENTS = (AGREEMENT, ONE_LEADER, NO_LOSS, ASSERTIONS)
RECENT = 1 << 12
STRIDE = 64
LOW = STRIDE - 1
MAX_VIOLATIONS = 20


class Agreement:
    """Compares the replicas' digests: every recent position, and every 64th older one.

    A digest covers the whole history before it, so a difference at any position shows at every later one.
    """

    def __init__(self) -> None:
        self.recent: Any = memoryview(array("Q", bytes(8 * RECENT)))
        self.positions: Any = memoryview(array("Q", bytes(8 * RECENT)))
        self.sparse = array("Q")
        self.highest = 0
        self.commands = 0
        self.answered = 0
        self.violations: list[str] = []
        self.leaders: dict[int, int] = {}

    def applied(self, replica: int, position: int, digest: int, empty: bool) -> bool:
        """A replica applied ``position``; returns whether it was the first to get there."""
        slot = position & (RECENT - 1)
        if position == self.highest + 1:
            self.highest = position
            self.recent[slot] = digest
            self.positions[slot] = position
            if position & LOW == 0:
                self.sparse.append(digest)
            if not empty:
                self.commands += 1
            return True
        if position > self.highest:
            self.violated(f"{AGREEMENT}: replica {replica} applied position {position} before anybody applied {self.highest + 1}")
        elif self.positions[slot] == position:
            if self.recent[slot] != digest:
                self.disagrees(replica, position)
        elif position & LOW == 0 and self.sparse[position // STRIDE - 1] != digest:
            self.disagrees(replica, position)
        return False

    def disagrees(self, replica: int, position: int) -> None:
        """Record that a replica's history differs."""
        self.violated(f"{AGREEMENT}: replica {replica} applied another command at or before position {position}")

    def acknowledged(self, position: int) -> None:
        """A client is told that this position is decided."""
        self.answered = max(self.answered, position)

    def led(self, replica: int, term: int) -> None:
        """A replica began to lead."""
        other = self.leaders.setdefault(term, replica)
        if other != replica:
            self.violated(f"{ONE_LEADER}: replicas {other} and {replica} both led in term {term}")

    def finish(self, applied: dict[int, int]) -> None:
        """The end: ``applied`` is the position that each replica that is up has applied."""
        if self.answered and applied and max(applied.values()) < self.answered:
            self.violated(
                f"{NO_LOSS}: position {self.answered} was acknowledged, "
                f"but the replicas have applied only up to {max(applied.values())}"
            )

    def violated(self, statement: str) -> None:
        """Keep a violation, up to a bound that a person would read."""
        if len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(statement)
