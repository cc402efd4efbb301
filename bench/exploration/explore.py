"""One schedule: played, watched, and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bench.driver.protocols import USUAL, Parts
from bench.driver.trials import TrialRun
from bench.exploration import coverage
from bench.exploration.observer import Observer
from bench.exploration.schedule import Table, draw
from bench.metrics.summary import outstanding_ns
from bench.metrics.trial import FAILED, OK, UNKNOWN, Trial

if TYPE_CHECKING:
    from bench.driver.node import Node
    from bench.scenario import Place, Scenario

ACCOUNTS, BROKEN = "accounts", "error"
Trace = Callable[[str, "Node", Any], None]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a schedule. ``violations`` say "rule: what happened"; without any it is clean.

    ``coverage``: how often each thing of bench.exploration.coverage happened. ``simulated_ns``: how long the cluster ran.
    ``operations``: by status, as in bench.metrics.trial.
    """

    engine: str
    seed: int
    violations: tuple[str, ...]
    coverage: dict[str, int]
    simulated_ns: int
    operations: tuple[int, int, int] = (0, 0, 0)

    @property
    def rule(self) -> str:
        """The rule that was broken first, or an empty text."""
        return self.violations[0].partition(":")[0] if self.violations else ""


def explore_one(
    engine: str,
    seed: int,
    given: Table | None = None,
    *,
    parts: Parts = USUAL,
    trace: Trace | None = None,
    place: Place | None = None,
) -> Outcome:
    """Draw the schedule of this seed and play it; the same arguments give an equal outcome.

    ``given`` is what the schedule must keep (see ``draw``); ``parts`` are classes in place of the usual engine, state machine,
    host or simulation; ``trace`` is told every event of every replica. ScenarioError as ``draw``.
    """
    return play(draw(engine, seed, given, place), engine, seed, parts=parts, trace=trace)


def play(
    scenario: Scenario, engine: str, seed: int, *, parts: Parts = USUAL, trace: Trace | None = None
) -> Outcome:
    """Run a scenario under watch. Whatever the program raises is a violation, too."""
    observer = Observer(engine, scenario.replicas)
    run = TrialRun(scenario, engine, seed, parts=parts)
    run.simulation.trace = observer.watch if trace is None else _both(observer.watch, trace)
    trial: Trial | None = None
    violations: list[str] = []
    try:
        run.perform()
        trial = run.trial({}, 0)
        violations = [*trial.violations, *_accounts(trial)]
    except Exception as error:
        violations = [*run.simulation.agreement.violations]
        violations.append(f"{BROKEN}: {type(error).__name__}: {error} at {run.simulation.now / 1e9:.6f} s")
    counts = observer.counts + coverage.of_run(run, trial) if trial is not None else Counter(observer.counts)
    return Outcome(
        engine=engine,
        seed=seed,
        violations=tuple(violations),
        coverage={name: counts[name] for name in sorted(counts) if counts[name]},
        simulated_ns=run.simulation.now,
        operations=(0, 0, 0) if trial is None else tuple(np.bincount(trial.operations["status"], minlength=3)[:3].tolist()),
    )


def _both(first: Trace, second: Trace) -> Trace:
    def watch(event: str, node: Node, detail: Any) -> None:
        first(event, node, detail)
        second(event, node, detail)

    return watch


def _accounts(trial: Trial) -> list[str]:
    """sent = ok + failed + unknown, and the recorder's integral is that of its rows (Little's law of the window)."""
    statuses = np.bincount(trial.operations["status"], minlength=3)
    if statuses[[OK, FAILED, UNKNOWN]].sum() != len(trial.operations):
        return [f"{ACCOUNTS}: statuses {statuses.tolist()} of {len(trial.operations)} operations"]
    return [] if outstanding_ns(trial) == trial.outstanding_ns else [f"{ACCOUNTS}: the integral differs from the rows"]
