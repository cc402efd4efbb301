"""What every engine owes its host, whatever its protocol: the contract of DESIGN section 2."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from engines import machine
from engines.core import NEVER, Configuration, Engine, Message, Record, Redirect
from tests.engines.cluster import MS, SECOND, Cluster, Replica
from tests.engines.schedule import engine_named

NAMES = ("paxos", "raft", "unreplicated", "zab")
REPLICATED = tuple(name for name in NAMES if name != "unreplicated")


@pytest.fixture(params=NAMES)
def engine_class(request: pytest.FixtureRequest) -> type[Engine]:
    return engine_named(request.param)


@pytest.fixture(params=REPLICATED)
def replicated(request: pytest.FixtureRequest) -> type[Engine]:
    return engine_named(request.param)


def cluster_of(engine_class: type[Engine], size: int, **given: Any) -> Cluster:
    """A cluster with short timeouts."""
    copies = 1 if engine_class.NAME == "unreplicated" else None
    given = {"election_timeout_ns": (100 * MS, 200 * MS), "heartbeat_ns": 20 * MS, **given}
    return Cluster(engine_class, size, copies=copies, **given)


def elect(cluster: Cluster) -> int:
    """Wait for a leader; its id."""
    assert cluster.run(10 * SECOND, until=cluster.leaders), "nobody leads"
    return cluster.leaders()[-1]


def commit(cluster: Cluster, command: bytes) -> int:
    """Propose to whoever leads, again when that comes to nothing, until it is acknowledged; its position."""
    for _ in range(20):
        cluster.propose(elect(cluster), command)
        if cluster.run(500 * MS, until=lambda: command in cluster.acknowledged):
            return cluster.acknowledged[command]
    raise AssertionError("the command is not committed")


def learners(cluster: Cluster) -> list[Replica]:
    return [cluster.replicas[id] for id in cluster.up() if cluster.engine(id).status().role != "bystander"]


def catch_up(cluster: Cluster) -> None:
    """Wait until every replica that is up holds what was decided."""

    def done() -> bool:
        return all(replica.committed == len(cluster.decided) for replica in learners(cluster))

    assert cluster.run(10 * SECOND, until=done), "a replica stays behind"


def subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for child in base.__subclasses__():
        yield child
        yield from subclasses(child)


# -- what an engine declares ---------------------------------------------------------------------------------


def test_an_engine_handles_and_persists_exactly_the_classes_it_defines(engine_class: type[Engine]) -> None:
    home = f"engines.{engine_class.NAME}"

    def defined(base: type[Any]) -> set[type[Any]]:
        return {child for child in subclasses(base) if child.__module__.startswith(home)}

    assert set(engine_class.HANDLERS) == defined(Message)
    assert set(engine_class.RECORDS) == defined(Record)
    assert set(engine_class.HEARTBEATS) <= set(engine_class.HANDLERS)
    assert len({one.__name__ for one in defined(Message) | defined(Record)}) == len(
        defined(Message) | defined(Record)
    )


def test_messages_and_records_cannot_be_changed_and_say_what_they_are(engine_class: type[Engine]) -> None:
    for one in (*engine_class.HANDLERS, *engine_class.RECORDS):
        settings = one.__struct_config__
        assert settings.frozen, one
        assert settings.array_like, one
        assert settings.tag == one.__name__, one
        assert one.__doc__ not in (None, Message.__doc__, Record.__doc__), f"{one} has no docstring"


def test_a_stranger_is_no_replica(engine_class: type[Engine]) -> None:
    with pytest.raises(ValueError, match="replica 9 is not one of the voters"):
        engine_class(9, Configuration(voters=(0, 1, 2)), random.Random(0))


# -- time ----------------------------------------------------------------------------------------------------


def test_a_tick_before_the_deadline_changes_nothing(engine_class: type[Engine]) -> None:
    cluster = cluster_of(engine_class, 3)
    for step in range(300):
        for id in cluster.up():
            engine = cluster.engine(id)
            if engine.deadline > cluster.now:
                before = (engine.status(), engine.deadline, engine.leading, engine.log.last)
                assert engine.tick(cluster.now) == []
                assert (engine.status(), engine.deadline, engine.leading, engine.log.last) == before
        cluster.run(3 * MS)
        if step % 10 == 0 and cluster.leaders():
            cluster.propose(cluster.leaders()[0], cluster.put(b"x", b"%d" % step))
    assert cluster.acknowledged


def test_time_does_not_go_backwards(engine_class: type[Engine]) -> None:
    cluster = cluster_of(engine_class, 1)
    cluster.run(SECOND)
    cluster.propose(0, cluster.put(b"x", b"1"))
    with pytest.raises(AssertionError, match="backwards"):
        cluster.engine(0).tick(cluster.now - 1)


# -- proposals -----------------------------------------------------------------------------------------------


def test_a_leader_appends_a_batch_in_order_at_the_end_of_its_log(engine_class: type[Engine]) -> None:
    cluster = cluster_of(engine_class, 3)
    leader = elect(cluster)
    log = cluster.engine(leader).log
    first = log.last + 1
    batch = [cluster.put(b"x", b"%d" % number) for number in range(5)]
    cluster.propose(leader, *batch)
    assert log.payloads(first, first + 5) == batch


def test_whoever_does_not_lead_takes_nothing_and_names_the_leader(engine_class: type[Engine]) -> None:
    cluster = cluster_of(engine_class, 3)
    leader = elect(cluster)
    cluster.run(SECOND)
    assert cluster.leaders() == [leader]
    for id in set(cluster.up()) - {leader}:
        engine = cluster.engine(id)
        last = engine.log.last
        batch = [cluster.put(b"x", b"1"), cluster.put(b"x", b"2")]
        (effect,) = engine.propose(batch, cluster.now)
        assert isinstance(effect, Redirect)
        assert (effect.leader, effect.commands) == (leader, batch)
        assert engine.log.last == last


def test_a_retried_command_is_applied_once_by_whichever_leader(replicated: type[Engine]) -> None:
    cluster = cluster_of(replicated, 3)
    command = cluster.command(machine.APPEND, b"x", b"1;")
    first = commit(cluster, command)
    leader = elect(cluster)
    cluster.propose(leader, command)
    cluster.propose(leader, command)
    cluster.run(SECOND)
    cluster.crash(leader)
    del cluster.acknowledged[command]
    assert commit(cluster, command) > first
    cluster.restart(leader)
    commit(cluster, cluster.put(b"y", b""))
    catch_up(cluster)
    for replica in learners(cluster):
        assert replica.machine.data[b"x"] == b"1;"
        assert replica.machine.duplicates == 3


# -- sizes, restarts, snapshots ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9])
def test_a_cluster_of_any_size_elects_a_leader_and_commits(engine_class: type[Engine], size: int) -> None:
    ids = tuple(2**63 + 7 * number for number in range(size))
    cluster = cluster_of(engine_class, size, ids=ids)
    for value in (b"1", b"2", b"3"):
        commit(cluster, cluster.put(b"x", value))
    catch_up(cluster)
    assert {replica.machine.data[b"x"] for replica in learners(cluster)} == {b"3"}


def test_the_initial_leader_leads_at_once(replicated: type[Engine]) -> None:
    for wanted in range(3):
        cluster = cluster_of(replicated, 3, initial_leader=wanted)
        assert cluster.run(100 * MS, until=cluster.leaders), "nobody leads before the first election timeout"
        assert cluster.leaders() == [wanted]


def test_ninety_nine_replicas_commit(replicated: type[Engine]) -> None:
    cluster = cluster_of(replicated, 99, initial_leader=98, instant_disk=True)
    commit(cluster, cluster.put(b"x", b"1"))
    catch_up(cluster)


def test_a_restart_of_all_loses_nothing_that_was_acknowledged(engine_class: type[Engine]) -> None:
    cluster = cluster_of(engine_class, 3)
    for number in range(10):
        commit(cluster, cluster.put(b"x", b"%d" % number))
    acknowledged = dict(cluster.acknowledged)
    for id in cluster.ids:
        cluster.crash(id)
    for id in cluster.ids:
        cluster.restart(id)
    assert commit(cluster, cluster.put(b"y", b"1")) > max(acknowledged.values())
    catch_up(cluster)
    for replica in learners(cluster):
        assert replica.machine.data == {b"x": b"9", b"y": b"1"}


@pytest.mark.parametrize("torn", [0, 1, 2, 3])
def test_a_compaction_stands_for_everything_written_before_it(engine_class: type[Engine], torn: int) -> None:
    """Whatever part of it reached the disk before a crash of all: complete, the older records may go; torn,
    they count.
    """
    cluster = cluster_of(engine_class, 3)
    for number in range(10):
        commit(cluster, cluster.put(b"x", b"%d" % number))
    catch_up(cluster)
    cluster.settle()
    terms = {id: cluster.engine(id).status().term for id in cluster.ids}
    for id in cluster.ids:
        half = cluster.replicas[id].commits[: cluster.replicas[id].committed // 2]
        model = machine.KeyValue()
        for position, command in half:
            model.apply(position, command)
        if half:
            cluster.compact(id, (model.applied, model.snapshot()))
            assert cluster.engine(id).log.base == model.applied
        cluster.sync(id, torn if torn < 3 else None)
        cluster.crash(id)
    for id in cluster.ids:
        cluster.restart(id)
    commit(cluster, cluster.put(b"y", b"1"))
    catch_up(cluster)
    assert all(cluster.engine(id).status().term >= terms[id] for id in cluster.ids)
    assert {replica.machine.data[b"x"] for replica in learners(cluster)} == {b"9"}


def test_a_replica_behind_the_beginning_of_the_log_is_sent_the_snapshot(replicated: type[Engine]) -> None:
    cluster = cluster_of(replicated, 3, initial_leader=0)
    leader = elect(cluster)
    behind = (leader + 1) % 3
    cluster.crash(behind)
    for number in range(10):
        commit(cluster, cluster.put(b"x", b"%d" % number))
    for id in cluster.up():
        cluster.compact(id)
    cluster.restart(behind)
    restored = []
    cluster.observe = lambda what, replica, _detail: restored.append(replica) if what == "restores" else None
    commit(cluster, cluster.put(b"y", b"1"))
    catch_up(cluster)
    assert restored == [behind]
    assert cluster.replicas[behind].machine.data == {b"x": b"9", b"y": b"1"}


# -- messages ------------------------------------------------------------------------------------------------


def sent(cluster: Cluster) -> list[type[Message]]:
    """The classes of what is sent to others from now on, as it is sent."""
    classes: list[type[Message]] = []

    def observe(what: str, replica: int, detail: Any) -> None:
        if what == "sends" and detail.to != replica:
            classes.append(type(detail.message))

    cluster.observe = observe
    return classes


def test_without_load_only_heartbeats_flow(engine_class: type[Engine]) -> None:
    cluster = cluster_of(engine_class, 3)
    commit(cluster, cluster.put(b"x", b"1"))
    catch_up(cluster)
    cluster.run(SECOND)
    classes = sent(cluster)
    cluster.run(SECOND)
    assert set(classes) == set(engine_class.HEARTBEATS)


@pytest.mark.parametrize("name, per_follower", [("paxos", 2), ("raft", 2), ("zab", 3), ("unreplicated", 0)])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_command_costs_so_many_messages(name: str, per_follower: int, size: int) -> None:
    """2(n-1) for Paxos (1 accept, 1 accepted) and Raft (AppendEntries, reply), 3(n-1) for Zab, heartbeats
    apart.
    """
    cluster = cluster_of(engine_named(name), size)
    leader = elect(cluster)
    cluster.run(SECOND)
    classes = sent(cluster)
    for _ in range(20):
        cluster.propose(leader, cluster.put(b"x", b"1"))
        cluster.run(10 * MS)
    cluster.run(SECOND)
    heartbeats = cluster.engine_class.HEARTBEATS
    assert sum(one not in heartbeats for one in classes) == 20 * per_follower * (size - 1)


def test_the_same_seeds_give_the_same_history(replicated: type[Engine]) -> None:
    def history() -> list[str]:
        cluster = cluster_of(replicated, 3, seed=4)
        lines: list[str] = []
        cluster.observe = lambda what, replica, detail: lines.append(
            f"{cluster.now} {replica} {what} {detail}"
        )
        for number in range(5):
            commit(cluster, cluster.put(b"x", b"%d" % number))
        cluster.crash(cluster.leaders()[0])
        commit(cluster, cluster.put(b"x", b"5"))
        return lines

    assert history() == history()


def test_the_deadline_is_never_where_nothing_is_awaited() -> None:
    assert cluster_of(engine_named("unreplicated"), 1).engine(0).deadline == NEVER
