"""Whether all clients wait alike for their locks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from bench.metrics import sweep
from bench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.metrics.result import Result

MOST_MARKED = 40  # clients, beyond which markers would be a line


def draw(results: Sequence[Result], axes: Sequence[Axes]) -> None:
    """A panel for each of some points of the sweep: what each client waited for a lock on average, in the first trial."""
    drawn: list[np.ndarray] = []
    for panel, setting in zip(axes, style.chosen(results, len(axes)), strict=False):
        runs: dict[str, tuple[style.Look, Result, int]] = {}
        for label, look, result, point in style.at(results, setting):
            runs.setdefault(label, (look, result, point))
        verdicts = {label: str(result.points.loc[point, "verdict"]) for label, (_, result, point) in runs.items()}
        said = []
        for label, (look, result, point) in runs.items():
            waits_ms = _waits_ms(result, point)
            drawn.append(waits_ms)
            filling = style.filling(verdicts[label], look.color)
            panel.plot(
                np.arange(1, len(waits_ms) + 1), waits_ms, color=look.color, linestyle=look.linestyle, linewidth=1.4, label=label,
                marker=look.marker if len(waits_ms) <= MOST_MARKED else "", markersize=5, **filling,
            )  # fmt: skip
            row = result.points.loc[point]
            said.append(f"{label}: {row['jain_waits']:.3f}, {row['jain_grants']:.3f}")
        style.dress(panel)
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        panel.set_xlim(0.5, max(map(len, drawn[-len(runs) :]), default=1) + 0.5)
        panel.set_xlabel("client of the first trial, by its wait")
        panel.set_ylabel("mean wait for a lock (ms)")
        described = sweep.describe(setting)
        heading = [*([described] if described else []), "Jain's index of waits, of grants:", *said]
        panel.set_title("\n".join(heading) + style.remark(verdicts), fontsize=8, loc="left")
        style.watermark(panel, verdicts.values())
    every = np.concatenate([np.zeros(0), *drawn])
    for panel in axes:
        style.milliseconds(panel.yaxis, every, logarithmic=style.wide(every))
    style.legend(axes)


def _waits_ms(result: Result, point: int) -> np.ndarray:
    """Ascending: the mean wait of each client that was granted anything within the window."""
    first, last = result.records[point].window_ns
    holds = result.locks(point)["holds"]
    counted = holds[(holds["granted_ns"] >= first) & (holds["granted_ns"] < last)]
    waits = (counted["granted_ns"] - counted["asked_ns"]).groupby(counted["client"]).mean()
    return np.sort(waits.to_numpy()) / style.NS_PER_MS
