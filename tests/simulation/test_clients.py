"""Clients: retries that count once, redirection, forwarding, and what becomes of an operation without an
answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.metrics.summary import outstanding_ns
from bench.metrics.trial import FAILED, OK, PENDING, UNKNOWN, Trial
from tests.simulation.building import (
    MS,
    REPLICATED,
    SECOND,
    free_world,
    latencies_ns,
    merged,
    perform,
    star,
    trial_of,
)

IMPATIENT: dict[str, Any] = {
    "warmup": "1s",
    "duration": "8s",
    "timeouts": {"election": ["200ms", "400ms"], "heartbeat": "50ms", "request": "300ms", "operation": "1s"},
    "workload": {
        "arrivals": {"kind": "open", "process": "constant", "rate": 20, "think": None, "clients": 4}
    },
}


def statuses(trial: Trial) -> list[int]:
    """How many operations ended ok, failed and unknown."""
    counted: list[int] = np.bincount(trial.operations["status"], minlength=3).tolist()
    return counted


FAR: dict[str, Any] = {"network": {"client_latency": "200ms"}, "warmup": "3s"}


@pytest.mark.parametrize("engine", REPLICATED)
def test_a_slow_leader_that_answers_is_not_asked_twice(engine: str) -> None:
    """Answers that take longer than the client waits, over connections that lose nothing."""
    trial = trial_of(engine, **merged(IMPATIENT, FAR))
    assert (latencies_ns(trial) == 402 * MS).all()
    assert (trial.operations["attempts"][40:] == 1).all()


@pytest.mark.parametrize("engine", REPLICATED)
def test_overload_does_not_feed_itself(engine: str) -> None:
    """Twice what the replicas can do, and answers later than the client waits: each command is taken once."""
    trial = trial_of(engine, **merged(IMPATIENT, {
        "cpu": {"per_message": "1ms"}, "warmup": "1s", "duration": "3s",
        "workload": {"arrivals": {"rate": 400}},
    }))  # fmt: skip
    operations = trial.operations[trial.operations["started_ns"] > SECOND]
    waited = (operations["status"] != OK) | (operations["completed_ns"] - operations["started_ns"] > 300 * MS)
    assert waited.mean() > 0.9
    assert (operations["attempts"] == 1).all()


@pytest.mark.parametrize("engine", REPLICATED)
def test_what_a_restarted_leader_forgot_is_sent_again(engine: str) -> None:
    """The leader is gone for less than the others' patience, and leads again: its clients' connections were reset."""
    trial = trial_of(engine, **merged(IMPATIENT, {
        "timeouts": {"election": ["2s", "4s"], "request": "300ms", "operation": "6s"}, "initial_leader": 0,
        "faults": [{"at": "3s", "for": "10ms", "crash": 0}],
    }))  # fmt: skip
    assert (trial.operations["status"] == OK).all()


@pytest.mark.parametrize("engine", REPLICATED)
def test_a_retried_command_is_applied_once(engine: str) -> None:
    """A replica that forwards cannot tell whether it is heard, so what takes longer than the client waits is sent
    again, and the second copy changes nothing.
    """
    run = perform(free_world(engine, **merged(merged(IMPATIENT, FAR), {"workload": {"routing": "nearest"}})))
    machine = run.simulation.nodes[0].host.machine
    trial = run.trial({}, 0)
    assert (trial.operations["attempts"][40:] == 2).all()
    sent = len(trial.operations)
    assert trial.violations == []
    assert machine.duplicates > 0.9 * sent
    assert run.simulation.agreement.commands == machine.duplicates + sent


def test_retries_that_piled_up_while_nothing_was_decided_are_not_each_decided() -> None:
    """A leader that keeps its role through a cut takes in each try of its clients: seven times what it can decide."""
    trial = trial_of("raft", **merged(IMPATIENT, {
        "replicas": 2, "raft": {"check_quorum": False}, "network": {"user_timeout": "300ms"}, "storage": {"fsync": "1ms"},
        "batching": {"pipeline": 1}, "timeouts": {"request": "150ms", "operation": "1s"}, "warmup": "1s", "duration": "5s",
        "workload": {"routing": "nearest", "arrivals": {"rate": 200}},
        "faults": [{"at": "2s", "for": "1500ms", "partition": [[0], [1]]}],
    }))  # fmt: skip
    assert (trial.operations["status"][trial.operations["started_ns"] > 5 * SECOND] == OK).all()


@pytest.mark.parametrize("engine", REPLICATED)
def test_a_redirected_client_stays_with_the_leader(engine: str) -> None:
    """Elections decide; whoever asks somebody else is told whom to ask, once, and asks there from then on."""
    trial = trial_of(engine, **merged(IMPATIENT, {"initial_leader": None, "warmup": "3s"}))
    operations = trial.operations[trial.operations["started_ns"] > 3 * SECOND]
    assert (operations["attempts"] == 1).all()
    assert (operations["status"] == OK).all()


@pytest.mark.parametrize("engine", REPLICATED)
def test_replicas_forward_what_clients_send_round_robin(engine: str) -> None:
    """Two of three operations reach a follower first, and take one more round trip between replicas: 2 + 2
    ms, or 2.
    """
    trial = trial_of(engine, **merged(IMPATIENT, {"workload": {"routing": "round-robin"}}))
    taken = latencies_ns(trial).tolist()
    assert sorted(set(taken)) == [2 * MS, 4 * MS]
    assert taken.count(4 * MS) == pytest.approx(len(taken) * 2 / 3, abs=2)
    assert trial.messages_by_kind["Forward"] == trial.messages_by_kind["ForwardAnswer"] == taken.count(4 * MS)


@pytest.mark.parametrize("engine", REPLICATED)
def test_the_nearest_replica_forwards(engine: str) -> None:
    """latency = RTT(client, its replica) + RTT(replica, leader) + k-th smallest RTT(leader, follower)."""
    trial = trial_of(
        engine,
        replicas=3,
        network=star([10.0, 40.0]),
        warmup="30s",
        workload={"routing": "nearest", "clients_in": ["region-2"]},
    )
    assert set(latencies_ns(trial).tolist()) == {(0 + 40 + 10) * MS}


@pytest.mark.parametrize("engine", REPLICATED)
def test_where_nobody_can_lead_operations_fail(engine: str) -> None:
    """Without a leader since the start every try is refused: the operation certainly did not happen."""
    trial = trial_of(
        engine,
        **merged(
            IMPATIENT,
            {
                "initial_leader": None,
                "faults": [{"at": "0s", "for": "9.9s", "partition": [[0], [1], [2]]}],
            },
        ),
    )
    assert statuses(trial)[OK] == 0
    assert statuses(trial)[FAILED] > 0.8 * len(trial.operations)
    failed = trial.operations[trial.operations["status"] == FAILED]
    assert (failed["completed_ns"] >= failed["started_ns"]).all()


@pytest.mark.parametrize("engine", REPLICATED)
def test_where_the_quorum_is_lost_outcomes_are_unknown(engine: str) -> None:
    """What a leader took and could not commit may yet happen: neither ok nor failed, and never completed."""
    faults = [{"at": "4s", "for": "5.9s", "crash": replica} for replica in (1, 2)]
    trial = trial_of(engine, **merged(IMPATIENT, {"faults": faults}))
    ok, failed, unknown = statuses(trial)
    assert ok + failed + unknown == len(trial.operations)
    assert unknown > 0
    first_lost = trial.operations[(trial.operations["started_ns"] > 4 * SECOND)][0]
    assert first_lost["status"] == UNKNOWN
    assert first_lost["completed_ns"] == PENDING
    assert first_lost["attempts"] > 1
    assert outstanding_ns(trial) == trial.outstanding_ns


def test_closed_clients_go_on_after_giving_up() -> None:
    """A client that gave an operation up asks the next one; the operation stays without an outcome."""
    faults = [{"at": "4s", "for": "3s", "crash": replica} for replica in (1, 2)]
    closed = {"arrivals": {"kind": "closed", "clients": 2, "think": "20ms", "process": None, "rate": None}}
    trial = trial_of("raft", **merged(IMPATIENT, {"faults": faults, "workload": closed}))
    assert 2 <= statuses(trial)[FAILED] + statuses(trial)[UNKNOWN] <= 10
    late = trial.operations[trial.operations["started_ns"] > 8 * SECOND]
    assert len(late) > 50
    assert (late["status"] == OK).all()
    assert outstanding_ns(trial) == trial.outstanding_ns


def test_the_integral_runs_to_the_end_of_the_window_without_any_event() -> None:
    """One operation that is never answered, and nothing after it: it counts until the window ends."""
    faults = [{"at": "1.2s", "for": "8.7s", "crash": replica} for replica in (1, 2)]
    closed = {"arrivals": {"kind": "closed", "clients": 1, "think": "0.5s", "process": None, "rate": None}}
    trial = trial_of(
        "raft",
        **merged(
            IMPATIENT,
            {
                "faults": faults,
                "workload": closed,
                "cooldown": "1s",
                "timeouts": {"request": "1000s", "operation": "1000s"},
            },
        ),
    )
    assert outstanding_ns(trial) == trial.outstanding_ns > 7 * SECOND


def test_a_doubled_refusal_proves_nothing() -> None:
    """Forwarded commands over a network that doubles them: none is reported as failed."""
    trial = trial_of(
        "raft",
        **merged(
            IMPATIENT,
            {
                "network": {"transport": "datagram", "duplicate": 0.5, "loss": 0.2},
                "workload": {"routing": "round-robin"},
                "faults": [
                    {"at": "2s", "for": "2s", "partition": "leader"},
                    {"at": "5s", "for": "2s", "partition": "leader"},
                ],
            },
        ),
    )
    assert statuses(trial)[FAILED] == 0


@pytest.mark.parametrize("engine", ["paxos", "raft"])
def test_a_doubled_refusal_is_retried_once(engine: str) -> None:
    """The old leader is back and leads nobody, and others still forward to it: each try is refused four times."""
    trial = trial_of(
        engine,
        **merged(
            IMPATIENT,
            {
                "warmup": "1s",
                "duration": "2s",
                "network": {"transport": "datagram", "duplicate": 1.0},
                "timeouts": {"election": ["100ms", "150ms"], "heartbeat": "20ms", "request": "300ms"},
                "workload": {
                    "routing": "round-robin",
                    "arrivals": {"kind": "closed", "clients": 8, "think": "20ms", "process": None, "rate": None},
                },
                "faults": [{"at": "2s", "for": "1ms", "crash": 0}],
            },
        ),
    )
    attempts = trial.operations["attempts"]
    assert 3 < attempts.max() < 20, "as many as pauses fit into the time without a leader"
    assert attempts[-1] == 1
