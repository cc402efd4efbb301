"""replbench check: whether a history is linearizable, and if not, why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.arguments import OneOf, json_option, unwritable
from bench.scenario.units import counted

if TYPE_CHECKING:
    from bench.checkers.counterexample import Counterexample
    from bench.checkers.history import Histories
    from bench.checkers.linearizability import Verdict

# The names of bench.checkers.history.MODELS, here because help does not load the checker; a test compares.
MODELS = ("register", "cas-register", "key-value", "mutex")
CODES = {"linearizable": 0, "not linearizable": 1, "unknown": 3}
EXPLAIN_SECONDS = 10.0
STANDARD_INPUT = "-"


@click.command(short_help="Decide whether a history is linearizable.")
@click.argument("history", type=click.Path(allow_dash=True))
@click.option("--model", type=OneOf(MODELS), required=True, help="What the operations mean; see below.")
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to search, before the answer is unknown.",
)
@json_option
@click.pass_context
def check(context: click.Context, /, *, history: str, model: str, budget: float, as_json: bool) -> None:
    """Decide whether HISTORY is linearizable, each of its keys by itself. HISTORY is a file of JSON lines,
    gzipped or not, such as the history-N.jsonl.gz of a result; - is standard input.

    \b
    replbench check results/local/quick-20240601-101500/history-0.jsonl.gz --model cas-register
    zcat history-*.jsonl.gz | replbench check - --model key-value --budget 300

    \b
    register      read (or get), write (or put)
    cas-register  these, and cas
    key-value     these, and append to strings
    mutex         acquire, release

    Exit code 0: linearizable. 1: not; the smallest part that shows it is written beside the history, as a
    history and as a picture. 3: unknown, the budget (or 1 GiB of memory) was used up. 2: not a history.
    """
    from bench.checkers import history as histories
    from bench.checkers.linearizability import NOT_LINEARIZABLE, Budget
    from bench.checkers.linearizability import check as search

    try:
        operations = histories.read(history, model)
    except histories.HistoryError as error:
        raise click.ClickException(str(error)) from None
    why = unwritable(_beside(history).with_suffix(".svg"))
    if why:
        click.echo(f"{_beside(history)}: should there be something to explain, it cannot be written: {why}", err=True)
    verdict = search(operations, Budget(seconds=budget))
    example: Counterexample | None = None
    made: list[Path] = []
    if verdict.answer == NOT_LINEARIZABLE:
        example, made = _explain(history, operations, verdict)
    name = "standard input" if history == STANDARD_INPUT else history
    if as_json:
        click.echo(json.dumps(_document(name, model, operations, verdict, example, made), indent=1))
    else:
        _print(name, operations, verdict, example, made)
    context.exit(CODES[verdict.answer])


def _explain(history: str, operations: Histories, verdict: Verdict) -> tuple[Counterexample, list[Path]]:
    """Why not, and the files that show it; none where the place of the history cannot be written to."""
    from bench.checkers.counterexample import explain
    from bench.checkers.history import write

    example = explain(verdict.key, operations[verdict.key], EXPLAIN_SECONDS)
    base = _beside(history)
    name = "standard input" if history == STANDARD_INPUT else Path(history).name
    lines = Path(f"{base}.jsonl")
    try:
        write(lines, example.operations)
        from bench.plots.counterexample import render

        return example, [lines, *render(example, name, base)]
    except OSError as error:
        click.echo(f"{error.filename}: the explanation cannot be written: {error.strerror}", err=True)
        return example, []


def _beside(history: str) -> Path:
    """The path of the explanation, without its suffixes; in the current folder for standard input."""
    if history == STANDARD_INPUT:
        return Path("counterexample")
    path = Path(history)
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl")
    return path.with_name(f"{stem}.counterexample")


def _document(
    name: str,
    model: str,
    operations: Histories,
    verdict: Verdict,
    example: Counterexample | None,
    made: list[Path],
) -> dict[str, Any]:
    """What --json prints."""
    document = {
        "history": name,
        "model": model,
        "verdict": verdict.answer,
        "operations": verdict.operations,
        "keys": len(operations),
        "seconds": verdict.seconds,
        "steps": verdict.steps,
        "configurations": verdict.configurations,
        "search_bytes": verdict.nbytes,
        "key": verdict.key,
        "budget": verdict.reason or None,
        "counterexample_lines": None,
        "stuck_line": None,
        "files": [str(path) for path in made],
    }
    if example is not None:
        document["counterexample_lines"] = [operation.line for operation in example.operations]
        document["stuck_line"] = example.stuck.line
    return document


def _print(name: str, operations: Histories, verdict: Verdict, example: Counterexample | None, made: list[Path]) -> None:
    click.echo(f"{name}: {verdict.answer}")
    click.echo(
        f"{counted(verdict.operations, 'operation')} on {counted(len(operations), 'key')}, "
        f"{verdict.seconds:.2f} s, at its peak {counted(verdict.configurations, 'configuration')} "
        f"in {verdict.nbytes / (1 << 20):,.1f} MiB"
    )
    if verdict.reason:
        key = "" if verdict.key is None else f", at key {verdict.key}"
        more = "; a larger --budget may answer" if verdict.reason == "time" else ""
        click.echo(f"out of {verdict.reason}{key}{more}")
    if example is not None:
        _print_example(example)
    for path in made:
        click.echo(str(path))


def _print_example(example: Counterexample) -> None:
    where = "" if example.key is None else f"key {example.key}: "
    smallest = "the smallest part that still fails is" if example.minimal else "still failing are"
    lines = "line" if len(example.operations) == 1 else "lines"
    click.echo(f"{where}{smallest} {len(example.operations)} of {example.of} operations, in {lines} "
               f"{_numbers([operation.line for operation in example.operations])}")  # fmt: skip
    stuck = example.stuck
    times = f"called at {stuck.call_ns:,} ns, returned at {stuck.return_ns:,} ns"
    click.echo(f"line {stuck.line} fits nowhere: the {stuck.op} of client {stuck.client}, {times}")


def _numbers(lines: list[int], most: int = 20) -> str:
    shown = ", ".join(map(str, sorted(lines)[:most]))
    return shown if len(lines) <= most else f"{shown}, ..."
