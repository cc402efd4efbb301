"""A progress bar with the time left: on standard error, after two seconds, and only where somebody looks."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE_S = 2.0


class Bar:
    """Counts units of work towards ``total``; ``with Bar(...) as bar: bar.advance(units)``."""

    def __init__(self, total: float, quiet: bool) -> None:
        self.total = total
        self.done = 0.0
        self.shown = not quiet and sys.stderr.isatty()
        self.started_s = time.monotonic()
        self._progress: Progress | None = None

    def advance(self, units: float) -> None:
        """So many units more are done."""
        self.done += units
        self.look()

    def look(self) -> None:
        """Show the bar once the work has taken long enough to deserve one."""
        if not self.shown or time.monotonic() - self.started_s < PATIENCE_S:
            return
        if self._progress is None:
            self._progress = self._open()
        left_s = (
            (time.monotonic() - self.started_s) * (self.total - self.done) / self.done if self.done else None
        )
        self._progress.update(
            self._progress.task_ids[0],
            completed=self.done,
            left="" if left_s is None else f"{left_s:.0f} s left",
        )

    def _open(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        progress = Progress(
            TextColumn("{task.percentage:3.0f} %"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
            transient=True,
        )
        progress.add_task("", total=self.total, left="")
        progress.start()
        return progress

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
