"""Scenarios as tests build them: a world where everything is free, and what a test adds to it.

    free_world(engine="raft", replicas=5, network={"latency": "1ms"})

Costs of CPU, NIC and disk are zero, clients stand beside the leader (replica 0) and heartbeats are far apart,
so that each closed form has only its own terms. Tables are merged into those of FREE; ``None`` takes a key
away.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from bench.driver.trials import TrialRun
from bench.metrics.summary import latency_ns, within
from bench.metrics.trial import OK, Trial
from bench.scenario import Scenario, read_scenario
from bench.scenario.fields import Place

US, MS, SECOND = 1_000, 1_000_000, 1_000_000_000
REPLICATED = ("paxos", "raft", "zab")

FREE: dict[str, Any] = {
    "initial_leader": 0,
    "warmup": "5s",
    "duration": "20s",
    "cooldown": "1s",
    "network": {"latency": "1ms", "client_latency": "0s", "bandwidth": "unlimited"},
    "cpu": {"per_message": "0s", "per_byte": "0s"},
    "storage": {"fsync": "0s", "per_byte": "0s"},
    "batching": {"max_commands": 1, "pipeline": 1000000},
    "timeouts": {"election": ["100s", "200s"], "heartbeat": "50s", "request": "100s", "operation": "100s"},
    "workload": {
        "mix": {"write": 1.0},
        "value_size": "8B",
        "arrivals": {"kind": "closed", "clients": 1, "think": "1s"},
    },
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes``: tables are merged key by key, a list or distribution is replaced whole."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict) and "distribution" not in value:
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def free_world(engine: str, **changes: Any) -> Scenario:
    """The scenario of FREE with these changes."""
    return read_scenario(merged(FREE, {"engine": engine} | changes), Place("test", Path()))


def perform(scenario: Scenario, seed: int | None = None) -> TrialRun:
    """Run the scenario's one engine to its end."""
    (engine,) = scenario.engine
    run = TrialRun(scenario, engine, scenario.seed if seed is None else seed)
    run.perform()
    return run


def trial_of(engine: str, **changes: Any) -> Trial:
    """The Trial of a free world with these changes; it violates no invariant."""
    trial = perform(free_world(engine, **changes)).trial({}, 0)
    assert trial.violations == []
    return trial


def latencies_ns(trial: Trial) -> np.ndarray:
    """Latencies of the operations of the window, all of which succeeded."""
    operations = within(trial.operations, trial.window_ns)
    assert len(operations) > 0
    assert (operations["status"] == OK).all()
    return latency_ns(operations, trial.end_ns)


def star(round_trips_ms: list[float], client_ms: float = 0.0) -> dict[str, Any]:
    """A network in which replica 0, the leader, has these round trips to the others, and the client this one
    to it.

    Replica i stands in region i, the client in the last one; followers are 1 s apart from one another.
    """
    regions = len(round_trips_ms) + 2
    rows = [[0.0 if row == column else 1000.0 for column in range(regions)] for row in range(regions)]
    for follower, milliseconds in enumerate(round_trips_ms, start=1):
        rows[0][follower] = rows[follower][0] = milliseconds
    rows[0][-1] = rows[-1][0] = client_ms
    names = [f"region-{number}" for number in range(regions - 1)] + ["clients"]
    return {
        "latency": None,
        "client_latency": None,
        "matrix": {"regions": names, "rtt_ms": rows},
        "placement": names[:-1],
    }


def standard_error(samples: np.ndarray) -> float:
    """Of the mean of independent samples."""
    return float(samples.std(ddof=1)) / math.sqrt(len(samples))
