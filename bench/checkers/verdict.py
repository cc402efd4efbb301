"""Whether a run may be believed: ``valid``, ``suspect`` or ``invalid``, and why.

A run is invalid where its bookkeeping does not add up, an invariant failed, or a fault is not proven. It is
suspect where the bookkeeping is right but a number says less than it seems to.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from bench.checkers.statements import TURNED_OFF, name_of
from bench.metrics.summary import PERCENTILES, latency_ns, outstanding_ns, percentile, within
from bench.metrics.trial import OK, PENDING, FaultRecord, Trial
from bench.scenario.units import counted

VALID, SUSPECT, INVALID = "valid", "suspect", "invalid"
LITTLE_TOLERANCE = 0.01
DEVIATIONS = 6  # standard deviations of a Poisson count that are still chance
COMPLETIONS_NEEDED = 100
KEPT_UP = 0.95  # completions for each arrival of the window, below which a queue grew
GROWTH = 2.0  # of the median latency from the first to the last quarter of the window, above which a queue grew
LATE_SHARE = 0.1  # of a latency percentile that the generator itself may have caused
GENERATOR_SHARE = 0.9  # of one processor, above which the generator is the bottleneck
FOREIGN_SHARE = 0.1  # of the machine, taken by processes that do not belong to the run
IDLE_SHARE = 0.02  # of the machine, below which everything competed for it
WITNESSES = "witnesses"  # of faults; "not run" where the scenario does not ask for them
PASSED = ("passed", "unknown", "not run", TURNED_OFF)  # what a check may say without spoiling the run


def verdict(trial: Trial, row: dict[str, Any]) -> tuple[str, list[str]]:
    """The verdict and its reasons, one sentence each; ``row`` is what summarise made of the trial."""
    broken = [*_accounting(trial, row), *_little(trial), *_violations(trial)]
    if trial.checks.get(WITNESSES) != "not run":
        for fault in trial.faults:
            broken += _unproven(fault)
    doubtful = [*_unwatched(trial), *_thin(trial, row), *_generator(trial, row), *_machine(trial)]
    if broken:
        return INVALID, broken + doubtful
    return (SUSPECT if doubtful else VALID), doubtful


def _accounting(trial: Trial, row: dict[str, Any]) -> list[str]:
    reasons = []
    told = row["ok"] + row["failed"] + row["unknown"]
    if row["sent"] != told:
        reasons.append(f"{row['sent']} operations were sent, but ok, failed and unknown sum to {told}.")
    done = trial.operations[trial.operations["status"] == OK]
    impossible = np.count_nonzero(
        (done["completed_ns"] == PENDING)
        | (done["started_ns"] < done["intended_ns"])
        | (done["completed_ns"] < done["started_ns"])
    )
    if impossible:
        reasons.append(
            f"{impossible} of {len(done)} ok operations have no completion, or one before they started."
        )
    if trial.offered_ops_per_s is not None:
        first, last = trial.window_ns
        expected = trial.offered_ops_per_s * (last - first) / 1e9
        # Chained writes may add to the schedule, nothing may take away.
        if row["sent"] < expected - DEVIATIONS * expected**0.5 - 1:
            reasons.append(
                f"Only {row['sent']} operations were sent of about {expected:.0f} that were scheduled."
            )
    return reasons


def _little(trial: Trial) -> list[str]:
    recorded = outstanding_ns(trial)
    if abs(recorded - trial.outstanding_ns) <= LITTLE_TOLERANCE * max(recorded, trial.outstanding_ns):
        return []
    return [
        f"Little's law does not hold: the records say {recorded / 1e9:.6g} s of outstanding operations, "
        f"the driver counted {trial.outstanding_ns / 1e9:.6g} s."
    ]


def _violations(trial: Trial) -> list[str]:
    reasons = [f"An invariant failed: {violation}." for violation in trial.violations]
    for check, answer in sorted(trial.checks.items()):
        told = any(name_of(violation) == check for violation in trial.violations)
        if answer not in PASSED and not told:
            reasons.append(f"The check {check} says: {answer}.")
    return reasons


def _unwatched(trial: Trial) -> list[str]:
    off = [check for check, answer in sorted(trial.checks.items()) if answer == TURNED_OFF]
    return [f"Nobody watched: {', '.join(off)}."] if off else []


def _unproven(fault: FaultRecord) -> list[str]:
    reasons = []
    if not fault.witness:
        reasons.append(f"Nothing witnessed the fault {fault.kind} of {fault.target}.")
    if fault.healed_ns is not None and not fault.heal_witness:
        reasons.append(f"Nothing witnessed that the fault {fault.kind} of {fault.target} healed.")
    return reasons


def _thin(trial: Trial, row: dict[str, Any]) -> list[str]:
    """What the numbers cannot carry."""
    if row["ok"] < COMPLETIONS_NEEDED:
        return [f"Only {counted(row['ok'], 'operation')} completed; a measurement needs at least {COMPLETIONS_NEEDED}."]
    reasons = []
    if row["latency_p99_ns"] is None:
        reasons.append(
            f"{row['sent']} operations are too few for a 99th percentile with ten samples beyond it."
        )
    first, last = trial.window_ns
    completed = row["throughput_ops_per_s"] * (last - first) / 1e9
    if completed < min(KEPT_UP * row["sent"], row["sent"] - DEVIATIONS * row["sent"] ** 0.5):
        reasons.append(
            f"{row['sent']} operations came in the window and {completed:.0f} completed: a queue grew, "
            "and latency depends on how long the run lasted."
        )
    elif not trial.faults:
        reasons += _growth(trial)
    operations = within(trial.operations, trial.window_ns)
    open_ended = latency_ns(operations[operations["status"] != OK], trial.end_ns)
    for name in PERCENTILES:
        value = row[f"latency_{name}_ns"]
        if value is not None and len(open_ended) and value >= open_ended.min():
            reasons.append(
                f"{len(open_ended)} of {row['sent']} operations never succeeded: the latency percentiles "
                f"from {name} on are lower bounds."
            )
            break
    return reasons


def _growth(trial: Trial) -> list[str]:
    """Without a fault, a latency that grows all through the window is a queue that does."""
    first, last = trial.window_ns
    quarters = np.linspace(first, last, 5).astype(np.int64)
    medians = []
    for start, stop in pairwise(quarters):
        operations = within(trial.operations, (int(start), int(stop)))
        if len(operations) < COMPLETIONS_NEEDED:
            return []
        medians.append(float(np.median(latency_ns(operations, trial.end_ns))))
    if medians == sorted(medians) and medians[-1] > GROWTH * medians[0]:
        return [
            f"The median latency grew from {medians[0] / 1e6:.3g} to {medians[-1] / 1e6:.3g} ms between the first and the last "
            "quarter of the window: a queue grew."
        ]
    return []


def _generator(trial: Trial, row: dict[str, Any]) -> list[str]:
    """Where the clients, not the replicas, made the numbers."""
    reasons = []
    generators = trial.resources.get("generators", {})
    for name in ("p50", "p99"):
        latency, lateness = row[f"latency_{name}_ns"], _lateness_ns(trial, name)
        if latency is not None and lateness is not None and lateness > LATE_SHARE * latency:
            reasons.append(
                f"The generator was late: {lateness / 1e6:.3f} ms at {name}, of a latency of {latency / 1e6:.3f} ms."
            )
            break
    share = max((generator["cpu_share"] for generator in generators.values()), default=0.0)
    if share > GENERATOR_SHARE:
        reasons.append(f"The generator was the bottleneck: it was busy for {share:.0%} of the window.")
    return reasons


def _lateness_ns(trial: Trial, name: str) -> int | None:
    """A percentile of how late operations left: of the latest generator, where there are several."""
    generators = trial.resources.get("generators", {})
    said = [late for each in generators.values() if (late := each.get(f"lateness_{name}_ns")) is not None]
    operations = within(trial.operations, trial.window_ns)
    whole = percentile(np.sort(operations["started_ns"] - operations["intended_ns"]), PERCENTILES[name])
    return max([*said, *([] if whole is None else [whole])], default=None)


def _machine(trial: Trial) -> list[str]:
    """Where the machine, not the protocol, made the numbers."""
    machines = {"The machine": trial.resources.get("machine", {})}
    for replica, host in trial.resources.get("hosts", {}).items():
        machines[f"The host of replica {replica}"] = host
    reasons = [reason for name, machine in machines.items() for reason in _burdened(trial, name, machine)]
    share = trial.resources.get("calibration", {}).get("foreign_share", 0.0)
    if share > FOREIGN_SHARE:
        reasons.append(
            f"The costs were measured on a machine of which others took {share:.0%}: they are too high for it; calibrate it anew."
        )
    return reasons


def _burdened(trial: Trial, name: str, machine: dict[str, Any]) -> list[str]:
    reasons = []
    if machine.get("foreign_share", 0.0) > FOREIGN_SHARE:
        reasons.append(f"{name} was not ours: others took {machine['foreign_share']:.0%} of it.")
    if machine.get("idle_share", 1.0) < IDLE_SHARE:
        reasons.append(f"{name} was overloaded: replicas and clients competed for its processors.")
    if trial.fairness.get("durability") != "none" and machine.get("filesystem") in ("tmpfs", "ramfs"):
        reasons.append(f"The logs lay in memory ({machine['filesystem']}), where a sync costs nothing.")
    return reasons
