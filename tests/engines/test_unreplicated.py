"""The baseline: its own disk, and nobody else. Its conversations are under conversations/unreplicated."""

from __future__ import annotations

import pytest

from engines.core import NEVER
from engines.machine import APPLIED, GET, KeyValue
from engines.unreplicated import Unreplicated
from tests.engines.cluster import Cluster
from tests.engines.schedule import schedule


def alone(**configuration: object) -> Cluster:
    return Cluster(Unreplicated, 1, copies=1, **configuration)  # type: ignore[arg-type]


def snapshot_at(cluster: Cluster, position: int) -> tuple[int, bytes]:
    """What compaction of replica 0 at an earlier position would have handed over."""
    machine = KeyValue()
    for number, command in cluster.replicas[0].commits[:position]:
        machine.apply(number, command)
    return position, machine.snapshot()


def test_a_command_is_committed_when_its_own_disk_holds_it() -> None:
    cluster = alone()
    command = cluster.put(b"x", b"1")
    cluster.propose(0, command)
    assert cluster.replicas[0].commits == []
    cluster.sync(0)
    assert cluster.replicas[0].commits == [(1, command)]
    assert command in cluster.acknowledged


def test_a_batch_is_one_write() -> None:
    cluster = alone()
    cluster.propose(0, *(cluster.put(b"x", b"%d" % number) for number in range(50)))
    assert len(cluster.replicas[0].unsynced) == 1
    cluster.sync(0)
    assert cluster.replicas[0].committed == 50


def test_writes_that_are_synced_together_are_committed_in_order() -> None:
    cluster = alone()
    commands = [cluster.put(b"x", b"%d" % number) for number in range(5)]
    for command in commands:
        cluster.propose(0, command)
    cluster.sync(0)
    assert [command for _, command in cluster.replicas[0].commits] == commands


def test_what_was_acknowledged_survives_a_crash_and_the_rest_may_not() -> None:
    cluster = alone()
    kept, lost = cluster.put(b"x", b"1"), cluster.put(b"x", b"2")
    cluster.propose(0, kept)
    cluster.sync(0)
    cluster.propose(0, lost)
    cluster.crash(0)
    cluster.restart(0)
    assert cluster.replicas[0].commits == [(1, kept)]


def test_it_recovers_from_a_snapshot_and_the_entries_after_it() -> None:
    cluster = alone()
    cluster.propose(0, cluster.put(b"x", b"1"), cluster.put(b"x", b"2"))
    cluster.sync(0)
    snapshot = (2, cluster.replicas[0].machine.snapshot())
    cluster.propose(0, cluster.put(b"y", b"3"))
    cluster.sync(0)
    cluster.compact(0, snapshot)
    cluster.sync(0)
    assert len(cluster.replicas[0].disk) == 2
    assert cluster.engine(0).log.base == 2
    cluster.crash(0)
    cluster.restart(0)
    assert [position for position, _ in cluster.replicas[0].commits] == [3]
    read = cluster.command(GET, b"x")
    cluster.propose(0, read)
    cluster.sync(0)
    assert cluster.replicas[0].results[read] == APPLIED + b"2"


@pytest.mark.parametrize("survivors", [0, 1, 2])
def test_a_compaction_may_be_torn_anywhere(survivors: int) -> None:
    """Entries after the snapshot are written again behind it; until they are durable, the old ones count."""
    cluster = alone()
    for value in (b"1", b"2", b"3"):
        cluster.propose(0, cluster.put(b"x", value))
    cluster.sync(0)
    cluster.compact(0, snapshot_at(cluster, 2))
    replica = cluster.replicas[0]
    assert len(replica.unsynced) == 2
    cluster.sync(0, survivors)
    cluster.crash(0)
    cluster.restart(0)
    assert replica.committed == 3
    assert replica.machine.data == {b"x": b"3"}


def test_a_snapshot_older_than_the_log_begins_is_not_written() -> None:
    cluster = alone()
    cluster.propose(0, cluster.put(b"x", b"1"))
    cluster.sync(0)
    cluster.compact(0)
    cluster.sync(0)
    cluster.compact(0)
    assert cluster.replicas[0].unsynced == []


def test_a_snapshot_of_what_is_not_committed_is_refused() -> None:
    cluster = alone()
    with pytest.raises(AssertionError):
        cluster.compact(0, (1, cluster.replicas[0].machine.snapshot()))


def test_with_more_voters_the_lowest_id_serves_and_the_others_say_so() -> None:
    cluster = Cluster(Unreplicated, ids=(7, 3, 5), copies=1)
    assert cluster.leaders() == [3]
    for id in (7, 5):
        cluster.propose(id, cluster.put(b"x", b"1"))
        assert cluster.replicas[id].redirects[-1].leader == 3
        assert cluster.engine(id).status().role == "bystander"
    assert cluster.engine(3).status().leader == 3


def test_it_waits_for_nothing_and_sends_nothing() -> None:
    cluster = Cluster(Unreplicated, 3, copies=1)
    cluster.propose(0, cluster.put(b"x", b"1"))
    cluster.sync(0)
    cluster.break_connection(0, 1)
    assert all(cluster.engine(id).deadline == NEVER for id in cluster.ids)
    assert not any(cluster.links.values())
    assert not Unreplicated.HEARTBEATS


def test_a_stranger_cannot_speak_of_this_disk() -> None:
    cluster = alone()
    cluster.propose(0, cluster.put(b"x", b"1"))
    (write,) = cluster.replicas[0].unsynced
    with pytest.raises(AssertionError):
        cluster.engine(0).step(1, write.promise.message, 0)


@pytest.mark.parametrize("transport", ["tcp", "datagram"])
@pytest.mark.parametrize("seed", range(30))
def test_random_faults(seed: int, transport: str) -> None:
    schedule(Unreplicated, seed, transport, copies=1)
