"""replbench micro: the cores and the simulator, measured beside their rivals."""

from __future__ import annotations

import click


@click.command(
    short_help="Measure the cores, the simulator and the clients.", context_settings={"ignore_unknown_options": True}
)
@click.argument("arguments", metavar="[NAME]... [OPTION OF PYPERF]...", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def micro(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Measure the cores beside their rivals (the pure twin, plain Python, and numpy where someone would try
    it), the simulator beside SimPy and its pure twin, the client processes of real runs against a server that
    answers at once, and what a commit takes on this machine at least.

    NAME is cores, simulation, checker, clients or floor; cores and checker take pyperf's options.

    \b
    replbench micro
    replbench micro simulation
    replbench micro clients
    replbench micro -- --fast -o cores.json
    """
    from bench.micro import main

    context.exit(main(list(arguments)))
