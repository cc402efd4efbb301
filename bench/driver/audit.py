"""After a run of processes: what the logs on their disks say, against what clients were told and replicas said of themselves.

Each log is read as a replica would that starts again, by the engine itself. Every acknowledged command must stand in the log of
every replica that kept up, and the replayed log must lead to the very digest that the replica reported, by which a command that
is in the log twice was applied once.
"""
from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.checkers.statements import AGREEMENT, NO_LOSS, ONCE, VALIDITY
from bench.checkers.watchers import watchers
from bench.driver.protocols import PROTOCOLS, build
from bench.driver.storage import read_records
from bench.metrics.trial import FAILED, OK
from engines.core import Restore
from engines.machine import KeyValue, client_of, sequence_of

if TYPE_CHECKING:
    from bench.checkers.invariants import Agreement
    from bench.scenario import Scenario

NAMED = 5


def audit(
    scenario: Scenario, engine: str, folders: dict[int, Path], said: dict[int, dict[str, Any]], operations: np.ndarray
) -> list[str]:
    """The violations, in words. ``said`` is the last status of each replica that kept up to the end."""
    violations = []
    for replica, status in sorted(said.items()):
        records, _ = read_records(folders[replica], PROTOCOLS[engine][0])
        violations += _compare(scenario, engine, replica, records, status, operations)
    return violations


def watch_records(
    engine: str, folders: dict[int, Path], leaders: Iterable[tuple[int, int]], agreement: Agreement
) -> None:
    """Show the watcher of the protocol every record that is still on disk, one replica after the other; ``leaders`` are pairs of
    replica and term. What needs to be seen when it happens is not judged: which messages left, what was committed by then.
    """
    watcher = watchers(engine, len(folders), agreement, durable=False)
    if watcher is None:
        return
    for replica, term in leaders:
        watcher.led(replica, term, 0)
    found = {replica: read_records(folder, PROTOCOLS[engine][0])[0] for replica, folder in folders.items()}
    # First those whose logs go back furthest: where a term begins, later ones need not know.
    for replica in sorted(found, key=lambda each: _base(found[each])):
        for record in found[replica]:
            watcher.kept(replica, record)


def _base(records: list[Any]) -> int:
    """The position before the first of a log."""
    first = records[0] if records else None
    return int(getattr(first, "last_index", getattr(first, "position", 0)))


def _compare(
    scenario: Scenario, engine: str, replica: int, records: list[Any], status: dict[str, Any], operations: np.ndarray
) -> list[str]:
    acknowledged = np.flatnonzero(operations["status"] == OK) + 1
    revived = build(engine, replica, scenario, random.Random(0))
    effects = revived.recover(records, 0)
    log, machine, applied = revived.log, KeyValue(), status["applied"]
    for effect in effects:
        if isinstance(effect, Restore):
            machine.restore(effect.position, effect.state)
    compacted = log.base > 0
    if log.last < applied or machine.applied < log.base:
        return [f"{NO_LOSS}: replica {replica} applied {applied}, but the log on its disk goes from {log.base} to {log.last}"]
    found = np.zeros(len(operations) + 1, dtype=bool)
    violations = []
    for position in range(machine.applied + 1, applied + 1):
        command = log.payload(position)
        machine.apply(position, command)
        if not command:
            continue
        sequence = sequence_of(command)
        if 0 < sequence < len(found) and operations["client"][sequence - 1] == client_of(command):
            found[sequence] = True
        else:
            violations.append(f"{VALIDITY}: nobody asked for the command at position {position} of replica {replica}")
    done = np.flatnonzero(found[1:] & (operations["status"] == FAILED)) + 1
    if len(done):
        violations.append(f"{ONCE}: {len(done)} commands reported as failed are in the log of replica {replica}, first {done[0]}")
    if machine.digest != status["digest"]:
        violations.append(f"{AGREEMENT}: the log on the disk of replica {replica} tells another history than it applied")
    missing = acknowledged[~found[acknowledged]]
    # What lies before a snapshot cannot be told apart any more; the digest covers it.
    if len(missing) and not compacted:
        named = ", ".join(map(str, missing[:NAMED].tolist()))
        violations.append(f"{NO_LOSS}: {len(missing)} acknowledged commands are not in the log of replica {replica}: {named}")
    return violations
