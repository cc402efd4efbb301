"""How long a lock service was gone when its master died, and whether anybody held a lock twice: what fail-overs add up to."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from bench.checkers.statements import EXCLUSION

if TYPE_CHECKING:
    from bench.metrics.result import Point

SECOND_NS = 1_000_000_000


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """Of one engine at one point of a sweep, over its trials: from the fault to the first lock that the next master granted.

    Those that did not come to that count with the time until the end of the run, as ``unfinished``: a lower bound.
    """

    scenario: str
    engine: str
    world: str
    axes: dict[str, Any]
    failovers: int
    unfinished: int
    median_ns: int
    worst_ns: int
    held_twice: int
    clocks_in_bound: bool
    stale_writes_rejected: int


def outages(points: Iterable[tuple[Mapping[str, Any], Point]]) -> list[Outage]:
    """One for each engine and point of a sweep at which a master failed over, of rows of points.csv with their records."""
    groups: dict[tuple[str, str, str, str], list[tuple[Mapping[str, Any], Point]]] = {}
    for row, point in points:
        if point.locks and point.locks.failovers:
            groups.setdefault((point.scenario, point.engine, row["world"], str(point.axes)), []).append((row, point))
    return [_outage(world, members) for (_, _, world, _), members in groups.items()]


def _outage(world: str, members: list[tuple[Mapping[str, Any], Point]]) -> Outage:
    gone_ns, unfinished = [], 0
    for _, point in members:
        for failover in point.locks.failovers if point.locks else ():
            unfinished += failover.granted_ns is None
            ended_ns = point.end_ns if failover.granted_ns is None else failover.granted_ns
            gone_ns.append(ended_ns - failover.injected_ns)
    first = members[0][1]
    return Outage(
        scenario=first.scenario,
        engine=first.engine,
        world=world,
        axes=first.axes,
        failovers=len(gone_ns),
        unfinished=unfinished,
        median_ns=int(statistics.median(gone_ns)),
        worst_ns=max(gone_ns),
        clocks_in_bound=all(point.checks.get(EXCLUSION) != "not run" for _, point in members),
        held_twice=sum(int(row["held_twice"]) for row, _ in members),
        stale_writes_rejected=sum(int(row["stale_writes_rejected"]) for row, _ in members),
    )


def in_words(outage: Outage) -> str:
    """The answer to: how long is my lock service gone when its master dies, and does anyone ever hold my lock twice?"""
    at_least = "at least " if outage.unfinished else ""
    event = "fail-over" if outage.failovers == 1 else "fail-overs"
    if outage.engine == "unreplicated":
        event = f"{event.replace('fail-over', 'restart')} of its only replica, as there is none to fail over to"
    worst = f"median of {outage.failovers} {event}; at worst {at_least}{outage.worst_ns / SECOND_NS:.2f} s"
    late = f", {outage.unfinished} of them not over at the end of the run" if outage.unfinished else ""
    return (
        f"the lock service was gone for {outage.median_ns / SECOND_NS:.2f} s ({worst}{late}); "
        f"{held_twice_in_words(outage.held_twice, outage.clocks_in_bound)}; "
        f"writes of stale holders rejected: {outage.stale_writes_rejected}"
    )


def held_twice_in_words(times: int, clocks_in_bound: bool) -> str:
    """Whether anybody held a lock that another held, and whether the clocks were such that nobody may."""
    twice = f"locks were held twice {times} times" if times else "no lock was held twice"
    return twice if clocks_in_bound else f"{twice}, with clocks beyond locks.skew"
