"""The simulator beside SimPy, and beside itself interpreted: whether it is fast, and stays so.

The steady state of each protocol under 64 closed-loop clients, one command a message, everything recorded, at the
default costs of CPU, NIC and disk; the lines with a free CPU say what those costs cost. The store has 1,000 keys, as
many as YCSB loads by default. SimPy's rival is the least that a simulation can do: 64 processes that sleep over and
over.

Machines are shared and memory ages, so that every turn is a process of its own, which measures both, in CPU time of
its thread; the median of the ratios counts.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import simpy

from bench.driver.trials import TrialRun
from bench.metrics.recorder import CHUNK, Recorder
from bench.metrics.trial import WRITE
from bench.scenario import read_scenario
from bench.scenario.fields import Place
from ext import build

ENGINES = ("raft", "paxos", "zab")
CLIENTS = 64
ROUNDS = 2_000  # of SimPy's processes
TURNS = 7
FASTER_THAN_SIMPY = 1.0
FASTER_THAN_INTERPRETED = 8.0
FLAT = 1.5
WATCHED = 1.1
RECORDED_BYTES = 64
FREE_CPU = {"per_message": "0us", "per_byte": "0ns"}

Fields = dict[str, Any]


class Rates(NamedTuple):
    """Of one process: protocol messages, and SimPy's timeouts, a second of CPU time."""

    messages: float
    timeouts: float


def compare(smoke: bool) -> int:
    """Measure and print; the number of wanted ratios that were missed. ``smoke`` does everything once and briefly."""
    turns, seconds = (1, 0.05) if smoke else (TURNS, 2.0)
    missed = 0
    print(f"{'protocol messages a second of CPU time':50}{'':>12}{'x SimPy':>12}{'x pure':>10}")
    for engine in ENGINES:
        missed += _against_rivals(f"{engine}, 3 replicas", steady_state(engine, seconds), turns)
        free = [measured(steady_state(engine, seconds, cpu=FREE_CPU)) for _ in range(turns)]
        print(f"    {f'{engine}, 3 replicas, free CPU':46}{_rate(free):>12,.0f}{_over_simpy(free):>12.2f}")
    print("CPU time of a message")
    for engine in ENGINES:
        few, many = steady_state(engine, seconds), steady_state(engine, seconds, replicas=49)
        missed += _flat(f"{engine}, 49 replicas over 3", few, many, turns)
        unwatched, watched = steady_state(engine, seconds, checks={"invariants": "cheap"}), steady_state(engine, seconds)
        missed += _flat(f"{engine}, its invariants watched over without", unwatched, watched, turns, WATCHED)
        short, long = thoughtful(engine, 5 * seconds), thoughtful(engine, 150 * seconds)
        missed += _flat(f"{engine}, {150 * seconds:g} s of simulated time over {5 * seconds:g} s", short, long, 1)
    held = round(recorded_bytes(CHUNK * (2 if smoke else 10)))
    print(f"{'bytes an operation, recorded':50}{held:>12}{_verdict(f'at most {RECORDED_BYTES}', held <= RECORDED_BYTES)}")
    return missed + (held > RECORDED_BYTES)


def _against_rivals(title: str, fields: Fields, turns: int) -> int:
    """Print how the simulation compares; 1 where it is slower than wanted."""
    rates = [measured(fields) for _ in range(turns)]
    brief = fields | {"duration": f"{_seconds(fields) / 10:g}s", "warmup": "0.1s"}
    over_simpy, over_pure = _over_simpy(rates), _rate(rates) / measured(brief, pure=True).messages
    met = over_simpy >= FASTER_THAN_SIMPY and over_pure >= FASTER_THAN_INTERPRETED
    wanted = f"{FASTER_THAN_SIMPY:g} and {FASTER_THAN_INTERPRETED:g}"
    print(f"    {title:46}{_rate(rates):>12,.0f}{over_simpy:>12.2f}{over_pure:>10.1f}{_verdict(wanted, met)}")
    return int(not met)


def _flat(title: str, base: Fields, other: Fields, turns: int, most: float = FLAT) -> int:
    """Print how many times dearer a message is in ``other``; 1 where that is more than ``most``."""
    ratio = median(measured(base).messages / measured(other).messages for _ in range(turns))
    print(f"    {title:46}{'':>12}{ratio:>12.2f}{'':>10}{_verdict(f'at most {most:g}', ratio <= most)}")
    return int(ratio > most)


def _rate(rates: list[Rates]) -> float:
    return median(turn.messages for turn in rates)


def _over_simpy(rates: list[Rates]) -> float:
    return median(turn.messages / turn.timeouts for turn in rates)


def _verdict(wanted: str, met: bool) -> str:
    return f"   wanted {wanted}: {'met' if met else 'MISSED'}"


def _seconds(fields: Fields) -> float:
    return float(fields["duration"].removesuffix("s"))


def steady_state(engine: str, seconds: float, replicas: int = 3, think: str = "0ms", **tables: Any) -> Fields:
    """The scenario that is measured, over so much simulated time after a warm-up."""
    arrivals = {"kind": "closed", "clients": CLIENTS, "think": think}
    return {
        "engine": engine,
        "replicas": replicas,
        "initial_leader": 0,
        "warmup": "1s",
        "duration": f"{seconds:g}s",
        "cooldown": "0s",
        "batching": {"max_commands": 1, "pipeline": 4 * CLIENTS},
        "workload": {"keys": {"count": 1_000}, "arrivals": arrivals},
        **tables,
    }


def thoughtful(engine: str, seconds: float) -> Fields:
    """The same with clients that think, so that a long time fits into memory."""
    return steady_state(engine, seconds, think="20ms")


def measured(fields: Fields, pure: bool = False) -> Rates:
    """The rates of a new process that runs this scenario; interpreted where ``pure``."""
    paths = [str(build.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"REPLBENCH_PURE": "1" if pure else "0", "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "bench.micro.simulation", json.dumps(fields)]
    found = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    return Rates(*json.loads(found.stdout))


def message_rate(fields: Fields) -> float:
    """Protocol messages a second of CPU time, within the measured window of a trial."""
    scenario = read_scenario(fields, Place("bench.micro.simulation", Path()))
    run = TrialRun(scenario, fields["engine"], scenario.seed)
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
    print(json.dumps(Rates(message_rate(json.loads(sys.argv[1])), timeout_rate(ROUNDS))))
