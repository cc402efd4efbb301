"""Columns of points.csv as bars: a group for each point of the sweep, a bar for each engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.checkers.verdict import INVALID, SUSPECT, VALID
from bench.metrics import sweep
from bench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.metrics.result import Result

LABELLED_BARS = 8
WIDTH = 0.8  # of a group
MARKS: dict[str, dict[str, Any]] = {INVALID: {"facecolor": "none"}, SUSPECT: {"hatch": "///", "linewidth": 0}}


def draw(
    results: Sequence[Result], axes: Sequence[Axes], panels: Sequence[tuple[str, str]], forms: Mapping[str, str] | None = None
) -> None:
    """A panel for each (column, title): the mean of the trials, which are equally long, and a whisker that spans them.

    Few bars have their values above them, in the form of their column.
    """
    groups = sweep.settings(results)
    labels = looks(results)
    few = len(groups) * len(labels) <= LABELLED_BARS
    verdicts = [verdict for result in results for verdict in result.points["verdict"]]
    for panel, (column, title) in zip(axes, panels, strict=False):
        form = (forms or {}).get(column, "{:,.4g}") if few else ""
        for place, setting in enumerate(groups):
            for beside, label in enumerate(labels):
                found = [entry for entry in style.at(results, setting) if entry[0] == label]
                middle, width = slot(place, beside, len(labels))
                _draw_bar(panel, found, column, middle=middle, width=width, form=form)
        style.dress(panel)
        panel.grid(False, axis="x")
        panel.margins(y=0.12)
        panel.set_ylim(bottom=0)
        panel.set_ylabel(title)
        name_groups(panel, groups)
        style.watermark(panel, verdicts)
    for label, look in labels.items():
        axes[0].bar([0], [0], color=look.color, label=label)
    for verdict, marks in MARKS.items():
        if verdict in verdicts:
            axes[0].bar([0], [0], edgecolor=style.GREY, label=verdict, **({"facecolor": style.GREY} | marks))


def looks(results: Sequence[Result]) -> dict[str, style.Look]:
    """What each group may have, in the order of its bars."""
    return {label: look for setting in sweep.settings(results) for label, look, _, _ in style.at(results, setting)}


def slot(place: int, beside: int, count: int) -> tuple[float, float]:
    """The middle and the width of the place of one of ``count`` labels in a group."""
    width = WIDTH / max(count, 1)
    return place - WIDTH / 2 + (beside + 0.5) * width, width


def name_groups(panel: Axes, groups: Sequence[sweep.Setting]) -> None:
    """The points of the sweep under an axis of groups."""
    said = ["\n".join(sweep.in_words(value) for _, value in setting) for setting in groups]
    panel.set_xticks(range(len(groups)), said, rotation=0 if len(groups) < 7 else 30)
    panel.set_xlabel(", ".join(style.axis_title(axis) for axis, _ in groups[0]) if groups else "")
    if not any(said):
        panel.tick_params(axis="x", length=0)


def _draw_bar(
    panel: Axes,
    found: list[tuple[str, style.Look, Result, int]],
    column: str,
    *,
    middle: float,
    width: float,
    form: str,
) -> None:
    values = np.array([result.points.loc[point, column] for _, _, result, point in found], dtype=float)
    values = values[~np.isnan(values)]
    if not len(values):
        return
    verdicts = {result.points.loc[point, "verdict"] for _, _, result, point in found}
    look = found[0][1]
    worst = next((verdict for verdict in MARKS if verdict in verdicts), VALID)
    marks: dict[str, Any] = {"facecolor": look.color, "edgecolor": look.color, "linewidth": 1.2} | MARKS.get(worst, {})
    panel.bar(middle, values.mean(), width * 0.92, **marks)
    if len(values) > 1:
        panel.vlines(middle, values.min(), values.max(), color=style.INK, linewidth=1)
    if form:
        panel.annotate(
            form.format(values.mean()), (middle, values.max()), xytext=(0, 2), textcoords="offset points",
            ha="center", va="bottom", fontsize=7,
        )  # fmt: skip
