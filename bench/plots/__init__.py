"""One figure a file: draw(results, axes). Here are their names, and how they become files."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.metrics import sweep
from bench.metrics.result import LeftOutError
from bench.plots import (
    cdf,
    costs,
    latency_throughput,
    lock_failover,
    lock_fairness,
    lock_holds,
    lock_keepalives,
    lock_latency,
    style,
    timeline,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.metrics.result import Result

PANEL_WIDTH, PANEL_HEIGHT, LEGEND_WIDTH = 4.6, 3.8, 2.0  # inches
FORMATS = ("svg", "png")
SHARED_HEIGHT = ("latency-throughput", "cdf", "lock-latency", "lock-fairness")
RC: dict[Any, Any] = {
    "font.size": 9,
    "svg.hashsalt": "replbench",
    "hatch.linewidth": 1.5,
    "hatch.color": "white",
    "legend.fontsize": 8,
}


class Subject(NamedTuple):
    """What a result of one scenario must hold for a figure to say anything, and that in words."""

    known: Callable[[Result], bool]
    said: str


ANYTHING = Subject(lambda _: True, "operations")
LOCKS = Subject(lambda result: any(record.locks for record in result.records.values()), "a lock service")
FAILOVERS = Subject(lock_failover.has_failover, "a fail-over of a lock service")


class Kind(NamedTuple):
    """A figure: what draws it, how many rows and columns of panels the results need, what it is about, and whether it is of the
    first trial only.
    """

    draw: Callable[[Sequence[Result], Sequence[Axes]], None]
    panels: Callable[[Sequence[Result]], tuple[int, int]]
    subject: Subject = ANYTHING
    first_trial: bool = False


def _panels_of_points(rows: int) -> Callable[[Sequence[Result]], tuple[int, int]]:
    return lambda results: (rows, style.settings_shown(results))


def _panels_of_groups(panels: Callable[[Sequence[Result]], tuple[Any, ...]]) -> Callable[[Sequence[Result]], tuple[int, int]]:
    return lambda results: _beside_or_below(len(panels(results)), results)


def _beside_or_below(count: int, results: Sequence[Result]) -> tuple[int, int]:
    return (1, count) if len(sweep.settings(results)) <= style.MOST_SHOWN else (count, 1)


KINDS = {
    "latency-throughput": Kind(latency_throughput.draw, lambda _: (1, 2)),
    "cdf": Kind(cdf.draw, _panels_of_points(1)),
    "timeline": Kind(timeline.draw, _panels_of_points(2), first_trial=True),
    "costs": Kind(costs.draw, _panels_of_groups(costs.panels)),
    "lock-failover": Kind(lock_failover.draw, lambda _: (2, 2), FAILOVERS),
    "lock-holds": Kind(lock_holds.draw, lambda results: (len(lock_holds.runs(results)), 1), LOCKS),
    "lock-latency": Kind(lock_latency.draw, _panels_of_groups(lock_latency.panels), LOCKS),
    "lock-fairness": Kind(lock_fairness.draw, _panels_of_points(1), LOCKS, first_trial=True),
    "lock-keepalives": Kind(lock_keepalives.draw, _panels_of_groups(lambda _: lock_keepalives.PANELS), LOCKS),
}


def fitting(results: Sequence[Result]) -> list[str]:
    """The kinds that have something to say of the results."""
    return [
        name
        for name, kind in KINDS.items()
        if any(kind.subject.known(part) for result in results for part in result.parts())
    ]


def render(results: Sequence[Result], kind: str, out: Path, left_out: list[str] | None = None) -> list[Path]:
    """Draw results into ``out``, and return the files made, the same bytes for the same results.

    A result of several scenarios gives one figure for each that the kind is about; scenarios of the same name in several
    results share one. ``out`` is a folder, which gets an SVG and a PNG named after the kind (and the scenario), or a
    file whose suffix is the format. ValueError for an unknown kind or format, or where the kind is about none of them; where
    a result was kept without a file that the figure needs, too, unless ``left_out`` is given, which is told which one.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of plot {kind!r}: choose from {', '.join(KINDS)}")
    formats = FORMATS if not out.suffix or out.is_dir() else (out.suffix[1:],)
    if formats[0] not in (*FORMATS, "pdf"):
        raise ValueError(f"cannot draw {out}: choose a name that ends in .svg, .png or .pdf, or a folder")
    subject = KINDS[kind].subject
    parts = _parts(results)
    several = len(parts) > 1
    parts = {name: told for name, part in parts.items() if (told := [each for each in part if subject.known(each)])}
    if not parts:
        where = ", ".join(str(result.path) for result in results)
        raise ValueError(f"there is no {kind} to draw: {where} holds nothing of {subject.said}; choose another kind or result")
    made = []
    with matplotlib.rc_context(RC):
        for name, part in parts.items():
            try:
                figure = compose(part, kind, name)
            except LeftOutError as missing:
                if left_out is None:
                    raise
                left_out.append(f"{kind}{f' of {name}' if several else ''} ({missing.file})")
                continue
            for form in formats:
                path = _path(out, kind, name if several else "", form)
                path.parent.mkdir(parents=True, exist_ok=True)
                figure.savefig(path, format=form, dpi=130, metadata=METADATA[form])
                made.append(path)
    return made


METADATA: dict[str, dict[str, None]] = {
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
}


def _parts(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Scenario -> results that hold it; results of one scenario each belong together whatever their names."""
    parts = [part for result in results for part in result.parts()]
    if len(parts) == len(results):
        return {" and ".join(dict.fromkeys(next(iter(part.scenarios)) for part in parts)): parts}
    together: dict[str, list[Result]] = {}
    for part in parts:
        together.setdefault(next(iter(part.scenarios)), []).append(part)
    return together


def compose(results: Sequence[Result], kind: str, name: str) -> Figure:
    """The figure of results of one scenario, with its caption above and what must be known below."""
    rows, columns = KINDS[kind].panels(results)
    height = PANEL_HEIGHT if rows == 1 else 2.5
    wide = max(columns * PANEL_WIDTH, 1.6 * PANEL_WIDTH) + LEGEND_WIDTH
    figure = Figure(figsize=(wide, rows * height + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=kind in SHARED_HEIGHT)
    KINDS[kind].draw(results, list(panels.flat))
    caption = textwrap.fill(f"{name}: {_caption(results, KINDS[kind].first_trial)}", round(wide * 11))
    figure.suptitle(caption, x=0.01, ha="left", fontsize=10, fontweight="bold")
    notes = _notes(results)
    if notes:
        figure.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=7, color=style.INK)
    return figure


def _caption(results: Sequence[Result], first_trial: bool) -> str:
    """How many replicas, in which world, from which seed; by result where results differ in it."""
    facts = []
    for column, form in (("replicas", "{} replicas"), ("world", "{}"), ("seed", "seed {}")):
        values = [result.points[column].unique().tolist() for result in results]
        if first_trial and column == "seed":
            said = [form.format(each[0]) + (f", the first of {len(each)} trials" if len(each) > 1 else "") for each in values]
        else:
            several = "seeds {}" if column == "seed" else form
            said = [(several if len(each) > 1 else form).format(_listed(each)) for each in values]
        if len(set(said)) > 1:
            said = [f"{each}{sweep.of(result, results)}" for each, result in zip(said, results, strict=True)]
        facts.append(" and ".join(dict.fromkeys(said)))
    return ", ".join(facts)


def _listed(values: list[Any]) -> str:
    """A few values one by one, many as first to last."""
    return f"{values[0]} to {values[-1]}" if len(values) > 3 else ", ".join(map(str, values))


def _notes(results: Sequence[Result]) -> list[str]:
    """What must be known of the comparison and cannot be seen in it."""
    said = [f"Not equal: {line}." for line in sweep.unequal_fairness(results)]
    if any(result.incomplete for result in results):
        said.append("The run was interrupted: points are missing.")
    if not all(result.environment.get("compiled", True) for result in results):
        said.append("The cores ran as pure Python.")
    lines = [line for sentence in said for line in textwrap.wrap(sentence, 150)]
    return lines if len(lines) <= 6 else [*lines[:5], f"... and {len(lines) - 5} lines more, in result.json."]


def _path(out: Path, kind: str, part: str, form: str) -> Path:
    suffix = f"-{part}" if part else ""
    if out.suffix and not out.is_dir():
        return out.with_name(f"{out.stem}{suffix}{out.suffix}")
    return out / f"{kind}{suffix}.{form}"
