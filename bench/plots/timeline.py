"""Throughput and latency over time, with the faults and the changes of leader that explain them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.transforms import blended_transform_factory

from bench.metrics.trial import PENDING
from bench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.metrics.result import Point, Result

SECOND_NS = 1e9
BINS = 100


def draw(results: Sequence[Result], axes: Sequence[Axes]) -> None:
    """Pairs of panels, throughput and latency, for some points of the sweep; the first trial of each engine.

    Latency is of the operations that were to start in each interval: the median, and thin the slowest.
    """
    pairs = list(zip(axes[: len(axes) // 2], axes[len(axes) // 2 :], strict=True))
    for (upper, lower), setting in zip(pairs, style.chosen(results, len(pairs)), strict=False):
        verdicts, latencies = [], [np.zeros(0)]
        drawn: set[str] = set()
        for label, look, result, point in style.at(results, setting):
            if label in drawn:
                continue
            verdict = str(result.points.loc[point, "verdict"])
            latencies.append(_draw_run(upper, lower, result, point, look, label + style.remark(verdict)))
            _mark(upper, lower, result.records[point], look, len(drawn), shade=not drawn)
            verdicts.append(verdict)
            drawn.add(label)
        for panel in (upper, lower):
            style.dress(panel)
            style.watermark(panel, verdicts)
        style.rates(upper.yaxis)
        style.milliseconds(lower.yaxis, np.concatenate(latencies))
        upper.set_ylim(bottom=0)
        upper.set_ylabel("throughput (ops/s)")
        lower.set_ylabel("latency (ms): median, slowest")
        lower.set_xlabel("time since the start of the run (s)")
        upper.set_title(style.describe(setting), fontsize=9, loc="left")
    style.legend(pairs[-1][0])


def _draw_run(upper: Axes, lower: Axes, result: Result, point: int, look: style.Look, label: str) -> np.ndarray:
    """The latencies in ms that were drawn."""
    table = result.operations(point)
    intended = table["intended_ns"].to_numpy()
    completed = table["completed_ns"].to_numpy()
    if not len(intended):
        return np.zeros(0)
    width = _interval_ns(float(intended[-1]))
    bounds = np.arange(int(intended[-1] // width) + 1) * width
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


def _interval_ns(span_ns: float) -> float:
    """1, 2 or 5 times a power of ten, for about BINS intervals."""
    raw = max(span_ns / BINS, 1.0)
    power = 10.0 ** np.floor(np.log10(raw))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= raw))


def _mark(upper: Axes, lower: Axes, record: Point, look: style.Look, place: int, shade: bool) -> None:
    """Faults shaded, what is not measured greyed, and a triangle in the engine's colour wherever a leader took over."""
    if shade:
        first, last = (moment / SECOND_NS for moment in record.window_ns)
        for panel in (upper, lower):
            panel.set_xlim(0, max(last, panel.get_xlim()[1]))
            panel.axvspan(0, first, color="#000000", alpha=0.06, linewidth=0)
            panel.axvspan(last, panel.get_xlim()[1], color="#000000", alpha=0.06, linewidth=0)
    across = blended_transform_factory(upper.transData, upper.transAxes)
    for fault in record.faults if shade else []:
        healed = record.end_ns if fault.healed_ns is None else fault.healed_ns
        for panel in (upper, lower):
            panel.axvspan(fault.injected_ns / SECOND_NS, healed / SECOND_NS, color=style.FAULT, alpha=0.15, linewidth=0)
        upper.text(
            fault.injected_ns / SECOND_NS, 0.02, f" {fault.kind} {fault.target}", transform=across,
            fontsize=7, color=style.FAULT, va="bottom", clip_on=True,
        )  # fmt: skip
    for moment, _, _ in record.leaders:
        upper.plot(
            [moment / SECOND_NS], [0.99 - 0.05 * place], marker="v", markersize=6, color=look.color,
            transform=across, linestyle="none", clip_on=False,
        )  # fmt: skip
