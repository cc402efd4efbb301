"""Waiting times of single-server queues, and Little's law. S: service time, rho: utilisation, W: time from
arrival to answer.

The server is one resource of an unreplicated replica; everything else is free. Compiled runs take enough
samples for 2 %; interpreted ones take a twentieth of them, and allow for five times the deviation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.metrics.summary import summarise, within
from bench.metrics.trial import Trial
from ext import build
from tests.simulation.building import MS, SECOND, latencies_ns, trial_of

COMPILED = build.compiled()
SAMPLES = {0.3: 150_000, 0.5: 200_000, 0.8: 600_000}
WITHIN = 0.02 if COMPILED else 0.1
SERVICE_NS = MS


def queue_trial(rho: float, **server: Any) -> Trial:
    """Poisson arrivals at ``rho`` of what the server can do."""
    samples = SAMPLES[rho] if COMPILED else SAMPLES[rho] // 20
    rate = rho * SECOND / SERVICE_NS
    return trial_of(
        "unreplicated",
        replicas=1,
        warmup="5s",
        duration=f"{round(samples / rate)}s",
        cooldown="1s",
        timeouts={"request": "500h", "operation": "500h"},
        workload={
            "arrivals": {"kind": "open", "process": "poisson", "rate": rate, "think": None, "clients": 16}
        },
        **server,
    )


def deterministic(rho: float) -> Trial:
    """A command costs the CPU one receive and one send; without durability the answer leaves in the step of
    the request.
    """
    return queue_trial(rho, cpu={"per_message": f"{SERVICE_NS // 2}ns"}, storage={"durability": "none"})


@pytest.mark.parametrize("rho", [0.3, 0.5, 0.8])
def test_m_d_1(rho: float) -> None:
    """W = S + rho S / (2 (1 - rho)) for the CPU, whose costs are constant (Pollaczek, Khinchine)."""
    mean_ns = latencies_ns(deterministic(rho)).mean()
    assert mean_ns == pytest.approx(SERVICE_NS * (1 + rho / (2 * (1 - rho))), rel=WITHIN)


def test_each_command_waits_for_those_before_it() -> None:
    """Lindley's recursion, operation by operation: done(i) = max(arrival(i), done(i - 1)) + S, exactly."""
    operations = deterministic(0.5).operations
    done = 0
    expected = []
    for arrival in operations["intended_ns"].tolist():
        done = max(arrival, done) + SERVICE_NS
        expected.append(done)
    np.testing.assert_array_equal(operations["completed_ns"], expected)


@pytest.mark.parametrize("rho", [0.3, 0.5, 0.8])
def test_m_m_1(rho: float) -> None:
    """W = S / (1 - rho) for the disk, one record a sync, with exponential syncs."""
    trial = queue_trial(
        rho, storage={"fsync": {"distribution": "exponential", "mean": f"{SERVICE_NS}ns"}, "group": 1}
    )
    assert latencies_ns(trial).mean() == pytest.approx(SERVICE_NS / (1 - rho), rel=WITHIN)


def test_m_e2_1() -> None:
    """W = S + rho S (1 + c2) / (2 (1 - rho)), c2 = 1/2: receive and send are two exponential draws
    (Pollaczek, Khinchine).
    """
    rho = 0.5
    trial = queue_trial(
        rho,
        cpu={"per_message": {"distribution": "exponential", "mean": f"{SERVICE_NS // 2}ns"}},
        storage={"durability": "none"},
    )
    assert latencies_ns(trial).mean() == pytest.approx(
        SERVICE_NS * (1 + rho * 1.5 / (2 * (1 - rho))), rel=WITHIN
    )


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_littles_law(rho: float) -> None:
    """L = lambda W to 0.5 %: the mean number under way, integrated as the run goes, against rate and mean
    latency.
    """
    trial = deterministic(rho)
    first, last = trial.window_ns
    under_way = trial.outstanding_ns / (last - first)
    operations = within(trial.operations, trial.window_ns)
    arrivals_per_ns = len(operations) / (last - first)
    assert under_way == pytest.approx(arrivals_per_ns * summarise(trial)["latency_mean_ns"], rel=0.005)
    assert under_way == pytest.approx(rho + rho * rho / (2 * (1 - rho)), rel=1.5 * WITHIN)
