"""The message diagram of a run: time goes to the right, each replica is a line, each message an arrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.metrics.conversation import Arrow, Conversation, Mark
from bench.plots import METADATA, RC

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ARROWS = 1500
MOST_NAMED = 60  # arrows; more of them would cover each other's names
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c00", "#555555", "#8b4513", "#6a3d9a")
LOST, DOWN, LINE, LEADER, COMMIT = "#cc1f1f", "#bbbbbb", "#222222", "#f0c000", "#1a7f37"
SYMBOLS = {
    "crash": ("X", LOST), "start": ("^", LINE), "election": ("v", "#d55e00"), "leader": ("*", LEADER), "commit": ("|", COMMIT),
}  # fmt: skip


def render(conversation: Conversation, replicas: int, span_ns: tuple[int, int], name: str, out: Path) -> list[Path]:
    """Draw a span of a run into ``out``: an SVG, a PNG, or both where it has no such suffix. ValueError where the span holds
    more messages than an eye could follow.
    """
    arrows = [arrow for arrow in conversation.arrows if span_ns[0] <= arrow.sent_ns <= span_ns[1]]
    if len(arrows) > MOST_ARROWS:
        raise ValueError(f"{len(arrows)} messages are too many to draw; choose a shorter span with --from and --to")
    forms = (out.suffix[1:],) if out.suffix in (".svg", ".png") else ("svg", "png")
    figure = Figure(figsize=(min(10 + len(arrows) / 40, 30), 1.8 + 0.9 * replicas), layout="constrained")
    FigureCanvasAgg(figure)
    made = []
    with matplotlib.rc_context(RC):
        draw(arrows, conversation.marks, replicas, span_ns, figure.subplots())
        figure.suptitle(name, x=0.01, ha="left", fontsize=10, fontweight="bold")
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # it would move things at each drawing
        for form in forms:
            path = out if out.suffix == f".{form}" else out.with_name(f"{out.name}.{form}")
            figure.savefig(path, format=form, dpi=130, metadata=METADATA[form])
            made.append(path)
    return made


def draw(
    arrows: Sequence[Arrow], marks: Sequence[Mark], replicas: int, span_ns: tuple[int, int], axes: Axes
) -> None:
    """Replica 0 is the line at the top."""
    first, last = (moment / 1e6 for moment in span_ns)
    names = list(dict.fromkeys(sorted(arrow.name for arrow in arrows)))
    color = {name: COLORS[place % len(COLORS)] for place, name in enumerate(names)}
    for replica in range(replicas):
        _lane(axes, replica, [mark for mark in marks if mark.replica == replica], first, last)
    names_at: list[tuple[float, float]] = []
    for arrow in arrows:
        middle = _arrow(axes, arrow, color[arrow.name], last - first)
        near = any(abs(middle[0] - x) < (last - first) / 14 and abs(middle[1] - y) < 0.1 for x, y in names_at)
        if len(arrows) <= MOST_NAMED and not near and first <= middle[0] <= last:
            names_at.append(middle)
            _name(axes, arrow.name, middle, color[arrow.name])
    shown = [mark for mark in marks if first <= mark.time_ns / 1e6 <= last and mark.kind in SYMBOLS]
    for mark in shown:
        symbol, tint = SYMBOLS[mark.kind]
        axes.plot(
            mark.time_ns / 1e6, mark.replica, symbol, color=tint, markersize=15 if symbol == "*" else 10,
            markeredgecolor=tint if symbol == "|" else LINE, markeredgewidth=2.2 if symbol == "|" else 0.6, zorder=5,
            clip_on=False,
        )  # fmt: skip
    _commit_numbers(axes, [mark for mark in shown if mark.kind == "commit"], first, last)
    axes.set_xlim(first, last)
    axes.set_ylim(replicas - 0.45, -0.55)
    axes.set_yticks(range(replicas), [f"replica {replica}" for replica in range(replicas)])
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.set_xlabel("ms since the start of the run")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    _legend(axes, color, arrows, shown)


def _lane(axes: Axes, replica: int, marks: Sequence[Mark], first: float, last: float) -> None:
    """The line of a replica: thick while it leads, dotted while it is down."""
    began, state = 0.0, "start"
    for mark in [*(mark for mark in marks if mark.kind in ("crash", "start", "leader", "deposed")), None]:
        until = last if mark is None else mark.time_ns / 1e6
        if until > first and began < last:
            style = {"crash": (DOWN, 1.2, ":"), "leader": (LEADER, 7.0, "-")}.get(state, (LINE, 1.0, "-"))
            ends = [max(began, first), min(until, last)]
            axes.plot(ends, [replica, replica], color=style[0], linewidth=style[1], linestyle=style[2], zorder=1, alpha=0.8)
        if mark is not None:
            began, state = until, mark.kind


def _arrow(axes: Axes, arrow: Arrow, color: str, span: float) -> tuple[float, float]:
    """To the moment at which it was taken up; a lost one ends on its way, in a cross. Returns where a name has room."""
    sent, step = arrow.sent_ns / 1e6, arrow.receiver - arrow.sender
    if arrow.arrived_ns is None:
        stop = (sent + 0.008 * span, arrow.sender + 0.4 * step)
        axes.plot([sent, stop[0]], [arrow.sender, stop[1]], color=color, linewidth=0.8, linestyle="--", zorder=2)
        axes.plot(*stop, "x", color=LOST, markersize=5, zorder=3)
    else:
        stop = (arrow.arrived_ns / 1e6, arrow.receiver - 0.06 * (1 if step > 0 else -1))
        drawn = axes.annotate(
            "", stop, (sent, arrow.sender), annotation_clip=False, zorder=2,
            arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7},
        )  # fmt: skip
        assert drawn.arrow_patch is not None
        drawn.arrow_patch.set_clip_path(axes.patch)
    return (sent + 2 * stop[0]) / 3, (arrow.sender + 2 * stop[1]) / 3


def _name(axes: Axes, name: str, place: tuple[float, float], color: str) -> None:
    box = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.4}
    axes.annotate(name, place, fontsize=5.5, color=color, ha="center", va="center", bbox=box, zorder=2.5)


def _commit_numbers(axes: Axes, commits: Sequence[Mark], first: float, last: float) -> None:
    """How far each replica had come, where there is room to say it."""
    told: dict[int, float] = {}
    for mark in commits:
        moment = mark.time_ns / 1e6
        if moment - told.get(mark.replica, -1e18) > (last - first) / 40:
            told[mark.replica] = moment
            axes.annotate(str(mark.number), (moment, mark.replica - 0.14), fontsize=6, color=COMMIT, ha="center", va="bottom")


def _legend(axes: Axes, color: dict[str, str], arrows: Sequence[Arrow], marks: Sequence[Mark]) -> None:
    handles = [Line2D([], [], color=tint, linewidth=1.5, label=name) for name, tint in color.items()]
    if any(arrow.arrived_ns is None for arrow in arrows):
        handles.append(Line2D([], [], color=LOST, marker="x", linestyle="--", linewidth=0.8, label="never arrived"))
    words = {"crash": "crash", "start": "start", "election": "stands", "leader": "leads from here on", "commit": "commits up to"}
    for kind in dict.fromkeys(mark.kind for mark in marks):
        symbol, tint = SYMBOLS[kind]
        width, edge = (1.5, tint) if symbol == "|" else (0.6, LINE)
        style: dict[str, Any] = {"markeredgewidth": width, "markeredgecolor": edge, "markersize": 8, "linestyle": "none"}
        handles.append(Line2D([], [], color=tint, marker=symbol, label=words[kind], **style))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.005, 1.0), frameon=False, borderaxespad=0.0)
