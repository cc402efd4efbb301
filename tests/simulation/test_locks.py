"""The simulated clients of a lock service: what a round costs, and that histories of whatever happens are those of mutexes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.checkers.beliefs import HELD_TWICE
from bench.checkers.linearizability import LINEARIZABLE, NOT_LINEARIZABLE, Budget
from bench.checkers.locks import REJECTED
from bench.checkers.recorded import check
from bench.checkers.statements import EXCLUSION, FENCES, GENERATIONS, name_of
from bench.driver import audit
from bench.driver.trials import TrialRun, run_trial
from bench.metrics.summary import outstanding_ns
from bench.metrics.trial import ACQUIRE, OK, OPERATION, RELEASE, UNKNOWN, Trial
from bench.scenario import Scenario, ScenarioError, read_scenario
from bench.scenario.fields import Place
from engines.lock_service import LockOptions, LockTree
from tests.simulation.building import MS, REPLICATED, SECOND, free_world, merged

engines = pytest.mark.parametrize("engine", REPLICATED)


def lock_scenario(engine: str, clients: int = 1, **changes: Any) -> Scenario:
    """A free world, in which every client has a lock of its own, unless there is something else in ``changes``."""
    arrivals = {"kind": "closed", "clients": clients, "think": "100ms"}
    workload = {"kind": "locks", "mix": None, "value_size": None, "arrivals": arrivals}
    base = {"workload": workload, "locks": {"own": True}, "timeouts": {"request": "1s"}}
    return free_world(engine, **merged(base, changes))


def lock_world(engine: str, clients: int = 1, **changes: Any) -> Trial:
    """A trial of such a world."""
    return run_trial(lock_scenario(engine, clients, **changes), engine)


def durations(trial: Trial, kind: int) -> np.ndarray:
    done = trial.operations[(trial.operations["kind"] == kind) & (trial.operations["status"] == OK)]
    return np.asarray(done["completed_ns"] - done["started_ns"])


@engines
def test_an_uncontended_lock_costs_one_round_trip_to_acquire_and_one_to_release(engine: str) -> None:
    """Each is one commit; KeepAlives and reads from the master's memory are none, and nothing else is in the way."""
    trial = lock_world(engine)
    assert trial.violations == []
    assert set(durations(trial, ACQUIRE)) == set(durations(trial, RELEASE)) == {2 * MS}
    first, last = trial.window_ns
    rounds = (last - first) / (104 * MS)
    master_renewals = (last - first) / SECOND
    assert trial.counts["commits"] == pytest.approx(2 * rounds + master_renewals, abs=4)


@engines
def test_a_contended_lock_is_handed_over_by_the_commit_of_its_release(engine: str) -> None:
    """No herd, no polling: of eight clients that hold it for 10 ms each, one more gets it every 12 ms."""
    changes = {
        "workload": {"arrivals": {"think": "0s"}, "keys": {"count": 1, "distribution": "uniform"}},
        "locks": {"own": False, "hold": "10ms"},
    }
    trial = lock_world(engine, 8, **changes)
    assert trial.violations == []
    first, last = trial.window_ns
    acquired = (trial.operations["kind"] == ACQUIRE) & (trial.operations["status"] == OK)
    granted = np.sort(trial.operations["completed_ns"][acquired])
    inside = granted[(granted >= first) & (granted < last)]
    assert set(np.diff(inside)) == {12 * MS}, "the hold, and the commit of the release"
    holders = trial.operations[trial.operations["kind"] == ACQUIRE]["client"]
    counts = np.bincount(holders)
    assert counts.max() - counts.min() <= 1, "first come, first served"


@engines
def test_after_a_crash_of_the_master_the_clients_go_on(engine: str) -> None:
    trial = lock_world(
        engine,
        4,
        faults=[{"at": "10s", "for": "5s", "crash": "leader"}],
        timeouts={"election": ["1s", "2s"], "heartbeat": "200ms", "request": "500ms", "operation": "20s"},
    )
    assert trial.violations == []
    assert trial.faults[0].heal_witness
    after = trial.operations[(trial.operations["intended_ns"] > 20 * SECOND) & (trial.operations["status"] == OK)]
    assert set(after["client"]) == {0, 1, 2, 3}
    assert not np.any(trial.operations["status"] == UNKNOWN), "sessions live on (Burrows 2006, 2.9)"


def test_sessions_that_are_lost_lose_their_locks_and_histories_say_so() -> None:
    """The only replica is gone for longer than lease and grace period: releases by the master are of unknown outcome."""
    trial = lock_world(
        "raft",
        4,
        replicas=1,
        faults=[{"at": "10s", "for": "8s", "crash": 0}],
        workload={"keys": {"count": 1, "distribution": "uniform"}},
        locks={"own": False, "lease": "2s", "answer_before": "1s", "grace": "1s", "hold": "100ms"},
        timeouts={"election": ["1s", "2s"], "heartbeat": "200ms", "request": "500ms", "operation": "20s"},
    )
    assert trial.violations == []
    assert trial.checks["linearizability"] == "passed"
    unknown = trial.operations[trial.operations["status"] == UNKNOWN]
    assert len(unknown)
    assert outstanding_ns(trial) == trial.outstanding_ns, "also of what was noticed only when it had been under way for long"
    after = trial.operations[(trial.operations["intended_ns"] > 22 * SECOND) & (trial.operations["status"] == OK)]
    assert set(after["client"]) == {0, 1, 2, 3}


class Generous(LockTree):
    """Grants a lock whoever holds it."""

    def admits(self, node: Any, mode: int) -> bool:  # noqa: ARG002
        return True


def test_the_log_of_a_disk_tells_what_became_of_the_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a run of processes, also from a snapshot on; a tree with a bug reads the same log otherwise."""
    changes = {"keys": {"count": 2, "distribution": "uniform"}, "arrivals": {"think": "10ms"}}
    scenario = lock_scenario("paxos", 4, storage={"compact_after": "8KiB"}, workload=changes, locks={"own": False}, duration="2s")
    run = TrialRun(scenario, "paxos", 1)
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


def test_the_same_seed_gives_the_same_operations() -> None:
    one, other = (lock_world("zab", 3, duration="3s") for _ in range(2))
    assert one.operations.tobytes() == other.operations.tobytes()


def operations(*rows: tuple[int, int, int, int, int]) -> np.ndarray:
    """(client, kind, started, completed, status) on one lock."""
    made = np.zeros(len(rows), OPERATION)
    for name, column in zip(("client", "kind", "started_ns", "completed_ns", "status"), zip(*rows, strict=True), strict=True):
        made[name] = column
    return made


@pytest.mark.parametrize(
    ("rows", "answer"),
    [
        ([(1, ACQUIRE, 0, 1, OK), (1, RELEASE, 2, 3, OK), (2, ACQUIRE, 1, 4, OK)], LINEARIZABLE),
        ([(1, ACQUIRE, 0, 1, OK), (2, ACQUIRE, 2, 3, OK)], NOT_LINEARIZABLE),
        ([(1, ACQUIRE, 0, 1, OK), (2, ACQUIRE, 2, 3, OK), (1, RELEASE, 4, 5, OK)], NOT_LINEARIZABLE),
        ([(1, ACQUIRE, 0, 1, OK), (2, ACQUIRE, 4, 5, OK), (1, RELEASE, 3, -1, UNKNOWN)], LINEARIZABLE),
        ([(1, ACQUIRE, 0, -1, UNKNOWN), (2, ACQUIRE, 4, 5, OK)], LINEARIZABLE),
        ([(2, RELEASE, 4, 5, OK)], NOT_LINEARIZABLE),
    ],
)
def test_recorded_locks_are_checked_as_mutexes(rows: list[tuple[int, int, int, int, int]], answer: str) -> None:
    assert check(operations(*rows), Budget(steps=1_000_000)).answer == answer


def test_the_defaults_of_a_scenario_are_those_of_the_service() -> None:
    assert Scenario().locks.options(Scenario().timeouts.request_ns) == LockOptions()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"workload": {"kind": "locks"}}, "workload.arrivals"),
        ({"workload": {"kind": "locks", "mix": "ycsb-a"}}, 'kind "locks" takes no mix'),
        ({"workload": {"kind": "locks", "arrivals": {"kind": "closed"}, "routing": "nearest"}}, "only the master"),
        ({"world": "processes", "workload": {"kind": "locks", "arrivals": {"kind": "closed"}}}, "simulation so far"),
        ({"locks": {"lease": "1s"}}, "locks.answer_before"),
        ({"faults": [{"at": "1s", "client_mute": {"client": 0}}]}, "only simulated clients of a lock service"),
        (
            {
                "workload": {"kind": "locks", "arrivals": {"kind": "closed", "clients": 2}},
                "faults": [{"at": "1s", "client_crash": {"client": 2}}],
            },
            "2 is not a client; give 0 to 1",
        ),
        ({"locks": {"lock_delay": "2m"}}, "locks.lock_delay"),
        ({"locks": {"master_lease": "0s"}}, "locks.master_lease"),
    ],
)
def test_what_a_lock_scenario_cannot_say_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        read_scenario(table, Place("mine.toml", Path()))
