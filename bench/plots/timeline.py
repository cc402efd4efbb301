"""Throughput and latency over time, with the faults and the changes of leader that explain them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.metrics import sweep
from bench.metrics.trial import PENDING
from bench.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bench.metrics.result import Point, Result

SECOND_NS = 1e9
MEDIAN, SLOWEST = 1.4, 0.6  # thickness in points
TRIANGLE = 0.06  # of the height of a panel, for the triangles of one engine
CHARACTER = 0.011  # of the width of a panel, for a character of the name of a fault
UNMEASURED: dict[str, Any] = {"color": "#000000", "alpha": 0.06, "linewidth": 0}
FAULTY: dict[str, Any] = {"color": style.FAULT, "alpha": 0.15, "linewidth": 0}
INTERVALS, OPERATIONS_PER_INTERVAL = 100, 20


def draw(results: Sequence[Result], axes: Sequence[Axes]) -> None:
    """Pairs of panels, throughput and latency, for some points of the sweep; the first trial of each engine.

    Latency is of the operations that were to start in each interval: the median, and thin the slowest.
    All panels of latencies have one kind of axis.
    """
    drawn: list[tuple[Axes, np.ndarray]] = []
    pairs = list(zip(axes[: len(axes) // 2], axes[len(axes) // 2 :], strict=True))
    for (upper, lower), setting in zip(pairs, style.chosen(results, len(pairs)), strict=False):
        runs: dict[str, tuple[str, style.Look, Result, int]] = {}
        for entry in style.at(results, setting):
            runs.setdefault(entry[0], entry)
        verdicts = {
            label: str(result.points.loc[point, "verdict"]) for label, _, result, point in runs.values()
        }
        shown, stop_s = [np.zeros(0)], 0.0
        for place, (label, look, result, point) in enumerate(runs.values()):
            table = result.operations(point)
            stop_s = max(stop_s, table["intended_ns"].max() / SECOND_NS)
            shown.append(_draw_run(upper, lower, table, look, label))
            _mark_leaders(upper, result.records[point], look, place)
        records = [result.records[point] for _, _, result, point in runs.values()]
        for panel in (upper, lower):
            _shade(panel, records, stop_s)
            style.dress(panel)
            style.watermark(panel, verdicts.values())
        _name_faults(lower, records)
        style.rates(upper.yaxis)
        upper.set_ylim(0, upper.get_ylim()[1] * (1.05 + TRIANGLE * len(runs)))
        drawn.append((lower, np.concatenate(shown)))
        upper.set_ylabel("throughput (ops/s)")
        lower.set_ylabel("latency (ms)")
        lower.set_xlabel("time since the start of the run (s)")
        upper.set_title(sweep.describe(setting) + style.remark(verdicts), fontsize=9, loc="left")
    logarithmic = style.wide(np.concatenate([np.zeros(0), *(latencies for _, latencies in drawn)]))
    for lower, latencies in drawn:
        style.milliseconds(lower.yaxis, latencies, logarithmic=logarithmic)
    _explain(axes[0], any(record.faults for result in results for record in result.records.values()))
    style.legend(axes)


def _explain(panel: Axes, faults: bool) -> None:
    """Add to the legend what is no engine's line."""
    for thickness, label in ((MEDIAN, "latency: median"), (SLOWEST, "latency: slowest")):
        panel.plot([], [], color=style.GREY, linewidth=thickness, label=label)
    panel.plot([], [], "v", color=style.GREY, label="a replica begins to lead")
    panel.fill([], [], **UNMEASURED, label="warm-up, cool-down:\nnot measured")
    if faults:
        panel.fill([], [], **FAULTY, label="fault")


def _draw_run(upper: Axes, lower: Axes, table: pd.DataFrame, look: style.Look, label: str) -> np.ndarray:
    """The latencies in ms that were drawn. The drain after the last arrival is not."""
    intended = table["intended_ns"].to_numpy()
    completed = table["completed_ns"].to_numpy()
    if not len(intended):
        return np.zeros(0)
    width = _interval_ns(int(intended[-1]), len(intended))
    bounds = np.arange(intended[-1] // width + 1) * width
    counts = np.histogram(completed[completed != PENDING], bins=[*bounds, bounds[-1] + width])[0]
    # The last interval is not whole.
    whole = slice(0, -1) if len(bounds) > 1 else slice(None)
    seconds = (bounds + width / 2) / SECOND_NS
    upper.plot(
        seconds[whole], counts[whole] / (width / SECOND_NS), label=label,
        color=look.color, linestyle=look.linestyle, linewidth=MEDIAN,
    )  # fmt: skip
    grouped = table["latency_ns"].groupby(intended // width)
    medians, slowest = grouped.median(), grouped.max()
    for values, thickness in ((medians, MEDIAN), (slowest, SLOWEST)):
        milliseconds = values.reindex(range(len(bounds))).to_numpy(dtype=float) / style.NS_PER_MS
        lower.plot(seconds, milliseconds, color=look.color, linestyle=look.linestyle, linewidth=thickness)
    return np.concatenate([medians.to_numpy(), slowest.to_numpy()]) / style.NS_PER_MS


def _interval_ns(span_ns: int, operations: int) -> int:
    """1, 2 or 5 times a power of ten, for about INTERVALS intervals, or fewer where operations are few."""
    intervals = min(max(operations // OPERATIONS_PER_INTERVAL, 1), INTERVALS)
    raw = max(span_ns / intervals, 1.0)
    power: int = 10 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= raw)


def _shade(panel: Axes, records: Sequence[Point], stop_s: float) -> None:
    """Faults in red, each once though every run met it; what is not measured in grey."""
    first, last = (moment / SECOND_NS for moment in records[0].window_ns)
    stop_s = max(stop_s, last)
    start_s = -0.02 * stop_s  # a triangle at 0 stands clear of the axis
    panel.set_xlim(start_s, stop_s)
    for left, right in ((start_s, first), (last, stop_s)):
        panel.axvspan(left, right, **UNMEASURED)
    spans = [
        (fault.injected_ns / SECOND_NS, stop_s if fault.healed_ns is None else fault.healed_ns / SECOND_NS)
        for record in records
        for fault in record.faults
    ]
    for left, right in dict.fromkeys(spans):
        panel.axvspan(left, right, **FAULTY)


def _name_faults(panel: Axes, records: Sequence[Point]) -> None:
    """What each fault is, above the panel where nothing is drawn, in as many rows as they need."""
    start, stop = panel.get_xlim()
    ends: list[float] = []  # of each row
    for moment, said in _faults_in_words(records):
        length = len(said) * CHARACTER * (stop - start)
        left = max(min(moment, stop - length), start)
        row = next((row for row, end in enumerate(ends) if end < left), len(ends))
        ends[row : row + 1] = [left + length]
        panel.annotate(
            said, (left, 1), xycoords=panel.get_xaxis_transform(), xytext=(0, 2 + 9 * row),
            textcoords="offset points", fontsize=7, color=style.FAULT, va="bottom", annotation_clip=False,
        )  # fmt: skip


def _faults_in_words(records: Sequence[Point]) -> list[tuple[float, str]]:
    """(time in s, kind and target) of each fault; who met which where one fault has several targets.

    The same fault of a scenario has the same place among the faults of every run.
    """
    found = []
    for place in range(max(len(record.faults) for record in records)):
        met = [(record.engine, record.faults[place]) for record in records if place < len(record.faults)]
        engines: dict[str, dict[str, None]] = {}
        for engine, fault in met:
            engines.setdefault(fault.target, {})[engine] = None
        said = next(iter(engines))
        if len(engines) > 1:
            said = "; ".join(f"{', '.join(who)}: {target}" for target, who in engines.items())
            said = f"({said})"
        found.append((min(fault.injected_ns for _, fault in met) / SECOND_NS, f"{met[0][1].kind} {said}"))
    return sorted(found)


def _mark_leaders(panel: Axes, record: Point, look: style.Look, place: int) -> None:
    """A triangle in the engine's colour whenever a leader took over."""
    moments = [moment / SECOND_NS for moment, _, _ in record.leaders]
    panel.plot(
        moments, [0.96 - TRIANGLE * place] * len(moments), marker="v", markersize=6, color=look.color,
        transform=panel.get_xaxis_transform(), linestyle="none",
    )  # fmt: skip
