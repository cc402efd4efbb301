"""What is said of whole trials of locks: from a disk, and of clocks beyond their bound."""

from __future__ import annotations

from typing import Any

import pytest

from bench.checkers.beliefs import HELD_TWICE
from bench.checkers.locks import REJECTED
from bench.checkers.statements import EXCLUSION, FENCES, GENERATIONS, name_of
from bench.driver import audit
from bench.driver.trials import TrialRun
from engines.lock_service import LockTree
from tests.simulation.test_locks import lock_scenario


class Generous(LockTree):
    """Grants a lock whoever holds it."""

    def admits(self, node: Any, mode: int) -> bool:  # noqa: ARG002
        return True


def test_the_log_of_a_disk_tells_what_became_of_the_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a run of processes, also from a snapshot on; a tree with a bug reads the same log otherwise."""
    changes = {"keys": {"count": 2, "distribution": "uniform"}, "arrivals": {"think": "10ms"}}
    scenario = lock_scenario("paxos", 4, storage={"compact_after": "8KiB"}, workload=changes, locks={"own": False}, duration="2s")
    run = TrialRun(scenario, "paxos", 1)
    run.simulation.keeps_records = True
    run.perform()
    node = run.simulation.nodes[0]
    asked = scenario, "paxos", 0, list(node.stable), node.host.machine.applied
    assert audit.watch_locks(*asked) == []
    monkeypatch.setattr(audit, "LockTree", Generous)
    assert {name_of(each) for each in audit.watch_locks(*asked)} == {GENERATIONS}


def test_beyond_the_bound_a_lock_may_be_held_twice_and_sequencers_tell() -> None:
    """A client whose clock is far too slow believes in a lease that is long over; its sequencers are refused."""
    slow = {"client": 0, "rate": 0.5}
    run = TrialRun(
        lock_scenario(
            "raft",
            2,
            duration="20s",
            faults=[
                {"at": "1s", "for": "19s", "client_clock": slow},
                *({"at": f"{at}s", "for": "6s", "client_mute": {"client": 0}} for at in (2, 12)),
            ],
            workload={"keys": {"count": 1, "distribution": "uniform"}, "arrivals": {"think": "10ms"}},
            locks={"own": False, "hold": "10s", "lease": "2s", "answer_before": "1s", "errands": "40ms"},
        ),
        "raft",
        7,
    )
    run.perform()
    seen = run.simulation.lock_watcher.counts
    assert seen[HELD_TWICE], "in their own eyes"
    assert seen[REJECTED]
    trial = run.trial({}, 0)
    assert trial.violations == []
    assert trial.checks[FENCES] == trial.checks[GENERATIONS] == "passed"
    assert trial.checks[EXCLUSION] == trial.checks["linearizability"] == "not run"
