"""What locks cost, and how they changed hands, where no master failed over: what the points of a lock service add up to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from bench.checkers.statements import EXCLUSION
from bench.metrics.outage import held_twice_in_words

if TYPE_CHECKING:
    from bench.metrics.result import Point

Span = tuple[float, float]


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """Of one engine, over the points of a sweep and their trials: the lowest and the highest, None where no point has any."""

    scenario: str
    engine: str
    world: str
    acquire_uncontended_p50_ns: Span | None
    hand_off_p50_ns: Span | None
    lock_pairs_per_s: Span | None
    cache_hit_share: Span | None
    idle_after_loss_mean_ns: Span | None
    holds_lost: int
    held_twice: int
    clocks_in_bound: bool
    stale_writes_rejected: int


SPANS = ("acquire_uncontended_p50_ns", "hand_off_p50_ns", "lock_pairs_per_s", "cache_hit_share", "idle_after_loss_mean_ns")
TOTALS = ("holds_lost", "held_twice", "stale_writes_rejected")


def services(points: Iterable[tuple[Mapping[str, Any], Point]]) -> list[Service]:
    """One for each engine whose master lived, of rows of points.csv with their records."""
    groups: dict[tuple[str, str, str], list[tuple[Mapping[str, Any], Point]]] = {}
    for row, point in points:
        if point.locks:
            groups.setdefault((point.scenario, point.engine, row["world"]), []).append((row, point))
    return [
        _service(world, members)
        for (_, _, world), members in groups.items()
        if not any(point.locks and point.locks.failovers for _, point in members)
    ]


def _service(world: str, members: list[tuple[Mapping[str, Any], Point]]) -> Service:
    first = members[0][1]
    found: dict[str, Any] = {name: _span([row[name] for row, _ in members]) for name in SPANS}
    found |= {name: sum(int(row[name]) for row, _ in members) for name in TOTALS}
    return Service(
        scenario=first.scenario,
        engine=first.engine,
        world=world,
        clocks_in_bound=all(point.checks.get(EXCLUSION) != "not run" for _, point in members),
        **found,
    )


def _span(values: list[Any]) -> Span | None:
    known = [float(value) for value in values if isinstance(value, int | float) and not math.isnan(value)]
    return (min(known), max(known)) if known else None


def in_words(service: Service) -> str:
    """The answer to: what does a lock cost, and how does it change hands?"""
    said = [
        _said(service.acquire_uncontended_p50_ns, _milliseconds, "a lock that nobody held took {} ms (median)"),
        _said(service.hand_off_p50_ns, _milliseconds, "between two holders a lock lay idle for {} ms (median)"),
        _said(service.idle_after_loss_mean_ns, _seconds, "a lock whose holder was lost lay idle for {} s (mean)"),
        _said(service.cache_hit_share, _percent, "{} of reads came from caches"),
        _said(service.lock_pairs_per_s, _rate, "{} pairs of acquire and release a second"),
    ]
    told = ", ".join(each for each in said if each)
    lost = f"; writes of stale holders rejected: {service.stale_writes_rejected}" if service.holds_lost else ""
    return f"{told}; {held_twice_in_words(service.held_twice, service.clocks_in_bound)}{lost}"


def _said(span: Span | None, form: Callable[[float], str], sentence: str) -> str:
    return "" if span is None else sentence.format(" to ".join(dict.fromkeys(map(form, span))))


def _milliseconds(value_ns: float) -> str:
    return f"{value_ns / 1e6:.2f}"


def _seconds(value_ns: float) -> str:
    return f"{value_ns / 1e9:.1f}"


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _rate(value: float) -> str:
    return f"{value:,.0f}"
