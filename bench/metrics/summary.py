"""From raw operations to a row of points.csv.

What counts is every operation whose *intended* start lies in the window. Its latency is completion minus
intended start, its service time completion minus the moment it was first sent. An operation without success
(failed, or of unknown outcome) counts in both as if it lasted until the end of the run, which is a lower
bound: errors never improve a percentile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.metrics.trial import FAILED, OK, UNKNOWN, Trial

SECOND_NS = 1_000_000_000
SAMPLES_BEYOND = 10  # a percentile with fewer samples beyond it says nothing
COLUMNS = (
    "engine", "world", "replicas", "seed", "trial", "offered_ops_per_s", "throughput_ops_per_s",
    "sent", "ok", "failed", "unknown",
    "latency_p50_ns", "latency_p90_ns", "latency_p99_ns", "latency_p999_ns",
    "latency_mean_ns", "latency_max_ns",
    "service_p50_ns", "service_p99_ns",
    "messages_per_commit", "bytes_per_commit", "fsyncs_per_commit", "verdict", "heartbeats_per_s", "longest_gap_ns",
    "cpu_ns_per_commit",
)  # fmt: skip
PERCENTILES = {"p50": 500, "p90": 900, "p99": 990, "p999": 999}  # in thousandths


def summarise(trial: Trial) -> dict[str, Any]:
    """COLUMNS but for the verdict, then one entry per sweep axis; None where a number would say nothing."""
    first, last = trial.window_ns
    window_s = (last - first) / SECOND_NS
    operations = within(trial.operations, trial.window_ns)
    latency = np.sort(latency_ns(operations, trial.end_ns))
    service = np.sort(service_ns(operations, trial.end_ns))
    completed = trial.operations["completed_ns"][trial.operations["status"] == OK]
    row: dict[str, Any] = {
        "engine": trial.engine,
        "world": trial.world,
        "replicas": trial.replicas,
        "seed": trial.seed,
        "trial": trial.trial,
        "offered_ops_per_s": trial.offered_ops_per_s,
        "throughput_ops_per_s": np.count_nonzero((completed >= first) & (completed < last)) / window_s,
        "sent": len(operations),
        "ok": int(np.count_nonzero(operations["status"] == OK)),
        "failed": int(np.count_nonzero(operations["status"] == FAILED)),
        "unknown": int(np.count_nonzero(operations["status"] == UNKNOWN)),
        **{
            f"latency_{name}_ns": percentile(latency, thousandths)
            for name, thousandths in PERCENTILES.items()
        },
        "latency_mean_ns": float(latency.mean()) if len(latency) else None,
        "latency_max_ns": int(latency[-1]) if len(latency) else None,
        "service_p50_ns": percentile(service, PERCENTILES["p50"]),
        "service_p99_ns": percentile(service, PERCENTILES["p99"]),
        "messages_per_commit": _per_commit(trial, "messages"),
        "bytes_per_commit": _per_commit(trial, "message_bytes"),
        "fsyncs_per_commit": _per_commit(trial, "fsyncs"),
        "heartbeats_per_s": trial.counts["heartbeats"] / window_s,
        "longest_gap_ns": longest_gap_ns(completed, trial.window_ns),
        "cpu_ns_per_commit": _per_commit(trial, "cpu_ns") if "cpu_ns" in trial.counts else None,
    }
    return row | trial.axes


def longest_gap_ns(completed_ns: np.ndarray, window_ns: tuple[int, int]) -> int:
    """The longest time within the window in which nobody had a success: how long a fault was felt."""
    first, last = window_ns
    inside = np.sort(completed_ns[(completed_ns >= first) & (completed_ns < last)])
    return int(np.diff(np.concatenate([[first], inside, [last]])).max())


def within(operations: np.ndarray, window_ns: tuple[int, int]) -> np.ndarray:
    """The operations whose intended start lies in [first, last)."""
    first, last = window_ns
    return operations[(operations["intended_ns"] >= first) & (operations["intended_ns"] < last)]


def latency_ns(operations: np.ndarray, end_ns: int) -> np.ndarray:
    """Completion minus intended start, int64 ns; end of the run minus intended start without success."""
    finished = np.where(operations["status"] == OK, operations["completed_ns"], end_ns)
    return np.asarray(finished - operations["intended_ns"])


def service_ns(operations: np.ndarray, end_ns: int) -> np.ndarray:
    """Completion minus first sending, int64 ns; end of the run minus first sending where there was no
    success.

    What was never sent counts from its intended start.
    """
    finished = np.where(operations["status"] == OK, operations["completed_ns"], end_ns)
    started = np.where(operations["started_ns"] >= 0, operations["started_ns"], operations["intended_ns"])
    return np.asarray(finished - started)


def percentile(ascending: Sequence[int] | np.ndarray, thousandths: int) -> int | None:
    """Nearest rank: the smallest sample that at least so many thousandths of the samples do not exceed.

    None where fewer than ten samples lie beyond it.
    """
    rank = -(-len(ascending) * thousandths // 1000)
    if len(ascending) - rank < SAMPLES_BEYOND:
        return None
    return int(ascending[rank - 1])


def outstanding_ns(trial: Trial) -> int:
    """The time integral, over the window, of the operations between intended start and completion."""
    first, last = trial.window_ns
    ended = np.where(trial.operations["completed_ns"] >= 0, trial.operations["completed_ns"], trial.end_ns)
    overlap = np.minimum(ended, last) - np.maximum(trial.operations["intended_ns"], first)
    return int(np.maximum(overlap, 0).sum())


def _per_commit(trial: Trial, count: str) -> float | None:
    return trial.counts[count] / trial.counts["commits"] if trial.counts["commits"] else None
