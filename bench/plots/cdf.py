"""How latency is distributed, with as much room for the last nine as for the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.metrics import sweep
from bench.metrics.summary import SAMPLES_BEYOND
from bench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.metrics.result import Result

MARKS = 600  # points of a line
DECADES = 6
TAIL: dict[str, Any] = {"linestyle": "-", "linewidth": 0.5}  # no engine's line is thin


def draw(results: Sequence[Result], axes: Sequence[Axes]) -> None:
    """A panel for each of some points of the sweep; the last ten samples, which prove nothing, are thin."""
    wanted = style.chosen(results, len(axes))
    spans: list[list[float]] = []
    for panel, setting in zip(axes, wanted, strict=False):
        verdicts: dict[str, str] = {}
        extremes: list[float] = []
        deepest = 1.0
        for label, look, result, point in style.at(results, setting):
            latency_ms = result.latencies(point).to_numpy() / style.NS_PER_MS
            if not len(latency_ms):
                continue
            extremes += [latency_ms[0], latency_ms[-1]]
            deepest = max(deepest, len(latency_ms))
            _draw_line(panel, latency_ms, look, "" if label in verdicts else label)
            verdicts[label] = style.worst((verdicts.get(label, ""), str(result.points.loc[point, "verdict"])))
        style.dress(panel)
        spans.append(extremes)
        _nines(panel, deepest)
        panel.set_xlabel("latency (ms)")
        panel.set_ylabel("share of operations not slower")
        panel.set_title(sweep.describe(setting) + style.remark(verdicts), fontsize=9, loc="left")
        style.watermark(panel, verdicts.values())
    logarithmic = style.wide(latency for extremes in spans for latency in extremes)
    for panel, extremes in zip(axes, spans, strict=False):
        style.milliseconds(panel.xaxis, extremes, logarithmic=logarithmic)
    explained = f"the last {SAMPLES_BEYOND} samples:\ntoo few to prove it"
    axes[0].plot([], [], **TAIL, color=style.GREY, label=explained)
    style.legend(axes)


def _draw_line(panel: Axes, ascending_ms: np.ndarray, look: style.Look, label: str) -> None:
    count = len(ascending_ms)
    beyond = np.unique(np.geomspace(1, count, MARKS).astype(np.int64))[::-1]  # samples at or above this one
    latency, depth = ascending_ms[count - beyond], count / beyond
    proven = beyond > SAMPLES_BEYOND
    panel.plot(
        latency[proven],
        depth[proven],
        color=look.color,
        linestyle=look.linestyle,
        linewidth=1.6,
        label=label or None,
    )
    tail = ~proven
    tail[max(int(proven.sum()) - 1, 0)] = True
    panel.plot(latency[tail], depth[tail], color=look.color, **TAIL)


def _nines(panel: Axes, deepest: float) -> None:
    """1 / (1 - p) on a logarithmic axis, labelled with p."""
    ticks = [1, 2, 4] + [10**decade for decade in range(1, DECADES + 1)]
    panel.set_yscale("log")
    panel.set_ylim(1, deepest * 1.2)
    panel.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if tick <= deepest * 1.2]))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda depth, _: f"{100 * (1 - 1 / depth):.6g} %"))
