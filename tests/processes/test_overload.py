"""Three times as much as can be decided: queues are bounded and memory stays flat; clients wait, replicas do not grow, and what
replicas decide is not what clients have given up.

REPLBENCH_OVERLOAD_S=120 for the full size (``make soak``).
"""
from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest

from bench.driver.breakage import Breakage
from bench.driver.processes import run_processes
from bench.driver.reality import QUEUE_LIMIT_BYTES
from bench.driver.storage import SEGMENT_BYTES
from bench.metrics.trial import FAILED, OK
from tests.processes.real import nothing_left, short

SECONDS = float(os.environ.get("REPLBENCH_OVERLOAD_S", "8"))
ENGINES = ["paxos", "raft", "zab"] if SECONDS >= 60 else ["raft"]
SETTLED_S = min(10.0, SECONDS / 2)
VALUE_BYTES = 4096
# One batch of 64 is under way at a time, and takes a round trip of 40 ms: no machine decides more than 1,600 a second.
CAPACITY_PER_S = 1600
ROOM_BYTES = 20 << 20
COMPACT_BYTES = 4 << 20
OVERLOAD: dict[str, Any] = {
    "duration": f"{SECONDS}s",
    "network": {"latency": "20ms", "client_latency": "0ms"},
    "batching": {"max_commands": 64, "pipeline": 1},
    "timeouts": {"election": ["500ms", "1s"], "operation": "3s"},
    "storage": {"compact_after": f"{COMPACT_BYTES}B"},
    "workload": {
        "mix": {"write": 1.0}, "value_size": f"{VALUE_BYTES}B", "keys": {"distribution": "uniform", "count": 500},
        "arrivals": {"kind": "open", "rate": 3 * CAPACITY_PER_S, "clients": 16},
    },
}  # fmt: skip


class Moment(msgspec.Struct):
    """What a replica holds at a time of the run."""

    at_s: float
    resident_bytes: int
    log_bytes: int
    queued: int
    paused: bool
    commands: int


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[Moment]]:
    """By replica, a few times a second while a run is under load."""
    found: dict[int, list[Moment]] = {}

    async def watch(breakage: Breakage) -> None:
        cluster = breakage.cluster
        while cluster.now() < cluster.scenario.end_ns:
            await cluster.look()
            for replica in cluster.replicas:
                status = cluster.board.current[replica.id]
                resident_bytes = psutil.Process(replica.child.pid).memory_info().rss
                log_bytes = sum(path.stat().st_size for path in replica.home.folder.glob("wal-*") if path.exists())
                size = (cluster.now() / 1e9, resident_bytes, log_bytes)
                moment = Moment(*size, *(status[name] for name in ("queued", "paused", "commands")))
                found.setdefault(replica.id, []).append(moment)
            await asyncio.sleep(0.2)

    monkeypatch.setattr(Breakage, "run", watch)
    return found


@pytest.mark.timeout(120 + 3 * SECONDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_memory_and_log_stay_flat_at_three_times_the_capacity(
    engine: str, moments: dict[int, list[Moment]], tmp_path: Path
) -> None:
    trial = run_processes(short(**OVERLOAD), engine, {}, 1, 0, tmp_path)
    assert trial.violations == []
    assert trial.checks["no acknowledged loss"] == "passed"
    assert trial.resources["caught_up"] == [0, 1, 2]
    assert nothing_left(tmp_path)
    decided = max(moment.commands for each in moments.values() for moment in each)
    excess_bytes = (len(trial.operations) - decided) * VALUE_BYTES * (1 - SETTLED_S / SECONDS)
    assert excess_bytes > 2 * ROOM_BYTES, "what waits at clients would have shown in a replica"
    assert decided * VALUE_BYTES > 3 * COMPACT_BYTES, "the log was compacted more than once"
    # Of all replicas, as each may come to lead, and the leader's queue is full.
    early = max(moment.resident_bytes for each in moments.values() for moment in each if moment.at_s <= SETTLED_S)
    late = max(moment.resident_bytes for each in moments.values() for moment in each)
    print(f"{engine}: {early >> 20} MiB until {SETTLED_S:g} s, {late >> 20} MiB in all, {decided} decided")
    assert late < early + ROOM_BYTES
    assert max(moment.log_bytes for each in moments.values() for moment in each) <= 4 * SEGMENT_BYTES
    assert any(moment.paused for each in moments.values() for moment in each), "a queue was full, and nothing more was read"
    assert max(moment.queued for each in moments.values() for moment in each) * VALUE_BYTES < QUEUE_LIMIT_BYTES
    done = np.bincount(trial.operations["status"], minlength=max(OK, FAILED) + 1)
    print(f"{done[OK]} operations succeeded, {done[FAILED]} failed, of {len(trial.operations)}")
    assert done[OK] > 0.9 * decided, "of what was decided, clients still waited for most"
    assert done[OK] + done[FAILED] > 0.9 * len(trial.operations), "what was never sent is known to have failed"
