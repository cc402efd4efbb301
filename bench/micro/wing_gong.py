"""Wing and Gong's search in plain Python, as anybody would write it: the rival of the compiled one, and its judge.

Operations are (kind, first, second, called, returned) as ``ext.search`` takes them.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

Operation = tuple[int, int, int, int, int | None]
READ, WRITE, CAS, REFUSED = range(4)
FOREVER = float("inf")


def apply(kind: int, first: int, second: int, value: int) -> int | None:
    """The value after an operation that finds this one; None where it cannot be."""
    if kind == WRITE:
        return first
    if kind == CAS:
        return second if value == first else None
    return value if (value == first) == (kind == READ) else None


def linearizable(operations: Sequence[Operation], step: Callable[[int, int, int, int], int | None] = apply) -> bool:
    """Whether an order exists, by depth-first search over sets of operations, none entered twice with one value."""
    returns = [FOREVER if operation[4] is None else operation[4] for operation in operations]
    order = sorted(range(len(operations)), key=lambda at: operations[at][3])
    mandatory = sum(1 << at for at, operation in enumerate(operations) if operation[4] is not None)
    seen: set[tuple[int, int]] = set()
    stack = [(0, 0)]
    while stack:
        done, value = stack.pop()
        if done & mandatory == mandatory:
            return True
        first_return = FOREVER
        for at in order:
            if done >> at & 1:
                continue
            kind, first, second, called, _ = operations[at]
            if called > first_return:
                break
            first_return = min(first_return, returns[at])
        for at in order:
            kind, first, second, called, _ = operations[at]
            if called > first_return:
                break
            if done >> at & 1:
                continue
            after = step(kind, first, second, value)
            if after is not None and (done | 1 << at, after) not in seen:
                seen.add((done | 1 << at, after))
                stack.append((done | 1 << at, after))
    return False
