"""What a committed command costs: messages, bytes and syncs; of real processes, processor time, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.plots import bars, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.metrics.result import Result

PANELS = (
    ("messages_per_commit", "messages per commit"),
    ("bytes_per_commit", "bytes per commit"),
    ("fsyncs_per_commit", "fsyncs per commit"),
)
OF_PROCESSES = ("cpu_ns_per_commit", "CPU ns per commit, all replicas")


def panels(results: Sequence[Result]) -> tuple[tuple[str, str], ...]:
    """The costs that these results have: (column, title) of each."""
    column = OF_PROCESSES[0]
    return (*PANELS, OF_PROCESSES) if any(result.points[column].notna().any() for result in results) else PANELS


def draw(results: Sequence[Result], axes: Sequence[Axes]) -> None:
    """One panel for each cost."""
    bars.draw(results, axes, panels(results))
    style.legend(axes)
