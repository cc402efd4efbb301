"""The real world from end to end: every engine in processes, judged as a simulation is; and nothing is left behind."""
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from bench.driver.children import Household, ProcessError, free_ports
from bench.driver.cluster import Cluster, Replica
from bench.driver.frames import Request, encode
from bench.driver.processes import Run, run_processes
from bench.metrics.result import load
from bench.metrics.trial import OK
from engines.machine import PUT, encode_command
from ext.build import ROOT
from tests.processes.cluster import Caller
from tests.processes.real import nothing_left, ran, short

SCENARIO = """
world = "processes"
engine = ["raft", "zab"]
duration = "500ms"
warmup = "700ms"
cooldown = "0s"
network = { latency = "0ms" }
timeouts = { election = ["300ms", "600ms"], heartbeat = "50ms" }
workload = { arrivals = { kind = "open", rate = 400 } }
"""
COMMAND = [sys.executable, "-c", "import sys; from bench.cli import main; sys.exit(main())", "run"]


@pytest.mark.parametrize("engine", ["paxos", "raft", "zab", "unreplicated"])
def test_an_engine_serves_an_open_loop_and_passes_every_check(engine: str, tmp_path: Path) -> None:
    trial = ran(engine, tmp_path)
    assert np.count_nonzero(trial.operations["status"] == OK) > 0.9 * len(trial.operations)
    assert trial.checks["agreement"] == trial.checks["one leader a term"] == "passed"
    assert trial.counts["commits"] > 300
    assert trial.counts["fsyncs"] > 0
    assert (trial.counts["messages"] > 0) == (engine != "unreplicated")
    assert trial.fairness["durability"] == "fsync"
    assert trial.leaders
    assert set(trial.resources["replicas"]) == {"0", "1", "2"}
    assert trial.resources["generators"]["0"]["cpu_share"] > 0


def test_clients_of_a_closed_loop_have_one_operation_under_way_each(tmp_path: Path) -> None:
    trial = ran("raft", tmp_path, workload={"arrivals": {"kind": "closed", "clients": 8}})
    done = trial.operations[trial.operations["status"] == OK]
    for client in range(8):
        own = done[done["client"] == client]
        assert len(own) > 10
        assert (own["intended_ns"][1:] >= own["completed_ns"][:-1]).all()


@pytest.mark.parametrize("changes", [
    {"storage": {"durability": "none"}},
    {"storage": {"durability": "batch-interval"}},
    {"processes": {"loop": "asyncio"}},
    {"workload": {"routing": "round-robin"}},
    {"network": {"latency": "2ms", "jitter": "1ms"}},
    {"storage": {"compact_after": "20KiB"}},
], ids=str)  # fmt: skip
def test_other_settings_reach_the_processes(changes: dict[str, Any], tmp_path: Path) -> None:
    trial = ran("raft", tmp_path, **changes)
    done = trial.operations[trial.operations["status"] == OK]
    if "network" in changes:  # client to leader, leader to follower, and back: four times at least 2 ms
        assert (done["completed_ns"] - done["intended_ns"]).min() >= 8_000_000
    assert trial.fairness["durability"] == changes.get("storage", {}).get("durability", "fsync")
    assert trial.fairness["loop"] == changes.get("processes", {}).get("loop", "uvloop")


def test_a_replica_that_dies_of_itself_ends_the_run_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Run._start_load

    async def begin_and_kill(run: Run) -> Any:
        load = await begin(run)
        run.cluster.replicas[1].child.log.write_text("replica: the disk is on fire\n")
        run.cluster.replicas[1].child.signal(signal.SIGKILL)
        return load

    monkeypatch.setattr(Run, "_start_load", begin_and_kill)
    with pytest.raises(ProcessError) as raised:
        run_processes(short(), "raft", {}, 1, 0, tmp_path)
    assert str(raised.value) == "replica-1-1 was killed by signal 9: replica: the disk is on fire"
    assert nothing_left(tmp_path)


def test_clients_that_die_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Run._start_load

    async def begin_and_kill(run: Run) -> None:
        await begin(run)
        run.generators[0].child.signal(signal.SIGKILL)

    monkeypatch.setattr(Run, "_start_load", begin_and_kill)
    with pytest.raises(ProcessError, match=r"^clients-0 was killed by signal 9$"):
        run_processes(short(), "raft", {}, 1, 0, tmp_path)
    assert nothing_left(tmp_path)


def test_a_replica_that_finds_its_log_corrupt_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes back from a crash, and what it had promised cannot be read: the run says so, and where, in one line."""
    restart = Cluster.restart

    async def spoil_and_restart(cluster: Cluster, replica: Replica) -> Any:
        [segment] = replica.home.folder.glob("wal-*")
        with segment.open("r+b") as file:
            file.seek(200)
            file.write(b"?")
        return await restart(cluster, replica)

    monkeypatch.setattr(Cluster, "restart", spoil_and_restart)
    faults = [{"at": "1s", "for": "100ms", "crash": 1}]
    with pytest.raises(ProcessError, match=r"^replica-1-2 ended with status 1: replica: .* is damaged, .*cannot be trusted$"):
        run_processes(short(faults=faults), "zab", {}, 1, 0, tmp_path)
    assert nothing_left(tmp_path)


def test_a_replica_that_cannot_start_says_why_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [port] = free_ports(1)
    monkeypatch.setattr("bench.driver.cluster.free_ports", lambda count: [port] * count)
    with pytest.raises(ProcessError, match=f"cannot listen on 127.0.0.1:{port}") as raised:
        run_processes(short(), "raft", {}, 1, 0, tmp_path)
    assert "\n" not in str(raised.value)
    assert nothing_left(tmp_path)


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], list[psutil.Process]]]]:
    """A run on the command line, once its clients are at work: the process, and those that it has started."""
    (tmp_path / "own.toml").write_text(SCENARIO.replace('"500ms"\nwarmup', '"30s"\nwarmup'))
    started = []

    def start() -> tuple[subprocess.Popen[str], list[psutil.Process]]:
        process = subprocess.Popen(
            [*COMMAND, str(tmp_path / "own.toml"), "--out", str(tmp_path / "out")],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            children = psutil.Process(process.pid).children()
            if any("bench.driver.load" in child.cmdline() for child in children) and list(tmp_path.glob(".out*/.processes-*")):
                return process, children
            time.sleep(0.05)
        raise AssertionError("the run did not begin")

    yield start
    for process in started:
        process.kill()
        process.communicate()


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all have ended within a while."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    return not alive


def test_after_ctrl_c_nothing_is_left(command: Any, tmp_path: Path) -> None:
    process, children = command()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert gone(children)
    assert [path.name for path in tmp_path.iterdir()] == ["own.toml"]


def test_after_the_run_was_killed_nothing_runs_on_not_even_what_was_stopped(command: Any, tmp_path: Path) -> None:
    process, children = command()
    replica = next(child for child in children if "bench.driver.replica" in child.cmdline())
    os.kill(replica.pid, signal.SIGSTOP)
    process.kill()
    process.wait()
    assert gone(children)
    assert not list(tmp_path.glob(".out*/.processes-*"))


def test_the_command_line_makes_a_result_of_processes(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SCENARIO)
    done = subprocess.run(
        [*COMMAND, str(tmp_path / "own.toml"), "--out", str(tmp_path / "out"), "--quiet", "--no-plots", "--trials", "2"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = load(tmp_path / "out")
    assert list(result.points["world"]) == ["processes"] * 4
    assert list(result.points["engine"]) == ["raft", "raft", "zab", "zab"]
    assert "machine" in result.records[0].resources


def test_a_household_is_left_by_an_error_with_its_processes(tmp_path: Path) -> None:
    async def fail() -> None:
        async with Household(tmp_path) as household:
            await household.start("janitor", "bench.driver.janitor", {})
            raise KeyError("anything")

    with pytest.raises(KeyError):
        asyncio.run(fail())
    assert nothing_left(tmp_path)


def test_what_replicas_apply_after_they_were_last_asked_is_no_other_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under overload they go on until they are stopped, and may compact their logs beyond what they had said."""
    stop = Cluster.stop

    def more(cluster: Cluster) -> None:
        for replica in cluster.replicas:
            caller = Caller(replica.address[1], "client", 1 << 40, replica.id, secret=cluster.secret)
            for number in range(1, 101):
                caller.socket.sendall(encode([Request(1 << 40, encode_command(1 << 40, number, 1, PUT, b"key", bytes(1000)))]))
            caller.body()
            caller.close()

    async def more_and_stop(cluster: Cluster) -> Any:
        await asyncio.to_thread(more, cluster)
        return await stop(cluster)

    monkeypatch.setattr(Cluster, "stop", more_and_stop)
    ran("paxos", tmp_path, storage={"compact_after": "4KiB"})
