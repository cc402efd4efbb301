"""replbench replay: run one point of a result once more, and say whether it comes out the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.arguments import (
    json_option,
    reported_either,
    reported_results,
    result_or_scenario_argument,
    settings_option,
)
from bench.cli.run import Task, tasks_of
from bench.scenario import Place, Suite, load_suite, read_scenario

if TYPE_CHECKING:
    from bench.metrics.result import Result
    from bench.metrics.trial import Trial


@click.command(short_help="Run one point again; trace it.")
@result_or_scenario_argument
@settings_option
@click.option(
    "--point",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Which run: the column point of points.csv.",
)
@click.option("--seed", type=int, help="Instead of the scenario's; not for a result, which has its own.")
@click.option("--trace", is_flag=True, help="Print every event of every replica on standard output.")
@json_option
@click.pass_context
def replay(
    context: click.Context,
    /,
    *,
    scenario: str,
    settings: tuple[str, ...],
    point: int,
    seed: int | None,
    trace: bool,
    as_json: bool,
) -> None:
    """Run one point of a result (a folder) or of a SCENARIO again, in this process; nothing is written.

    \b
    replbench replay results/local/quick-20240601-101500 --point 7
    replbench replay leader-crash --seed 12 --trace | less

    A result's point must come out the same, number for number: exit 1 where it does not (another version of
    the code?), 3 where it is invalid.
    """
    if Path(scenario).is_dir():
        if settings or seed is not None:
            raise click.ClickException(
                f"{scenario} is a result, with its own seed and settings; leave --seed and --set out"
            )
        recorded, task = _of_result(Path(scenario), point)
    else:
        with reported_either(scenario):
            suite = load_suite(scenario, settings, **({} if seed is None else {"seed": seed}))
        recorded, task = None, _of_suite(suite, point)
    if task.scenario.world == "processes":
        raise click.ClickException(f"{task} ran in processes; only a simulation can be replayed")
    row = _perform(task, trace)
    if as_json:
        click.echo(json.dumps(row, indent=1))
    elif not trace:
        from bench.cli.tables import print_points

        print_points([row], list(task.axes))
    context.exit(_judge(row, recorded))


def _of_suite(suite: Suite, point: int) -> Task:
    tasks = tasks_of(suite, Path())
    if point >= len(tasks):
        raise click.ClickException(
            f"--point: {suite.name} has points 0 to {len(tasks) - 1}; give one of them"
        )
    return tasks[point]


def _of_result(path: Path, point: int) -> tuple[dict[str, Any], Task]:
    """The recorded row of a point, and the task that made it."""
    with reported_results():
        from bench.metrics.result import load

        result: Result = load(path)
        if point not in result.records:
            raise click.ClickException(
                f"--point: {path} has points {', '.join(map(str, result.records))}; give one of them"
            )
        record = result.records[point]
        part = read_scenario(result.scenarios[record.scenario], Place(f"{path}/result.json", path))
    found = [scenario for axes, scenario in part.points() if axes == record.axes]
    if not found:
        raise click.ClickException(
            f"{path}/result.json: point {point} is not in the sweep of {part.name}; the file was changed"
        )
    task = Task(
        index=point, folder=Path(), part=part.name, scenario=found[0], engine=record.engine,
        axes=record.axes, seed=record.seed, trial=record.trial,
    )  # fmt: skip
    recorded = json.loads(result.points.to_json(orient="records", double_precision=15))
    return next(row for row in recorded if row["point"] == point), task


def _perform(task: Task, trace: bool) -> dict[str, Any]:
    from bench.checkers.verdict import verdict
    from bench.driver.trials import run_trial
    from bench.metrics.summary import summarise

    if trace:
        trial = _traced(task)
    else:
        trial = run_trial(task.scenario, task.engine, task.axes, task.seed, task.trial)
    row = summarise(trial)
    row["verdict"], reasons = verdict(trial, row)
    click.echo(str(task), err=True)
    for reason in reasons:
        click.echo(f"{row['verdict']}: {reason}", err=True)
    return {**row, "scenario": task.part, **task.axes}


def _traced(task: Task) -> Trial:
    from bench.driver.trials import TrialRun

    run = TrialRun(task.scenario, task.engine, task.seed)

    def show(event: str, node: Any, detail: Any) -> None:
        click.echo(
            f"{run.simulation.now / 1e6:14.6f} ms  {node.id:>2}  {event:<10} "
            f" {'' if detail is None else detail}"
        )

    run.simulation.trace = show
    run.perform()
    return run.trial(task.axes, task.trial)


def _judge(row: dict[str, Any], recorded: dict[str, Any] | None) -> int:
    """3 where the run is invalid, 1 where it differs from the record, else 0."""
    if recorded is not None:
        from bench.cli.tables import absent

        different = [
            name
            for name, value in row.items()
            if name in recorded
            and not (absent(value) and absent(recorded[name]))
            and not _same(value, recorded[name])
        ]
        for name in different:
            click.echo(f"different: {name} was {recorded[name]}, and is {row[name]}", err=True)
        click.echo("not the same as recorded" if different else "the same as recorded", err=True)
        if different:
            return 1
    return 3 if row["verdict"] == "invalid" else 0


def _same(value: Any, other: Any) -> bool:
    """Equal, but for what a float loses on its way through a file."""
    if isinstance(value, float) and isinstance(other, int | float):
        return abs(value - other) <= 1e-9 * max(abs(value), abs(other))
    return bool(value == other)
