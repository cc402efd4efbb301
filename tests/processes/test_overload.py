"""Three times as much as can be decided: queues are bounded and memory stays flat; clients wait, replicas do not grow.

REPLBENCH_OVERLOAD_S=120 for the full size (``make soak``).
"""
from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from bench.driver.breakage import Breakage
from bench.driver.reality import QUEUE_LIMIT_BYTES
from bench.driver.storage import SEGMENT_BYTES
from tests.processes.real import ran

SECONDS = float(os.environ.get("REPLBENCH_OVERLOAD_S", "6"))
ENGINES = ["paxos", "raft", "zab"] if SECONDS >= 60 else ["raft"]
SETTLED_S = min(10.0, SECONDS / 2)
VALUE_BYTES = 4096
# One batch of 64 is under way at a time, and takes a round trip of 20 ms: no machine decides more than 3,200 a second.
CAPACITY_PER_S = 3200
ROOM_BYTES = 24 << 20
OVERLOAD: dict[str, Any] = {
    "duration": f"{SECONDS}s",
    "network": {"latency": "10ms", "client_latency": "0ms"},
    "batching": {"max_commands": 64, "pipeline": 1},
    "timeouts": {"election": ["500ms", "1s"], "operation": "3s"},
    "storage": {"compact_after": "8MiB"},
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
    commands: int


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[Moment]]:
    """By replica, a few times a second while a run is under load."""
    found: dict[int, list[Moment]] = {}

    async def watch(breakage: Breakage) -> None:
        cluster = breakage.cluster
        while cluster.now() < cluster.scenario.end_ns:
            for replica in cluster.replicas:
                status = await cluster.status(replica)
                resident_bytes = psutil.Process(replica.child.pid).memory_info().rss
                log_bytes = sum(path.stat().st_size for path in replica.home.folder.glob("wal-*") if path.exists())
                moment = Moment(cluster.now() / 1e9, resident_bytes, log_bytes, status["queued"], status["commands"])
                found.setdefault(replica.id, []).append(moment)
            await asyncio.sleep(0.2)

    monkeypatch.setattr(Breakage, "run", watch)
    return found


@pytest.mark.timeout(120 + 3 * SECONDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_memory_and_log_stay_flat_at_three_times_the_capacity(
    engine: str, moments: dict[int, list[Moment]], tmp_path: Path
) -> None:
    trial = ran(engine, tmp_path, **OVERLOAD)
    decided = max(moment.commands for each in moments.values() for moment in each)
    excess_bytes = (len(trial.operations) - decided) * VALUE_BYTES * (1 - SETTLED_S / SECONDS)
    assert excess_bytes > 2 * ROOM_BYTES, "what waits at clients would have shown in a replica"
    assert decided * VALUE_BYTES > 3 * (8 << 20), "the log was compacted more than once"
    for replica, each in moments.items():
        early = max(moment.resident_bytes for moment in each if moment.at_s <= SETTLED_S)
        late = max(moment.resident_bytes for moment in each)
        print(f"{engine} {replica}: {early >> 20} MiB until {SETTLED_S:g} s, {late >> 20} MiB until {SECONDS:g} s")
        assert late < early + ROOM_BYTES
        assert max(moment.log_bytes for moment in each) <= 4 * SEGMENT_BYTES
        assert max(moment.queued for moment in each) * VALUE_BYTES < 2 * QUEUE_LIMIT_BYTES
    leader = max(moments.values(), key=lambda each: max(moment.queued for moment in each))
    assert max(moment.queued for moment in leader) * VALUE_BYTES > QUEUE_LIMIT_BYTES // 2, "the queue was full, and read no more"
