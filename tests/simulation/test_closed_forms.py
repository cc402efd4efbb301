"""What must come out where it can be calculated: commit latency, messages per command, saturation.

n replicas, k = n // 2: with the leader's own copy, k followers make a majority.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bench.distributions import ZERO
from bench.driver.network import Branch, Chances, Durations, Link, LossModel
from bench.driver.trials import TrialRun
from bench.driver.wire import ANSWER_BYTES, REQUEST_BYTES, Kind
from bench.metrics.summary import summarise
from bench.metrics.trial import Trial
from bench.scenario import Loss
from engines.core import Message
from engines.machine import PUT, encode_command
from engines.paxos.messages import Accept
from engines.raft.messages import AppendEntries
from engines.zab.messages import CommitProposal, Proposal
from ext.log import pack
from tests.simulation.building import (
    MS,
    REPLICATED,
    SECOND,
    free_world,
    latencies_ns,
    merged,
    standard_error,
    star,
    trial_of,
)

ROUND_TRIPS_MS = [31.0, 7.5, 55.25, 12.0, 90.0, 3.0, 44.0, 20.5]
WAN = ["us-east-1", "us-west-1", "us-west-2", "eu-west-1", "ap-northeast-1"]
SLOW_START = {"warmup": "30s", "workload": {"clients_in": ["clients"]}}


def only(values: np.ndarray) -> int:
    """The one value that all of these are."""
    assert (values == values[0]).all(), sorted(set(values.tolist()))
    return int(values[0])


# -- one command, constant latencies -------------------------------------------------------------------------


@pytest.mark.parametrize("engine", REPLICATED)
@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 5, 7, 9])
def test_latency_is_the_clients_round_trip_and_that_of_the_kth_follower(engine: str, replicas: int) -> None:
    """latency = RTT(client) + k-th smallest RTT(follower), exactly, where all costs are zero."""
    round_trips = ROUND_TRIPS_MS[: replicas - 1]
    trial = trial_of(engine, replicas=replicas, network=star(round_trips, client_ms=3.0), **SLOW_START)
    expected_ms = 3.0 + sorted([0.0, *round_trips])[replicas // 2]
    assert only(latencies_ns(trial)) == expected_ms * MS


def slow_disks(factors: list[float]) -> list[dict[str, Any]]:
    """Faults that give each replica a disk of its own speed for the whole run."""
    return [
        {"at": "0s", "for": "50s", "slow_disk": {"replica": replica, "factor": factor}}
        for replica, factor in enumerate(factors)
    ]


@pytest.mark.parametrize("engine", REPLICATED)
@pytest.mark.parametrize(
    ("round_trips", "writes"),
    [
        ([10.0, 20.0], [30.0, 25.0, 2.0]),  # the leader's own disk is not waited for
        ([10.0, 20.0], [12.0, 50.0, 60.0]),
        ([10.0, 20.0, 30.0, 40.0], [5.0, 60.0, 1.0, 25.0, 2.0]),
        ([10.0, 20.0, 30.0], [90.0, 3.0, 8.0, 60.0]),
    ],
)
def test_disks_work_in_parallel_with_the_network(
    engine: str, round_trips: list[float], writes: list[float]
) -> None:
    """latency = RTT(client) + (k+1)-th smallest of {write(leader), RTT(i) + write(i)}: Ongaro 2014, section
    10.2.1.
    """
    trial = trial_of(
        engine,
        replicas=len(writes),
        network=star(round_trips, client_ms=3.0),
        storage={"fsync": "1ms"},
        faults=slow_disks(writes),
        **SLOW_START,
    )
    durable = sorted(trip + write for trip, write in zip([0.0, *round_trips], writes, strict=True))
    assert only(latencies_ns(trial)) == (3.0 + durable[len(writes) // 2]) * MS


@pytest.mark.parametrize(("replicas", "phase2"), [(3, 2), (3, 3), (4, 2), (5, 2), (5, 4), (7, 3), (7, 1)])
def test_flexible_quorums_wait_for_their_own_size(replicas: int, phase2: int) -> None:
    """latency = RTT(client) + (q-1)-th smallest RTT(follower), for phase-2 quorums of q (Flexible Paxos,
    section 2).
    """
    round_trips = ROUND_TRIPS_MS[: replicas - 1]
    trial = trial_of(
        "paxos",
        replicas=replicas,
        network=star(round_trips, client_ms=3.0),
        paxos={"phase1_quorum": replicas + 1 - phase2, "phase2_quorum": phase2},
        **SLOW_START,
    )
    assert only(latencies_ns(trial)) == (3.0 + sorted([0.0, *round_trips])[phase2 - 1]) * MS


def test_weights_decide_whom_a_weighted_quorum_waits_for() -> None:
    """Weights 1 1 1 1 4: more than half of 8 needs the heavy replica and one more, the leader, however far it
    is.
    """
    quorum = {"kind": "weights", "weights": [1, 1, 1, 1, 4]}
    trial = trial_of(
        "paxos",
        replicas=5,
        network=star([10.0, 20.0, 30.0, 70.0]),
        paxos={"phase1_quorum": quorum, "phase2_quorum": quorum},
        **SLOW_START,
    )
    assert only(latencies_ns(trial)) == 70 * MS


@pytest.mark.parametrize("engine", REPLICATED)
@pytest.mark.parametrize(("leader", "expected_ms"), list(enumerate([70.5, 59.9, 72.5, 127.3, 111.7])))
def test_a_majority_commits_in_the_round_trips_of_the_wan_matrix(
    engine: str, leader: int, expected_ms: float
) -> None:
    """The second-smallest RTT of the leader's row in the measured matrix, to which a client beside it adds
    nothing.
    """
    trial = trial_of(
        engine,
        replicas=5,
        initial_leader=leader,
        network={"latency": None, "matrix": "aws-2020", "placement": WAN, "client_latency": "0s"},
    )
    assert only(latencies_ns(trial)) == expected_ms * MS


def test_without_replication_only_client_and_disk_count() -> None:
    """latency = RTT(client) + write."""
    trial = trial_of("unreplicated", replicas=3, network={"client_latency": "2ms"}, storage={"fsync": "5ms"})
    assert only(latencies_ns(trial)) == 9 * MS


# -- one command, random latencies ---------------------------------------------------------------------------


def answers_at_once(run: TrialRun) -> None:
    """Make the ways back to the leader take no time: a round trip is then one draw, as formulas suppose."""
    for node in run.simulation.nodes[1:]:
        chances = Chances(Branch(0, node.id))
        still = Durations(ZERO, Branch(0, node.id))
        links = list(node.links)
        links[0] = Link(0, still, still, LossModel(Loss(), chances), chances, True, 0)
        node.links = links


def order_statistics_ns(
    engine: str, replicas: int, latency: dict[str, Any], operations: int = 2000
) -> np.ndarray:
    """Commit latencies of single commands, far enough apart that none meets the messages of another."""
    scenario = free_world(engine, replicas=replicas, network={"latency": latency}, duration=f"{operations}s")
    run = TrialRun(scenario, engine, 1)
    answers_at_once(run)
    run.perform()
    return latencies_ns(run.trial({}, 0))


def expect_mean(samples: np.ndarray, expected_ns: float) -> None:
    """The mean is within three standard errors, and these are small enough to tell a wrong k."""
    error = standard_error(samples)
    assert error < 0.03 * expected_ns
    assert abs(samples.mean() - expected_ns) < 3 * error


@pytest.mark.parametrize("engine", REPLICATED)
@pytest.mark.parametrize("replicas", [3, 4, 5, 7])
def test_the_kth_of_uniform_round_trips(engine: str, replicas: int) -> None:
    """Round trips uniform in [a, b]: mean = a + (b - a) k / n, the k-th of m = n - 1 order statistics."""
    samples = order_statistics_ns(engine, replicas, {"distribution": "uniform", "low": "2ms", "high": "10ms"})
    expect_mean(samples, (2 + 8 * (replicas // 2) / replicas) * MS)


@pytest.mark.parametrize("engine", REPLICATED)
@pytest.mark.parametrize("replicas", [3, 4, 5, 7])
def test_the_kth_of_exponential_round_trips(engine: str, replicas: int) -> None:
    """Round trips exponential with mean mu: mean = mu (H(m) - H(m - k)), m = n - 1 followers (Renyi's
    representation).
    """
    samples = order_statistics_ns(engine, replicas, {"distribution": "exponential", "mean": "4ms"}, 5000)
    followers, k = replicas - 1, replicas // 2
    expect_mean(samples, 4 * MS * math.fsum(1 / j for j in range(followers - k + 1, followers + 1)))


@pytest.mark.parametrize("engine", REPLICATED)
@pytest.mark.parametrize(("replicas", "expected_ms"), [(3, 0.4001), (5, 0.4129), (7, 0.4174), (9, 0.4197)])
def test_the_kth_of_normal_round_trips(engine: str, replicas: int, expected_ms: float) -> None:
    """Round trips N(0.427 ms, 0.0476 ms): means of the k-th of m normal order statistics.

    Both ways are drawn here, each N(0.2135 ms, 0.0476 / sqrt(2) ms): a sum of normals is normal.
    """
    one_way = {"distribution": "normal", "mean": "0.2135ms", "stddev": f"{round(47_600 / math.sqrt(2))}ns"}
    trial = trial_of(
        engine,
        replicas=replicas,
        network={"latency": one_way},
        duration="1500s",
    )
    expect_mean(latencies_ns(trial), expected_ms * MS)


# -- messages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", REPLICATED)
@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 5, 7, 9])
def test_messages_of_a_command_are_counted_exactly(engine: str, replicas: int) -> None:
    """2 (n-1) messages a command for Paxos and Raft, 3 (n-1) for Zab, unbatched; a heartbeat is answered and
    counted apart.

    In 20 s at an interval of 1 s there are 20 (n-1) heartbeats and as many answers.
    """
    trial = trial_of(engine, replicas=replicas, timeouts={"heartbeat": "1s"}, duration="20s")
    followers = replicas - 1
    rounds = 3 if engine == "zab" else 2
    assert trial.counts["commits"] >= 19
    assert trial.counts["messages"] == rounds * followers * trial.counts["commits"]
    assert trial.counts["heartbeats"] == 2 * 20 * followers
    assert summarise(trial)["messages_per_commit"] == rounds * followers


@pytest.mark.parametrize("engine", REPLICATED)
def test_a_batch_shares_its_messages_and_syncs(engine: str) -> None:
    """A batch of 50 costs the messages of one command, and one sync a replica."""
    trial = trial_of(
        engine,
        batching={"max_commands": 50, "max_delay": "1ms"},
        workload={"arrivals": {"kind": "closed", "clients": 50, "think": "1s"}},
    )
    rounds = 3 if engine == "zab" else 2
    assert trial.counts["messages"] * 50 == rounds * 2 * trial.counts["commits"]
    assert trial.counts["fsyncs"] * 50 == 3 * trial.counts["commits"]


# -- saturation ----------------------------------------------------------------------------------------------


def throughput_per_s(trial: Trial) -> float:
    """Commits a second of the window."""
    first, last = trial.window_ns
    return trial.counts["commits"] / (last - first) * SECOND


def busy(clients: int) -> dict[str, Any]:
    """Closed-loop clients that never think: whatever is slowest is never idle."""
    return {
        "warmup": "0.5s",
        "duration": "1s",
        "cooldown": "0s",
        "timeouts": {"request": "1s"},
        "workload": {"arrivals": {"kind": "closed", "clients": clients, "think": "0s"}},
    }


def bytes_of(message: Message) -> int:
    return Kind(type(message), False).size(message)


@pytest.mark.parametrize("engine", REPLICATED)
@pytest.mark.parametrize("replicas", [3, 5])
def test_the_leaders_nic_saturates_at_its_bandwidth(engine: str, replicas: int) -> None:
    """B / ((n-1) S) commands a second, where the leader sends S bytes to each follower (and A to the client,
    the little beside it): B / ((n-1) S + A) exactly.
    """
    command = encode_command(0, 1, 1, PUT, bytes(8), bytes(10_000))
    entries = pack([(1, command)])
    messages: dict[str, list[Message]] = {
        "paxos": [Accept(1, 1, entries, 0)],
        "raft": [AppendEntries(term=1, round=1, prev_index=0, prev_term=0, entries=entries, commit=0)],
        "zab": [Proposal(1, 1, entries), CommitProposal(1, 1)],
    }
    to_follower = sum(bytes_of(message) for message in messages[engine])
    bandwidth_bytes_per_s = 10e6
    trial = trial_of(
        engine,
        **merged(
            busy(32),
            {
                "replicas": replicas,
                "network": {"latency": "0.1ms", "bandwidth": "10MB/s"},
                "workload": {"value_size": "10000B"},
            },
        ),
    )
    exact = bandwidth_bytes_per_s / ((replicas - 1) * to_follower + ANSWER_BYTES + 1)
    assert throughput_per_s(trial) == pytest.approx(exact, rel=0.002)
    assert throughput_per_s(trial) == pytest.approx(
        bandwidth_bytes_per_s / ((replicas - 1) * to_follower), rel=0.02
    )


@pytest.mark.parametrize("engine", [*REPLICATED, "unreplicated"])
@pytest.mark.parametrize("replicas", [3, 5])
def test_the_leaders_cpu_saturates_at_the_cost_of_a_command(engine: str, replicas: int) -> None:
    """1 / (cost of a command) a second. The leader receives a request, sends an answer, and between the two
    exchanges 2 (n-1) messages (Paxos, Raft) or 3 (n-1) (Zab) or none (unreplicated), each at c per
    message.
    """
    rounds = {"paxos": 2, "raft": 2, "zab": 3, "unreplicated": 0}[engine]
    handled = 2 + rounds * (replicas - 1)
    trial = trial_of(engine, **merged(busy(64), {"replicas": replicas, "cpu": {"per_message": "50us"}}))
    assert throughput_per_s(trial) == pytest.approx(SECOND / (handled * 50_000), rel=0.005)


def test_bytes_cost_cpu_too() -> None:
    """1 / (per_byte * (bytes of the request + bytes of the answer))."""
    trial = trial_of(
        "unreplicated",
        **merged(busy(16), {"cpu": {"per_byte": "100ns"}, "workload": {"value_size": "1000B"}}),
    )
    command = encode_command(0, 1, 1, PUT, bytes(8), bytes(1000))
    handled = REQUEST_BYTES + len(command) + ANSWER_BYTES + 1
    assert throughput_per_s(trial) == pytest.approx(SECOND / (100 * handled), rel=0.005)


@pytest.mark.parametrize("engine", [*REPLICATED, "unreplicated"])
@pytest.mark.parametrize("group", [1, 8])
def test_disks_saturate_at_a_group_a_sync(engine: str, group: int) -> None:
    """group / fsync commands a second, where a sync covers so many records."""
    trial = trial_of(
        engine,
        **merged(busy(64), {"storage": {"fsync": "2ms", "group": group}, "network": {"latency": "0.01ms"}}),
    )
    assert throughput_per_s(trial) == pytest.approx(group / 0.002, rel=0.01)


@pytest.mark.parametrize("engine", [*REPLICATED, "unreplicated"])
def test_a_batch_is_one_record(engine: str) -> None:
    """batch / fsync commands a second, where a sync covers one record of a batch of commands, all of one
    pipeline place.
    """
    trial = trial_of(
        engine,
        **merged(
            busy(160),
            {
                "storage": {"fsync": "2ms", "group": 1},
                "network": {"latency": "0.01ms"},
                "batching": {"max_commands": 16, "max_delay": "1s", "pipeline": 8},
            },
        ),
    )
    assert throughput_per_s(trial) == pytest.approx(16 / 0.002, rel=0.01)
