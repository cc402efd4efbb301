"""replbench compare: two results, metric by metric."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from bench.cli.arguments import json_option, reported_results
from bench.scenario.units import counted

if TYPE_CHECKING:
    from bench.metrics.compare import Comparison, Ratio

BETTER_WHEN_HIGHER = ("throughput_ops_per_s",)


@click.command(short_help="Two results, metric by metric.")
@click.argument("first", type=click.Path(path_type=Path), metavar="RESULT_A")
@click.argument("second", type=click.Path(path_type=Path), metavar="RESULT_B")
@json_option
@click.pass_context
def compare(context: click.Context, first: Path, second: Path, as_json: bool) -> None:
    """Compare RESULT_B with RESULT_A: the ratio B / A of each metric at each point that both have, with its
    95 % interval.

    \b
    replbench compare before after
    replbench compare results/local/raft results/local/paxos

    "cannot tell" means that the interval holds 1; "identical", that every operation is the same in both. Exit 1
    where B is worse beyond chance in some metric (of twenty equal ones, one is expected to look so), 2 where
    nothing can be compared, 3 where a point is invalid.
    """
    with reported_results():
        from bench.metrics.compare import compare as compare_results
        from bench.metrics.result import load

        comparison = compare_results(load(first), load(second))
    if not comparison.ratios:
        why = "; ".join(comparison.unmatched[:2]) or "no metric is a number in both"
        raise click.ClickException(
            f"{first} and {second} have no point in common ({why}); compare results of the same scenario"
        )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(comparison), indent=1).decode())
    else:
        _print(comparison)
    context.exit(_code(comparison))


def _code(comparison: Comparison) -> int:
    from bench.metrics.compare import NOT_VALID

    if any(ratio.says == NOT_VALID for ratio in comparison.ratios):
        return 3
    return 1 if any(_worse(ratio) for ratio in comparison.ratios) else 0


def _worse(ratio: Ratio) -> bool:
    worse = "lower" if ratio.metric in BETTER_WHEN_HIGHER else "higher"
    return bool(ratio.says == worse)


def _print(comparison: Comparison) -> None:
    from bench.cli.tables import print_table
    from bench.metrics.compare import CANNOT_TELL, HIGHER, IDENTICAL, LOWER, TRIALS_NEEDED

    rows = [
        [
            ratio.scenario,
            ratio.engine,
            ", ".join(f"{axis.rpartition('.')[2]} = {value}" for axis, value in ratio.axes.items()),
            *_measured(ratio),
            f"{ratio.ratio:.3f}",
            "" if ratio.low is None or ratio.high is None else f"{ratio.low:.3f} to {ratio.high:.3f}",
            ratio.says,
        ]
        for ratio in comparison.ratios
    ]
    headings = ["scenario", "engine", "point", "metric", "A", "B", "B / A", "95 % interval", "B is"]
    print_table(headings, rows, right=range(4, 7))
    if any(not ratio.repeated and ratio.says in (HIGHER, LOWER, CANNOT_TELL) for ratio in comparison.ratios):
        click.echo(
            "of these runs, not of the systems: other seeds may differ by more; "
            f"repeat both with --trials {TRIALS_NEEDED} or more"
        )
    alone = len(comparison.unmatched)
    click.echo(f"in both: {counted(comparison.matched, 'point')}; in one only: {alone or 'none'}")
    for line in comparison.unmatched:
        click.echo(f"not compared: {line}")
    for line in comparison.unfair:
        click.echo(f"not equal: {line}")
    said = Counter(dict.fromkeys((HIGHER, LOWER, CANNOT_TELL, IDENTICAL), 0))
    said.update(ratio.says for ratio in comparison.ratios)
    worse = [ratio for ratio in comparison.ratios if _worse(ratio)]
    where = "; worse in none of them" if not worse else f"; worse in {len(worse)} of {len(comparison.ratios)}: {_listed(worse)}"
    click.echo("B is: " + ", ".join(f"{count} {word}" for word, count in said.items()) + where)


def _listed(ratios: list[Ratio], most: int = 3) -> str:
    """Where the ratio is furthest from 1 comes first."""
    furthest = sorted(ratios, key=lambda ratio: -max(ratio.ratio, 1 / max(ratio.ratio, 1e-9)))
    said = [f"{ratio.engine} {_measured(ratio)[0]} ({ratio.ratio:.2f} times)" for ratio in furthest[:most]]
    return ", ".join(said) + (", ..." if len(ratios) > most else "")


def _measured(ratio: Ratio) -> list[str]:
    """The metric and its two values; times in ms, as in every table."""
    from bench.cli.tables import milliseconds

    if ratio.metric.endswith("_ns"):
        metric = ratio.metric.removesuffix("_ns") + "_ms"
        return [metric, milliseconds(ratio.first), milliseconds(ratio.second)]
    return [ratio.metric, f"{ratio.first:,.6g}", f"{ratio.second:,.6g}"]
