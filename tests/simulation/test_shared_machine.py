"""Replicas and clients that share a machine: what must come out where it can be calculated, and order and safety where not.

Everything that a test does not name is free: then one thing at a time costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.driver.cores import IDLE, READY, Cores, Process
from bench.driver.disk import Disk
from bench.driver.trials import run_trial
from bench.metrics.summary import summarise
from bench.metrics.trial import Trial
from bench.scenario import Place, Scenario, read_scenario
from engines.core import NEVER
from tests.simulation.building import FREE, MS, REPLICATED, US, latencies_ns, merged, perform
from tests.simulation.schedules import random_scenario

OWN_MACHINE_FAULTS = ("pause", "torn_write")  # which replicas that share a machine do not know

MACHINE: dict[str, Any] = {
    "network": {"latency": "0s"},
    "costs": {"cores": 8, "fsync": "0s"},
    "timeouts": {"request": "1s"},
    "warmup": "100ms",
    "duration": "400ms",
    "cooldown": "0s",
    "workload": {"arrivals": {"clients": 1, "think": "0s"}},
}


def machine(engine: str, **changes: Any) -> Scenario:
    """A free machine with these changes."""
    return read_scenario(merged(merged(FREE, MACHINE), {"engine": engine} | changes), Place("test", Path()))


def shared(engine: str, **changes: Any) -> Trial:
    """The trial of it, which violates no invariant."""
    trial = perform(machine(engine, **changes)).trial({}, 0)
    assert trial.violations == []
    return trial


def rate(trial: Trial) -> float:
    return float(summarise(trial)["throughput_ops_per_s"])


def test_one_operation_pays_every_cost_of_its_way_once() -> None:
    """Of a turn of the clients it has the whole, as they hear and ask in one; then the replica's before its sync, the sync, the
    rest of the turn, and two cores that wake up.
    """
    costs = {
        "wake_up": "7us", "per_turn": "100us", "per_frame": "10us", "per_message": "3us", "per_command": "5us",
        "per_sync": "40us", "client_per_turn": "200us", "client_per_message": "2us", "fsync": "1ms",
    }  # fmt: skip
    clients = 200 + 2 * 10 + 2 * 2
    replica = 100 + 10 + 3 + 40 + 1000 + 5 + 3 + 10
    latencies = latencies_ns(shared("unreplicated", replicas=1, costs=costs))
    assert set(latencies.tolist()) == {(clients + replica + 2 * 7) * US}


def test_a_shared_core_saturates_at_one_by_the_costs_of_a_command() -> None:
    """One core does all work of a command, of replica and clients, after one another."""
    costs = {"cores": 1, "per_message": "10us", "client_per_message": "15us"}
    trial = shared("unreplicated", replicas=1, costs=costs, workload={"arrivals": {"clients": 64}})
    assert rate(trial) == pytest.approx(1e6 / (2 * 10 + 2 * 15), rel=0.01)


def test_with_two_cores_the_slower_process_is_the_limit() -> None:
    """The clients need 30 us for an operation, and use no more than one core: 30,000 a second are served; one core, of which each
    takes 50 us, cannot.
    """
    arrivals = {"kind": "open", "process": "constant", "rate": 30_000, "clients": 64, "think": None}
    costs = {"per_message": "10us", "client_per_message": "15us"}
    two, one = (
        shared("unreplicated", replicas=1, costs=costs | {"cores": cores}, workload={"arrivals": arrivals}) for cores in (2, 1)
    )
    assert rate(two) == pytest.approx(30_000, rel=0.01)
    assert rate(one) < 20_200


@pytest.mark.parametrize("engine", REPLICATED)
def test_replicas_that_share_one_core_do_the_work_of_all(engine: str) -> None:
    """Each of three replicas applies each command: a core of which this is all the work does 1 / (3 costs) commands a second."""
    trial = shared(engine, costs={"cores": 1, "per_command": "20us"}, workload={"arrivals": {"clients": 64}})
    assert rate(trial) == pytest.approx(1e6 / 60, rel=0.01)


def test_a_turn_takes_all_that_has_arrived() -> None:
    """A cost of a turn is shared by all the clients whose commands it takes."""
    one = shared("unreplicated", replicas=1, costs={"per_turn": "1ms"})
    many = shared("unreplicated", replicas=1, costs={"per_turn": "1ms"}, workload={"arrivals": {"clients": 50}})
    assert rate(one) == pytest.approx(1000, rel=0.01)
    assert rate(many) == pytest.approx(50_000, rel=0.01)


def test_what_was_sent_in_one_frame_is_taken_in_one_turn() -> None:
    """A hundred commands are two messages to each follower, and still one sync."""
    costs = {"fsync": "1ms", "per_command": "1us"}
    trial = shared("raft", costs=costs, batching={"max_commands": 50}, workload={"arrivals": {"clients": 100}})
    assert trial.counts["fsyncs"] / trial.counts["commits"] == pytest.approx(3 / 100, rel=0.05)


def test_a_byte_costs_where_it_is_read_where_it_is_written_and_where_it_is_logged() -> None:
    small, large = (
        shared("unreplicated", replicas=1, costs={"per_byte": "10ns", "fsync": "1ms"}, workload={"value_size": f"{size}B"})
        for size in (100, 1100)
    )
    # By the clients, by the replica, and into its log.
    assert latencies_ns(large).min() - latencies_ns(small).min() == 1000 * 10 * 3


def test_a_sync_that_begins_a_block_takes_longer() -> None:
    """A record and a command of 8 bytes are less than a hundred bytes: one sync of forty or more."""
    costs = {"fsync": "1ms", "fsync_new_block": "3ms", "per_new_block": "2ms"}
    latencies = latencies_ns(shared("unreplicated", replicas=1, costs=costs))
    assert set(latencies.tolist()) == {1 * MS, 6 * MS}
    assert 0 < np.count_nonzero(latencies == 6 * MS) < len(latencies) / 40


@pytest.mark.parametrize(("contention", "syncs"), [(0.0, 1.0), (0.5, 2.0), (1.0, 3.0)])
def test_replicas_slow_each_others_syncs(contention: float, syncs: float) -> None:
    """Followers begin when the leader does: three syncs under way take 1 + 2 contention times as long as one."""
    trial = shared("raft", costs={"fsync": "10ms", "contention": contention})
    assert latencies_ns(trial).min() == latencies_ns(trial).max() == syncs * 10 * MS


def test_a_sync_blocks_its_process_but_no_core() -> None:
    """Ten milliseconds of syncs, one after the other, leave the only core to the clients."""
    costs = {"cores": 1, "fsync": "10ms", "client_per_message": "50us"}
    trial = shared("unreplicated", replicas=1, costs=costs, workload={"arrivals": {"clients": 10}})
    # All ten commands of a round are in one group: the round is the clients' work for twenty messages, and one sync.
    assert latencies_ns(trial).min() == 11 * MS


def test_a_sync_is_slow_only_while_another_is_under_way() -> None:
    """10 ms of work each at half the speed while both are under way: 4 alone, 12 of 6 together, and 4 alone again."""
    disk, first, second = Disk(1.0), Process(0, 1), Process(1, 1)
    assert disk.next_ns() == NEVER
    disk.begin(first, 10 * MS, 0)
    assert disk.next_ns() == 10 * MS
    disk.begin(second, 10 * MS, 4 * MS)
    assert disk.next_ns() == 16 * MS
    assert disk.finished(16 * MS) == [first]
    assert disk.next_ns() == 20 * MS
    disk.abandon(second, 18 * MS)
    assert disk.next_ns() == NEVER


def test_two_processes_on_one_core_take_turns() -> None:
    cores, processes = Cores(1), [Process(number, 1) for number in range(3)]
    assert cores.acquire(processes[0])
    assert not cores.acquire(processes[1])
    assert not cores.acquire(processes[2])
    assert [process.state for process in processes] == [IDLE, READY, READY]
    assert cores.pass_on() is processes[1]
    assert not cores.acquire(processes[0])
    processes[2].end()
    assert cores.pass_on() is processes[0]
    assert cores.pass_on() is None
    assert cores.acquire(processes[1])


@pytest.mark.parametrize("cores", [1, 2])
def test_nobody_has_more_than_one_core_and_all_no_more_than_there_are(cores: int) -> None:
    costs = {"cores": cores, "per_command": "30us", "client_per_message": "5us"}
    scenario = machine("raft", costs=costs, workload={"arrivals": {"clients": 64}})
    taken = [process.busy_ns / scenario.end_ns for process in perform(scenario).simulation.processes]
    assert max(taken) <= 1.01
    assert sum(taken) <= 1.01 * cores
    assert sum(taken) > 0.94


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("engine", REPLICATED)
def test_faults_strike_processes_and_nothing_is_violated(engine: str, seed: int) -> None:
    """Random worlds with crashes, partitions, slow disks and clocks, in turns on shared cores."""
    trial = faulty(engine, seed)
    assert trial.violations == []
    assert trial.checks["linearizability"] in ("passed", "unknown")
    assert summarise(trial)["ok"] > 0
    assert any(fault.witness for fault in trial.faults)


def faulty(engine: str, seed: int) -> Trial:
    """A random schedule on a machine of two cores where everything costs something."""
    costs = {
        "cores": 2, "wake_up": "10us", "per_turn": "20us", "per_frame": "5us", "per_message": "1us", "per_byte": "1ns",
        "per_command": "1us", "per_sync": "20us", "client_per_turn": "20us", "client_per_message": "1us",
        "fsync": {"distribution": "exponential", "mean": "0.3ms"}, "fsync_per_byte": "1ns", "contention": 0.8,
    }  # fmt: skip
    table = random_scenario(engine, seed).resolved() | {"costs": costs}
    table["faults"] = [fault for fault in table["faults"] if not set(fault) & set(OWN_MACHINE_FAULTS)]
    return run_trial(read_scenario(table, Place("faulty", Path())), engine)
