"""replbench explore: random schedules of faults over the simulation, until one breaks a rule."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from bench.cli.arguments import (
    GOOD,
    INTERRUPTED,
    INVALID,
    Engines,
    Out,
    Whole,
    reported,
    require_writable,
    scenario_argument,
    settings_option,
)
from bench.cli.pool import Failed, default_jobs, each_done
from bench.cli.progress import Bar
from bench.scenario import Place, ScenarioError, given_table
from bench.scenario.units import counted

if TYPE_CHECKING:
    from bench.exploration import Outcome

AT_ONCE = 10  # seeds that a worker is given
EVERY_S = 10.0  # between lines of progress where nobody sees a bar
FOLDER = Path("results") / "local"
EXPLORED = ("raft", "paxos", "zab")


class Seeds(click.ParamType[range]):
    """A:B, the seeds from A up to but not including B; A alone is one."""

    name = "seeds"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> range:
        if isinstance(value, range):
            return value
        first, colon, stop = str(value).partition(":")
        try:
            found = range(int(first), int(stop) if colon else int(first) + 1)
        except ValueError:
            found = range(0)
        if not found or found.start < 0:
            self.fail(f'"{value}" is no range of seeds; write A:B, such as 0:1000 for the first thousand', parameter, context)
        return found


class Share(msgspec.Struct, frozen=True):
    """What a worker is given: seeds of one engine, and what their schedules keep."""

    engine: str
    seeds: tuple[int, ...]
    given: dict[str, Any]
    place: Place


def perform(share: Share) -> list[Outcome]:
    """Explore a share; called in a worker."""
    from bench.exploration import explore_one

    return [explore_one(share.engine, seed, share.given, place=share.place) for seed in share.seeds]


@click.command(short_help="Look for bugs with random schedules of faults.")
@scenario_argument
@click.option("--seeds", type=Seeds(), required=True, metavar="A:B", help="From A up to but not including B.")
@click.option("--engine", "engines", type=Engines(), metavar="NAME[,NAME...]", help="By default raft, paxos and zab.")
@settings_option
@click.option("--jobs", type=Whole(1, 256), help="Worker processes; by default one a processor.")
@click.option("--shrink/--no-shrink", default=True, help="Make the first failing schedule of each engine small (as by default).")
@click.option("--out", type=Out(), help="The folder for shrunk schedules; by default results/local.")
@click.pass_context
def explore(
    context: click.Context,
    /,
    *,
    scenario: str,
    seeds: range,
    engines: tuple[str, ...] | None,
    settings: tuple[str, ...],
    jobs: int | None,
    shrink: bool,
    out: Path | None,
) -> None:
    """Simulate one random schedule for each seed: what SCENARIO says is kept, and what it leaves out is drawn from the seed:
    cluster, network, disks, limits, load, and faults in phases, each followed by a calm one in which commands must be decided.

    \b
    replbench explore any --seeds 0:1000
    replbench explore any --seeds 0:1000 --engine raft --set replicas=5 --set network.transport=datagram
    replbench explore mine.toml --seeds 17

    All watchers look on, and every history is checked. A broken rule is told with the line that replays it, and made small: a
    scenario that fails by itself. What should have happened and never did is named. The same seeds give the same answer for any
    --jobs. Exit 3 where a rule was broken, 130 after Ctrl-C (what is known is printed).
    """
    with reported():
        given, place = given_table(scenario, settings, engines)
        if "sweep" in given:
            raise ScenarioError(f"{place.source}: sweep: has many points, and a schedule one; remove it")
    chosen = engines or tuple(name for name in EXPLORED if name in given.get("engine", EXPLORED))
    for name in chosen:
        if name not in EXPLORED:
            raise click.ClickException(f"{name} has nothing to explore; choose from: {', '.join(EXPLORED)}")
    if shrink:
        require_writable("--out", out or FOLDER, "name another folder for shrunk schedules, or give --no-shrink")
    outcomes, interrupted = _campaign(chosen, seeds, given, place, jobs or default_jobs())
    _report(chosen, outcomes, given.get("workload", {}).get("kind") == "locks")
    failed = [outcome for outcome in outcomes if outcome.violations]
    line = " ".join(["replbench replay", shlex.quote(scenario), *(f"--set {shlex.quote(each)}" for each in settings)])
    for outcome in failed:
        click.echo(f"{outcome.engine} seed {outcome.seed}: {'; '.join(outcome.violations)}")
        click.echo(f"    replay: {line} --explored {outcome.engine}:{outcome.seed} --trace")
    if shrink and not interrupted:
        firsts = {outcome.engine: outcome for outcome in reversed(failed)}
        for name in chosen:
            if name in firsts:
                _shrunk(firsts[name], given, place, out or FOLDER)
    context.exit(INTERRUPTED if interrupted else INVALID if failed else GOOD)


def _campaign(
    engines: tuple[str, ...], seeds: range, given: dict[str, Any], place: Place, jobs: int
) -> tuple[list[Outcome], bool]:
    """Outcomes in the order of engines and seeds, and whether Ctrl-C cut them short."""
    parts = [tuple(seeds[start : start + AT_ONCE]) for start in range(0, len(seeds), AT_ONCE)]
    shares = [Share(engine, part, given, place) for engine in engines for part in parts]
    found: dict[int, list[Outcome]] = {}
    interrupted = False
    with Bar(len(seeds) * len(engines), quiet=False) as bar:
        progress = _Progress(len(seeds) * len(engines), bar)
        try:
            for index, outcomes in each_done(perform, shares, jobs, bar.look):
                found[index] = outcomes
                progress.add(outcomes)
        except KeyboardInterrupt:
            interrupted = True
            click.echo("replbench: interrupted; this is what is known", err=True)
        except Failed as failed:
            if isinstance(failed.error, ScenarioError):
                raise click.ClickException(str(failed.error)) from None
            raise
    return [outcome for index in sorted(found) for outcome in found[index]], interrupted


class _Progress:
    """Says on standard error how far it is: a bar where somebody looks, else a line now and then."""

    def __init__(self, total: int, bar: Bar) -> None:
        self.total = total
        self.bar = bar
        self.done = self.failed = 0
        self.simulated_ns = 0
        self.began_s = self.told_s = time.monotonic()

    def add(self, outcomes: list[Outcome]) -> None:
        """These are done."""
        self.done += len(outcomes)
        self.failed += sum(bool(outcome.violations) for outcome in outcomes)
        self.simulated_ns += sum(outcome.simulated_ns for outcome in outcomes)
        self.bar.advance(len(outcomes))
        now_s = time.monotonic()
        if not sys.stderr.isatty() and now_s - self.told_s >= EVERY_S:
            self.told_s = now_s
            left_s = (now_s - self.began_s) * (self.total - self.done) / self.done
            click.echo(
                f"{self.done} of {counted(self.total, 'schedule')}, {self.failed} with a broken rule, "
                f"{self.simulated_ns / 1e9:.0f} s simulated, {left_s:.0f} s left",
                err=True,
            )


def _report(engines: tuple[str, ...], outcomes: list[Outcome], locks: bool) -> None:
    """What was tried of each engine, how often each thing happened, and what never did."""
    from bench.exploration.coverage import expected

    counts: dict[str, Counter[str]] = {engine: Counter() for engine in engines}
    for outcome in outcomes:
        counts[outcome.engine].update(outcome.coverage)
    for engine in engines:
        mine = [outcome for outcome in outcomes if outcome.engine == engine]
        broken = sum(bool(outcome.violations) for outcome in mine)
        seconds = sum(outcome.simulated_ns for outcome in mine) / 1e9
        operations = sum(sum(outcome.operations) for outcome in mine)
        tried = f"{counted(len(mine), 'schedule')}, {seconds:.0f} s, {counted(operations, 'operation')}"
        click.echo(f"{engine}: {tried}, {broken} with a broken rule")
    names = list(dict.fromkeys(name for engine in engines for name in expected(engine, locks)))
    width = max(len(name) for name in names)
    click.echo(" " * width + "".join(f"{engine:>12}" for engine in engines))
    for name in names:
        cells = [str(counts[engine][name]) if name in expected(engine, locks) else "-" for engine in engines]
        click.echo(f"{name:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    for engine in engines:
        missing = [name for name in expected(engine, locks) if not counts[engine][name]]
        if missing:
            click.echo(f"{engine}: never happened: {'; '.join(missing)}")


def _shrunk(outcome: Outcome, given: dict[str, Any], place: Place, folder: Path) -> None:
    from bench.exploration import draw, play
    from bench.exploration.shrinking import shrink
    from bench.scenario.toml import brief_toml

    engine, rule = outcome.engine, outcome.rule
    click.echo(f"shrinking {engine} seed {outcome.seed} ...", err=True)

    def fails(scenario: Any) -> bool:
        return any(each.startswith(f"{rule}:") for each in play(scenario, engine, scenario.seed).violations)

    small = shrink(draw(engine, outcome.seed, given, place), fails)
    told = next(each for each in play(small, engine, small.seed).violations if each.startswith(f"{rule}:"))
    path = folder / f"explored-{engine}-{outcome.seed}.toml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {told}\n# Shrunk from: replbench explore, {engine}, seed {outcome.seed}.\n" + brief_toml(small))
    except OSError as error:
        raise click.ClickException(
            f"{path} cannot be written: {error.strerror or error}; name another folder with --out"
        ) from None
    size = f"{counted(small.replicas, 'replica')}, {counted(len(small.faults), 'fault')}, {small.end_ns / 1e9:g} s"
    click.echo(f"{path}: {size}: {told}")
    click.echo(f"    replay: replbench replay {shlex.quote(str(path))} --trace")
