"""replbench replay: run one point of a result once more, and say whether it comes out the same."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.arguments import (
    Out,
    Whole,
    json_option,
    reported,
    reported_either,
    reported_results,
    require_writable,
    result_or_scenario_argument,
    settings_option,
)
from bench.cli.run import Task, tasks_of
from bench.scenario import Place, Suite, given_table, load_suite, read_scenario
from bench.scenario.units import duration_ns

if TYPE_CHECKING:
    from bench.metrics.conversation import Conversation
    from bench.metrics.result import PointSummary, Result
    from bench.metrics.trial import Trial

FOREVER = 2**63 - 1


@click.command(short_help="Run one point again; trace it.")
@result_or_scenario_argument
@settings_option
@click.option(
    "--point",
    type=Whole(0),
    help="Which run: the column point of points.csv; by default the first.",
)
@click.option("--seed", type=Whole(0), help="Instead of the scenario's; not for a result, which has its own.")
@click.option(
    "--explored",
    metavar="ENGINE:SEED",
    help="The schedule that `replbench explore` draws of SCENARIO for this engine and seed.",
)
@click.option("--trace", is_flag=True, help="Print every event of every replica on standard output.")
@click.option("--plot", type=Out(), metavar="FILE", help="Draw who sent what to whom: a .svg, a .png, or a name for both.")
@click.option("--from", "begin", metavar="TIME", help='Trace and draw from here on, such as "2.5s".')
@click.option("--to", "end", metavar="TIME", help="Trace and draw up to here.")
@json_option
@click.pass_context
def replay(
    context: click.Context,
    /,
    *,
    scenario: str,
    settings: tuple[str, ...],
    point: int | None,
    seed: int | None,
    explored: str | None,
    trace: bool,
    plot: Path | None,
    begin: str | None,
    end: str | None,
    as_json: bool,
) -> None:
    """Run one point of a result (a folder) or of a SCENARIO again, in this process; nothing is written.

    \b
    replbench replay results/local/quick-20240601-101500 --point 7
    replbench replay leader-crash --seed 12 --trace | less
    replbench replay leader-crash --plot crash --from 11.36s --to 11.38s
    replbench replay any --explored raft:17 --trace

    A result's point must come out the same, number for number, and its histories byte for byte where the result has them: exit 1
    where it does not (another version of the code?), 3 where it is invalid.
    """
    if (begin or end) and not (trace or plot):
        raise click.ClickException("--from and --to bound what is traced or drawn; add --trace, or --plot FILE")
    if plot is not None:
        _require_place(plot)
    span_ns = _span(begin, end)
    if Path(scenario).is_dir():
        if settings or seed is not None or explored is not None:
            raise click.ClickException(
                f"{scenario} is a result, with its own seed and settings; leave --seed, --set and --explored out"
            )
        recorded, task = _of_result(Path(scenario), point)
    elif explored is not None:
        recorded, task = None, _of_schedule(scenario, settings, explored)
    else:
        with reported_either(scenario):
            suite = load_suite(scenario, settings, **({} if seed is None else {"seed": seed}))
        recorded, task = None, _of_suite(suite, point)
    if task.scenario.world == "processes":
        raise click.ClickException(f"{task} ran in processes; only a simulation can be replayed")
    trial = _traced(task, trace, plot, span_ns) if trace or plot else _run_again(task)
    with tempfile.TemporaryDirectory(prefix="replbench-replay.") as aside:
        summary = _summarised(task, trial, Path(aside))
        different = None if recorded is None else list(_differences(summary, Path(aside), recorded, Path(scenario)))
    row = {**summary.row, "scenario": task.part, **task.axes}
    if as_json:
        click.echo(json.dumps(row, indent=1))
    elif not trace:
        from bench.cli.tables import print_locks, print_points
        from bench.metrics.outage import outages
        from bench.metrics.service import services

        print_points([row], list(task.axes))
        told = [(row, summary.point)]
        print_locks(services(told), outages(told))
    context.exit(_judge(summary, different))


def _chosen(point: int | None, points: Sequence[int], where: str) -> int:
    """The point, or the first of them, and then it is said which that is."""
    if not points:
        raise click.ClickException(f"{where} has no points; name a result that has some")
    if point is None:
        if len(points) > 1:
            said = f"{where} has {len(points)} points, and this is point {points[0]}; --point names another"
            click.echo(f"replbench: {said}", err=True)
        return points[0]
    if point not in points:
        said = f"{points[0]} to {points[-1]}" if len(points) == points[-1] - points[0] + 1 else ", ".join(map(str, points))
        raise click.ClickException(f"--point: {where} has points {said}; give one of them")
    return point


def _of_suite(suite: Suite, point: int | None) -> Task:
    tasks = tasks_of(suite, Path())
    return tasks[_chosen(point, range(len(tasks)), suite.name)]


def _of_result(path: Path, given: int | None) -> tuple[dict[str, Any], Task]:
    """The recorded row of a point, and the task that made it."""
    with reported_results():
        from bench.metrics.result import load

        result: Result = load(path)
        point = _chosen(given, list(result.records), str(path))
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


def _of_schedule(scenario: str, settings: tuple[str, ...], explored: str) -> Task:
    """The trial that exploring this scenario makes of an engine and a seed."""
    from bench.cli.explore import EXPLORED

    engine, _, number = explored.partition(":")
    if engine not in EXPLORED or not number.isdecimal():
        raise click.ClickException(f'--explored: "{explored}" is not ENGINE:SEED, such as raft:17; as explore printed it')
    from bench.exploration import draw

    with reported():
        given, place = given_table(scenario, settings, (engine,))
        drawn = draw(engine, int(number), given, place)
    return Task(
        index=0, folder=Path(), part=drawn.name, scenario=drawn, engine=engine, axes={}, seed=drawn.seed, trial=0
    )  # fmt: skip


def _span(begin: str | None, end: str | None) -> tuple[int, int]:
    """From --from to --to, in ns; from the start to the end of the run where they are not given."""
    moments = []
    for option, text, default in (("--from", begin, 0), ("--to", end, FOREVER)):
        try:
            moments.append(default if text is None else duration_ns(text))
        except ValueError as error:
            raise click.ClickException(f"{option}: {error}") from None
    if moments[0] >= moments[1]:
        raise click.ClickException("--to: is not after --from; give a later time")
    return moments[0], moments[1]


def _require_place(plot: Path) -> None:
    """It is refused before the run what could not be drawn after it."""
    if plot.suffix not in ("", ".svg", ".png"):
        raise click.ClickException(f"--plot: {plot} is no kind of file that is drawn; end it in .svg or .png, or leave that out")
    if not plot.absolute().parent.is_dir():
        raise click.ClickException(f"--plot: {plot} cannot be made: {plot.parent} is no folder; make it, or name another file")
    require_writable("--plot", plot, "name another file")


def _run_again(task: Task) -> Trial:
    from bench.driver.trials import run_trial

    return run_trial(task.scenario, task.engine, task.axes, task.seed, task.trial)


def _summarised(task: Task, trial: Trial, aside: Path) -> PointSummary:
    """What the trial says, with its files in a folder aside; what it is and why it is not valid goes to standard error."""
    from bench.metrics.result import write_point

    summary = write_point(aside, task.index, trial, task.part)
    click.echo(str(task), err=True)
    for reason in summary.point.reasons:
        click.echo(f"{summary.point.verdict}: {reason}", err=True)
    return summary


def _differences(summary: PointSummary, aside: Path, recorded: dict[str, Any], result: Path) -> Iterator[str]:
    """Where this is not what the result recorded: in a number, or in a file that the result still has."""
    from bench.cli.tables import absent
    from bench.metrics.result import files_of

    for name, value in summary.row.items():
        if name in recorded and not (absent(value) and absent(recorded[name])) and not _same(value, recorded[name]):
            yield f"{name} was {recorded[name]}, and is {value}"
    for name in files_of(summary.point):
        if (result / name).exists() and (result / name).read_bytes() != (aside / name).read_bytes():
            yield f"{name} has other bytes"


def _traced(task: Task, trace: bool, plot: Path | None, span_ns: tuple[int, int]) -> Trial:
    from bench.driver.trials import TrialRun
    from bench.metrics.conversation import HEADER, Conversation

    run = TrialRun(task.scenario, task.engine, task.seed)
    show = (lambda line: click.echo(str(line))) if trace else None
    conversation = Conversation(lambda: int(run.simulation.now), show, *span_ns)
    if trace:
        click.echo(HEADER)
    run.simulation.trace = conversation.watch
    run.perform()
    conversation.finish()
    if plot is not None:
        _draw(conversation, task, plot, (span_ns[0], min(span_ns[1], run.simulation.now)))
    return run.trial(task.axes, task.trial)


def _draw(conversation: Conversation, task: Task, plot: Path, span_ns: tuple[int, int]) -> None:
    from bench.plots.messages import render

    try:
        made = render(conversation, task.scenario.replicas, span_ns, str(task), plot)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{plot} cannot be written: {error.strerror or error}; name another file") from None
    for path in made:
        click.echo(str(path), err=True)


def _judge(summary: PointSummary, different: list[str] | None) -> int:
    """3 where the run is invalid, 1 where it differs from the record, else 0."""
    if different is not None:
        for line in different:
            click.echo(f"different: {line}", err=True)
        click.echo("not the same as recorded" if different else "the same as recorded", err=True)
    return 1 if different else 3 if summary.point.verdict == "invalid" else 0


def _same(value: Any, other: Any) -> bool:
    """Equal, but for what a float loses on its way through a file."""
    if isinstance(value, float) and isinstance(other, int | float):
        return abs(value - other) <= 1e-9 * max(abs(value), abs(other))
    return bool(value == other)
