"""replbench micro: the cores, measured on pyperf beside their rivals."""

from __future__ import annotations

import click


@click.command(
    short_help="Measure the cores beside their rivals.", context_settings={"ignore_unknown_options": True}
)
@click.argument("arguments", metavar="[NAME]... [OPTION OF PYPERF]...", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def micro(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Measure the cores beside their rivals: the pure twin, plain Python, and numpy where someone would try
    it.

    ARGUMENTS are names of benchmarks and options of pyperf.

    \b
    replbench micro
    replbench micro simulation
    replbench micro -- --fast -o cores.json
    """
    from bench.micro import main

    context.exit(main(list(arguments)))
