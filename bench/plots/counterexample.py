"""A history that is not linearizable: who did what when, how far it can be explained, and what fits nowhere.

The axis shows the order of calls and returns, each moment as a cell of equal width: true lengths would hide
the short operations that matter. An operation covers the cells from its call to its return, both included.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.checkers.history import READS, WRITES, Operation
from bench.plots import METADATA, RC, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.checkers.counterexample import Counterexample

MOST_DRAWN = 40
LONGEST_LABEL = 24
EXPLAINED, WRONG, OPEN = "#56b4e9", "#cc1f1f", "#d9d9d9"
HEIGHT, WIDTH = 0.36, 0.86  # of a bar, in lanes and in cells
INCHES_PER_LANE, INCHES_PER_LETTER, WIDEST_INCHES = 0.55, 0.042, 40.0


def render(example: Counterexample, name: str, out: Path) -> list[Path]:
    """Draw into files named after ``out``, with the suffixes .svg and .png; ``name`` says whose history it
    is.
    """
    shown = _shown(example)
    cells = len({moment for operation in shown for moment in _ends(operation)}) + 1
    lanes = _lanes(shown)
    longest = max(len(label(operation)) for operation in shown)
    width = min(max(6.5, 1.8 + cells * max(0.3, longest * INCHES_PER_LETTER)), WIDEST_INCHES)
    figure = Figure(figsize=(width, 1.9 + INCHES_PER_LANE * len(lanes)), layout="constrained")
    FigureCanvasAgg(figure)
    made = []
    with matplotlib.rc_context(RC):
        draw(example, figure.subplots())
        figure.suptitle(f"{name}: not linearizable", x=0.01, ha="left", fontsize=10, fontweight="bold")
        for form in ("svg", "png"):
            path = Path(f"{out}.{form}")
            figure.savefig(path, format=form, dpi=130, metadata=METADATA[form])
            made.append(path)
    return made


def draw(example: Counterexample, axes: Axes) -> None:
    """A bar for each operation; those that have an order carry their place in it."""
    shown = _shown(example)
    moments = sorted({moment for operation in shown for moment in _ends(operation)})
    cell = {moment: place for place, moment in enumerate(moments)}
    points = _points(example.order, cell)
    names = []
    for lane, (name, operations) in enumerate(_lanes(shown)):
        names.append(name)
        for operation in operations:
            _draw_operation(axes, operation, lane, cell, points.get(id(operation)), operation is example.stuck)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.75)
    axes.set_xlim(-0.3, len(moments) + 0.6)
    ticks = range(0, len(moments), max(1, len(moments) // 12))
    axes.set_xticks([tick + WIDTH / 2 for tick in ticks], [f"{moments[tick] / 1e6:,.6g}" for tick in ticks])
    axes.set_xlabel("time of calls and returns (ms), in their order, not to scale")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_title("\n".join(_sentences(example, len(shown))), fontsize=9, loc="left")
    _legend(axes, [operation for operation in shown if operation is not example.stuck], points)


def _shown(example: Counterexample) -> list[Operation]:
    """The last operations, and always the one that fits nowhere."""
    return example.operations[-MOST_DRAWN:] if example.stuck in example.operations[-MOST_DRAWN:] else [
        example.stuck, *example.operations[1 - MOST_DRAWN :]
    ]  # fmt: skip


def _ends(operation: Operation) -> tuple[int, ...]:
    return (operation.call_ns,) if operation.return_ns is None else (operation.call_ns, operation.return_ns)


def _lanes(operations: Sequence[Operation]) -> list[tuple[str, list[Operation]]]:
    """A lane for each client, and more where it does several things at once."""
    clients: dict[int, list[list[Operation]]] = defaultdict(list)
    for operation in sorted(operations, key=lambda operation: operation.call_ns):
        lanes = clients[operation.client]
        free = (lane for lane in lanes if lane[-1].return_ns is not None and lane[-1].return_ns < operation.call_ns)
        lane = next(free, None)
        if lane is None:
            lane = []
            lanes.append(lane)
        lane.append(operation)
    return [
        (f"client {client}" if place == 0 else "", lane)
        for client, lanes in sorted(clients.items())
        for place, lane in enumerate(lanes)
    ]


def _points(order: Sequence[Operation], cell: dict[int, int]) -> dict[int, tuple[float, int]]:
    """Where each linearized operation takes effect, and its place in the order: as early as can be."""
    cells: dict[int, list[tuple[int, Operation]]] = defaultdict(list)
    earliest = 0
    for place, operation in enumerate(order, 1):
        earliest = max(earliest, cell.get(operation.call_ns, 0))
        cells[earliest].append((place, operation))
    return {
        id(operation): (at + WIDTH * (index + 0.5) / len(members), place)
        for at, members in cells.items()
        for index, (place, operation) in enumerate(members)
    }


def _draw_operation(
    axes: Axes,
    operation: Operation,
    lane: int,
    cell: dict[int, int],
    point: tuple[float, int] | None,
    wrong: bool,
) -> None:
    left = cell[operation.call_ns]
    right = len(cell) + 0.4 if operation.return_ns is None else cell[operation.return_ns] + WIDTH
    color = WRONG if wrong else EXPLAINED if point is not None else OPEN
    dashes = "--" if operation.unknown else "-"
    axes.barh(
        lane, right - left, left=left, height=HEIGHT, color=color, edgecolor=style.INK, linewidth=0.7,
        linestyle=dashes, alpha=0.9,
    )  # fmt: skip
    axes.text(
        left, lane - HEIGHT / 2 - 0.04, label(operation), fontsize=8, va="bottom", ha="left",
        color=WRONG if wrong else style.INK, fontweight="bold" if wrong else "normal",
    )  # fmt: skip
    if point is not None:
        axes.plot(point[0], lane, "o", markersize=11, color="white", markeredgecolor=style.INK, markeredgewidth=0.7)
        axes.text(point[0], lane, str(point[1]), fontsize=7, ha="center", va="center_baseline")


def label(operation: Operation) -> str:
    """An operation in a few words."""
    op, arg, ret = operation.op, operation.arg, operation.ret
    if op in READS:
        return f"{op} → {_short(ret)}"
    if op == "cas":
        outcome = "" if operation.unknown else ": done" if ret else ": refused"
        return f"cas {_short(arg[0])} → {_short(arg[1])}{outcome}"
    said = op if arg is None and op not in WRITES else f"{op} {_short(arg)}"
    return f"{said} ?" if operation.unknown else said


def _short(value: Any) -> str:
    """A value as the history has it; of a long one the end, which is what appending changes."""
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_LABEL else f"…{text[-LONGEST_LABEL:]}"


def _sentences(example: Counterexample, shown: int) -> list[str]:
    count = len(example.operations)
    smallest = "the smallest part that still fails" if example.minimal else "a part that still fails"
    left_out = f"; the last {shown} are drawn" if shown < count else ""
    where = "" if example.key is None else f"Key {example.key}, "
    return [
        f"{where}{count} of {example.of} operations: {smallest}{left_out}.",
        f"{_after(len(example.order))} {_state(example)}: {label(example.stuck)} fits nowhere.",
    ]


def _after(count: int) -> str:
    return ("At first", "After 1")[count] if count < 2 else f"After 1 to {count}"


def _state(example: Counterexample) -> str:
    """What the operations that have an order come to."""
    value: Any = None
    for operation in example.order:
        if operation.op in WRITES:
            value = operation.arg
        elif operation.op == "append":
            value = (value or "") + operation.arg
        elif operation.op == "cas":
            value = operation.arg[1] if operation.unknown or operation.ret else value
        elif operation.op == "acquire":
            value = operation.client
        elif operation.op == "release":
            value = None
    if example.stuck.op in ("acquire", "release"):
        return "the mutex is free" if value is None else f"client {value} holds the mutex"
    return f"the value is {_short(value)}"


def _legend(axes: Axes, shown: Sequence[Operation], points: dict[int, tuple[float, int]]) -> None:
    entries = [Patch(facecolor=WRONG, edgecolor=style.INK, label="fits nowhere")]
    if points:
        entries.insert(0, Patch(facecolor=EXPLAINED, edgecolor=style.INK, label="the longest order that works"))
    if any(id(operation) not in points for operation in shown):
        entries.append(Patch(facecolor=OPEN, edgecolor=style.INK, label="not in it"))
    if any(operation.unknown for operation in shown):
        entries.append(Patch(facecolor="white", edgecolor=style.INK, linestyle="--", label="no answer (?)"))
    axes.figure.legend(handles=entries, loc="outside lower left", ncols=4, frameon=False, fontsize=8)
