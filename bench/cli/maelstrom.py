"""replbench maelstrom: an engine as a node of Maelstrom's lin-kv workload."""

from __future__ import annotations

import click

from bench.cli.arguments import INVALID, OneOf
from bench.scenario import ENGINES
from bench.scenario.units import duration_ns

REPLICATED = tuple(engine for engine in ENGINES if engine != "unreplicated")
SHORTEST_NS, LONGEST_NS = 10_000_000, 60_000_000_000


class Duration(click.ParamType[int]):
    """Like 500ms, in ns; long enough for a heartbeat, and short enough to be waited for."""

    name = "duration"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            duration = duration_ns(value)
        except ValueError as error:
            self.fail(str(error), parameter, context)
        if not SHORTEST_NS <= duration <= LONGEST_NS:
            self.fail(f'"{value}" is not between 10ms and 60s; give one that is', parameter, context)
        return duration


@click.command(short_help="Be a node of Maelstrom, a third party's test bench.")
@click.option("--engine", type=OneOf(REPLICATED), required=True, help="The protocol; the same for every node.")
@click.option(
    "--election-timeout",
    "election_ns",
    type=Duration(),
    default="500ms",
    show_default=True,
    metavar="DURATION",
    help="Each is drawn between this and twice this; heartbeats come ten times as often. "
    "Well above Maelstrom's --latency.",
)
@click.pass_context
def maelstrom(context: click.Context, /, *, engine: str, election_ns: int) -> None:
    """Speak Maelstrom's protocol on standard input and output, as a node of its lin-kv workload: JSON lines with init, read,
    write and cas. Maelstrom starts this program once for each node, so give it a script:

    \b
    printf '#!/bin/sh\\nexec replbench maelstrom --engine raft\\n' > raft && chmod +x raft
    maelstrom test -w lin-kv --bin raft --node-count 3 --concurrency 4n --rate 100 --time-limit 60 \\
        --latency 10 --nemesis partition

    Memory is the disk: a node that was killed must not be started again. Exit code 0 when standard input ends; 3 where the
    engine found itself in a state that it rules out.
    """
    from bench.driver.maelstrom import serve

    try:
        serve(engine, election_ns)
    except (AssertionError, ValueError, OverflowError) as error:
        click.echo(f"replbench maelstrom: a state that cannot be: {type(error).__name__}: {error}", err=True)
        context.exit(INVALID)
