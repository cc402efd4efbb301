"""Replica processes: they commit, survive kill -9, and keep the door shut."""
from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes.cluster import cluster

ENGINES = ("paxos", "raft", "zab")


@pytest.mark.parametrize("engine", ENGINES)
def test_three_replicas_commit_and_survive_the_death_of_each(engine: str, tmp_path: Path) -> None:
    with cluster(engine, tmp_path) as running:
        for number in range(20):
            running.put(b"key", str(number).encode())
        for id in range(3):
            running.replicas[id].kill()
            running.put(b"while away", str(id).encode())
            said = running.restart(id)
            assert said["recovered_records"] > 0
            running.put(b"again", str(id).encode())
        statuses = running.level()
        assert len({status["digest"] for status in statuses}) == 1
        assert {status["duplicates"] for status in statuses} <= {0, 1, 2}
        assert all(status["fsyncs"] > 0 for status in statuses)
