"""Which directed links a fault of the network cuts: the same in both worlds."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.scenario import Fault

Links = list[tuple[int, int]]


def cut_links(fault: Fault, replicas: int, struck: int) -> tuple[str, Links]:
    """What of the network is struck, in words, and the links (sender, receiver) that carry nothing any more.

    ``struck`` is the replica that is the fault's target; a partition by groups has none. Those beside it go by their
    numbers, beginning with the next one.
    """
    if fault.groups:
        return _between(fault.groups)
    others = [(struck + step) % replicas for step in range(1, replicas)]
    return OF_KIND[fault.kind](struck, others)


def _between(groups: Sequence[Sequence[int]]) -> tuple[str, Links]:
    side = {replica: number for number, group in enumerate(groups) for replica in group}
    links = [(one, other) for one in sorted(side) for other in sorted(side) if side[one] != side[other]]
    return " | ".join(" ".join(map(str, group)) for group in groups), links


def _partition(struck: int, others: list[int]) -> tuple[str, Links]:
    return _between([[struck], sorted(others)])


def _minority(struck: int, others: list[int]) -> tuple[str, Links]:
    """With as many others as leave it one short of a majority: it keeps somebody to talk to, in vain."""
    company = others[: (len(others) + 1) // 2 - 1]
    return _between([sorted([struck, *company]), sorted(other for other in others if other not in company)])


def _bridge(struck: int, others: list[int]) -> tuple[str, Links]:
    """Overlapping majorities: whoever leads in one half may not be known in the other."""
    middle = len(others) // 2
    text, links = _between([sorted(others[:middle]), sorted(others[middle:])])
    return f"{text}, over {struck}", links


def _deaf(struck: int, others: list[int]) -> tuple[str, Links]:
    return f"all to {struck}", [(other, struck) for other in others]


def _mute(struck: int, others: list[int]) -> tuple[str, Links]:
    return f"{struck} to all", [(struck, other) for other in others]


OF_KIND: dict[str, Callable[[int, list[int]], tuple[str, Links]]] = {
    "partition": _partition, "minority": _minority, "bridge": _bridge, "deaf": _deaf, "mute": _mute,
}  # fmt: skip
