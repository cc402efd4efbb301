"""What the papers claim of replicas together, on the test cluster; test_paxos says which papers."""
from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from engines.paxos import Paxos, PaxosOptions
from engines.paxos.messages import Accept, Accepted, Prepare, Snapshot, round_of
from ext.quorum import FlexibleQuorum
from tests.engines.cluster import MS, SECOND, Cluster
from tests.engines.schedule import schedule

SHORT: dict[str, Any] = {"election_timeout_ns": (100 * MS, 200 * MS), "heartbeat_ns": 20 * MS}


def started(size: int, **given: Any) -> Cluster:
    """A cluster whose replica 0 leads."""
    cluster = Cluster(Paxos, size, **{**SHORT, "initial_leader": 0, **given})
    assert cluster.run(SECOND, until=lambda: cluster.leaders() == [0])
    return cluster


def commit(cluster: Cluster, leader: int, value: bytes = b"1") -> bytes:
    """Have a put decided and acknowledged; the command."""
    command = cluster.put(b"x", value)
    cluster.propose(leader, command)
    assert cluster.run(SECOND, until=lambda: command in cluster.acknowledged)
    return command


def next_leader(cluster: Cluster, *among: int) -> int:
    """Wait until one of these leads; its id."""
    assert cluster.run(20 * SECOND, until=lambda: any(id in among for id in cluster.leaders()))
    return next(id for id in cluster.leaders() if id in among)


def messages_of(cluster: Cluster) -> Counter[type]:
    """Counts what is sent between replicas from now on, by class."""
    sent: Counter[type] = Counter()

    def observe(what: str, replica: int, detail: Any) -> None:
        if what == "sends" and detail.to != replica:
            sent[type(detail.message)] += 1

    cluster.observe = observe
    return sent


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9, 32, 64, 65, 99])
def test_a_command_costs_one_round_of_phase_2(size: int) -> None:
    """PMS 3: phase 1 once for all; then 2(n - 1) messages a command, the commit position piggy-backed."""
    cluster = started(size)
    cluster.run(19 * MS)
    sent = messages_of(cluster)
    for _ in range(3):
        cluster.propose(0, cluster.put(b"x", b"1"))
        cluster.settle()
    counted = {kind: count for kind, count in sent.items() if kind not in Paxos.HEARTBEATS}
    assert counted == ({Accept: 3 * (size - 1), Accepted: 3 * (size - 1)} if size > 1 else {})
    assert cluster.replicas[0].committed == 3
    assert {cluster.replicas[id].committed for id in cluster.ids[1:]} <= {2}


@pytest.mark.parametrize("transport", ["tcp", "datagram"])
def test_a_chosen_value_is_never_overwritten_by_another_quorum(transport: str) -> None:
    """PMS 2.2, P2: it was chosen by 0, 1 and 2; then 2, 3 and 4 are a quorum, of which only 2 has it."""
    cluster = started(5, transport=transport)
    cluster.partition([0, 1, 2], [3, 4])
    command = commit(cluster, 0)
    cluster.heal()
    cluster.crash(0)
    cluster.crash(1)
    leader = next_leader(cluster, 2, 3, 4)
    later = commit(cluster, leader, b"2")
    assert cluster.decided[-2:] == [command, later]


def test_a_value_chosen_by_a_small_quorum_survives_it() -> None:
    """FPaxos: two of five decide, and any four find what they decided, though one of the two is gone."""
    options = PaxosOptions(phase1=FlexibleQuorum(range(5), 4), phase2=FlexibleQuorum(range(5), 2))
    cluster = started(5, options=options, copies=2)
    cluster.partition([0, 1], [2, 3, 4])
    command = commit(cluster, 0)
    cluster.crash(0)
    cluster.heal()
    leader = next_leader(cluster, 1, 2, 3, 4)
    commit(cluster, leader, b"2")
    assert command in cluster.decided
    cluster.crash(next(id for id in cluster.up() if id != leader))
    commit(cluster, leader, b"3")
    cluster.crash(leader)
    assert not cluster.run(5 * SECOND, until=cluster.leaders), "three of five are no phase-1 quorum"


@pytest.mark.parametrize("seed", range(10))
def test_duelling_proposers_make_progress_in_the_end(seed: int) -> None:
    """PMS 2.4: proposers may preempt each other for ever; PMMC 3 lets them back off. All start at once."""
    cluster = Cluster(
        Paxos, 5, seed=seed, options=PaxosOptions(inquire=False), election_timeout_ns=(100 * MS, 101 * MS),
        heartbeat_ns=20 * MS,
    )
    assert cluster.run(20 * SECOND, until=cluster.leaders)
    commit(cluster, next_leader(cluster, *cluster.ids))


def test_ballots_rise_over_restarts_of_all() -> None:
    """PMS 2.5: the watcher of the cluster refuses two leaders of a ballot; here they also rise."""
    cluster = Cluster(Paxos, 3, **SHORT)
    ballots = []
    for _ in range(5):
        leader = next_leader(cluster, *cluster.ids)
        ballots.append(cluster.engine(leader).ballot)
        for id in cluster.ids:
            cluster.crash(id)
        for id in cluster.ids:
            cluster.restart(id)
    assert ballots == sorted(set(ballots))


@pytest.mark.parametrize("inquire", [True, False])
def test_a_replica_that_returns_disturbs_a_live_leader_only_where_it_does_not_ask(inquire: bool) -> None:
    """Isolated, it would make ballot after ballot as in the papers; asking first is our addition."""
    cluster = started(3, transport="datagram", options=PaxosOptions(inquire=inquire))
    cluster.partition([0, 1], [2])
    before = cluster.engine(0).ballot
    cluster.run(3 * SECOND)
    assert cluster.leaders() == [0]
    assert (round_of(cluster.engine(2).promised) > round_of(before)) != inquire
    cluster.heal()
    cluster.run(3 * SECOND)
    assert (cluster.engine(0).ballot == before and cluster.leaders() == [0]) == inquire


def test_a_replica_that_only_hears_nothing_asks_in_vain() -> None:
    """The link from the leader to 2 is broken one way: 0 and 1 hear each other, and keep their leader."""
    cluster = started(3, transport="datagram")
    cluster.cut(0, 2)
    before = cluster.engine(0).ballot
    cluster.run(3 * SECOND)
    assert cluster.engine(2).role == "inquirer"
    assert cluster.leaders() == [0] and cluster.engine(0).ballot == before
    commit(cluster, 0)


def test_an_isolated_leader_steps_down_and_the_others_elect() -> None:
    """Stepping down is our addition; that only one of them decides is PMS 2.2, P2."""
    cluster = started(5)
    cluster.partition([0, 1], [2, 3, 4])
    lost = cluster.put(b"x", b"lost")
    cluster.propose(0, lost)
    leader = next_leader(cluster, 2, 3, 4)
    kept = commit(cluster, leader)
    assert cluster.run(SECOND, until=lambda: cluster.leaders() == [leader])
    cluster.heal()
    assert cluster.run(SECOND, until=lambda: all(r.committed == 1 for r in cluster.replicas.values()))
    assert cluster.decided == [kept]


@pytest.mark.parametrize("transport", ["tcp", "datagram"])
@pytest.mark.parametrize("compacted", [False, True])
def test_a_replica_that_was_down_catches_up(transport: str, compacted: bool) -> None:
    """PMMC on garbage collection: a learner behind the log's beginning is sent a snapshot, others slots."""
    cluster = started(3, transport=transport, message_bytes=256)
    commit(cluster, 0)
    cluster.crash(2)
    for number in range(40):
        commit(cluster, 0, b"%d" % number)
    if compacted:
        cluster.compact(0)
    sent = messages_of(cluster)
    cluster.restart(2)
    assert cluster.run(SECOND, until=lambda: cluster.replicas[2].committed == 41)
    assert (sent[Snapshot] > 0) == compacted
    assert sent[Accept] < 20, "in bulk"


def test_a_candidate_that_is_behind_a_compacted_log_gets_a_snapshot_first() -> None:
    """The slots that phase 1 asks for (PMS 3) are no longer there one by one."""
    cluster = started(3)
    cluster.partition([0, 1], [2])
    for _ in range(10):
        commit(cluster, 0)
    cluster.compact(1)
    cluster.crash(0)
    sent = messages_of(cluster)
    cluster.cut(1, 0)
    cluster.heal()
    while not cluster.leaders():
        cluster.tick(2)
        cluster.settle()
    assert cluster.leaders() == [2]
    assert sent[Snapshot] == 1 and sent[Prepare] == 3
    commit(cluster, 2)
    assert len(cluster.decided) == 11


def test_who_knows_what_is_decided_leads_in_place_of_a_candidate_that_is_far_behind() -> None:
    """A hundred slots at one a message would take a hundred round trips."""
    cluster = started(3, message_bytes=1)
    cluster.partition([0, 1], [2])
    for _ in range(100):
        commit(cluster, 0)
    cluster.crash(0)
    cluster.heal()
    sent = messages_of(cluster)
    while not cluster.leaders():
        cluster.tick(2)
        cluster.settle()
    assert cluster.leaders() == [1]
    assert sent[Prepare] < 20
    commit(cluster, 1)
    assert len(cluster.decided) == 101


def test_a_candidate_that_reaches_too_few_does_not_keep_from_leading_who_reaches_more() -> None:
    """PMMC 3: 1 and 2 know all that is decided, and reach 3 only, who reaches all."""
    cluster = started(5, message_bytes=1, options=PaxosOptions(inquire=False))
    cluster.partition([0, 1, 2], [3, 4])
    for _ in range(5):
        commit(cluster, 0)
    cluster.crash(0)
    cluster.heal()
    for a, b in ((1, 2), (1, 4), (2, 4)):
        cluster.cut(a, b)
        cluster.cut(b, a)
    assert next_leader(cluster, 1, 2, 3, 4) == 3


def test_what_was_not_synced_may_be_lost_everywhere() -> None:
    cluster = started(3)
    command = commit(cluster, 0)
    cluster.propose(0, cluster.put(b"x", b"2"))
    for id in cluster.ids:
        cluster.crash(id, torn=True)
    for id in cluster.ids:
        cluster.restart(id)
    leader = next_leader(cluster, *cluster.ids)
    commit(cluster, leader)
    assert cluster.decided[0] == command


@pytest.mark.parametrize("transport", ["tcp", "datagram"])
@pytest.mark.parametrize("seed", range(20))
def test_schedule(seed: int, transport: str) -> None:
    schedule(Paxos, seed, transport)


@pytest.mark.parametrize("transport", ["tcp", "datagram"])
@pytest.mark.parametrize("seed", range(5))
def test_schedule_of_proposers_that_do_not_ask(seed: int, transport: str) -> None:
    schedule(Paxos, seed, transport, options=PaxosOptions(inquire=False))


@pytest.mark.parametrize("transport", ["tcp", "datagram"])
@pytest.mark.parametrize("seed", range(5))
def test_schedule_of_flexible_quorums(seed: int, transport: str) -> None:
    """FPaxos: 2 of 5 decide, 4 of 5 elect."""
    options = PaxosOptions(phase1=FlexibleQuorum(range(5), 4), phase2=FlexibleQuorum(range(5), 2))
    schedule(Paxos, seed, transport, replicas=5, options=options, copies=2)
