"""What is said of a trial of either world when it is over: checks, and what must be equal for a comparison to be fair."""
from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from bench.checkers.linearizability import LINEARIZABLE, NOT_LINEARIZABLE, Budget
from bench.checkers.recorded import check
from bench.checkers.statements import judge

if TYPE_CHECKING:
    import numpy as np

    from bench.scenario import Scenario

LINEARIZABILITY = "linearizability"
Leaders = list[tuple[int, int, int]]


def checks(
    scenario: Scenario, engine: str, watched: Collection[str], operations: np.ndarray, violations: list[str]
) -> dict[str, str]:
    """What each check says, where the statements called ``watched`` were looked at; a history that nothing explains becomes
    one of the ``violations``.
    """
    linearizable = _linearizable(scenario, operations, violations)
    return judge(engine, watched, violations) | {LINEARIZABILITY: linearizable}


def _linearizable(scenario: Scenario, operations: np.ndarray, violations: list[str]) -> str:
    """What the check says; steps limit it, because time is not the same in every run."""
    steps = scenario.checks.linearizability_steps
    if not steps:
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
