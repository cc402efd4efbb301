"""The clients of a lock service: what a round costs, and that histories of whatever happens are those of mutexes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.checkers.linearizability import LINEARIZABLE, NOT_LINEARIZABLE, Budget
from bench.checkers.recorded import check
from bench.driver.dialogue import Dialogue
from bench.driver.frames import Answer as Told
from bench.driver.occasions import ACCEPTED
from bench.driver.population import build_population
from bench.driver.trials import run_trial
from bench.metrics.locks import holds_of, summarise
from bench.metrics.trial import (
    ACQUIRE,
    ACQUIRE_SHARED,
    BY_DEATH,
    FAILED,
    IN_JEOPARDY,
    LOST,
    OK,
    OPENED,
    OPERATION,
    READ,
    RELEASE,
    RELEASE_SHARED,
    UNKNOWN,
    WRITE,
    Trial,
)
from bench.scenario import Scenario, ScenarioError, read_scenario
from bench.scenario.fields import Place
from engines.lock_service import LockOptions, LockTree, Master
from engines.lock_service.commands import Acquire, Release, decode_request
from engines.service import Answer, Propose
from ext.events import EventQueue
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
def test_a_round_that_does_not_wait_for_its_release_takes_one_round_trip(engine: str) -> None:
    """The release and the next acquire go together: both are decided in that time."""
    arrivals = {"think": "0s"}
    trial = lock_world(engine, workload={"arrivals": arrivals}, locks={"await_release": False}, batching={"max_commands": 2})
    assert trial.violations == []
    assert set(durations(trial, ACQUIRE)) == set(durations(trial, RELEASE)) == {2 * MS}
    assert trial.locks is not None
    row = summarise(trial, holds_of(trial.operations, trial.locks.lost, trial.end_ns), [])
    assert row["lock_pairs_per_s"] == pytest.approx(SECOND / (2 * MS), rel=0.01)
    mine = trial.operations[trial.operations["kind"] == RELEASE]
    assert not np.any(mine["status"] == UNKNOWN)
    assert check(trial.operations, Budget(steps=10_000_000)).answer == LINEARIZABLE


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
        locks={"lease": "2s", "answer_before": "1s", "grace": "1s", "hold": "4s"},
        timeouts={"election": ["1s", "2s"], "heartbeat": "200ms", "request": "500ms", "operation": "20s"},
    )
    assert trial.violations == []
    assert trial.checks["linearizability"] == trial.checks["mutual exclusion"] == "passed"
    assert trial.locks is not None
    assert np.count_nonzero(trial.locks.lost["returned"] == LOST)
    assert not np.any(trial.locks.lost["returned"] == BY_DEATH)
    after = trial.operations[trial.operations["completed_ns"] > 20 * SECOND]
    assert set(after["client"]) == {0, 1, 2, 3}


@engines
def test_who_dies_with_a_lock_blocks_it_and_writes_too_late(engine: str) -> None:
    """Lease, lock-delay, the next holder; and what the dead one had begun is refused, since its sequencer is stale."""
    trial = lock_world(
        engine,
        4,
        duration="60s",
        workload={"arrivals": {"think": "10ms"}, "keys": {"count": 1, "distribution": "uniform"}},
        locks={"own": False, "lease": "2s", "answer_before": "1s", "lock_delay": "1s", "write": 1.0, "dies": 0.002}
        | {"dead_for": "10s"},
    )
    assert trial.violations == []
    assert trial.locks is not None
    holds, record = holds_of(trial.operations, trial.locks.lost, trial.end_ns), trial.locks
    died = np.flatnonzero(holds["end"] == BY_DEATH)
    assert len(died) == np.count_nonzero(record.lost["returned"] == BY_DEATH) > 2
    after = holds[np.isin(holds["after"], died)]
    idle = after["granted_ns"] - holds["released_ns"][after["after"]]
    assert len(idle) > 2
    assert idle.min() > 3 * SECOND, "a lease, which the KeepAlive that is at the master still extends, and the lock-delay"
    assert idle.max() <= 4 * SECOND + 10 * MS, "that KeepAlive is answered within a second"
    refused = (trial.operations["kind"] == WRITE) & (trial.operations["status"] == FAILED)
    back = np.count_nonzero(record.moments["what"] == OPENED) - 4
    assert np.count_nonzero(refused) == back > 2, "each late write, and no other, is refused"


@engines
def test_a_read_of_what_is_cached_takes_no_time_until_somebody_writes(engine: str) -> None:
    changes = {
        "workload": {"keys": {"count": 2, "distribution": "uniform"}},
        "locks": {"own": False, "read": 0.9, "write": 1.0, "exclusive": 0.5},
    }
    trial = lock_world(engine, 8, **changes)
    assert trial.violations == []
    assert trial.checks["linearizability"] == "passed", "of locks as mutexes, and of files as registers"
    reads = trial.operations[(trial.operations["kind"] == READ) & (trial.operations["status"] == OK)]
    hits = reads[reads["expected"] == 1]
    assert (hits["completed_ns"] == hits["started_ns"]).all()
    assert 0.5 < len(hits) / len(reads) < 1.0
    assert len(np.unique(reads["returned"])) > 10
    assert set(trial.operations["kind"]) == {READ, WRITE, ACQUIRE, RELEASE, ACQUIRE_SHARED, RELEASE_SHARED}


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
        ({"workload": {"kind": "locks", "arrivals": {"kind": "closed"}}, "locks": {"read": 0.5}}, "workload.arrivals.think"),
        ({"locks": {"contents": "1B"}}, "locks.contents"),
        ({"locks": {"write": 1.5}}, "locks.write"),
        ({"locks": {"lease": "1s"}}, "locks.answer_before"),
        ({"world": "processes", "locks": {"errands": "1s"}}, "locks.errands"),
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


def test_a_step_that_comes_late_in_real_time_does_not_act_on_a_lease_that_is_over() -> None:
    """The end of a hold was due within the lease; its turn comes when the lease is over: the lock is not released, but lost."""
    table = {
        "workload": {"kind": "locks", "mix": None, "value_size": None, "arrivals": {"kind": "closed", "clients": 1}},
        "locks": {"own": True, "lease": "1s", "answer_before": "500ms", "grace": "1s", "hold": "100ms"},
        "timeouts": {"request": "1s"},
    }
    scenario, queue, tree = free_world("raft", **table), EventQueue(), LockTree()
    dialogue = Dialogue(queue, build_population(scenario, 1, queue), 3)
    master, now = Master(0, tree, scenario.locks.options(scenario.timeouts.request_ns)), 1
    asked: list[type] = []

    def perform(effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Propose):
                perform(master.applied(effect.origin, effect.command, tree.apply(tree.applied + 1, effect.command), now))
            elif isinstance(effect, Answer):
                dialogue.hear(0, [Told(effect.client, effect.sequence, ACCEPTED, 0, effect.result)], now)

    def turn() -> None:
        dialogue.turn(now, 1000)
        for request in dialogue.outgoing[0]:
            asked.append(type(decode_request(request.command)))
            perform(master.request(request.client, request.command, now))
        dialogue.outgoing[0].clear()

    perform(master.led(now))
    perform(master.tick(now))
    dialogue.clients.start()
    while Acquire not in asked:
        turn()
    now += 2 * SECOND
    turn()
    turn()
    assert Release not in asked
    record = dialogue.clients.record()
    assert IN_JEOPARDY in record.moments["what"]
    now += 2 * SECOND
    turn()
    (lost,) = dialogue.clients.record().lost
    assert lost["started_ns"] < now - 2 * SECOND, "when the lease was over, not when the client saw to it"
