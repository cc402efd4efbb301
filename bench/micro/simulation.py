"""The simulator beside SimPy, and beside itself interpreted: whether it is fast, and stays so.

The steady state of each protocol under 64 closed-loop clients, one command a message, everything recorded, at the
default costs of CPU, NIC and disk. The store has 1,000 keys, as many as YCSB loads by default. SimPy's rival is the
least that a simulation can do: 64 processes that sleep over and over.

Machines are shared, so the two take turns and the median of the ratios counts; what is measured is the CPU time of
the thread. The interpreted twin runs in a process of its own.
"""
from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from statistics import median
from typing import Any

import simpy

from bench.driver.trials import TrialRun
from bench.metrics.recorder import CHUNK, Recorder
from bench.metrics.trial import WRITE
from bench.scenario import Scenario, read_scenario
from bench.scenario.fields import Place
from ext import build

ENGINES = ("raft", "paxos", "zab")
CLIENTS = 64
TURNS = 7
FASTER_THAN_SIMPY = 1.0
FASTER_THAN_INTERPRETED = 8.0
FLAT = 1.5
RECORDED_BYTES = 64
FREE_CPU: dict[str, Any] = {"cpu": {"per_message": "0us", "per_byte": "0ns"}}


def compare(smoke: bool) -> int:
    """Measure and print; the number of ratios that were missed. ``smoke`` runs everything once and briefly."""
    turns, seconds = (1, 0.05) if smoke else (TURNS, 2.0)
    print(f"{'protocol messages a second of CPU time':46}{'':>12}{'x SimPy':>10}{'x pure':>10}")
    missed = 0
    for engine in ENGINES:
        ours, ratio = against_simpy(steady_state(engine, seconds), turns, 2_000 if not smoke else 50)
        missed += _line(f"{engine}, 3 replicas", ours, ratio, ours / interpreted_rate(engine, seconds / 10))
        ours, ratio = against_simpy(steady_state(engine, seconds, **FREE_CPU), turns, 2_000 if not smoke else 50)
        _line(f"{engine}, 3 replicas, CPU at no cost", ours, ratio, None)
    for engine in ENGINES:
        few, many = steady_state(engine, seconds), steady_state(engine, seconds, replicas=49)
        missed += _flat(f"{engine}: a message, 49 replicas over 3", few, many, turns)
    for engine in ENGINES:
        short, long = thoughtful(engine, seconds * 5), thoughtful(engine, seconds * 150)
        missed += _flat(f"{engine}: a message, {seconds * 150:g} s of simulated time over {seconds * 5:g} s", short, long, 1)
    held = round(recorded_bytes(CHUNK * (2 if smoke else 50)))
    missed += held > RECORDED_BYTES
    verdict = "met" if held <= RECORDED_BYTES else "MISSED"
    print(f"    {'bytes that the recorder holds an operation':64}{held:>10}   wanted at most {RECORDED_BYTES}: {verdict}")
    return missed


def _line(title: str, rate: float, over_simpy: float, over_interpreted: float | None) -> int:
    missed = over_interpreted is not None and (
        over_simpy < FASTER_THAN_SIMPY or over_interpreted < FASTER_THAN_INTERPRETED
    )
    pure = "" if over_interpreted is None else f"{over_interpreted:.1f}"
    wanted = f"   wanted {FASTER_THAN_SIMPY:g} and {FASTER_THAN_INTERPRETED:g}: {'MISSED' if missed else 'met'}"
    print(f"    {title:42}{rate:>12,.0f}{over_simpy:>10.2f}{pure:>10}{'' if over_interpreted is None else wanted}")
    return int(missed)


def _flat(title: str, base: Scenario, other: Scenario, turns: int) -> int:
    """Print how many times dearer a message is in ``other``; 1 where that is too much."""
    ratio = median(message_rate(base) / message_rate(other) for _ in range(turns))
    print(f"    {title:64}{ratio:>10.2f}   wanted at most {FLAT:g}: {'met' if ratio <= FLAT else 'MISSED'}")
    return int(ratio > FLAT)


def steady_state(
    engine: str, seconds: float, replicas: int = 3, warmup_s: float = 1.0, **tables: dict[str, Any]
) -> Scenario:
    """The scenario that is measured, over so much simulated time after the warm-up."""
    fields: dict[str, Any] = {
        "engine": engine,
        "replicas": replicas,
        "initial_leader": 0,
        "warmup": f"{warmup_s:g}s",
        "duration": f"{seconds:g}s",
        "cooldown": "0s",
        "batching": {"max_commands": 1, "pipeline": 4 * CLIENTS},
        "workload": {"keys": {"count": 1_000}, "arrivals": {"kind": "closed", "clients": CLIENTS}},
    }
    return read_scenario(fields | tables, Place(__name__, Path()))


def thoughtful(engine: str, seconds: float) -> Scenario:
    """The same with clients that think, so that a long time fits into memory."""
    arrivals = {"kind": "closed", "clients": CLIENTS, "think": "20ms"}
    return steady_state(engine, seconds, workload={"keys": {"count": 1_000}, "arrivals": arrivals})


def message_rate(scenario: Scenario) -> float:
    """Protocol messages a second of CPU time, within the measured window of a trial."""
    run = TrialRun(scenario, scenario.engine[0], scenario.seed)
    marks: list[tuple[float, int]] = []

    def mark(_: int) -> None:
        marks.append((time.thread_time(), sum(kind.count for kind in run.simulation.kinds.values())))

    for moment_ns in run.window:
        run.simulation.at(moment_ns, mark)
    run.perform()
    assert not run.simulation.agreement.violations, run.simulation.agreement.violations
    (began_s, before), (ended_s, after) = marks
    return (after - before) / (ended_s - began_s)


def timeout_rate(rounds: int) -> float:
    """Timeouts a second of CPU time of as many SimPy processes as there are clients."""

    def sleeper(environment: simpy.Environment) -> Any:
        while True:
            yield environment.timeout(1)

    environment = simpy.Environment()
    for _ in range(CLIENTS):
        environment.process(sleeper(environment))
    began_s = time.thread_time()
    environment.run(until=rounds)
    return CLIENTS * rounds / (time.thread_time() - began_s)


def against_simpy(scenario: Scenario, turns: int, rounds: int) -> tuple[float, float]:
    """The median message rate, and the median of its ratios to the timeout rate of the same turn."""
    rates = [(message_rate(scenario), timeout_rate(rounds)) for _ in range(turns)]
    return median(ours for ours, _ in rates), median(ours / rival for ours, rival in rates)


def interpreted_rate(engine: str, seconds: float) -> float:
    """The message rate of the same simulation run by the interpreter, which takes a shorter time of it."""
    command = [sys.executable, "-m", __name__, engine, f"{seconds:g}"]
    paths = [str(build.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"REPLBENCH_PURE": "1", "PYTHONPATH": os.pathsep.join(paths)}
    found = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(found.stdout)


def recorded_bytes(operations: int) -> float:
    """What the recorder holds for each of so many operations, in bytes."""
    tracemalloc.start()
    recorder = Recorder(0, operations)
    for row in range(operations):
        recorder.begin(row, row, 0, WRITE, 0, 100)
        recorder.complete(row, row, 0, 0)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / operations


if __name__ == "__main__":
    print(message_rate(steady_state(sys.argv[1], float(sys.argv[2]), warmup_s=0.1)))
