"""Tables on the screen: the points of a result, and lists of names."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bench.metrics import sweep
from bench.scenario.units import counted

if TYPE_CHECKING:
    from bench.metrics.outage import Outage
    from bench.metrics.prediction import Error
    from bench.metrics.service import Service

SECOND_NS = 1_000_000_000
UNBOUNDED, BETWEEN = 10_000, 3  # characters: no bound on a table, and what stands between two columns
Column = tuple[str, list[str], bool]  # heading, a cell for each row, and whether these are numbers


def rate(value: Any) -> str:
    """Operations a second, to four digits."""
    return "" if absent(value) else f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def milliseconds(value: Any) -> str:
    """A latency in ms; n/a where too few samples lie beyond it."""
    return "n/a" if absent(value) else f"{value / 1e6:,.3f}"


def ratio(value: Any) -> str:
    """A cost per commit."""
    return "n/a" if absent(value) else f"{value:.2f}"


def share(value: Any) -> str:
    """A ratio of two worlds; nothing where there is none."""
    return "" if absent(value) else f"{value:.2f}"


def percent(value: Any) -> str:
    """A share of a whole."""
    return "n/a" if absent(value) else f"{value:.1%}"


def microseconds(value: Any) -> str:
    """A cost in time, per commit."""
    return "n/a" if absent(value) else f"{value / 1e3:.1f}"


def absent(value: Any) -> bool:
    """None, nan and n/a all stand for a number that is not there."""
    return value is None or value == "n/a" or (isinstance(value, float) and math.isnan(value))


# heading -> (column of points.csv, how it is printed)
MEASURES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "offered\nops/s": ("offered_ops_per_s", rate),
    "ops/s": ("throughput_ops_per_s", rate),
    "p50 ms": ("latency_p50_ns", milliseconds),
    "p99 ms": ("latency_p99_ns", milliseconds),
    "max ms": ("latency_max_ns", milliseconds),
    "longest\ngap ms": ("longest_gap_ns", milliseconds),
    "messages\n/commit": ("messages_per_commit", ratio),
    "fsyncs\n/commit": ("fsyncs_per_commit", ratio),
}
# Of a lock service, what matters most first; those that are general come last.
GENERAL = ("throughput_ops_per_s", "longest_gap_ns", "fsyncs_per_commit")
LOCKS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "pairs/s": ("lock_pairs_per_s", rate),
    "acquire\np50 ms": ("acquire_p50_ns", milliseconds),
    "hand-off\np50 ms": ("hand_off_p50_ns", milliseconds),
    "held\ntwice": ("held_twice", rate),
    "contended\np50 ms": ("acquire_contended_p50_ns", milliseconds),
    "fairness": ("jain_grants", ratio),
    "KeepAlives\nof requests": ("keep_alive_share", percent),
}
# Each where some point has it.
SOME_LOCKS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "cache\nhits": ("cache_hit_share", percent),
    "stale\nwrites": ("stale_writes_rejected", rate),
    "idle after\nloss ms": ("idle_after_loss_mean_ns", milliseconds),
    "master lost:\nmissed ms": ("failover_detected_ns", milliseconds),
    "next\nelected": ("failover_elected_ns", milliseconds),
    "KeepAlive\nanswered": ("failover_kept_alive_ns", milliseconds),
    "lock\ngranted": ("failover_granted_ns", milliseconds),
}
# Of predicted by measured, where a result holds both.
RATIOS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "ratio of\nops/s": ("throughput_ratio", share),
    "of p50": ("latency_p50_ratio", share),
    "of p99": ("latency_p99_ratio", share),
}
# Of real processes only.
PROCESSOR = {"CPU us\n/commit": ("cpu_ns_per_commit", microseconds)}


def _setting(value: Any) -> str:
    """Of an axis; nothing where a row's scenario has another."""
    return "" if absent(value) else sweep.in_words(value)


def print_points(rows: Sequence[Mapping[str, Any]], axes: Sequence[str], room: int | None = None) -> None:
    """A row for each engine, point and trial: ``rows`` have the columns of points.csv and the axes.

    In a terminal that is narrower than that (``room`` in its place) there are several tables, each of which says which point is
    meant; the first one has the verdicts.
    """
    several = {"scenario": "scenario", "world": "world", "trial": "trial"}
    # What `replay --point` asks for.
    numbered = ["point"] if all("point" in row for row in rows) else []
    names = [*numbered, "engine", *(name for name in several if len({row.get(name) for row in rows}) > 1)]
    # The offered rate says what this axis would.
    shown = [axis for axis in axes if axis != "workload.arrivals.rate"]
    real = not all(absent(row.get("cpu_ns_per_commit")) for row in rows)
    compared = any("throughput_ratio" in row for row in rows)
    measures = measures_of(rows) | (PROCESSOR if real else {}) | (RATIOS if compared else {})
    place = [
        *((name, [str(row.get(name, "")) for row in rows], False) for name in names),
        *((axis.removeprefix("workload."), [_setting(row.get(axis)) for row in rows], False) for axis in shown),
    ]
    verdicts = ("verdict", [str(row.get("verdict", "")) for row in rows], False)
    told = [(heading, [form(row.get(column)) for row in rows], True) for heading, (column, form) in measures.items()]
    room = _room() if room is None else room
    for columns in _fitting(place, told, verdicts, room):
        headings, cells, right = zip(*columns, strict=True)
        print_table(headings, list(zip(*cells, strict=True)), right=[index for index, is_right in enumerate(right) if is_right])


def _room() -> int:
    """The width of the terminal; where nobody looks there is room for all."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else UNBOUNDED


def _fitting(place: list[Column], told: list[Column], last: Column, room: int) -> Iterator[list[Column]]:
    """The columns of each table: all in one where there is room, else what fits beside ``place``, and at least one."""
    taken: list[Column] = []
    end = [last]
    for column in told:
        if taken and _width([*place, *taken, column, *end]) > room:
            yield [*place, *taken, *end]
            taken, end = [], []
        taken.append(column)
    yield [*place, *taken, *end]


def _width(columns: Sequence[Column]) -> int:
    """Of a table of print_table: its longest lines, and what stands between and around them."""
    longest = [max(len(line) for cell in (heading, *cells) for line in cell.split("\n")) for heading, cells, _ in columns]
    return sum(longest) + BETWEEN * (len(columns) - 1) + 2


def measures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, Callable[[Any], str]]]:
    """What is shown of these points: of a lock service what there is to say of locks."""
    if not all("lock_pairs_per_s" in row for row in rows):
        return MEASURES
    some = {
        heading: (column, printed)
        for heading, (column, printed) in SOME_LOCKS.items()
        if any(not absent(row.get(column)) and row.get(column) for row in rows)
    }
    general = {heading: measure for heading, measure in MEASURES.items() if measure[0] in GENERAL}
    return LOCKS | some | general


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> None:
    """As wide as it needs to be where nobody looks, and as the terminal allows where somebody does."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    aligned = set(right)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index in aligned else "left", no_wrap=True)
    styles = {"invalid": "bold red", "suspect": "yellow"}
    for row in rows:
        table.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in row))
    console = Console(highlight=False)
    # Where the terminal is narrower, a line that wraps is still whole; a cell that is cut is not.
    console.width = Console(width=1000).measure(table).maximum
    # Captured, because rich would end the program where a pipe is closed.
    with console.capture() as printed:
        console.print(table, soft_wrap=True)
    click.echo(printed.get(), nl=False)


def print_errors(errors: Sequence[Error]) -> None:
    """How far predictions were from what was measured, an engine a line; nothing where nothing was compared."""
    for error in errors:
        median = ", ".join(
            f"{name} {'n/a' if value is None else f'{value:.0%}'}"
            for name, value in (("throughput", error.throughput), ("p50", error.p50), ("p99", error.p99))
        )
        click.echo(
            f"{error.engine}: median error of the prediction at {counted(error.points, 'point')} below saturation: {median}; "
            f"most throughput predicted / measured: {error.saturation:.2f}"
        )


def print_locks(services: Sequence[Service], outages: Sequence[Outage]) -> None:
    """What a lock service adds up to: an engine a line, and where masters failed over an engine and point of the sweep."""
    from bench.metrics import outage, service

    told: list[tuple[Service | Outage, dict[str, Any], str]] = [(each, {}, service.in_words(each)) for each in services]
    told += [(each, each.axes, outage.in_words(each)) for each in outages]
    several = {name: len({getattr(each, name) for each, _, _ in told}) > 1 for name in ("scenario", "world")}
    for each, axes, said in told:
        world = f" ({each.world})" if several["world"] else ""
        where = [f"{each.scenario}: {each.engine}{world}" if several["scenario"] else f"{each.engine}{world}"]
        click.echo(f"{', '.join(where + [f'{axis} = {sweep.in_words(value)}' for axis, value in axes.items()])}: {said}")
