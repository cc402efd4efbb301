"""The command line: one verb a file. Errors are one line; exit 0 good, 1 the answer is no, 2 bad input, 3 an
invalid run.

Nothing heavy is imported until Ctrl-C is looked after.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: runs a verb and exits with its code."""
    try:
        signal.signal(signal.SIGTERM, _stop)
        code = call(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("replbench: interrupted\n")
        code = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said; what the interpreter still does is not to be interrupted
    sys.exit(code)


def call(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and give its exit code; what the user got wrong becomes one line on standard error."""
    from bench.cli import commands

    return commands.call(arguments)


def _stop(_number: int, _frame: FrameType | None) -> None:
    """A polite kill keeps what is finished, as Ctrl-C does."""
    raise KeyboardInterrupt
