"""What a committed command costs: messages, bytes and syncs; of real processes, processor time, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.checkers.verdict import INVALID, SUSPECT, VALID
from bench.metrics import sweep
from bench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.metrics.result import Result

PANELS = (
    ("messages_per_commit", "messages per commit"),
    ("bytes_per_commit", "bytes per commit"),
    ("fsyncs_per_commit", "fsyncs per commit"),
)
OF_PROCESSES = ("cpu_ns_per_commit", "CPU ns per commit, all replicas")
LABELLED_BARS = 8
MARKS: dict[str, dict[str, Any]] = {INVALID: {"facecolor": "none"}, SUSPECT: {"hatch": "///", "linewidth": 0}}


def panels(results: Sequence[Result]) -> tuple[tuple[str, str], ...]:
    """The costs that these results have: (column, title) of each."""
    column = OF_PROCESSES[0]
    return (*PANELS, OF_PROCESSES) if any(result.points[column].notna().any() for result in results) else PANELS


def draw(results: Sequence[Result], axes: Sequence[Axes]) -> None:
    """One panel for each cost: a group of bars for each point of the sweep, a bar for each engine, the mean
    of its trials.

    Trials are equally long, so their mean is a cost too; a whisker spans them.
    """
    groups = sweep.settings(results)
    labels = {label: look for setting in groups for label, look, _, _ in style.at(results, setting)}
    labelled = len(groups) * len(labels) <= LABELLED_BARS
    width = 0.8 / max(len(labels), 1)
    verdicts = [verdict for result in results for verdict in result.points["verdict"]]
    for panel, (column, title) in zip(axes, panels(results), strict=False):
        for place, setting in enumerate(groups):
            for beside, label in enumerate(labels):
                left = place - 0.4 + (beside + 0.5) * width
                found = [entry for entry in style.at(results, setting) if entry[0] == label]
                _draw_bar(panel, found, column, left=left, width=width, labelled=labelled)
        style.dress(panel)
        panel.grid(False, axis="x")
        panel.margins(y=0.12)
        panel.set_ylim(bottom=0)
        panel.set_ylabel(title)
        panel.set_xticks(
            range(len(groups)), [_short(setting) for setting in groups], rotation=0 if len(groups) < 7 else 30
        )
        panel.set_xlabel(", ".join(style.axis_title(axis) for axis, _ in groups[0]) if groups else "")
        style.watermark(panel, verdicts)
    for label, look in labels.items():
        axes[0].bar([0], [0], color=look.color, label=label)
    for verdict, marks in MARKS.items():
        if verdict in verdicts:
            axes[0].bar([0], [0], edgecolor=style.GREY, label=verdict, **({"facecolor": style.GREY} | marks))
    style.legend(axes)


def _draw_bar(
    panel: Axes,
    found: list[tuple[str, style.Look, Result, int]],
    column: str,
    *,
    left: float,
    width: float,
    labelled: bool,
) -> None:
    costs = np.array([result.points.loc[point, column] for _, _, result, point in found], dtype=float)
    costs = costs[~np.isnan(costs)]
    if not len(costs):
        return
    verdicts = {result.points.loc[point, "verdict"] for _, _, result, point in found}
    look = found[0][1]
    worst = next((verdict for verdict in MARKS if verdict in verdicts), VALID)
    marks: dict[str, Any] = {"facecolor": look.color, "edgecolor": look.color, "linewidth": 1.2} | MARKS.get(
        worst, {}
    )
    panel.bar(left, costs.mean(), width * 0.92, **marks)
    if len(costs) > 1:
        panel.vlines(left, costs.min(), costs.max(), color=style.INK, linewidth=1)
    if labelled:
        panel.annotate(
            f"{costs.mean():,.4g}", (left, costs.max()), xytext=(0, 2), textcoords="offset points",
            ha="center", va="bottom", fontsize=7,
        )  # fmt: skip


def _short(setting: sweep.Setting) -> str:
    return "\n".join(sweep.in_words(value) for _, value in setting)
