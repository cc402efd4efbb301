"""The command and its verbs, and what becomes of what they raise."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from bench.cli.arguments import BAD_INPUT, GOOD, INTERRUPTED, refuse
from bench.cli.calibrate import calibrate
from bench.cli.check import check
from bench.cli.compare import compare
from bench.cli.explore import explore
from bench.cli.list import list_known
from bench.cli.maelstrom import maelstrom
from bench.cli.micro import micro
from bench.cli.plot import plot
from bench.cli.replay import replay
from bench.cli.run import run
from bench.cli.serve import serve
from bench.cli.show import show
from bench.scenario import nearest
from ext import build


class Verbs(click.Group):
    """A group that says in one line, or not at all, why it ended early; click itself would exit 1."""

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        if arguments[0] not in self.commands and not arguments[0].startswith("-"):
            raise click.UsageError(f'there is no verb "{arguments[0]}"; {nearest(arguments[0], self.commands)}', context)
        return super().resolve_command(context, arguments)

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        with _ended_early():
            return super().make_context(*arguments, **settings)

    def invoke(self, context: click.Context) -> Any:
        with _ended_early():
            return super().invoke(context)


@contextmanager
def _ended_early() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo("replbench: interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # whoever read our output has seen enough
        _close_output()
        raise click.exceptions.Exit(GOOD) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or error.filename is not None:
            raise
        _close_output()
        raise click.ClickException(
            f"standard output cannot be written: {error.strerror}; make room, or send it elsewhere"
        ) from None


def _close_output() -> None:
    """What is still buffered would fail once more when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@click.group(
    cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(package_name="replbench", message="%(prog)s %(version)s")
def replbench() -> None:
    """Measure what replication protocols cost: Multi-Paxos, Raft and Zab under one load, simulated or
    as real processes.

    \b
    replbench list                          what can be run
    replbench run quick                     every engine on a LAN and across five regions, in about a minute
    replbench plot results/local/quick-...  the figures of a result
    """


for verb in (list_known, run, plot, show, compare, replay, explore, check, serve, calibrate, micro, maelstrom):
    replbench.add_command(verb)


def _with_remedy(error: click.ClickException) -> str:
    """What click itself says of a call names no remedy, and knows nothing of other verbs."""
    message = error.format_message()
    if isinstance(error, click.NoSuchOption):
        elsewhere = [
            f"`replbench {name} {error.option_name}`"
            for name, verb in replbench.commands.items()
            if any(error.option_name in parameter.opts for parameter in verb.params)
        ]
        if elsewhere:
            meant = [*elsewhere, *(error.possibilities or [])[:1]]
            return f"No such option '{error.option_name}'; did you mean {' or '.join(meant)}?"
    if not isinstance(error, click.UsageError) or error.ctx is None or ";" in message or message.endswith("?"):
        return message
    return f"{message.rstrip('.')}; `{error.ctx.command_path} --help` says what it takes, with examples"


def call(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and give its exit code; what the user got wrong becomes one line on standard error."""
    if not (build.pure() or build.fresh()):
        return refuse("the sources are newer than the compiled extensions: run `make build` (or set REPLBENCH_PURE=1)")
    try:
        code = replbench.main(args=arguments, prog_name="replbench", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return BAD_INPUT
    except click.ClickException as error:
        return refuse(_with_remedy(error))
    except click.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else GOOD
