"""replbench micro: the cores, measured on pyperf beside their rivals."""
from __future__ import annotations

import click


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def micro(arguments: tuple[str, ...]) -> None:
    """Measure the cores beside their rivals: the pure twin, plain Python, and numpy where someone would try it.

    ARGUMENTS are names of benchmarks and options of pyperf.

    \b
    replbench micro
    replbench micro simulation
    replbench micro -- --fast -o cores.json
    """
    from bench.micro import main

    main(list(arguments))
