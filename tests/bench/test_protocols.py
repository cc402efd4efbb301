"""The engines as a scenario builds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.driver.trials import run_trial
from bench.scenario import read_scenario
from bench.scenario.fields import Place

SECOND_NS = 1_000_000_000
CRASH = {
    "replicas": 3,
    "initial_leader": 0,
    "warmup": "1s",
    "duration": "6s",
    "cooldown": "1s",
    "timeouts": {"election": ["1s", "2s"], "heartbeat": "20ms"},
    "workload": {"arrivals": {"rate": 50}},
    "faults": [{"at": "2s", "for": "5s", "crash": "leader"}],
}


@pytest.mark.parametrize("engine", ["paxos", "raft", "zab"])
def test_every_engine_waits_for_a_silent_leader_as_long_as_the_scenario_says(engine: str) -> None:
    """Else a comparison of outages would compare defaults: heartbeats are frequent here, patience is not."""
    trial = run_trial(read_scenario(CRASH | {"engine": engine}, Place("test", Path())), engine)
    (crashed_ns,) = [fault.injected_ns for fault in trial.faults]
    waited_ns = min(at_ns for at_ns, _, _ in trial.leaders if at_ns > crashed_ns) - crashed_ns
    assert 0.9 * SECOND_NS < waited_ns < 2.5 * SECOND_NS
