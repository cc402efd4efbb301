"""The conditions that a fault puts a replica under: it is told once, whatever other faults do to it meanwhile."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.driver.cluster import Cluster, Replica
from bench.driver.overseer import ControlError
from tests.processes.real import short


class Told:
    """A control channel that notes what it is told; what ``then`` does happens while the answer is awaited."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.then: Callable[[], None] = lambda: None

    async def do(self, action: str, **arguments: Any) -> dict[str, Any]:
        self.heard.append((action, *arguments.values()))
        await asyncio.sleep(0)
        self.then()
        return {}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Without processes: replica 0 is up, and restarts at once."""
    made = Cluster(short(), "raft", 1, cast(Any, SimpleNamespace(folder=tmp_path)))

    async def boot(_: Cluster, replica: Replica) -> dict[str, Any]:
        replica.control = cast(Any, Told())
        replica.up = True
        return {}

    monkeypatch.setattr(Cluster, "boot", boot)
    asyncio.run(boot(made, made.replicas[0]))
    return made


def block(cluster: Cluster, other: int) -> Any:
    return cluster.impose(0, f"block {other}", "block", to=other)


def unblock(cluster: Cluster, other: int) -> Any:
    return cluster.relieve(0, f"block {other}", "unblock", to=other)


def test_who_is_killed_while_it_is_told_is_told_at_its_restart(cluster: Cluster) -> None:
    """Else the fault would count as not injected, and never be healed, but for its next incarnation it would hold."""
    replica = cluster.replicas[0]

    def die() -> None:
        replica.up = False
        raise ControlError("gone")

    cast(Any, replica.control).then = die

    async def course() -> None:
        await block(cluster, 1)
        await cluster.restart(replica)
        assert cast(Any, replica.control).heard == [("block", 1)]
        await unblock(cluster, 1)
        assert cast(Any, replica.control).heard == [("block", 1), ("unblock", 1)]

    asyncio.run(course())


def test_who_is_silent_is_told_all_the_same(cluster: Cluster) -> None:
    def be_silent() -> None:
        raise TimeoutError

    cast(Any, cluster.replicas[0].control).then = be_silent
    asyncio.run(block(cluster, 1))
    asyncio.run(unblock(cluster, 1))
    assert cast(Any, cluster.replicas[0].control).heard == [("block", 1), ("unblock", 1)]
    assert not cluster.replicas[0].conditions


def test_who_refuses_is_an_error(cluster: Cluster) -> None:
    def refuse() -> None:
        raise ControlError("refused")

    cast(Any, cluster.replicas[0].control).then = refuse
    with pytest.raises(ControlError):
        asyncio.run(block(cluster, 1))


def test_what_changes_while_a_replica_restarts_is_said_once_and_in_order(cluster: Cluster) -> None:
    replica = cluster.replicas[0]
    replica.up = False

    async def course() -> None:
        await block(cluster, 1)
        await block(cluster, 2)
        await asyncio.gather(cluster.restart(replica), unblock(cluster, 1), unblock(cluster, 2), block(cluster, 2))

    asyncio.run(course())
    blocks = {1: 0, 2: 0}
    for action, other in cast(Any, replica.control).heard:
        blocks[other] += 1 if action == "block" else -1
        assert 0 <= blocks[other] <= 1, "blocked twice, or unblocked without a block"
    assert blocks == {1: 0, 2: 1}
