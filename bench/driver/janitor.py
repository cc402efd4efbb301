"""Outlives a run that was killed: ``python -m bench.driver.janitor FOLDER`` ends the run's processes and removes its folder.

The parent writes a line ``PID STARTED`` for every process that it starts (``STARTED`` from ``started``, so that a number that the
system has given to another process meanwhile is left alone). When the parent is gone, however it went, standard input ends:
stopped processes too are killed then, which could not notice it themselves. After an orderly end nothing is left to do.
"""
from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path


def started(pid: int) -> str:
    """When a process began, in ticks of the system since it was booted; "" where there is none (proc(5), field 22)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def main(arguments: list[str]) -> int:
    """Wait for the end of the parent, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    children = [line.split() for line in sys.stdin]
    for pid, begun in children:
        if started(int(pid)) == begun:
            os.killpg(int(pid), signal.SIGKILL)
    shutil.rmtree(arguments[0], ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
