"""How long a lock service is gone when its master dies, and where that time goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.metrics import sweep
from bench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.metrics.locks import Failover
    from bench.metrics.result import Point, Result

PHASES = (
    ("detected_ns", "another replica misses its leader"),
    ("elected_ns", "a leader is elected"),
    ("kept_alive_ns", "the first KeepAlive is answered"),
    ("granted_ns", "the first lock is granted"),
)
AT_ONCE_S = 0.1
PAPER_S, PAPER = 14.0, "Burrows 2006, 4.1: a cell's\nfail-over took 14 s"
MOST_MEDIANS = 3  # that a title has room for


class Line(NamedTuple):
    """The fail-overs that one line stands for: of each phase the seconds since the fault, infinite where it never came."""

    label: str
    look: style.Look
    verdict: str
    seconds: dict[str, np.ndarray]


def failovers(record: Point) -> list[Failover]:
    """Those of a run; none where there is no lock service."""
    return record.locks.failovers if record.locks else []


def has_failover(result: Result) -> bool:
    """Whether there is anything to be drawn."""
    return any(failovers(record) for record in result.records.values())


def draw(results: Sequence[Result], axes: Sequence[Axes]) -> None:
    """A panel for each phase: the share of fail-overs that had come so far, since the fault, over all trials."""
    lines = list(_lines(results))
    verdicts = [str(verdict) for result in results for verdict in result.points["verdict"]]
    seconds = np.concatenate([np.array([PAPER_S]), *(_drawn(line, phase) for line in lines for phase, _ in PHASES)])
    for panel, (phase, title) in zip(axes, PHASES, strict=False):
        for line in lines:
            _draw_line(panel, line, _drawn(line, phase))
        if phase in ("kept_alive_ns", "granted_ns"):
            panel.axvline(PAPER_S, **style.REPORTED, label=PAPER)
        style.dress(panel)
        style.milliseconds(panel.xaxis, seconds, logarithmic=style.wide(seconds))
        panel.set_ylim(0, 103)
        panel.set_title(title + _medians(lines, phase), fontsize=9, loc="left")
        panel.set_ylabel("fail-overs (%)")
        at_once = any((line.seconds[phase] < AT_ONCE_S).any() for line in lines)
        panel.set_xlabel("time since the fault (s)" + (f"; less than {AT_ONCE_S} as that" if at_once else ""))
        style.watermark(panel, verdicts)
    remark = style.remark({line.label: line.verdict for line in lines}).strip()
    axes[0].plot([], [], linestyle="none", label=f"{_count(lines)}{remark and chr(10) + remark}")
    style.legend(axes)


def _drawn(line: Line, phase: str) -> np.ndarray:
    """Ascending. A connection that breaks is noticed within a millisecond, which would leave no room for the rest on one axis."""
    return np.asarray(np.maximum(line.seconds[phase], AT_ONCE_S))


def _lines(results: Sequence[Result]) -> Iterator[Line]:
    wanted = style.chosen(results, style.MOST_SHOWN)
    for place, setting in enumerate(wanted):
        groups: dict[str, list[tuple[style.Look, Result, int]]] = {}
        for label, look, result, point in style.at(results, setting):
            groups.setdefault(label, []).append((look, result, point))
        for label, members in groups.items():
            look = members[0][0]
            several = len(wanted) > 1
            yield Line(
                label + (f", {sweep.describe(setting)}" if several else ""),
                look._replace(linestyle=style.VARIANTS[place]) if several else look,
                style.worst(str(result.points.loc[point, "verdict"]) for _, result, point in members),
                {phase: _since_the_fault(members, phase) for phase, _ in PHASES},
            )


def _since_the_fault(members: Sequence[tuple[style.Look, Result, int]], phase: str) -> np.ndarray:
    """Ascending."""
    found = [
        np.inf if getattr(failover, phase) is None else (getattr(failover, phase) - failover.injected_ns) / style.NS_PER_S
        for _, result, point in members
        for failover in failovers(result.records[point])
    ]
    return np.sort(np.array(found, dtype=float))


def _draw_line(panel: Axes, line: Line, seconds: np.ndarray) -> None:
    """A step at each fail-over; what never came leaves the line below 100 %."""
    came = seconds[np.isfinite(seconds)]
    share = 100 * np.arange(len(came) + 1) / max(len(seconds), 1)
    panel.plot(
        np.concatenate([came[:1], came]), share if len(came) else [], drawstyle="steps-post",
        color=line.look.color, linestyle=line.look.linestyle, linewidth=1.8, label=line.label,
        zorder=2 if line.look.linestyle == "-" else 3,  # engines may be equally fast: what is dashed lets both be seen
    )  # fmt: skip


def _medians(lines: Sequence[Line], phase: str) -> str:
    """The median of each line where there is room to say it."""
    known = [(line.label, np.median(line.seconds[phase])) for line in lines if len(line.seconds[phase])]
    if not 0 < len(known) <= MOST_MEDIANS:
        return ""
    said = [(label, f"{median:.2f}" if median >= 0.005 else "below 0.01") for label, median in known if np.isfinite(median)]
    return "\nmedian (s): " + ", ".join(f"{label} {median}" for label, median in said)


def _count(lines: Sequence[Line]) -> str:
    """How many fail-overs a line stands for."""
    counts = sorted({len(line.seconds[PHASES[0][0]]) for line in lines})
    return f"{' or '.join(map(str, counts))} fail-over{'s' * (counts != [1])} each"
