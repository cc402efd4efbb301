"""Latency against the throughput that was achieved: flat while there is capacity, a wall where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.checkers.verdict import VALID
from bench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.metrics.result import Result

PANELS = (("latency_p50_ns", "median latency (ms)"), ("latency_p99_ns", "99th percentile latency (ms)"))


def draw(results: Sequence[Result], axes: Sequence[Axes]) -> None:
    """The median in the first panel, the 99th percentile in the second; every trial has a marker."""
    found = style.curves(results)
    verdicts = [str(verdict) for curve in found for verdict in curve.points["verdict"]]
    shown = [curve.points[column].to_numpy() / style.NS_PER_MS for column, _ in PANELS for curve in found]
    latencies = np.concatenate(shown)
    for panel, (column, title) in zip(axes, PANELS, strict=False):
        for curve in found:
            _draw_curve(panel, curve, column)
        style.dress(panel)
        style.rates(panel.xaxis)
        style.milliseconds(panel.yaxis, latencies, logarithmic=style.wide(latencies))
        panel.set_xlim(0, max([1.0, *(1.05 * curve.points["throughput_ops_per_s"].max() for curve in found)]))
        panel.set_xlabel("achieved throughput (ops/s)")
        panel.set_ylabel(title)
        style.watermark(panel, verdicts)
        if all(curve.points[column].isna().all() for curve in found):
            panel.text(
                0.5, 0.5, "n/a: too few operations", transform=panel.transAxes, ha="center", color=style.GREY
            )
    style.explain(axes[-1], verdicts)
    style.legend(axes)


def _draw_curve(panel: Axes, curve: style.Curve, column: str) -> None:
    """A line through the middle trial of every load, a marker for every trial."""
    load = style.load_axis(curve.result.axes)
    latency_ms = curve.points[column] / style.NS_PER_MS
    throughput = curve.points["throughput_ops_per_s"]
    middle = [
        group.index[len(group) // 2]
        for _, group in latency_ms.sort_values().groupby(
            curve.points[load] if load else np.zeros(len(latency_ms)), sort=False
        )
    ]
    ordered = [point for point in curve.points.index if point in middle]
    marks: dict[str, Any] = {"marker": curve.look.marker, "markersize": 6, "color": curve.look.color}
    panel.plot(
        throughput[ordered],
        latency_ms[ordered],
        linestyle=curve.look.linestyle,
        linewidth=1.6,
        color=curve.look.color,
    )
    for point in curve.points.index:
        verdict = str(curve.points.loc[point, "verdict"])
        filling = style.filling(verdict, curve.look.color)
        above = 3 if verdict == VALID else 4  # a valid point must not hide one that is not
        panel.plot(
            [throughput[point]], [latency_ms[point]], linestyle="none", zorder=above, **(marks | filling)
        )
    panel.plot([], [], linestyle=curve.look.linestyle, label=curve.label, **marks)
