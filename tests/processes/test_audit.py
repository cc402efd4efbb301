"""The audit finds what is wrong between a log on disk, what clients were told, and what a replica said of itself."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.driver.audit import audit
from bench.driver.storage import WriteAheadLog
from bench.metrics.trial import OK, OPERATION, UNKNOWN
from engines.core import Persist
from engines.machine import PUT, KeyValue, encode_command
from engines.raft import Raft, Voted
from engines.unreplicated import Unreplicated
from tests.processes.real import short


def command(sequence: int) -> bytes:
    return encode_command(0, sequence, 1, PUT, b"key", b"value %d" % sequence)


def logged(folder: Path, sequences: list[int]) -> dict[str, Any]:
    """The log of a replica with these commands in it, and the status of one that has applied them."""
    from bench.driver.protocols import build

    engine = build("unreplicated", 0, short(replicas=1), None)  # type: ignore[arg-type]
    effects = list(engine.recover([], 0)) + [
        effect for now, sequence in enumerate(sequences) for effect in list(engine.propose([command(sequence)], now + 1))
    ]
    log = WriteAheadLog(folder)
    log.recover(Unreplicated)
    log.write([effect.record for effect in effects if isinstance(effect, Persist) and effect.record is not None])
    log.close()
    machine = KeyValue()
    for position in range(1, engine.log.last + 1):
        machine.apply(position, engine.log.payload(position))
    return {"applied": machine.applied, "digest": machine.digest}


def told(*statuses: int) -> np.ndarray:
    """Operations with these outcomes; the sequence number of each is its row plus one."""
    operations = np.zeros(len(statuses), OPERATION)
    operations["status"] = statuses
    return operations


def judged(folder: Path, status: dict[str, Any], operations: np.ndarray) -> list[str]:
    acknowledged = np.flatnonzero(operations["status"] == OK) + 1
    return audit(short(replicas=1), "unreplicated", {0: folder}, {0: status}, acknowledged)


def test_a_log_that_holds_every_acknowledged_command_is_sound(tmp_path: Path) -> None:
    status = logged(tmp_path, [1, 2, 2, 4])
    assert judged(tmp_path, status, told(OK, OK, UNKNOWN, OK)) == []


def test_an_acknowledged_command_that_is_in_no_log_is_lost(tmp_path: Path) -> None:
    status = logged(tmp_path, [1, 3])
    assert judged(tmp_path, status, told(OK, OK, OK, OK)) == [
        "no acknowledged loss: 2 acknowledged commands are not in the log of replica 0: 2, 4"
    ]


@pytest.mark.parametrize("said", [{"digest": 1}, {"applied": 2}])
def test_a_log_that_tells_another_history_than_was_applied(tmp_path: Path, said: dict[str, int]) -> None:
    status = logged(tmp_path, [1, 2, 3])
    assert "agreement: the log on the disk of replica 0 tells another history than it applied" in judged(
        tmp_path, status | said, told(OK)
    )


def test_a_log_that_ends_before_what_was_applied(tmp_path: Path) -> None:
    status = logged(tmp_path, [1, 2, 3])
    [violation] = judged(tmp_path, status | {"applied": 4}, told(OK))
    assert violation.startswith("no acknowledged loss: replica 0 applied 4")


def test_the_records_of_a_replica_are_shown_to_the_watcher_of_its_protocol(tmp_path: Path) -> None:
    def judged_of(records: list[Voted], folder: Path) -> list[str]:
        log = WriteAheadLog(folder)
        log.recover(Raft)
        log.write(list(records))
        log.close()
        said = {"applied": 0, "digest": 0}
        return audit(short(engine="raft"), "raft", {2: folder}, {2: said}, np.zeros(0, np.int64))

    assert judged_of([Voted(1, 0), Voted(2, 1)], tmp_path / "sound") == []
    assert judged_of([Voted(2, 1), Voted(2, 0), Voted(1, 0)], tmp_path / "wrong") == [
        "one vote a term: replica 2 voted for 1 and for 0 in term 2",
        "terms never go back: replica 2 went from term 2 to 1",
    ]
