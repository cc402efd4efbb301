"""Synthetic trials: what a driver would give for a single server with exponential service times."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.metrics.summary import outstanding_ns
from bench.metrics.trial import (
    ACQUIRE,
    BY_DEATH,
    CAS,
    FAILED,
    FAILED_OVER,
    MOMENT,
    OK,
    OPERATION,
    PENDING,
    READ,
    RELEASE,
    TENANT,
    UNKNOWN,
    WRITE,
    FaultRecord,
    LockRecord,
    Trial,
)

SECOND_NS = 1_000_000_000


def synthetic_operations(
    generator: np.random.Generator,
    rate: float,
    service_ns: float,
    seconds: float,
    silent_ns: tuple[int, int] | None = None,
) -> np.ndarray:
    """Poisson arrivals at ``rate`` into a fair queue that serves nobody during ``silent_ns``."""
    count = int(rate * seconds)
    operations = np.zeros(count, dtype=OPERATION)
    operations["intended_ns"] = np.sort(generator.integers(0, int(seconds * SECOND_NS), count))
    operations["started_ns"] = operations["intended_ns"]
    free = 0.0
    for place, (arrived, work) in enumerate(
        zip(
            operations["intended_ns"].tolist(), generator.exponential(service_ns, count).tolist(), strict=True
        )
    ):
        start = max(arrived, free)
        if silent_ns is not None and silent_ns[0] <= start < silent_ns[1]:
            start = silent_ns[1]
        free = start + work
        operations["completed_ns"][place] = int(free) + 150_000
    operations["kind"] = generator.choice([READ, WRITE, CAS], count, p=[0.5, 0.4, 0.1])
    operations["key"] = generator.integers(0, 100, count)
    operations["client"] = generator.integers(0, 16, count)
    operations["attempts"] = 1
    operations["value"] = np.where(operations["kind"] == READ, 0, np.arange(1, count + 1))
    operations["returned"] = np.where(operations["kind"] == WRITE, 0, 1)
    return operations


def synthetic_trial(
    engine: str = "raft",
    rate: float = 2_000,
    *,
    capacity: float = 10_000,
    seed: int = 1,
    seconds: float = 2.0,
    end_after_s: float = 0.5,
    silent_ns: tuple[int, int] | None = None,
    **changed: Any,
) -> Trial:
    """A valid trial; the window leaves out its first and last tenth. ``changed`` replaces fields."""
    operations = synthetic_operations(
        np.random.default_rng(seed), rate, SECOND_NS / capacity, seconds, silent_ns
    )
    window = (int(seconds * 0.1 * SECOND_NS), int(seconds * 0.9 * SECOND_NS))
    end = int((seconds + end_after_s) * SECOND_NS)
    late = operations["completed_ns"] >= end
    operations["status"][late], operations["completed_ns"][late] = UNKNOWN, PENDING
    commits = int(np.count_nonzero(operations["status"] == 0))
    fields: dict[str, Any] = {
        "engine": engine, "world": "simulation", "replicas": 3, "seed": seed, "trial": 0,
        "axes": {"workload.arrivals.rate": rate}, "window_ns": window, "end_ns": end,
        "offered_ops_per_s": rate,
        "operations": operations,
        "counts": {
            "commits": commits, "messages": commits * (6 if engine == "zab" else 4), "heartbeats": 40,
            "message_bytes": commits * 700, "fsyncs": commits * 2, "client_requests": len(operations),
        },
        "messages_by_kind": {"AppendEntries": commits * 2, "Appended": commits * 2},
        "outstanding_ns": 0, "leaders": [(0, 0, 1)], "faults": [], "violations": [],
        "checks": {"agreement": "passed", "linearizability": "not run"},
        "fairness": {"durability": "fsync", "batching": 64, "reply_point": "applied", "clients": 16},
    }  # fmt: skip
    trial = Trial(**(fields | changed))
    if "outstanding_ns" not in changed:
        trial.outstanding_ns = outstanding_ns(trial)
    return trial


def failed(operations: np.ndarray, which: slice) -> np.ndarray:
    """The operations, of which some certainly did not happen."""
    operations["status"][which] = FAILED
    return operations


def lock_trial(engine: str = "raft", *, seed: int = 1, lost: bool = False, unfinished: bool = False, **changed: Any) -> Trial:
    """Twelve clients take turns at four locks for 20 s; the master dies at 8 s, and another grants locks from 12 s on.

    ``lost``: a client dies while it holds lock 0, and nobody gets that for a while; ``unfinished``: the next master grants none.
    """
    struck_ns, elected_ns, back_ns = 8 * SECOND_NS, 10 * SECOND_NS, 12 * SECOND_NS
    operations, gone = _turns(np.random.default_rng(seed), struck_ns, back_ns, lost=lost)
    if unfinished:
        operations = operations[operations["started_ns"] < struck_ns]
    tenants = np.zeros(12, TENANT)
    tenants["client"], tenants["requests"], tenants["keep_alives"] = range(12), 40, 3
    moments = np.zeros(0 if unfinished else 12, MOMENT)
    moments["client"], moments["time_ns"], moments["what"] = range(len(moments)), back_ns - 1, FAILED_OVER
    moments["epoch"] = EPOCH
    fields: dict[str, Any] = {
        "operations": operations, "window_ns": (SECOND_NS, 19 * SECOND_NS), "end_ns": 21 * SECOND_NS, "axes": {},
        "offered_ops_per_s": None, "leaders": [(0, 0, 1), (elected_ns, 1, 2)], "noticed": [(9 * SECOND_NS, 1)],
        "faults": [
            FaultRecord(
                kind="crash", target="leader", injected_ns=struck_ns, healed_ns=struck_ns + 5 * SECOND_NS, witness="w",
                heal_witness="h",
            )
        ],
        "locks": LockRecord(moments=moments, tenants=tenants, lost=gone, acknowledged=np.zeros(0, np.uint64)),
    }  # fmt: skip
    return synthetic_trial(engine, seed=seed, **(fields | changed))


EPOCH = 10_000  # the position at which the second master took over


def _turns(
    generator: np.random.Generator, struck_ns: int, back_ns: int, *, lost: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Acquires and releases, and the releases by the master of what was lost."""
    rows: list[tuple[int, ...]] = []
    gone: list[tuple[int, ...]] = []
    for lock in range(4):
        released_ns, turn = SECOND_NS // 10, 0
        while released_ns < 19 * SECOND_NS:
            client = 3 * lock + turn % 3
            # Every other one asks while the lock is held.
            asked_ns = released_ns + (int(generator.exponential(40e6)) + 1 if turn % 2 else -2_000_000)
            granted_ns = max(asked_ns, released_ns) + int(generator.uniform(1e6, 3e6))
            if granted_ns >= struck_ns and asked_ns < back_ns:
                granted_ns = max(granted_ns, back_ns + 3_000_000 * (turn % 2))
            released_ns = granted_ns + 5_000_000 + int(generator.exponential(60e6))
            generation = turn + (EPOCH + 1 if granted_ns >= back_ns else 0)
            waited = int(asked_ns < released_ns and not turn % 2)
            rows.append((client, lock, ACQUIRE, asked_ns, granted_ns, generation, waited))
            if lost and lock == 0 and turn == 21:
                gone.append((client, lock, RELEASE, released_ns, PENDING, BY_DEATH, 0))
                released_ns += 2 * SECOND_NS
            else:
                rows.append((client, lock, RELEASE, released_ns, released_ns + 1_500_000, 0, 0))
            turn += 1
    return _recorded(rows), _recorded(gone)


def _recorded(rows: list[tuple[int, ...]]) -> np.ndarray:
    operations = np.zeros(len(rows), OPERATION)
    for operation, (client, lock, kind, started_ns, completed_ns, returned, expected) in zip(operations, rows, strict=True):
        operation["client"], operation["key"], operation["kind"], operation["attempts"] = client, lock, kind, 1
        operation["intended_ns"] = operation["started_ns"] = started_ns
        operation["completed_ns"], operation["returned"], operation["expected"] = completed_ns, returned, expected
        operation["status"] = UNKNOWN if completed_ns == PENDING else OK
    return operations
