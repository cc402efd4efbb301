"""Faults on real processes, under load: whatever was acknowledged stays, is applied once, and the replicas agree in the end."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from bench.driver.breakage import Breakage
from bench.driver.processes import run_processes
from bench.metrics.trial import OK, Trial
from tests.processes.real import ran, short

ENGINES = ["paxos", "raft", "zab"]
LONGER: dict[str, Any] = {"duration": "2s"}


def served_between(trial: Trial, first_s: float, last_s: float) -> int:
    """How many operations succeeded in between."""
    completed = trial.operations["completed_ns"][trial.operations["status"] == OK]
    return int(np.count_nonzero((completed >= first_s * 1e9) & (completed < last_s * 1e9)))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_leader_is_killed_and_comes_back(engine: str, tmp_path: Path) -> None:
    trial = ran(engine, tmp_path, **LONGER, faults=[{"at": "1s", "for": "500ms", "crash": "leader"}])
    [fault] = trial.faults
    assert fault.target == f"replica {trial.leaders[0][1]}"
    assert "gone, by SIGKILL" in fault.witness
    assert "incarnation 2, with" in fault.heal_witness
    assert "with 0 records" not in fault.heal_witness
    assert len(trial.leaders) >= 2, "somebody else had to lead"
    assert served_between(trial, 2.2, 2.8) > 100


def test_replicas_are_killed_twenty_times_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader and a random replica by turns, each killed as soon as the one before has caught up, however long that takes."""

    async def one_after_the_other(breakage: Breakage) -> None:
        for fault in breakage.faults:
            await breakage._run(fault)

    monkeypatch.setattr(Breakage, "run", one_after_the_other)
    faults = [{"at": "700ms", "for": "20ms", "crash": ("leader", "random")[number % 2]} for number in range(20)]
    trial = ran("raft", tmp_path, duration="8s", faults=faults, timeouts={"election": ["100ms", "200ms"], "heartbeat": "20ms"})
    assert len(trial.faults) == 20
    assert all("gone, by SIGKILL" in fault.witness and "has applied" in fault.heal_witness for fault in trial.faults)
    assert len({fault.target for fault in trial.faults}) == 3
    assert len(trial.leaders) > 5
    assert served_between(trial, 0.7, 9) > 100  # progress between the kills, on however busy a machine


@pytest.mark.parametrize("engine", ENGINES)
def test_all_replicas_are_killed_at_once_and_remember(engine: str, tmp_path: Path) -> None:
    faults = [{"at": "1s", "for": "100ms", "crash": replica} for replica in range(3)]
    trial = ran(engine, tmp_path, duration="4s", faults=faults)  # three interpreters start on however busy a machine
    assert all("incarnation 2" in fault.heal_witness for fault in trial.faults)
    assert served_between(trial, 0, 1) > 50
    assert served_between(trial, 1.2, 10) > 50


@pytest.mark.parametrize("engine", ENGINES)
def test_a_leader_that_was_stopped_wakes_up_and_serves_nothing_stale(engine: str, tmp_path: Path) -> None:
    """Else a read would return an older value than one that had completed before, and the history not be linearizable."""
    trial = ran(
        engine, tmp_path, **LONGER, faults=[{"at": "1s", "for": "1s", "pause": "leader"}],
        workload={"mix": {"read": 0.5, "write": 0.5}, "keys": {"distribution": "uniform", "count": 1}},
    )  # fmt: skip
    [fault] = trial.faults
    assert "is stopped" in fault.witness
    assert "answers again" in fault.heal_witness
    assert len(trial.leaders) >= 2, "somebody else had to lead"
    assert trial.checks["linearizability"] == "passed"


# Each kind of fault, each target and each engine, with what only the fault and only its end can show.
WITNESSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("zab", {"crash": 0}, "gone, by SIGKILL", "incarnation 2, with"),
    ("unreplicated", {"crash": 0}, "gone, by SIGKILL", "incarnation 2, with"),
    ("paxos", {"pause": "random"}, "is stopped", "answers again"),
    ("zab", {"partition": "leader"}, "messages did not get through", "messages get through again"),
    ("paxos", {"partition": [[0], [1, 2]]}, "messages did not get through", "messages get through again"),
    ("raft", {"one_way": {"from": "leader", "to": "random"}}, "messages did not get through", "messages get through again"),
    ("zab", {"slow_link": {"from": "leader", "to": "random", "extra": "5ms"}}, "took 5 ms longer", "as fast as before"),
    ("raft", {"slow_disk": {"replica": "leader", "factor": 5}}, "took 5 times as long", "as long as they would"),
    ("unreplicated", {"slow_disk": {"replica": 0, "factor": 5}}, "took 5 times as long", "as long as they would"),
    ("paxos", {"clock": {"replica": "random", "rate": 1.5}}, "the clock is off by", "keeps time"),
    ("raft", {"clock": {"replica": 2, "rate": 0.5}}, "the clock is off by -", "keeps time"),
]


@pytest.mark.parametrize(("engine", "fault", "seen", "healed"), WITNESSED, ids=[f"{case[0]}-{case[1]}" for case in WITNESSED])
def test_every_fault_is_witnessed_and_healed(
    engine: str, fault: dict[str, Any], seen: str, healed: str, tmp_path: Path
) -> None:
    trial = ran(engine, tmp_path, faults=[{"at": "700ms", "for": "700ms", **fault}])
    [record] = trial.faults
    assert record.injected_ns >= 700_000_000
    assert record.healed_ns is not None
    assert record.healed_ns - record.injected_ns >= 700_000_000
    assert seen in record.witness
    assert healed in record.heal_witness


def test_a_process_that_is_killed_while_it_is_stopped_costs_a_witness_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be gone by the time somebody looks whether it has stopped; and who answers afterwards is another one."""

    def gone(process: psutil.Process) -> str:
        raise psutil.NoSuchProcess(process.pid)

    monkeypatch.setattr(psutil.Process, "status", gone)
    faults = [{"at": "700ms", "for": "600ms", "pause": 0}, {"at": "800ms", "for": "50ms", "crash": 0}]
    trial = run_processes(short(faults=faults), "raft", {}, 1, 0, tmp_path)
    pause, crash = trial.faults
    assert (pause.kind, pause.witness, pause.heal_witness) == ("pause", "", "")
    assert "incarnation 2" in crash.heal_witness


def test_a_replica_is_killed_once_though_two_faults_strike_it_at_once(tmp_path: Path) -> None:
    """Else it would be restarted twice, and two processes want one log."""
    faults = [{"at": "700ms", "for": "200ms", "crash": 0} for _ in range(2)]
    trial = run_processes(short(faults=faults), "raft", {}, 1, 0, tmp_path)
    assert sorted(bool(fault.witness) for fault in trial.faults) == [False, True]
    assert trial.resources["caught_up"] == [0, 1, 2]


def test_a_replica_that_restarts_behind_a_partition_is_still_cut_off(tmp_path: Path) -> None:
    faults = [
        {"at": "1s", "for": "1500ms", "partition": [[2], [0, 1]]},
        {"at": "1200ms", "for": "100ms", "crash": 2},
    ]
    trial = ran("raft", tmp_path, duration="2500ms", faults=faults)
    cut, crash = sorted(trial.faults, key=lambda fault: fault.injected_ns)
    caught_up_s = float(crash.heal_witness.rpartition(" at ")[2].split()[0])
    assert cut.healed_ns is not None
    assert caught_up_s * 1e9 > cut.healed_ns, "it cannot have caught up before the others could reach it"
