"""The command line: one verb a file. Errors are one line; exit 0 good, 1 the answer is no, 2 bad input, 3 an
invalid run.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType

import click

from bench.cli.check import check
from bench.cli.compare import compare
from bench.cli.list import list_known
from bench.cli.micro import micro
from bench.cli.plot import plot
from bench.cli.replay import replay
from bench.cli.run import run
from bench.cli.show import show
from ext import build

GOOD, NO, BAD_INPUT, INVALID, INTERRUPTED = 0, 1, 2, 3, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(package_name="replbench", message="%(prog)s %(version)s")
def replbench() -> None:
    """Measure what replication protocols cost: Multi-Paxos, Raft and Zab under one load, in one simulated
    world.

    \b
    replbench list                          what can be run
    replbench run quick                     every engine on a LAN and across five regions, in about a minute
    replbench plot results/local/quick-...  the figures of a result
    """


for verb in (list_known, run, plot, show, compare, replay, check, micro):
    replbench.add_command(verb)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: runs a verb and exits with its code."""
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(call(arguments))


def call(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and give its exit code; what the user got wrong becomes one line on standard error."""
    if not (build.pure() or build.fresh()):
        return _refuse("the sources are newer than the compiled extensions: run `make build` (or set REPLBENCH_PURE=1)")
    try:
        code = replbench.main(args=arguments, prog_name="replbench", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return BAD_INPUT
    except click.ClickException as error:
        return _refuse(error.format_message())
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        return GOOD
    return code if isinstance(code, int) else GOOD


def _refuse(message: str) -> int:
    click.echo(f"replbench: {' '.join(message.split())}", err=True)
    return BAD_INPUT


def _stop(_number: int, _frame: FrameType | None) -> None:
    """A polite kill keeps what is finished, as Ctrl-C does."""
    raise KeyboardInterrupt
