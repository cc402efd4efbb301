"""replbench run: every engine at every point of a scenario, into one result."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from bench.cli.arguments import (
    BAD_INPUT,
    INTERRUPTED,
    INVALID,
    Engines,
    OneOf,
    Out,
    Whole,
    json_option,
    reported,
    reported_results,
    reported_values,
    require_writable,
    scenario_argument,
    settings_option,
)
from bench.cli.pool import Failed, default_jobs, each_done, undisturbed
from bench.cli.progress import Bar
from bench.scenario import WORLDS, Scenario, Suite, advice, load_suite, read_peers

if TYPE_CHECKING:
    from bench.driver.stations import Hosts
    from bench.metrics.result import PointSummary, ResultWriter

RESULTS = Path("results") / "local"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One trial to run: what a worker is told. ``folder`` is where the result is being made."""

    index: int
    folder: Path
    part: str
    scenario: Scenario
    engine: str
    axes: dict[str, Any]
    seed: int
    trial: int
    hosts: Hosts | None = None

    @property
    def weight(self) -> float:
        """About how long it takes compared with others: operations, times the replicas that hear of each."""
        if self.scenario.world == "processes":
            return self.scenario.end_ns / 1e9
        arrivals = self.scenario.workload.arrivals
        per_s = arrivals.rate_per_s if arrivals.kind == "open" else 50.0 * arrivals.clients
        return (per_s * self.scenario.end_ns / 1e9 + 1000) * (self.scenario.replicas + 1)

    def __str__(self) -> str:
        point = ", ".join(f"{axis} = {value}" for axis, value in self.axes.items())
        return f"{self.part}: {self.engine}{' at ' + point if point else ''}, seed {self.seed}"


def tasks_of(suite: Suite, folder: Path, hosts: Hosts | None = None) -> list[Task]:
    """Every trial of a suite in the order of its result: part, engine, point, world, trial; each trial has the
    next seed. Where ``hosts`` are given, their replicas are driven.
    """
    found: list[Task] = []
    for part in suite.parts:
        points = [(axes, world) for axes, point in part.points() for world in point.worlds()]
        for engine in part.engine:
            for axes, point in points:
                for trial in range(point.trials):
                    found.append(
                        Task(
                            index=len(found),
                            folder=folder,
                            part=part.name,
                            scenario=point,
                            engine=engine,
                            axes=axes,
                            seed=point.seed + trial,
                            trial=trial,
                            hosts=hosts,
                        )
                    )
    return found


def in_turns(tasks: list[Task]) -> list[Task]:
    """In the order in which processes are to run: engines by turns, so that a machine that changes favours none."""
    first: dict[tuple[str, ...], int] = {}
    for task in tasks:
        first.setdefault((task.part,), task.index)
        first.setdefault((task.part, str(task.axes)), task.index)
    return sorted(
        tasks,
        key=lambda task: (first[task.part,], task.trial, first[task.part, str(task.axes)], task.index),
    )


def perform(task: Task) -> PointSummary:
    """Run a trial and write its files; called in a worker, but for processes."""
    from bench.metrics.result import write_point

    if task.scenario.world == "processes":
        from bench.driver.processes import run_processes

        trial = run_processes(
            task.scenario, task.engine, task.axes, task.seed, task.trial, task.folder, task.hosts
        )
    else:
        from bench.driver.trials import run_trial

        trial = run_trial(task.scenario, task.engine, task.axes, task.seed, task.trial)
    return write_point(task.folder, task.index, trial, task.part)


@click.command(short_help="Run a scenario and write a result.")
@scenario_argument
@click.option(
    "--engine", type=Engines(), metavar="NAME[,NAME...]", help="Engines to run, instead of the scenario's."
)
@click.option("--world", type=OneOf(WORLDS), metavar="WORLD", help="simulation, processes (real ones, on this machine) or both.")
@click.option(
    "--costs",
    metavar="NAME|FILE",
    help="A cost profile for simulations (see calibrate); for both worlds it is made first where none is given.",
)
@click.option("--seed", type=Whole(0), help="Of all randomness: same seed and code, same bytes.")
@click.option("--trials", type=Whole(1, 1000), help="Repetitions of each point, each with the next seed.")
@settings_option
@click.option(
    "--out",
    type=Out(),
    help="The folder to make; by default a fresh one in results/local.",
)
@click.option(
    "--cluster", type=click.Path(path_type=Path), help="Drive the replicas in this file (TOML), which `replbench serve` runs."
)
@click.option("--secret", type=click.Path(path_type=Path), help="With --cluster: the file of the secret that its hosts know.")
@click.option("--jobs", type=Whole(1, 256), help="Worker processes; by default one a processor.")
@click.option("--plots/--no-plots", default=True, help="Draw the figures into plots/ of the result (as by default).")
@click.option("--quiet", is_flag=True, help="No progress and no table: only the path of the result.")
@json_option
@click.pass_context
def run(
    context: click.Context,
    /,
    *,
    scenario: str,
    settings: tuple[str, ...],
    out: Path | None,
    cluster: Path | None,
    secret: Path | None,
    jobs: int | None,
    plots: bool,
    quiet: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Run SCENARIO, a built-in name or a TOML file, and write a result.

    \b
    replbench run quick
    replbench run lan-3 --engine raft --set workload.arrivals.rate=20000
    replbench run wan-5 --set 'workload.clients_in="eu-west-1"' --out results/local/europe
    replbench run my-scenario.toml --trials 5 --seed 7
    replbench run lan-3 --world processes --trials 3
    replbench run both-3 --costs results/local/costs.toml
    replbench run lan-3 --cluster peers.toml --secret secret

    The table ends with the path of the result, for `replbench plot`, `show`, `compare` and `replay`. Exit 3
    where a point is invalid, 130 after Ctrl-C (finished points are kept, and the result says that it is
    incomplete).
    """
    if cluster is not None and fields["world"] is None:
        fields["world"] = "processes"
    given = {name: value for name, value in fields.items() if value is not None}
    if str(given.get("costs", "")).endswith(".toml"):
        given["costs"] = str(Path(given["costs"]).resolve())
    with reported():
        suite = load_suite(scenario, settings, **given)
        if out is not None:
            require_writable("--out", out, "name another folder")
        hosts = _prepared(suite, cluster, secret)
        if any(part.world == "both" and part.costs is None for part in suite.parts):
            suite = load_suite(scenario, settings, **given, costs=_calibrated(quiet or as_json))
    for line in dict.fromkeys(f"{name}: {line}" for name, _, point in suite.points() for line in advice(point)):
        click.echo(f"replbench: {line}", err=True)
    with reported_results():
        context.exit(_run(suite, out, jobs or default_jobs(), hosts, plots=plots, quiet=quiet, as_json=as_json))


def _calibrated(quiet: bool) -> str:
    """The path of a cost profile of this machine, made now."""
    from bench.cli.calibrate import PROFILE, unwritable, write_profile

    refused = unwritable(PROFILE)
    if refused:
        raise click.ClickException(refused)
    click.echo(f"replbench: no cost profile is given, so this machine is measured first, into {PROFILE}", err=True)
    write_profile(PROFILE, quiet)
    return str(PROFILE.resolve())


def _prepared(suite: Suite, cluster: Path | None, secret: Path | None) -> Hosts | None:
    """What real processes need is seen to before anything is made; the hosts to drive, where there are any."""
    points = [point for _, _, point in suite.points() if point.world != "simulation"]
    if (cluster is None) != (secret is None):
        raise click.UsageError("--cluster and --secret go together; give both")
    if cluster is not None and not all(point.world == "processes" for _, _, point in suite.points()):
        raise click.UsageError('--cluster drives processes; leave --world out, or set it to "processes"')
    if not points:
        return None
    from bench.driver import descriptors

    with reported(), reported_values():
        descriptors.require(max(point.replicas for point in points))
        if cluster is None or secret is None:
            return None
        import asyncio

        from bench.driver.private import read_secret
        from bench.driver.stations import Hosts, require_ready

        hosts = Hosts(read_peers(cluster).addresses(), read_secret(secret))
        asyncio.run(require_ready(hosts, points))
        return hosts


def _run(
    suite: Suite, out: Path | None, jobs: int, hosts: Hosts | None, *, plots: bool, quiet: bool, as_json: bool
) -> int:
    from bench.metrics.result import ResultWriter

    target = out or fresh_folder(suite.name)
    code = 0
    with ResultWriter(target, suite.name, {part.name: part.resolved() for part in suite.parts}) as writer:
        try:
            tasks = tasks_of(suite, writer.folder, hosts)
            if any(task.scenario.world == "processes" for task in tasks):
                # Trials side by side would measure each other.
                tasks, jobs = in_turns(tasks), 1
            _gather(tasks, writer, jobs, quiet or as_json)
        except KeyboardInterrupt:
            code = INTERRUPTED
        except _BrokenError as broken:
            click.echo(f"replbench: {broken}", err=True)
            code = INVALID
        with undisturbed():
            path = writer.finish(incomplete=code != 0)
        if code == INTERRUPTED:
            kept = "nothing was finished, and nothing written"
            if path is not None:
                kept = "finished points are kept" + (f", and `replbench plot {path}` draws their figures" if plots else "")
            click.echo(f"replbench: interrupted; {kept}", err=True)
        rows = [writer.summaries[index] for index in sorted(writer.summaries)]
    if plots and path is not None and code != INTERRUPTED:
        from bench.cli.plot import draw

        try:
            draw((path,), (), path / "plots")
        except click.ClickException as refused:
            click.echo(f"replbench: no figures: {refused.format_message()}", err=True)
            code = BAD_INPUT
        except KeyboardInterrupt:
            click.echo(f"replbench: interrupted; the result is whole, and `replbench plot {path}` draws its figures", err=True)
            code = INTERRUPTED
    _warn_if_pure()
    report(rows, path, quiet, as_json)
    return code or (INVALID if any(row.point.verdict == "invalid" for row in rows) else 0)


class _BrokenError(Exception):
    """A trial ended with an error of the program; what is finished is kept."""


def _gather(tasks: list[Task], writer: ResultWriter, jobs: int, quiet: bool) -> None:
    from bench.metrics.result import ResultError

    with Bar(sum(task.weight for task in tasks), quiet) as bar:
        try:
            for index, summary in each_done(perform, tasks, jobs, bar.look):
                with undisturbed():
                    writer.add(summary)
                bar.advance(tasks[index].weight)
        except Failed as failed:
            error = failed.error
            # What an engine refuses at its construction, such as quorums that do not intersect, is the user's
            # to mend.
            if isinstance(error, ResultError):
                raise error from None
            if isinstance(error, ValueError):
                raise click.ClickException(f"{tasks[failed.index]}: {error}") from error
            said = str(error) if type(error).__name__ == "ProcessError" else f"{type(error).__name__}: {error}"
            raise _BrokenError(f"{tasks[failed.index]}: {said}") from error


def fresh_folder(name: str) -> Path:
    """A folder under results/local that is not there yet, nor in the making."""
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        candidate = RESULTS / (stem + suffix)
        if not candidate.exists() and not list(RESULTS.glob(f".{candidate.name}.*")):
            return candidate
    raise click.ClickException(f"{RESULTS} has no room for another {stem}; name a folder with --out")


def report(rows: list[PointSummary], path: Path | None, quiet: bool, as_json: bool) -> None:
    """The table, what is wrong with which point, and the path of the result last."""
    from bench.cli.tables import print_errors, print_locks, print_points
    from bench.metrics.outage import outages
    from bench.metrics.prediction import errors
    from bench.metrics.result import tabulated
    from bench.metrics.service import services

    table = [{**values, **row.point.axes} for values, row in zip(tabulated(rows), rows, strict=True)]
    axes = list(dict.fromkeys(axis for row in rows for axis in row.point.axes))
    wrong = errors(table, axes)
    told = list(zip(table, (row.point for row in rows), strict=True))
    held, gone = services(told), outages(told)
    if as_json:
        found: dict[str, Any] = {"points": table, "result": None if path is None else str(path)}
        added = {"prediction": wrong, "locks": held, "failovers": gone}
        found |= {name: msgspec.to_builtins(said) for name, said in added.items() if said}
        click.echo(json.dumps(found, indent=1))
        return
    if table and not quiet:
        print_points(table, axes)
        print_errors(wrong)
    for row in rows:
        if row.point.verdict == "invalid":
            where = ", ".join(f"{axis} = {value}" for axis, value in row.point.axes.items())
            for reason in row.point.reasons:
                click.echo(f"invalid: {row.point.engine} {where}: {reason}", err=True)
    for line in _suspects(rows):
        click.echo(f"suspect: {line}; `replbench show {path}` has the reasons in full", err=True)
    if not quiet:
        print_locks(held, gone)
    if path is not None and not quiet and any((path / "plots").iterdir()):
        click.echo(f"figures: {path / 'plots'}")
    if path is not None:
        click.echo(str(path))


def _suspects(rows: list[PointSummary]) -> list[str]:
    """A line for each reason to doubt points, with how many points it concerns; their numbers left out."""
    found: dict[str, tuple[str, int]] = {}
    for row in rows:
        if row.point.verdict == "suspect":
            alike = {re.sub(r"[0-9][0-9.,]*", "#", reason): reason for reason in reversed(row.point.reasons)}
            for words, reason in alike.items():
                first, count = found.get(words, (reason, 0))
                found[words] = (first, count + 1)
    return [
        (f"{count} points, one of them: " if count > 1 else "1 point: ") + reason.rstrip(".")
        for reason, count in found.values()
    ]


def _warn_if_pure() -> None:
    from ext import build

    if not build.compiled():
        click.echo(
            "replbench: this was pure Python, many times slower than compiled: run `make build`", err=True
        )
