"""Two results side by side: the ratio of each metric at each point that both have, and whether it can be told
from 1.

The interval is a bootstrap over blocks: the trials of a point where both results repeat it at least three
times, else slices of the window, because neighbouring operations share a queue and are not independent
samples. Slices show how a run varies in itself, not how runs with other seeds differ, which may be by more:
disks and queues near saturation fall into one rhythm or another. Percentiles of a resample are those of its
pooled samples, never means of percentiles. Each of the many intervals is right with probability 0.95 by
itself: among twenty of equal systems one is expected to miss 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from bench.checkers.verdict import INVALID
from bench.metrics import sweep
from bench.metrics.summary import PERCENTILES, percentile
from bench.metrics.trial import PENDING
from bench.scenario.settings import axis_keys

if TYPE_CHECKING:
    from bench.metrics.result import Result

SLICES = 30
TRIALS_NEEDED = 3
BINS = 1024
INTERVAL = (2.5, 97.5)  # percent
COSTS = {
    "messages_per_commit": "messages",
    "bytes_per_commit": "message_bytes",
    "fsyncs_per_commit": "fsyncs",
}
CANNOT_TELL, NO_INTERVAL, NOT_VALID, IDENTICAL = "cannot tell", "no interval", "invalid", "identical"
HIGHER, LOWER = "higher", "lower"


class Ratio(msgspec.Struct, frozen=True):
    """One metric at one point: ``second`` divided by ``first``, and its 95 % interval (None where there is
    none).

    ``says`` is higher, lower, cannot tell, identical (every operation of the point is the same on both sides),
    no interval (costs of runs that were not repeated) or invalid (a side is). ``repeated`` tells an interval
    over trials, which speaks for the systems, from one over slices, which speaks for the two runs.
    """

    scenario: str
    engine: str
    axes: dict[str, Any]
    metric: str
    first: float
    second: float
    ratio: float
    low: float | None
    high: float | None
    says: str
    repeated: bool


class Comparison(msgspec.Struct, frozen=True):
    """The ratios, how many points both sides have, and in words those that only one has and the fields that make it unfair."""

    ratios: list[Ratio]
    matched: int
    unmatched: list[str]
    unfair: list[str]


class _Sample(NamedTuple):
    """The points of one side, cut into blocks."""

    ascending_ns: np.ndarray  # latencies
    block: np.ndarray  # the block of each latency
    completions: np.ndarray  # by block
    block_s: float
    costs: dict[str, np.ndarray]  # by trial
    commits: np.ndarray


def compare(first: Result, second: Result, resamples: int = 1000, seed: int = 0) -> Comparison:
    """Compare two results; what is the same all over a result (its only engine, say) need not be equal in
    both.

    Scenarios are matched by name, unless each result has only one; other names are then said to be unequal. The same
    results give the same intervals.
    """
    ratios: list[Ratio] = []
    matched = 0
    unmatched: list[str] = []
    unfair: dict[str, None] = {}
    parts, others = _parts(first), _parts(second)
    if len(parts) == len(others) == 1:
        [one], [other] = parts, others
        if one != other:
            names = [sweep.name(result, [first, second]) for result in (first, second)]
            unfair[f"scenario: {names[0]} {one}, {names[1]} {other}"] = None
        others = dict(zip(parts, others.values(), strict=True))
    for name in dict.fromkeys([*parts, *others]):
        if name not in parts or name not in others:
            unmatched.append(f"{name} is only in {(first if name in parts else second).path}")
            continue
        pair = (parts[name], others[name])
        unfair |= dict.fromkeys(sweep.unequal_fairness(pair))
        sides = _groups(pair)
        for key in dict.fromkeys([*sides[0], *sides[1]]):
            if key in sides[0] and key in sides[1]:
                matched += 1
                ratios += _ratios(name, pair, (sides[0][key], sides[1][key]), resamples, seed)
            else:
                side = 0 if key in sides[0] else 1
                unmatched.append(_only(pair[side], sides[side][key][0]))
    return Comparison(ratios, matched, unmatched, list(unfair))


def _parts(result: Result) -> dict[str, Result]:
    return {next(iter(part.scenarios)): part for part in result.parts()}


def _only(result: Result, point: int) -> str:
    """That only this result has such a point, in its own words."""
    record = result.records[point]
    swept = sweep.describe(sweep.setting(result, point))
    return f"{record.scenario}: {record.engine}{' at ' + swept if swept else ''} is only in {result.path}"


def _groups(
    pair: tuple[Result, Result],
) -> tuple[dict[tuple[Any, ...], list[int]], dict[tuple[Any, ...], list[int]]]:
    """For each side the points by what must agree: engine and axes, but for what varies on neither side."""
    axes = dict.fromkeys([*pair[0].axes, *pair[1].axes])
    facts = [{point: _facts(result, point, list(axes)) for point in result.points.index} for result in pair]
    varies = [
        any(len({fact[place] for fact in side.values()}) > 1 for side in facts)
        for place in range(len(axes) + 1)
    ]
    sides: list[dict[tuple[Any, ...], list[int]]] = []
    for side in facts:
        groups: dict[tuple[Any, ...], list[int]] = {}
        for point, fact in side.items():
            key = tuple(value for value, wanted in zip(fact, varies, strict=True) if wanted)
            groups.setdefault(key, []).append(point)
        sides.append(groups)
    return sides[0], sides[1]


def _facts(result: Result, point: int, axes: list[str]) -> tuple[Any, ...]:
    values = dict(sweep.setting(result, point))
    return (
        result.records[point].engine,
        *(values[axis] if axis in values else _fixed(result.scenario, axis) for axis in axes),
    )


def _fixed(scenario: Any, axis: str) -> Any:
    """What a scenario that does not sweep an axis has there; None where it has nothing."""
    here = scenario
    for key in axis_keys(axis):
        if isinstance(here, Sequence) and not isinstance(here, str) and key.isdigit() and int(key) < len(here):
            here = here[int(key)]
        elif isinstance(here, Mapping):
            here = here.get(key)
        else:
            return None
    return sweep.hashable(here)


def _ratios(
    name: str, pair: tuple[Result, Result], points: tuple[list[int], list[int]], resamples: int, seed: int
) -> list[Ratio]:
    repeated = min(len(points[0]), len(points[1])) >= TRIALS_NEEDED
    generator = np.random.default_rng(seed)
    estimates, spreads = [], []
    same = _identical(pair, points)
    for result, side in zip(pair, points, strict=True):
        sample = _sample(result, side, repeated)
        blocks = len(sample.completions)
        estimates.append(_metrics(sample, np.ones((1, blocks)), exact=True))
        weights = generator.multinomial(blocks, np.full(blocks, 1 / blocks), size=resamples).astype(float)
        spreads.append(_metrics(sample, weights, exact=False))
    invalid = any(
        result.records[point].verdict == INVALID
        for result, side in zip(pair, points, strict=True)
        for point in side
    )
    record = pair[0].records[points[0][0]]
    axes = pair[1].records[points[1][0]].axes | record.axes
    found = []
    for metric in estimates[0]:
        before, after = float(estimates[0][metric][0]), float(estimates[1][metric][0])
        if not (math.isfinite(before) and math.isfinite(after) and before):
            continue
        low, high = _interval(spreads[0].get(metric), spreads[1].get(metric))
        says = NOT_VALID if invalid else IDENTICAL if same else _says(low, high)
        found.append(
            Ratio(
                name, record.engine, axes, metric, before, after, after / before, low, high, says, repeated
            )
        )
    return found


def _identical(pair: tuple[Result, Result], points: tuple[list[int], list[int]]) -> bool:
    """Whether each trial of a point has the same operations and the same costs on both sides."""
    return len(points[0]) == len(points[1]) and all(
        pair[0].records[one].counts == pair[1].records[other].counts
        and pair[0].records[one].window_ns == pair[1].records[other].window_ns
        and pair[0].operations(one).equals(pair[1].operations(other))
        for one, other in zip(*points, strict=True)
    )


def _says(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return NO_INTERVAL
    if low <= 1 <= high:
        return CANNOT_TELL
    return HIGHER if low > 1 else LOWER


def _interval(before: np.ndarray | None, after: np.ndarray | None) -> tuple[float | None, float | None]:
    if before is None or after is None:
        return None, None
    usable = np.isfinite(before) & np.isfinite(after) & (before > 0)
    if not usable.all():
        return None, None
    low, high = np.percentile(after / before, INTERVAL)
    return float(low), float(high)


def _sample(result: Result, points: Sequence[int], repeated: bool) -> _Sample:
    latencies, blocks, completions = [], [], []
    first, last = result.records[points[0]].window_ns
    per_point = 1 if repeated else SLICES
    for place, point in enumerate(points):
        first, last = result.records[point].window_ns
        table = result.operations(point)
        counted = table[table["in_window"]]
        latencies.append(counted["latency_ns"].to_numpy())
        blocks.append(_slice(counted["intended_ns"].to_numpy(), first, last, per_point) + place * per_point)
        completed = table["completed_ns"].to_numpy()
        done = completed[(completed != PENDING) & (completed >= first) & (completed < last)]
        completions.append(np.bincount(_slice(done, first, last, per_point), minlength=per_point))
    latency, block = np.concatenate(latencies), np.concatenate(blocks)
    order = np.argsort(latency, kind="stable")
    counts = [result.records[point].counts for point in points]
    costs = {name: np.array([count[total] for count in counts]) for name, total in COSTS.items()}
    return _Sample(
        latency[order],
        block[order],
        np.concatenate(completions),
        (last - first) / 1e9 / per_point,
        costs,
        np.array([count["commits"] for count in counts]),
    )


def _slice(times: np.ndarray, first: int, last: int, slices: int) -> np.ndarray:
    return np.asarray((times - first) * slices // (last - first))


def _metrics(sample: _Sample, weights: np.ndarray, exact: bool) -> dict[str, np.ndarray]:
    """Each metric for each row of ``weights``, which says how often a resample holds each block; nan where
    unknown.

    ``exact`` is for the one row that holds each block once: its percentiles are those of the samples
    themselves.
    """
    blocks = weights.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {"throughput_ops_per_s": weights @ sample.completions / (blocks * sample.block_s)}
        counts = weights @ np.bincount(sample.block, minlength=blocks)
        sums = weights @ np.bincount(sample.block, weights=sample.ascending_ns, minlength=blocks)
        found["latency_mean_ns"] = sums / counts
        for name, thousandths in PERCENTILES.items():
            value = percentile(sample.ascending_ns, thousandths)
            if value is None:
                continue
            found[f"latency_{name}_ns"] = np.array([value], dtype=float) if exact else np.zeros(0)
        if not exact:
            found |= _percentiles(
                sample, weights, [name for name in PERCENTILES if f"latency_{name}_ns" in found]
            )
        if exact or len(sample.commits) == blocks:
            each = weights if len(sample.commits) == blocks else np.ones((1, len(sample.commits)))
            for name, cost in sample.costs.items():
                found[name] = (each @ cost) / (each @ sample.commits)
    return found


def _percentiles(sample: _Sample, weights: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    """Of each resample, to within a bin; bins grow finer towards the tail, and end with single samples."""
    count, blocks = len(sample.ascending_ns), weights.shape[1]
    if not names:
        return {}
    tail = count - np.unique(np.geomspace(1, count, BINS // 2).astype(np.int64))
    upper = np.unique(np.concatenate([np.linspace(1, count, BINS // 2).astype(np.int64), tail[tail > 0]]))
    bins = np.searchsorted(upper, np.arange(count), side="right")
    table = np.bincount(sample.block * len(upper) + bins, minlength=blocks * len(upper)).reshape(blocks, -1)
    below = np.cumsum(weights @ table, axis=1)
    found = {}
    for name in names:
        wanted = np.ceil(below[:, -1] * PERCENTILES[name] / 1000)
        place = np.minimum((below < wanted[:, None]).sum(axis=1), len(upper) - 1)
        found[f"latency_{name}_ns"] = sample.ascending_ns[upper[place] - 1].astype(float)
    return found
