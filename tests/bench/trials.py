"""Synthetic trials: what a driver would give for a single server with exponential service times."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.metrics.summary import outstanding_ns
from bench.metrics.trial import CAS, FAILED, OPERATION, PENDING, READ, UNKNOWN, WRITE, Trial

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
