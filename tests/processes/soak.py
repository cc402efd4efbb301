"""Random faults on real processes, engine after engine, for as long as is asked: every run is checked as any other.

    python -m tests.processes.soak [--minutes 10] [--seed 1]

Each run's scenario follows from its seed: settings, load, and faults, which strike one after the other or two at a time. A line a
minute says how far it has come. A run that fails is named with its reasons and its scenario, which ``replbench run`` plays again:
the same schedule, though not the same interleaving. Exit 1 where one failed.

Only ``fsync`` is soaked: the other policies may lose what was acknowledged when a replica is killed (README, "Durability").
"""
from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.checkers.invariants import NO_LOSS
from bench.checkers.verdict import INVALID, verdict
from bench.driver.processes import run_processes
from bench.metrics.summary import summarise
from bench.metrics.trial import OK, FaultRecord, Trial
from bench.scenario import Place, Scenario, as_toml, read_scenario

ENGINES = ("raft", "paxos", "zab", "raft", "paxos", "zab", "unreplicated")
FOLDER = Path("results") / "local" / "soak"
BEGIN_MS, STEP_MS, STEPS = 800, 1800, 4
END_MS = 10000
SETTLE_NS = 1_000_000_000


def random_scenario(seed: int) -> Scenario:
    """The scenario of this seed; its engines go by turns."""
    dice = random.Random(f"soak {seed}")
    engine = ENGINES[seed % len(ENGINES)]
    replicas = dice.choice((3, 3, 3, 5))
    table = {
        "name": f"soak-{seed}", "engine": engine, "world": "processes", "replicas": replicas, "seed": seed,
        "warmup": "700ms", "duration": f"{END_MS - 800}ms", "cooldown": "100ms",
        "network": {
            "latency": dice.choice(("0ms", "0ms", "1ms", {"distribution": "exponential", "mean": "1ms"})),
            "loss": dice.choice((0.0, 0.0, 0.01)), "retransmit": "20ms",
            "bandwidth": dice.choice(("unlimited", "1Gbit/s")), "user_timeout": dice.choice(("300ms", "1s", "5s")),
        },
        "storage": {"compact_after": dice.choice(("4KiB", "64KiB", "64MiB")), "group": dice.choice((0, 0, 3))},
        "batching": dice.choice(({}, {"max_commands": 1}, {"max_commands": 4, "pipeline": 8}, {"max_delay": "2ms"})),
        "timeouts": {"election": ["300ms", "600ms"], "heartbeat": "60ms", "request": "200ms", "operation": "4s"},
        "workload": {
            "mix": {"read": 0.4, "write": 0.4, "cas": 0.2}, "keys": {"distribution": "uniform", "count": dice.choice((5, 50))},
            "value_size": dice.choice(("8B", "256B", "4KiB")), "arrivals": _arrivals(dice),
            "routing": dice.choice(("leader", "leader", "round-robin", "nearest")),
        },
        "processes": {"loop": dice.choice(("uvloop", "uvloop", "asyncio"))},
        "faults": _faults(dice, replicas) if engine != "unreplicated" else _faults_of_one(dice),
    }  # fmt: skip
    return read_scenario(table, Place(f"soak {seed}", Path()))


def _arrivals(dice: random.Random) -> dict[str, Any]:
    """Far from what a busy machine can serve: a backlog that outlives the run would look like a standstill."""
    if dice.random() < 0.5:
        return {"kind": "closed", "clients": dice.choice((1, 8)), "think": "5ms"}
    return {"kind": "open", "clients": dice.choice((1, 8)), "rate": dice.choice((50, 200))}


def _faults(dice: random.Random, replicas: int) -> list[dict[str, Any]]:
    """One or two at each step, or the restart of all; healed before the load ends."""
    found: list[dict[str, Any]] = []
    for step in range(STEPS):
        at = BEGIN_MS + step * STEP_MS
        if dice.random() < 0.15:
            found += [{"at": f"{at}ms", "for": "100ms", "crash": replica} for replica in range(replicas)]
            continue
        for _ in range(dice.choice((1, 1, 1, 2))):
            late, lasting = dice.randint(0, 200), dice.randint(300, 800)
            found.append({"at": f"{at + late}ms", "for": f"{lasting}ms", **_fault(dice, replicas)})
    return found


def _fault(dice: random.Random, replicas: int) -> dict[str, Any]:
    target = dice.choice(("leader", "leader", "random", dice.randrange(replicas)))
    sides = list(range(replicas))
    dice.shuffle(sides)
    return dice.choice((
        {"crash": target}, {"crash": target}, {"pause": target}, {"pause": target}, {"partition": target},
        {"partition": [sides[: replicas // 2], sides[replicas // 2 :]]},
        {"one_way": dice.choice(({"from": "leader", "to": "random"}, {"from": "random", "to": "leader"}))},
        {"slow_link": {"from": "leader", "to": "random", "extra": "30ms"}},
        {"slow_disk": {"replica": target, "factor": 20}}, {"clock": {"replica": target, "rate": dice.choice((0.5, 2.0))}},
    ))  # fmt: skip


def _faults_of_one(dice: random.Random) -> list[dict[str, Any]]:
    """What can happen to the one replica that serves where there is no replication."""
    kinds: list[dict[str, Any]] = [{"crash": 0}, {"pause": 0}, {"slow_disk": {"replica": 0, "factor": 20}}]
    return [{"at": f"{BEGIN_MS + step * STEP_MS}ms", "for": "300ms", **dice.choice(kinds)} for step in range(STEPS)]


def ended_ns(fault: FaultRecord) -> float:
    """When its end was witnessed; endless where it never was."""
    return 1e9 * float(fault.heal_witness.rpartition(" at ")[2].split()[0]) if fault.heal_witness else float("inf")


def apart(faults: list[FaultRecord]) -> list[FaultRecord]:
    """Those that no other overlaps, which may hide what is to be seen: a crashed replica sends nothing that a cut holds up."""
    return [
        fault for fault in faults
        if all(
            other is fault or ended_ns(other) < fault.injected_ns or ended_ns(fault) < other.injected_ns for other in faults
        )
    ]  # fmt: skip


def to_prove(trial: Trial) -> list[FaultRecord]:
    """Those of whose witness one can be sure.

    Two followers may have nothing to say to each other on a link that is harmed, and between elections "leader" is a guess. But a
    leader that is one, and stays one, sends heartbeats and is answered.
    """
    return [
        fault for fault in apart(trial.faults)
        if fault.kind not in ("one_way", "slow_link") or str(steady_leader(trial, fault)) in fault.target.split()
    ]  # fmt: skip


def steady_leader(trial: Trial, harmed: FaultRecord) -> int | None:
    """Who led without doubt while a link was harmed, if anybody did."""
    now, later = harmed.injected_ns, min(ended_ns(harmed), END_MS * 1e6)
    led = [(moment_ns, replica) for moment_ns, replica, _ in trial.leaders if moment_ns <= later]
    if not led or led[-1][0] > now:
        return None
    since_ns, leader = led[-1]
    for other in trial.faults:
        mild = other.kind in ("slow_disk", "clock") or (other.kind in ("crash", "pause") and other.target != f"replica {leader}")
        if other is not harmed and ended_ns(other) > since_ns and other.injected_ns < later and not mild:
            return None
    return leader


def complaints(trial: Trial) -> list[str]:
    """What is wrong with a run: its verdict, a log not read back, a replica left behind, no progress after the faults."""
    judged = msgspec.structs.replace(trial, faults=to_prove(trial))
    answer, found = verdict(judged, summarise(judged))
    if answer != INVALID:
        found = []
    if trial.checks[NO_LOSS] != "passed":
        found.append(f"{NO_LOSS}: {trial.checks[NO_LOSS]}")
    members = [0] if trial.engine == "unreplicated" else list(range(trial.replicas))
    if trial.resources["caught_up"] != members:
        found.append(f"only {trial.resources['caught_up']} of {members} had caught up in the end")
    # The load may have ended before the last replica is back on a busy machine: then nobody asked.
    later = trial.operations[trial.operations["intended_ns"] > max(ended_ns(fault) for fault in trial.faults) + SETTLE_NS]
    if len(later) and not np.any(later["status"] == OK):
        found.append("nothing succeeded after the last fault")
    return found


class Soak:
    """Run after run, and what they add up to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self.began_s = self.told_s = time.monotonic()

    def run(self, seed: int) -> None:
        """One run, and what is wrong with it."""
        scenario = random_scenario(seed)
        [engine] = scenario.engine
        try:
            trial = run_processes(scenario, engine, {}, seed, 0, self.folder)
            found = complaints(trial)
        except Exception as error:
            traceback.print_exc()
            self.fail(scenario, [f"{type(error).__name__}: {error}"])
            return
        self.counts.update(
            runs=1, faults=len(trial.faults), overlapping=len(trial.faults) - len(apart(trial.faults)),
            operations=len(trial.operations), unknown=list(trial.checks.values()).count("unknown"),
            elections=len(trial.leaders), proven=len(to_prove(trial)),
        )  # fmt: skip
        if list(self.folder.glob(".processes-*")):
            found.append("something was left behind")
        if found:
            self.fail(scenario, found)

    def fail(self, scenario: Scenario, reasons: list[str]) -> None:
        """Keep the scenario of a run that failed, and say how to play it again."""
        self.counts["failures"] += 1
        path = self.folder / f"{scenario.name}.toml"
        path.write_text(as_toml(scenario))
        print(f"{scenario.name}, {scenario.engine[0]}: {' | '.join(reasons)}; replay: replbench run {path}", flush=True)

    def tell(self, every_s: float = 60.0) -> None:
        """A line for whoever waits, once a minute."""
        now_s = time.monotonic()
        if now_s >= self.told_s + every_s:
            self.told_s += every_s
            counts = self.counts
            print(
                f"{(now_s - self.began_s) / 60:5.1f} min: {counts['runs']} runs, {counts['faults']} faults "
                f"({counts['overlapping']} overlapping, {counts['proven']} proven), {counts['elections']} elections, "
                f"{counts['operations']} operations, {counts['unknown']} checks undecided, {counts['failures']} failures",
                flush=True,
            )


def main() -> int:
    """The status of the process: 1 where a run failed."""
    parser = argparse.ArgumentParser(description="Random faults on real processes, checked.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each has the next")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    soak, seed = Soak(FOLDER), arguments.seed
    while time.monotonic() < soak.began_s + 60 * arguments.minutes:
        soak.run(seed)
        soak.tell()
        seed += 1
    soak.tell(0.0)
    return 1 if soak.counts["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
