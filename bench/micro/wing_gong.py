"""Wing and Gong's search in plain Python, written with care: the rival of the compiled one, and its judge.

Calls and returns stand in a linked list by time, from which an operation is lifted when it is linearized, and
into which it is put back when that led nowhere; sets of linearized operations are remembered with the value
they left (Lowe). Operations are (kind, first, second, called, returned) as ``ext.search`` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ext.timeline import CAS, READ, WRITE

Operation = tuple[Any, Any, Any, int, int | None]


def apply(kind: int, first: int, second: int, value: int) -> int | None:
    """The value after an operation that finds this one; None where it cannot be."""
    if kind == WRITE:
        return first
    if kind == CAS:
        return second if value == first else None
    return value if (value == first) == (kind == READ) else None


class Entry:
    """A call or a return in the list; ``matching`` of a call is its return, None where it is unknown."""

    def __init__(self, operation: int, is_call: bool) -> None:
        self.operation = operation
        self.is_call = is_call
        self.matching: Entry | None = None
        self.before: Entry = self
        self.after: Entry | None = None

    def unlink(self) -> None:
        """Take it out."""
        self.before.after = self.after
        if self.after is not None:
            self.after.before = self.before

    def relink(self) -> None:
        """Put it back where it was."""
        self.before.after = self
        if self.after is not None:
            self.after.before = self


def linearizable(operations: Sequence[Operation], step: Callable[..., Any] = apply) -> bool:
    """Whether an order exists; ``step`` gives the value after an operation, from 0 on, and None where it
    cannot be.
    """
    head = _line_up(operations)
    waiting = sum(operation[4] is not None for operation in operations)
    done, value = 0, 0
    seen: set[tuple[int, Any]] = set()
    lifted: list[tuple[Entry, int, Any]] = []
    entry = head.after
    while waiting:
        assert entry is not None, "what waits has a return ahead"
        if entry.is_call:
            kind, first, second, _, _ = operations[entry.operation]
            after, more = step(kind, first, second, value), done | 1 << entry.operation
            if after is not None and (more, after) not in seen:
                seen.add((more, after))
                lifted.append((entry, done, value))
                done, value = more, after
                entry.unlink()
                if entry.matching is not None:
                    entry.matching.unlink()
                    waiting -= 1
                entry = head.after
            else:
                entry = entry.after
        elif not lifted:
            return False
        else:
            entry, done, value = lifted.pop()
            if entry.matching is not None:
                entry.matching.relink()
                waiting += 1
            entry.relink()
            entry = entry.after
    return True


def _line_up(operations: Sequence[Operation]) -> Entry:
    """The list of calls and returns by time, behind a head; calls first where times are equal."""
    moments: list[tuple[int, int, int, Entry]] = []
    for operation, (_, _, _, called, returned) in enumerate(operations):
        call = Entry(operation, True)
        moments.append((called, 0, operation, call))
        if returned is not None:
            call.matching = Entry(operation, False)
            moments.append((returned, 1, operation, call.matching))
    moments.sort(key=lambda moment: moment[:3])
    head = last = Entry(-1, False)
    for *_, entry in moments:
        entry.before, last.after = last, entry
        last = entry
    return head
