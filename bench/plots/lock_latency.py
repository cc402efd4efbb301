"""How long a client waits for a lock: when nobody is in its way, when others are, and from one holder to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.metrics import sweep
from bench.plots import bars, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.metrics.result import Result

PANELS = (
    ("acquire_uncontended", "acquire, nobody in the way"),
    ("acquire_contended", "acquire, others in the way"),
    ("hand_off", "hand-off, from a release to the next grant"),
)


def panels(results: Sequence[Result]) -> tuple[tuple[str, str], ...]:
    """Those that these results have enough samples for; all where they have none."""
    known = [
        panel for panel in PANELS if any(result.points[f"{panel[0]}_p50_ns"].notna().any() for result in results)
    ]
    return tuple(known) or PANELS


def draw(results: Sequence[Result], axes: Sequence[Axes]) -> None:
    """A group for each point of the sweep: the median of every trial as a marker, and above it the 99th percentile."""
    groups, looks = sweep.settings(results), bars.looks(results)
    verdicts = [str(verdict) for result in results for verdict in result.points["verdict"]]
    columns = [f"{name}_{rank}_ns" for name, _ in panels(results) for rank in ("p50", "p99")]
    every = np.concatenate([result.points[columns].to_numpy(dtype=float).ravel() for result in results]) / style.NS_PER_MS
    for panel, (name, title) in zip(axes, panels(results), strict=False):
        for place, setting in enumerate(groups):
            entries = style.at(results, setting)
            for beside, label in enumerate(looks):
                found = [(result, point) for each, _, result, point in entries if each == label]
                middle, width = bars.slot(place, beside, len(looks))
                _draw_trials(panel, found, name, looks[label], middle, width)
        style.dress(panel)
        panel.grid(False, axis="x")
        style.milliseconds(panel.yaxis, every, logarithmic=style.wide(every))
        panel.set_xlim(-0.5, len(groups) - 0.5)
        panel.set_ylabel("latency (ms)")
        panel.set_title(title, fontsize=9, loc="left")
        bars.name_groups(panel, groups)
        style.watermark(panel, verdicts)
        if all(result.points[f"{name}_p50_ns"].isna().all() for result in results):
            panel.text(0.5, 0.5, "n/a: too few of them", transform=panel.transAxes, ha="center", color=style.GREY)
    for label, look in looks.items():
        axes[0].plot([], [], look.marker, color=look.color, label=label)
    axes[0].plot([], [], "o", markersize=4, color=style.GREY, label="median of a trial")
    axes[0].plot([], [], "_", markersize=8, color=style.GREY, label="99th percentile, of 1,000 or more")
    style.explain(axes[0], verdicts)
    style.legend(axes)


def _draw_trials(
    panel: Axes, found: Sequence[tuple[Result, int]], name: str, look: style.Look, middle: float, width: float
) -> None:
    """Trials side by side in the place of their label."""
    for number, (result, point) in enumerate(found):
        row = result.points.loc[point]
        median, tail = (row[f"{name}_{rank}_ns"] / style.NS_PER_MS for rank in ("p50", "p99"))
        across = middle + width * 0.8 * ((number + 0.5) / len(found) - 0.5)
        size = 6 if len(found) <= 3 else 3
        panel.plot([across, across], [median, tail], color=look.color, linewidth=size / 4)
        panel.plot([across], [tail], "_", color=look.color, markersize=size)
        filling = style.filling(str(row["verdict"]), look.color)
        panel.plot([across], [median], look.marker, markersize=size, zorder=3, **filling)
