"""Same seed, same code, same bytes: whatever the interpreter's hash seed, and compiled or interpreted."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.driver.trials import run_trial
from bench.metrics.trial import Trial
from ext import build
from tests.simulation.building import REPLICATED, trial_of
from tests.simulation.schedules import random_scenario
from tests.simulation.test_shared_machine import faulty

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (1, 2, 3)


def digest(trial: Trial) -> str:
    """Of everything in a trial: the bytes of its operations, and all else as JSON, in order."""
    fields = {name: getattr(trial, name) for name in trial.__struct_fields__ if name != "operations"}
    return hashlib.sha256(trial.operations.tobytes() + msgspec.json.encode(fields)).hexdigest()


def digests() -> dict[str, str]:
    """Of random worlds with faults, for every engine."""
    own = {
        f"{engine} {seed}": digest(run_trial(random_scenario(engine, seed), engine))
        for engine in REPLICATED
        for seed in SEEDS
    }
    return own | {f"{engine} on a shared machine": digest(faulty(engine, SEEDS[0])) for engine in REPLICATED}


def digests_elsewhere(**environment: str) -> dict[str, str]:
    """The same, by a fresh interpreter."""
    command = "import json, tests.simulation.test_determinism as t; print(json.dumps(t.digests()))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
    )
    return msgspec.json.decode(done.stdout, type=dict[str, str])


def test_two_interpreters_with_different_hash_seeds_agree() -> None:
    first = digests_elsewhere(PYTHONHASHSEED="1")
    assert first == digests_elsewhere(PYTHONHASHSEED="77")
    assert len(set(first.values())) == len(first)


@pytest.mark.skipif(not build.compiled(), reason="there is nothing to compare the interpreted sources with")
def test_compiled_and_interpreted_runs_agree() -> None:
    assert digests() == digests_elsewhere(REPLBENCH_PURE="1")


@pytest.mark.once
def test_a_run_leaves_nothing_behind() -> None:
    """A trial is the same whether or not others ran before it in this interpreter."""
    assert digests() == digests()


def test_another_seed_is_another_run() -> None:
    scenario = random_scenario("raft", 1)
    assert digest(run_trial(scenario, "raft", seed=5)) != digest(run_trial(scenario, "raft", seed=6))


def test_engines_meet_the_same_arrivals() -> None:
    """Common random numbers: what is drawn for the workload does not depend on the engine."""
    arrivals = {"kind": "open", "process": "poisson", "rate": 100, "think": None}
    latency = {"distribution": "uniform", "low": "1ms", "high": "9ms"}
    trials = [
        trial_of(engine, network={"client_latency": latency}, workload={"arrivals": arrivals})
        for engine in (*REPLICATED, "unreplicated")
    ]
    for name in ("intended_ns", "key", "kind", "size"):
        assert len({trial.operations[name].tobytes() for trial in trials}) == 1
