"""Hundreds of random schedules an engine: safety always, progress in every calm phase (see bench.exploration)."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.exploration import coverage, draw
from bench.scenario import ScenarioError
from ext import build
from tests.simulation.building import REPLICATED
from tests.simulation.schedules import play

SEEDS = 300 if build.compiled() else 15
SHARE = 15


@pytest.mark.parametrize("first", range(0, SEEDS, SHARE))
@pytest.mark.parametrize("engine", REPLICATED)
def test_random_schedules(engine: str, first: int) -> None:
    for seed in range(first, first + SHARE):
        play(engine, seed)


@pytest.mark.parametrize("engine", REPLICATED)
def test_the_schedules_of_the_suite_contain_what_they_should(engine: str) -> None:
    """Every fault, transport and routing, one entry a message, small groups and two to seven replicas, among the seeds."""
    drawn = [draw(engine, seed) for seed in range(300)]
    assert {scenario.replicas for scenario in drawn} == {2, 3, 4, 5, 6, 7}
    kinds = {name.removeprefix(coverage.FAULT) for name in coverage.EVERYWHERE if name.startswith(coverage.FAULT)}
    assert {fault.kind for scenario in drawn for fault in scenario.faults} == kinds
    assert {scenario.network.transport for scenario in drawn} == ({"tcp"} if engine == "zab" else {"tcp", "datagram"})
    assert {scenario.workload.routing for scenario in drawn} == {"leader", "round-robin", "nearest"}
    assert {1, 2, 256} == {scenario.batching.inflight_messages for scenario in drawn}
    assert {1, 300, 2**20} <= {scenario.batching.message_bytes for scenario in drawn}
    assert {0, 1, 3} == {scenario.storage.group for scenario in drawn}
    assert {1, 2, 3} == {len(scenario.checks.progress) for scenario in drawn}


@pytest.mark.parametrize("engine", REPLICATED)
def test_what_a_network_loses_leaves_a_calm_phase_calm(engine: str) -> None:
    """Whatever is lost: a tcp connection that no segment gets through breaks long before it ends, and a datagram is small."""
    lossy = [each for each in (draw(engine, seed) for seed in range(300)) if each.network.loss.model != "none"]
    assert {each.network.transport for each in lossy} == ({"tcp"} if engine == "zab" else {"tcp", "datagram"})
    for scenario in lossy:
        if scenario.network.transport == "tcp":
            shortest_ns = min(end - begin for begin, end in scenario.checks.progress)
            assert scenario.network.user_timeout_ns < 2 * shortest_ns / 3
        else:
            assert scenario.batching.message_bytes <= 1024


def test_a_network_that_the_user_makes_lossy_is_given_small_datagrams() -> None:
    given = {"network": {"transport": "datagram", "loss": 0.05}}
    assert all(draw("raft", seed, given).batching.message_bytes <= 1024 for seed in range(50))


@pytest.mark.parametrize("engine", REPLICATED)
def test_random_schedules_of_locks(engine: str) -> None:
    """A few; `make explore` plays a thousand."""
    for seed in range(8 if build.compiled() else 1):
        play(engine, seed, "any-locks")


def test_the_schedules_of_locks_contain_what_they_should() -> None:
    """Every fault, leases that end within a phase of faults, clocks mostly within the bound, and not always."""
    given = {"workload": {"kind": "locks"}, "locks": {"grace": "7ms"}}
    drawn = [draw("zab", seed, given) for seed in range(200)]
    kinds = {fault.kind for scenario in drawn for fault in scenario.faults}
    assert {name.removeprefix(coverage.FAULT) for name in coverage.expected("zab", True) if ": " in name} <= kinds
    assert sum(fault.for_ns > scenario.locks.lease_ns for scenario in drawn for fault in scenario.faults) > 100
    assert 0.1 < sum(not scenario.clocks_in_bound for scenario in drawn) / len(drawn) < 0.3
    assert {scenario.locks.grace_ns for scenario in drawn} == {7_000_000}
    assert {scenario.workload.routing for scenario in drawn} == {"leader"}


@pytest.mark.parametrize("engine", REPLICATED)
def test_faults_leave_the_calm_phases_alone(engine: str) -> None:
    for seed in range(100):
        scenario = draw(engine, seed)
        assert scenario.faults
        for fault in scenario.faults:
            ends_ns = fault.at_ns + fault.for_ns
            assert not any(begin < ends_ns and fault.at_ns < end for begin, end in scenario.checks.progress), seed


@pytest.mark.skipif(not build.compiled(), reason="a campaign takes minutes when interpreted")
@pytest.mark.parametrize("engine", REPLICATED)
def test_everything_worth_having_happened_does(engine: str) -> None:
    counts: Counter[str] = Counter()
    for seed in range(300, 370):
        counts.update(play(engine, seed).coverage)
    assert [name for name in coverage.expected(engine) if not counts[name]] == []


def test_what_the_scenario_says_is_kept() -> None:
    given = {"replicas": 5, "network": {"latency": "3ms"}, "workload": {"routing": "nearest"}, "storage": {"group": 7}}
    for seed in range(40):
        drawn = draw("raft", seed, given)
        assert drawn.replicas == 5
        assert drawn.network.latency is not None
        assert drawn.network.latency.mean_ns() == 3_000_000
        assert (drawn.workload.routing, drawn.storage.group) == ("nearest", 7)
        assert all(isinstance(fault.replica, str) or fault.replica < 5 for fault in drawn.faults)
    assert len({draw("raft", seed, given).network.loss for seed in range(40)}) > 2


def test_a_given_duration_is_filled_with_phases() -> None:
    for seed in range(40):
        drawn = draw("zab", seed, {"duration": "30s"})
        assert drawn.duration_ns == 30_000_000_000
        assert len(drawn.checks.progress) >= 3
        assert drawn.checks.progress[-1][1] > 0.95 * drawn.end_ns
    with pytest.raises(ScenarioError, match="duration: 1s holds no phase of faults and a calm one; give more"):
        draw("zab", 1, {"duration": "1s"})


def test_wide_areas_have_time_to_elect() -> None:
    """All times follow from the election timeout, which a map needs to be long."""
    placed = {"replicas": 3, "network": {"matrix": "aws-2020", "placement": ["us-east-1", "eu-west-1", "us-west-2"]}}
    drawn = draw("raft", 3, placed)
    assert drawn.timeouts.election_ns[1] == 2_000_000_000
    assert drawn.checks.progress[0][1] - drawn.checks.progress[0][0] > 15_000_000_000
