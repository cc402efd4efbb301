"""After a run of processes: what the logs on their disks say, against what clients were told and replicas said of themselves.

Each log is read as a replica would that starts again, by the engine itself. Every acknowledged command must stand in the log of
every replica that kept up, and the replayed log must lead to the very digest that the replica reported, by which a command that
is in the log twice was applied once. The watcher of the protocol sees the records in order, as far back as compaction left them;
the model of a lock service reads the log.
"""
from __future__ import annotations

import random
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.checkers.invariants import Agreement
from bench.checkers.locks import LockLog
from bench.checkers.statements import AGREEMENT, CHEAP, NO_LOSS
from bench.checkers.watchers import watchers
from bench.driver.log_reader import read_records
from bench.driver.protocols import PROTOCOLS, build, name_of, new_machine
from engines.core import Restore
from engines.lock_service import LockTree

if TYPE_CHECKING:
    from bench.scenario import Scenario
    from engines.core import Record
    from engines.machine import Machine
    from ext.log import Log

NAMED = 5


def audit(
    scenario: Scenario, engine: str, folders: dict[int, Path], said: dict[int, dict[str, Any]], acknowledged: np.ndarray
) -> list[str]:
    """The violations, in words. ``said`` is what each replica that kept up to the end had applied then, ``acknowledged`` are
    the names (``protocols.name_of``) of the commands that clients were told of, in any order.
    """
    violations = []
    for replica, status in sorted(said.items()):
        records, _ = read_records(folders[replica], PROTOCOLS[engine][0])
        violations += _compare(scenario, engine, replica, records, status, acknowledged)
        if scenario.checks.invariants != CHEAP:
            violations += watch_records(engine, scenario.replicas, replica, records)
            if scenario.workload.kind == "locks":
                violations += watch_locks(scenario, engine, replica, records, status["applied"])
    return violations


def watch_records(engine: str, replicas: int, replica: int, records: list[Record]) -> list[str]:
    """What the watcher of the protocol says of the records of one replica, in order, with no other disk in view."""
    agreement = Agreement()
    watcher = watchers(engine, replicas, agreement, durable=False)
    if watcher is not None:
        for record in records:
            watcher.kept(replica, record)
    return agreement.violations


def watch_locks(scenario: Scenario, engine: str, replica: int, records: list[Record], applied: int) -> list[str]:
    """What the model of the lock service says of the log of one replica, which tells no time."""
    tree = LockTree()
    log = _revive(scenario, engine, replica, records, tree)
    model = LockLog(Agreement(), scenario.locks.options(scenario.timeouts.request_ns), clocks=False)
    model.resume(tree)
    for position in range(tree.applied + 1, min(applied, log.last) + 1):
        command = log.payload(position)
        tree.apply(position, command)
        if command:
            model.applied(tree)
    return model.agreement.violations


def _revive(scenario: Scenario, engine: str, replica: int, records: list[Any], machine: Machine) -> Log:
    """The log of these records; the machine has what a snapshot among them says."""
    revived = build(engine, replica, scenario, random.Random(0))
    for effect in revived.recover(records, 0):
        if isinstance(effect, Restore):
            machine.restore(effect.position, effect.state)
    return revived.log


def _compare(
    scenario: Scenario, engine: str, replica: int, records: list[Any], status: dict[str, Any], acknowledged: np.ndarray
) -> list[str]:
    machine, applied = new_machine(scenario), status["applied"]
    log = _revive(scenario, engine, replica, records, machine)
    compacted = log.base > 0
    if log.last < applied or machine.applied < log.base:
        return [f"{NO_LOSS}: replica {replica} applied {applied}, but the log on its disk goes from {log.base} to {log.last}"]
    found = array("Q")
    for position in range(machine.applied + 1, applied + 1):
        command = log.payload(position)
        machine.apply(position, command)
        if command:
            found.append(name_of(scenario, command))
    violations = []
    if machine.digest != status["digest"]:
        violations.append(f"{AGREEMENT}: the log on the disk of replica {replica} tells another history than it applied")
    missing = np.setdiff1d(acknowledged.astype(np.uint64), np.asarray(found, dtype=np.uint64))
    # What lies before a snapshot cannot be told apart any more; the digest covers it.
    if len(missing) and not compacted:
        named = ", ".join(map(str, missing[:NAMED].tolist()))
        violations.append(f"{NO_LOSS}: {len(missing)} acknowledged commands are not in the log of replica {replica}: {named}")
    return violations
