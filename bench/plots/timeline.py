"""Throughput and latency over time, with the faults and the changes of leader that explain them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.metrics import sweep
from bench.metrics.trial import PENDING
from bench.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bench.metrics.result import Point, Result

SECOND_NS = 1e9
INTERVALS, OPERATIONS_PER_INTERVAL = 100, 20


def draw(results: Sequence[Result], axes: Sequence[Axes]) -> None:
    """Pairs of panels, throughput and latency, for some points of the sweep; the first trial of each engine.

    Latency is of the operations that were to start in each interval: the median, and thin the slowest.
    """
    pairs = list(zip(axes[: len(axes) // 2], axes[len(axes) // 2 :], strict=True))
    for (upper, lower), setting in zip(pairs, style.chosen(results, len(pairs)), strict=False):
        runs: dict[str, tuple[str, style.Look, Result, int]] = {}
        for entry in style.at(results, setting):
            runs.setdefault(entry[0], entry)
        verdicts = {
            label: str(result.points.loc[point, "verdict"]) for label, _, result, point in runs.values()
        }
        slowest, stop_s = [np.zeros(0)], 0.0
        for place, (label, look, result, point) in enumerate(runs.values()):
            table = result.operations(point)
            stop_s = max(stop_s, table["intended_ns"].max() / SECOND_NS)
            slowest.append(_draw_run(upper, lower, table, look, label))
            _mark_leaders(upper, result.records[point], look, place)
        record = next(result.records[point] for _, _, result, point in runs.values())
        for panel in (upper, lower):
            _shade(panel, record, stop_s)
            style.dress(panel)
            style.watermark(panel, verdicts.values())
        _name_faults(lower, record)
        style.rates(upper.yaxis)
        style.milliseconds(lower.yaxis, np.concatenate(slowest))
        upper.set_ylim(bottom=0)
        upper.set_ylabel("throughput (ops/s)")
        lower.set_ylabel("latency (ms)\nmedian, slowest")
        lower.set_xlabel("time since the start of the run (s)")
        upper.set_title(sweep.describe(setting) + style.remark(verdicts), fontsize=9, loc="left")
    style.legend(axes)


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
        color=look.color, linestyle=look.linestyle, linewidth=1.4,
    )  # fmt: skip
    grouped = table["latency_ns"].groupby(intended // width)
    for values, thickness in ((grouped.median(), 1.4), (grouped.max(), 0.6)):
        milliseconds = values.reindex(range(len(bounds))).to_numpy(dtype=float) / style.NS_PER_MS
        lower.plot(seconds, milliseconds, color=look.color, linestyle=look.linestyle, linewidth=thickness)
    return np.asarray(grouped.max().to_numpy() / style.NS_PER_MS)


def _interval_ns(span_ns: int, operations: int) -> int:
    """1, 2 or 5 times a power of ten, for about INTERVALS intervals, or fewer where operations are few."""
    intervals = min(max(operations // OPERATIONS_PER_INTERVAL, 1), INTERVALS)
    raw = max(span_ns / intervals, 1.0)
    power: int = 10 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= raw)


def _shade(panel: Axes, record: Point, stop_s: float) -> None:
    """Faults in red; what is not measured in grey."""
    first, last = (moment / SECOND_NS for moment in record.window_ns)
    stop_s = max(stop_s, last)
    panel.set_xlim(0, stop_s)
    for left, right in ((0, first), (last, stop_s)):
        panel.axvspan(left, right, color="#000000", alpha=0.06, linewidth=0)
    for fault in record.faults:
        healed = stop_s if fault.healed_ns is None else fault.healed_ns / SECOND_NS
        panel.axvspan(fault.injected_ns / SECOND_NS, healed, color=style.FAULT, alpha=0.15, linewidth=0)


def _name_faults(panel: Axes, record: Point) -> None:
    for fault in record.faults:
        panel.text(
            fault.injected_ns / SECOND_NS, 0.02, f" {fault.kind} {fault.target}",
            transform=panel.get_xaxis_transform(), fontsize=7, color=style.FAULT, va="bottom", clip_on=True,
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip


def _mark_leaders(panel: Axes, record: Point, look: style.Look, place: int) -> None:
    """A triangle in the engine's colour whenever a leader took over."""
    moments = [moment / SECOND_NS for moment, _, _ in record.leaders]
    panel.plot(
        moments, [0.99 - 0.05 * place] * len(moments), marker="v", markersize=6, color=look.color,
        transform=panel.get_xaxis_transform(), linestyle="none", clip_on=False,
    )  # fmt: skip
