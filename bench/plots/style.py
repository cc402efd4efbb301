"""How engines, verdicts, axes and units look in every figure, and how points are put into groups."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from bench.checkers.verdict import INVALID, SUSPECT, VALID
from bench.metrics import sweep
from bench.metrics.sweep import Setting

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from bench.metrics.result import Result

NS_PER_MS, NS_PER_S = 1e6, 1e9
MOST_SHOWN = 3  # points of a sweep, where each needs a panel
LOAD_AXES = ("workload.arrivals.rate", "workload.arrivals.clients")
INK, GREY, FAULT, PAPER = "#222222", "#8a8a8a", "#d55e00", "#7b2d8b"
# What another system is reported to do, beside what was measured here.
REPORTED: dict[str, Any] = {"color": PAPER, "linewidth": 1.2, "linestyle": (0, (4, 2))}


# A logarithmic axis over less than so many decades has these labels in each of them.
LABELS_OF_A_DECADE: tuple[tuple[float, tuple[float, ...]], ...] = (
    (2.5, (1.0, 2.0, 5.0)),
    (4.0, (1.0, 3.0)),
    (math.inf, (1.0,)),
)


class Look(NamedTuple):
    """How an engine is drawn. Colours are Okabe and Ito's, which the colour-blind can tell apart."""

    color: str
    marker: str
    linestyle: Any


ENGINES = {
    "paxos": Look("#0072b2", "o", "-"),
    "raft": Look("#e69f00", "s", "--"),
    "zab": Look("#009e73", "^", "-."),
    "unreplicated": Look("#555555", "D", ":"),
}
OTHERS = (
    Look("#cc79a7", "v", (0, (5, 1))),
    Look("#56b4e9", "P", (0, (3, 1, 1, 1))),
    Look("#f0e442", "X", "-"),
)
VARIANTS = ("-", "--", ":", "-.", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1, 1, 1)))


class Curve(NamedTuple):
    """The points of one engine that differ only in load, in the order of the load."""

    label: str
    look: Look
    result: Result
    points: pd.DataFrame


def look(engine: str) -> Look:
    """The same for an engine in every figure, wherever it is compared with whatever."""
    return ENGINES.get(engine) or OTHERS[sum(engine.encode()) % len(OTHERS)]


def settings_shown(results: Sequence[Result]) -> int:
    """How many points of the sweep a figure shows that needs a panel for each."""
    return min(len(sweep.settings(results)), MOST_SHOWN)


def chosen(results: Sequence[Result], count: int) -> list[Setting]:
    """``count`` points of the sweep, evenly from first to last; the middle one where one is wanted."""
    every = sweep.settings(results)
    if count >= len(every):
        return every
    if count == 1:
        return [every[len(every) // 2]]
    return [every[round(step * (len(every) - 1) / (count - 1))] for step in range(count)]


def at(results: Sequence[Result], wanted: Setting) -> list[tuple[str, Look, Result, int]]:
    """(label, look, result, point) of every point at a point of the sweep."""
    found = []
    for label, result, point in sweep.at(results, wanted):
        style = look(str(result.points.loc[point, "engine"]))
        if len(results) > 1:
            style = style._replace(linestyle=VARIANTS[list(results).index(result) % len(VARIANTS)])
        elif sweep.in_world(result, point):
            style = style._replace(linestyle=VARIANTS[_predicted(result, point)])
        found.append((label, style, result, point))
    return found


def curves(results: Sequence[Result]) -> list[Curve]:
    """One for each engine, result and combination of the axes that are not the load."""
    found: list[Curve] = []
    variants: dict[Any, int] = {}
    for place, result in enumerate(results):
        load = load_axis(result.axes)
        groups: dict[tuple[str, Setting, str], list[int]] = {}
        # Measurements first, so that they have the solid lines.
        for point in sorted(result.points.index, key=lambda point: (_predicted(result, point), point)):
            rest = tuple(pair for pair in sweep.setting(result, point) if pair[0] != load)
            engine = str(result.points.loc[point, "engine"])
            groups.setdefault((engine, rest, sweep.in_world(result, point)), []).append(point)
        many = len({(rest, world) for _, rest, world in groups}) > 1 or len(results) > 1
        for (engine, rest, world), members in groups.items():
            variant = variants.setdefault((place, rest, world), len(variants)) % len(VARIANTS)
            style = look(engine)._replace(linestyle=VARIANTS[variant]) if many else look(engine)
            points = result.points.loc[members]
            if load is not None:
                points = points.sort_values(load, kind="stable")
            label = f"{engine}{world}{sweep.of(result, results)}{_said(rest)}"
            found.append(Curve(label, style, result, points))
    return found


def _predicted(result: Result, point: int) -> bool:
    """Whether a point is a simulation's."""
    return str(result.points.loc[point, "world"]) == "simulation"


def load_axis(axes: Sequence[str]) -> str | None:
    """The axis along which points are connected: the load where it is swept, else the first one."""
    return next((axis for axis in LOAD_AXES if axis in axes), axes[0] if axes else None)


def axis_title(axis: str) -> str:
    """An axis of a sweep, with the unit of its values where they are bare numbers that have one."""
    return f"{axis} ({sweep.UNITS[axis]})" if axis in sweep.UNITS else axis


def filling(verdict: str, color: str) -> dict[str, Any]:
    """A marker is filled where the point is valid, half filled where suspect, hollow where invalid."""
    if verdict == INVALID:
        return {"markerfacecolor": "none", "markeredgecolor": color, "fillstyle": "full"}
    if verdict == SUSPECT:
        return {"markerfacecolor": color, "markeredgecolor": color, "fillstyle": "left"}
    return {"markerfacecolor": color, "markeredgecolor": color, "fillstyle": "full"}


def worst(verdicts: Iterable[str]) -> str:
    """The verdict that says least for points which one line or bar stands for; "" of none."""
    return max(verdicts, key=("", VALID, SUSPECT, INVALID).index, default="")


def remark(verdicts: Mapping[str, str]) -> str:
    """Which of the labelled runs are not valid, for a panel whose lines cannot show it."""
    said = ""
    for verdict in (SUSPECT, INVALID):
        labels = [label for label, answer in verdicts.items() if answer == verdict]
        if labels:
            said += f"\n{verdict}: {', '.join(labels)}"
    return said


def watermark(axes: Axes, verdicts: Iterable[str]) -> None:
    """Write INVALID across a panel that shows points which must not be believed, and how many of them."""
    every = list(verdicts)
    wrong = every.count(INVALID)
    if wrong:
        axes.text(
            0.5, 0.5, "INVALID" if wrong == len(every) else f"{wrong} of {len(every)} INVALID",
            transform=axes.transAxes, ha="center", va="center", rotation=20,
            fontsize=32, fontweight="bold", color="#aa0000", alpha=0.2, zorder=10,
        )  # fmt: skip


def dress(axes: Axes) -> None:
    """What every panel has: a light grid behind, no box."""
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def wide(values: Iterable[float]) -> bool:
    """Whether latencies reach so far that they need a logarithmic axis: over a factor of ten or more."""
    known = _positive(values)
    return bool(len(known)) and bool(known.max() >= 10 * known.min())


def milliseconds(axis: Axis, values: Iterable[float], *, logarithmic: bool) -> None:
    """Scale an axis of times in ms (or in another unit), from 0 or logarithmic, with a label below and above all values.

    Whether it is logarithmic is asked of ``wide``, with the values of all panels of a figure.
    """
    known = _positive(values)
    vertical = axis is axis.axes.yaxis
    limit = axis.axes.set_ylim if vertical else axis.axes.set_xlim
    if logarithmic:
        (axis.axes.set_yscale if vertical else axis.axes.set_xscale)("log")
        decades = math.log10(known.max() / known.min()) if len(known) else 0.0
        subs = next(subs for most, subs in LABELS_OF_A_DECADE if decades < most)
        axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=20))
        if len(known):
            limit(*_labels_around(known.min(), known.max(), subs))
    else:
        ticks = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])
        axis.set_major_locator(ticks)
        if len(known):
            limit(0, ticks.tick_values(0, known.max() * 1.05)[-1])
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def _positive(values: Iterable[float]) -> np.ndarray:
    return np.array([value for value in values if value > 0 and math.isfinite(value)])


def _labels_around(low: float, high: float, subs: Sequence[float]) -> tuple[float, float]:
    """The last label of a logarithmic axis below ``low``, and the first above ``high``."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    labels = [sub * 10.0**decade for decade in decades for sub in subs]
    return max(label for label in labels if label <= low), min(label for label in labels if label > high)


def rates(axis: Axis) -> None:
    """An axis of operations a second: from 0, thousands separated."""
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def explain(axes: Axes, verdicts: Iterable[str]) -> None:
    """Add to the legend how the verdicts that occur are marked."""
    for verdict in (SUSPECT, INVALID):
        if verdict in set(verdicts):
            axes.plot([], [], "o", linestyle="none", label=verdict, **filling(verdict, GREY))


def legend(panels: Sequence[Axes]) -> None:
    """What any of the panels shows, once, right of the first panel that has nothing on its right."""
    found: dict[str, Any] = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        found |= {label: handle for handle, label in zip(handles, labels, strict=True) if label not in found}
    places = [(panel, panel.get_subplotspec()) for panel in panels]
    corner = next((panel for panel, place in places if place is None or place.is_last_col()), panels[-1])
    corner.legend(
        list(found.values()), list(found), loc="upper left", bbox_to_anchor=(1.01, 1.0),
        frameon=False, borderaxespad=0.0, handlelength=3,
    )  # fmt: skip


def _said(rest: Setting) -> str:
    return f", {sweep.describe(rest)}" if rest else ""
