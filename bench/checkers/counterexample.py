"""Why a history is not linearizable: the smallest part of it that shows that, found by delta debugging.

What is left out must not be what makes the part fail: a read of a value is no contradiction because
somebody deleted the write. So a part always keeps, with each operation that observes a value, every operation
that could have set what it found: not those called after its return, nor those overwritten before its call.
With a cas that was refused, which observes that the value was another, these are all that set any value; with
a read of a string, all that make strings; and an acquire is kept with its release. Then a part of a
linearizable history is linearizable, and a part that is not proves that the whole is not. Its end is cut by
time: what had not returned by then is unknown in it, which is all that could be said at that moment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any

import msgspec

from bench.checkers.history import READS, Operation
from bench.checkers.linearizability import (
    LINEARIZABLE,
    NOT_LINEARIZABLE,
    Meaning,
    Task,
    columns,
    identity,
    matters,
    meaning,
)
from ext.timeline import APPEND, CAS, READ, REFUSED, WRITE

STEPS = 200_000_000  # of a single search; a part that takes longer is not taken
NBYTES = 1 << 29


class Counterexample(msgspec.Struct):
    """``operations`` are the part; ``order`` linearizes as much of it as can be, up to ``stuck``.

    ``of`` is how many operations the key had; ``minimal`` whether none of the part can be left out.
    """

    key: str | int | None
    of: int
    operations: list[Operation]
    order: list[Operation]
    stuck: Operation
    minimal: bool


def explain(key: str | int | None, operations: Sequence[Operation], seconds: float) -> Counterexample:
    """Shrink the operations of a key that is not linearizable, for about so long.

    AssertionError where it is linearizable.
    """
    deadline = perf_counter() + seconds
    part = _until_it_fails([operation for operation in operations if matters(operation)], deadline)
    part.sort(key=lambda operation: operation.call_ns)
    part, minimal = _shrink(part, deadline)
    task = Task(key, columns(part), explain=True)
    answer = task.run(STEPS, NBYTES)
    stuck = task.search.stuck
    assert answer != LINEARIZABLE and stuck is not None, "a linearizable history has no counterexample"
    order = [part[place] for place in task.search.prefix]
    return Counterexample(key, len(operations), part, order, part[stuck], minimal)


def fails(operations: Sequence[Operation]) -> bool:
    """Whether these operations of one key are certainly not linearizable."""
    return Task(None, columns(operations)).run(STEPS, NBYTES) == NOT_LINEARIZABLE


def _until_it_fails(operations: list[Operation], deadline: float) -> list[Operation]:
    """The operations up to the first return with which they fail."""
    moments = sorted({operation.return_ns for operation in operations if operation.return_ns is not None})
    low, high = 0, len(moments) - 1
    while low < high and perf_counter() < deadline:
        middle = (low + high) // 2
        if fails(_until(operations, moments[middle])):
            high = middle
        else:
            low = middle + 1
    return _until(operations, moments[high])


def _until(operations: Iterable[Operation], moment_ns: int) -> list[Operation]:
    """What was known at a moment: what had been called, and of that what had returned."""
    found = []
    for operation in operations:
        if operation.call_ns <= moment_ns:
            if operation.return_ns is not None and operation.return_ns > moment_ns:
                if operation.op in READS or (operation.op == "cas" and operation.ret is False):
                    continue
                operation = msgspec.structs.replace(operation, return_ns=None, ok=None, ret=None)  # noqa: PLW2901
            found.append(operation)
    return found


def _shrink(operations: list[Operation], deadline: float) -> tuple[list[Operation], bool]:
    """Leave out ever smaller runs of operations while the rest fails; whether there was time to try all."""
    closure = closed(operations)
    kept = list(range(len(operations)))
    size = len(kept) // 2
    while size > 0:
        at, before = 0, len(kept)
        while at < len(kept):
            if perf_counter() > deadline:
                return [operations[place] for place in kept], False
            smaller = sorted(closure([*kept[:at], *kept[at + size :]]))
            if len(smaller) < len(kept) and fails([operations[place] for place in smaller]):
                kept = smaller
            else:
                at += size
        if size > 1:
            size //= 2
        elif len(kept) == before:
            size = 0
    return [operations[place] for place in kept], True


def closed(operations: Sequence[Operation]) -> Callable[[Iterable[int]], set[int]]:
    """A function that adds, to places in the list, those of the operations that must be kept with them."""
    mutex = any(operation.op in {"acquire", "release"} for operation in operations)
    needs = (_paired if mutex else _needs)(operations)

    def closure(places: Iterable[int]) -> set[int]:
        found: set[int] = set()
        waiting = list(places)
        while waiting:
            place = waiting.pop()
            if place not in found:
                found.add(place)
                waiting += needs(place)
        return found

    return closure


def _needs(operations: Sequence[Operation]) -> Callable[[int], Sequence[int]]:
    """Of an operation on a value: all that could have set what it observes."""
    meanings = [meaning(operation) for operation in operations]
    strings = any(kind == APPEND for kind, _, _ in meanings)
    setters: dict[Any, _Setters] = defaultdict(_Setters)
    overwritten = _overwritten(operations, meanings)
    by_return = sorted(range(len(operations)), key=lambda place: _return_of(operations[place]))
    for place in by_return:
        kind, one, other = meanings[place]
        if kind in (WRITE, CAS, APPEND):
            setters[_ANY].add(place, operations[place])
            setters[identity(other if kind == CAS else one)].add(place, operations[place])
    found: dict[int, Sequence[int]] = {}
    for place, (kind, one, _) in enumerate(meanings):
        if kind in (READ, CAS, REFUSED):
            any_of_them = strings or kind == REFUSED
            among = setters.get(_ANY if any_of_them else identity(one))
            found[place] = among.between(overwritten[place], _return_of(operations[place])) if among else ()
    return lambda place: found.get(place, ())


_ANY = object()
NEVER = float("inf")


class _Setters:
    """Places of operations that set a value, by their return."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self.calls: list[int] = []
        self.returns: list[float] = []

    def add(self, place: int, operation: Operation) -> None:
        self.places.append(place)
        self.calls.append(operation.call_ns)
        self.returns.append(_return_of(operation))

    def between(self, overwritten_ns: float, until_ns: float) -> list[int]:
        """Those called by ``until_ns`` and not certainly overwritten, and the last that was: it explains
        most.
        """
        first = max(bisect_left(self.returns, overwritten_ns) - 1, 0)
        return [self.places[at] for at in range(first, len(self.places)) if self.calls[at] <= until_ns]


def _return_of(operation: Operation) -> float:
    return NEVER if operation.return_ns is None else operation.return_ns


def _overwritten(operations: Sequence[Operation], meanings: Sequence[Meaning]) -> list[float]:
    """Of each operation a moment: what had returned by then was overwritten before the operation began.

    That is by another value than it observes. Where it observes strings, or that a value is not there, every
    write counts, and appends do not.
    """
    strings = any(kind == APPEND for kind, _, _ in meanings)
    writes = [
        (operation.return_ns, operation.call_ns, None if strings else identity(other if kind == CAS else one))
        for operation, (kind, one, other) in zip(operations, meanings, strict=True)
        if operation.return_ns is not None and (kind == WRITE or (kind == CAS and not strings))
    ]
    writes.sort(key=lambda write: write[0])
    found = [-NEVER] * len(operations)
    latest: list[tuple[float, Any]] = [(-NEVER, _ANY), (-NEVER, _ANY)]  # of two different values
    done = 0
    for place in sorted(range(len(operations)), key=lambda place: operations[place].call_ns):
        while done < len(writes) and writes[done][0] < operations[place].call_ns:
            _, call_ns, value = writes[done]
            same = 0 if latest[0][1] == value else 1
            if call_ns > latest[same][0]:
                latest[same] = (call_ns, value)
                latest.sort(key=lambda write: -write[0])
            done += 1
        kind, one, _ = meanings[place]
        observed = _ANY if strings or kind == REFUSED else identity(one)
        found[place] = latest[0][0] if latest[0][1] != observed else latest[1][0]
    return found


def _paired(operations: Sequence[Operation]) -> Callable[[int], Sequence[int]]:
    """Of an operation on a mutex: the other half of its pair; all of a client that does two things at once.

    Between an acquire and its release nobody else holds the mutex, so that both together can be left out.
    """
    clients: dict[int, list[int]] = defaultdict(list)
    for place in sorted(range(len(operations)), key=lambda place: operations[place].call_ns):
        clients[operations[place].client].append(place)
    partners: dict[int, Sequence[int]] = {}
    for places in clients.values():
        ends = [operations[place].return_ns for place in places]
        starts = [operations[place].call_ns for place in places[1:]]
        orderly = all(end is not None and end < start for end, start in zip(ends, starts, strict=False))
        wanted = ("acquire", "release")
        alternating = all(operations[place].op == wanted[at % 2] for at, place in enumerate(places))
        if orderly and alternating:
            for at in range(0, len(places), 2):
                for place in places[at : at + 2]:
                    partners[place] = places[at : at + 2]
        else:
            partners.update(dict.fromkeys(places, places))
    return lambda place: partners[place]
