"""Operations on the line of time: the order in which a search meets their calls and returns.

``walk`` gives events, each an operation times 4 plus what becomes of it: CALL, RETURN, or (for an unknown
operation) RETIRE, after which nobody could see whether it happened. At one time calls come first: intervals
are closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

KINDS = ("read", "write", "cas", "refused", "append")
READ, WRITE, CAS, REFUSED, APPEND = range(len(KINDS))
CALL, RETURN, RETIRE = range(3)


def walk(
    kinds: Sequence[int], first: Sequence[int], second: Sequence[int], calls: Sequence[int],
    returns: Sequence[int | None],
) -> list[int]:  # fmt: skip
    """The events in the order of time; an unknown operation that nobody can observe has none.

    AssertionError where an operation returns before its call, or an unknown one only observes: it says
    nothing.
    """
    until = _last_observed(kinds, first, second, returns)
    count = len(kinds)
    keyed = []
    for operation in range(count):
        called, returned, what = calls[operation], returns[operation], RETURN
        if returned is None:
            returned, what = until(operation), RETIRE
            if returned is None or returned < called:
                continue
        assert called <= returned, "an operation returns before its call"
        keyed.append((called * 4 + CALL) * count + operation)
        keyed.append((returned * 4 + what) * count + operation)
    keyed.sort()
    return [key % count * 4 + key // count % 4 for key in keyed]


def slots(events: Sequence[int], count: int) -> list[int]:
    """For each operation the number of a slot that no other has while it is open; as few as can be."""
    found = [0] * count
    free: list[int] = []
    used = 0
    for event in events:
        operation = event >> 2
        if event & 3 != CALL:
            free.append(found[operation])
        elif free:
            found[operation] = free.pop()
        else:
            found[operation] = used
            used += 1
    return found


def _last_observed(
    kinds: Sequence[int], first: Sequence[int], second: Sequence[int], returns: Sequence[int | None]
) -> Callable[[int], int | None]:
    """A function of an unknown operation: when the last one returns that could observe what it does, if
    any.
    """
    last: dict[int, int] = {}
    refused: int | None = None
    ever: int | None = None
    chained = set()
    for operation, returned in enumerate(returns):
        kind, value = kinds[operation], first[operation]
        if returned is None:
            assert kind not in (READ, REFUSED), "an unknown operation that only observes says nothing"
            if kind == CAS:
                chained.add(value)
        elif kind in (READ, CAS, REFUSED):
            ever = returned if ever is None else max(ever, returned)
            if kind == REFUSED:
                refused = returned if refused is None else max(refused, returned)
            else:
                last[value] = max(last.get(value, returned), returned)
    if APPEND in kinds:
        return lambda _: ever

    def until(operation: int) -> int | None:
        value = second[operation] if kinds[operation] == CAS else first[operation]
        if value in chained:
            return ever
        seen = [moment for moment in (last.get(value), refused) if moment is not None]
        return max(seen) if seen else None

    return until
