"""What is said of a trial of either world when it is over: checks, and what must be equal for a comparison to be fair."""
from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.checkers.linearizability import LINEARIZABLE, NOT_LINEARIZABLE, Budget
from bench.checkers.recorded import check
from bench.checkers.statements import EXCLUSION, ONCE, VALIDITY, judge, watched
from bench.checkers.verdict import WITNESSES
from bench.metrics.locks import held_twice, holds_of
from bench.metrics.trial import OK

if TYPE_CHECKING:
    from bench.metrics.trial import LockRecord
    from bench.scenario import Scenario

FSYNC = "fsync"
LINEARIZABILITY, PROGRESS, LEVEL = "linearizability", "progress", "level"
NAMED = 5
Leaders = list[tuple[int, int, int]]


def checks(
    scenario: Scenario,
    engine: str,
    level: str,
    needs: Collection[str],
    operations: np.ndarray,
    violations: list[str],
    locks: LockRecord | None = None,
) -> dict[str, str]:
    """What each check says, where replicas were watched at this level, and had what statements of these ``needs`` need; a history
    that nothing explains, and a span without progress, become one of the ``violations``.
    """
    said = {}
    if locks is not None:
        if scenario.clocks_in_bound:
            violations += _held_twice(operations, locks)
            said[EXCLUSION] = _answer(EXCLUSION, violations)
        operations = np.concatenate([operations, locks.lost])
    said[LINEARIZABILITY] = _linearizable(scenario, operations, violations)
    asked = scenario.checks
    if asked.progress:
        violations += _stalls(scenario, operations)
        said[PROGRESS] = _answer(PROGRESS, violations)
    if asked.level_within_ns:
        said[LEVEL] = _answer(LEVEL, violations) if scenario.world == "simulation" else "not run"
    if not asked.witnesses:
        said[WITNESSES] = "not run"
    of_locks = scenario.workload.kind == "locks"
    names = watched(engine, level, scenario.storage.durability == FSYNC, needs, of_locks, scenario.clocks_in_bound)
    if of_locks:  # what was asked for is the business of the clients' library, and not recorded
        names -= {VALIDITY, ONCE}
    return judge(engine, level, names, violations, of_locks) | said


def _stalls(scenario: Scenario, operations: np.ndarray) -> list[str]:
    """The spans of ``checks.progress`` in which nothing that began there succeeded there."""
    succeeded = operations[operations["status"] == OK]
    return [
        f"{PROGRESS}: no operation that began after {begin / 1e9:g} s had succeeded by {end / 1e9:g} s"
        for begin, end in scenario.checks.progress
        if not ((succeeded["started_ns"] >= begin) & (succeeded["completed_ns"] <= end)).any()
    ]


def _held_twice(operations: np.ndarray, locks: LockRecord) -> list[str]:
    """What two clients at once believed to hold, by what they recorded."""
    holds = holds_of(operations, locks.lost, int(operations["started_ns"].max(initial=0)))
    return [
        f"{EXCLUSION}: client {each['client']} was granted lock {each['lock']} at {each['granted_ns'] / 1e9:.6f} s, and another "
        "client had not yet given it up"
        for each in holds[held_twice(holds)][:NAMED]
    ]


def _answer(name: str, violations: list[str]) -> str:
    return "failed" if any(violation.startswith(name) for violation in violations) else "passed"


def _linearizable(scenario: Scenario, operations: np.ndarray, violations: list[str]) -> str:
    """What the check says; steps limit it, because time is not the same in every run."""
    steps = scenario.checks.linearizability_steps
    if not steps or not scenario.clocks_in_bound:  # beyond it, a lock may have two holders (engines.lock_service)
        return "not run"
    verdict = check(operations, Budget(steps=steps))
    if verdict.answer == NOT_LINEARIZABLE:
        violations.append(f"{LINEARIZABILITY}: no order explains the operations on key {verdict.key}")
        return "failed"
    return "passed" if verdict.answer == LINEARIZABLE else "unknown"


def fairness(scenario: Scenario, engine: str, leaders: Leaders) -> dict[str, Any]:
    """What must be equal for a comparison of engines to be fair (DESIGN 7.6)."""
    resolved = scenario.resolved()
    return {
        "durability": resolved["storage"]["durability"],
        "batching": resolved["batching"],
        "timeouts": resolved["timeouts"],
        "transport": resolved["network"]["transport"],
        "clients": resolved["workload"]["arrivals"]["clients"],
        "routing": resolved["workload"]["routing"],
        "reads": "through the log" if scenario.workload.kind == "key-value" else "from the master's memory, under its lease",
        "reply_point": "leader, after applying",
        "options": resolved.get(engine, {}),
        "leader_in": _leader_place(scenario, leaders),
    }


def _leader_place(scenario: Scenario, leaders: Leaders) -> str:
    """The region of whoever led when the window opened: on a map, placement outweighs the protocol."""
    placement = scenario.network.placement
    led = [replica for moment_ns, replica, _ in leaders if moment_ns <= scenario.warmup_ns]
    return placement[led[-1]] if placement and led else "anywhere"
