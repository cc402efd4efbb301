"""The lock service in real processes: what clients believe, and what stands in the logs, under real faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.metrics import locks
from bench.metrics.trial import (
    ACQUIRE,
    ACQUIRE_SHARED,
    BY_DEATH,
    DIED,
    FAILED,
    OK,
    READ,
    RELEASE,
    RELEASE_SHARED,
    RETURNED,
    WRITE,
    Trial,
)
from tests.processes.real import ran

SECOND = 1_000_000_000
# Leases of a second, so that a trial sees some end.
QUICK: dict[str, Any] = {
    "workload": {
        "kind": "locks", "mix": None, "keys": {"count": 4}, "arrivals": {"kind": "closed", "clients": 6, "think": "5ms"}
    },
    "locks": {"lease": "1s", "answer_before": "500ms", "grace": "3s", "master_lease": "300ms", "hold": "2ms"},
}  # fmt: skip


def lock_trial(engine: str, folder: Path, **changes: Any) -> Trial:
    """A trial that is believed: logs audited, histories explained, nothing held twice."""
    tables = {name: QUICK[name] | changes.pop(name, {}) for name in QUICK}
    trial = ran(engine, folder, **tables | changes)
    assert trial.checks["mutual exclusion"] == "passed"
    assert trial.locks is not None
    return trial


def holds(trial: Trial) -> np.ndarray:
    assert trial.locks is not None
    return locks.holds_of(trial.operations, trial.locks.lost, trial.end_ns)


@pytest.mark.parametrize("engine", ["raft", "paxos", "zab"])
def test_all_that_clients_do_with_locks_is_done_in_processes(engine: str, tmp_path: Path) -> None:
    """Two client processes; shared locks, caches, sequencers, and clients that die and come back."""
    trial = lock_trial(
        engine,
        tmp_path,
        duration="3s",
        processes={"generators": 2},
        # So many locks that those of the dead leave work for the living, and reads enough for a node to be read twice.
        workload={"keys": {"count": 16}},
        locks={"read": 0.9, "write": 0.4, "exclusive": 0.7, "dies": 0.06, "dead_for": "300ms"},
    )
    done = trial.operations[trial.operations["status"] == OK]
    assert set(done["kind"]) == {READ, WRITE, ACQUIRE, RELEASE, ACQUIRE_SHARED, RELEASE_SHARED}
    assert set(done["client"]) == set(range(6))
    assert trial.locks is not None
    assert {DIED, RETURNED} <= set(trial.locks.moments["what"])
    assert BY_DEATH in holds(trial)["end"]
    assert (done["expected"][done["kind"] == READ] == 1).any(), "caches answer"


@pytest.mark.parametrize("fault", ["crash", "pause"])
def test_a_master_that_is_killed_or_stopped_for_longer_than_a_lease_is_replaced(fault: str, tmp_path: Path) -> None:
    """The one that was stopped wakes up as a master whose leases are over: nobody holds a lock twice."""
    trial = lock_trial(
        "raft",
        tmp_path,
        duration="4s",
        locks={"write": 0.5},
        faults=[{"at": "1500ms", "for": "2s", fault: "leader"}],
    )
    (failover,) = locks.failovers(trial)
    assert failover.detected_ns is not None and failover.kept_alive_ns is not None and failover.granted_ns is not None
    assert failover.injected_ns < failover.detected_ns <= failover.elected_ns < failover.kept_alive_ns
    seen = locks.seen_by_clients(trial, [failover])
    assert (seen["granted_ns"] > 0).all(), "everybody goes on"
    assert not np.any(trial.operations["status"] == FAILED)
