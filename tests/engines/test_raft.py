"""Raft: terms, votes and roles. Sections are of Ongaro's thesis."""
from __future__ import annotations

import random
from typing import Any

import pytest

from engines.core import NOBODY, Configuration, Message, Persist, Send
from engines.raft import (
    AppendEntries,
    AppendEntriesConflict,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    InstallSnapshotReply,
    PreVote,
    PreVoteReply,
    Raft,
    RaftOptions,
    RequestVote,
    RequestVoteReply,
    Voted,
)
from tests.engines.cluster import MS, SECOND, Cluster
from tests.engines.raft_alone import Alone, packed

PLAIN = RaftOptions(pre_vote=False, check_quorum=False)


def test_one_vote_a_term_and_the_first_candidate_gets_it() -> None:
    """3.4: each server votes for at most one candidate in a term, first come, first served."""
    voter = Alone(0)
    assert voter.hear(1, RequestVote(1, 0, 0)) == [(1, RequestVoteReply(1, True))]
    assert voter.hear(2, RequestVote(1, 0, 0)) == [(2, RequestVoteReply(1, False))]
    assert voter.hear(1, RequestVote(1, 0, 0)) == [(1, RequestVoteReply(1, True))], "the answer may be lost"
    assert voter.hear(2, RequestVote(2, 0, 0)) == [(2, RequestVoteReply(2, True))], "a new term is a new vote"


def test_a_vote_is_written_before_it_is_sent() -> None:
    """3.8: term and vote are durable before a server answers, or else it might vote twice in a term."""
    voter = Raft(0, Configuration(voters=(0, 1, 2)), random.Random(1))
    voter.recover([], 0)
    effects = voter.step(1, RequestVote(4, 0, 0), 1)
    assert all(isinstance(effect, Persist) for effect in effects), "nothing leaves before the disk"
    last: Any = effects[-1]
    assert last.record == Voted(4, 1)
    assert last.then.message == RequestVoteReply(4, True)


def test_a_candidate_asks_only_once_its_own_vote_is_written() -> None:
    """3.8: else it could forget that it stood in this term, and stand in it again with another log."""
    candidate = Raft(0, Configuration(voters=(0, 1, 2)), random.Random(1), PLAIN)
    candidate.recover([], 0)
    writes: Any = candidate.tick(candidate.deadline)
    assert [(write.record, write.then.to, write.then.message) for write in writes] == [
        (Voted(1, 0), 0, RequestVoteReply(1, True)),
        (None, 1, RequestVote(1, 0, 0)),
        (None, 2, RequestVote(1, 0, 0)),
    ]


def test_the_vote_is_remembered_across_a_restart() -> None:
    """3.8: an amnesiac must not vote twice."""
    voter = Alone(0, term=5, vote=1)
    assert voter.hear(2, RequestVote(5, 9, 5)) == [(2, RequestVoteReply(5, False))]
    assert voter.hear(1, RequestVote(5, 9, 5)) == [(1, RequestVoteReply(5, True))]


@pytest.mark.parametrize(
    ("last_index", "last_term", "granted"),
    [(3, 4, True), (2, 5, True), (4, 4, True), (3, 5, True), (2, 4, False), (9, 3, False), (0, 0, False)],
)
def test_votes_go_only_to_logs_at_least_as_up_to_date(last_index: int, last_term: int, granted: bool) -> None:
    """3.6.1: the later term of the last entry wins; of equal terms, the longer log. Here it is 1, 2, 4."""
    voter = Alone(0, terms=(1, 2, 4), term=4)
    assert voter.hear(1, PreVote(6, last_index, last_term)) == [(1, PreVoteReply(4, 6, granted))]
    assert voter.hear(1, RequestVote(6, last_index, last_term)) == [(1, RequestVoteReply(6, granted))]
    assert voter.written[-1] == Voted(6, 1 if granted else NOBODY), "the term is adopted all the same"


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (RequestVote(6, 99, 6), RequestVoteReply(7, False)),
        (PreVote(7, 99, 6), PreVoteReply(7, 7, False)),
        (AppendEntries(6, 0, 0, 0, packed(6), 1), AppendEntriesReply(7, 0)),
        (Heartbeat(6, 3, 0, 0), HeartbeatReply(7, 3, 0, 0)),
        (InstallSnapshot(6, 9, 6, b"state"), InstallSnapshotReply(7, 0)),
    ],
)
def test_a_request_of_an_old_term_is_refused_with_the_new_one(message: Message, answer: Message) -> None:
    """3.3: a server that receives a request with a stale term rejects it."""
    replica = Alone(0, term=7)
    deadline = replica.engine.deadline
    assert replica.hear(1, message, after_ns=MS) == [(1, answer)]
    assert (replica.engine.log.last, replica.written, replica.restored) == (0, [], [])
    assert replica.engine.deadline == deadline, "nor does it hold off an election"


@pytest.mark.parametrize(
    "message",
    [
        PreVoteReply(9, 4, False), RequestVoteReply(9, False), AppendEntriesReply(9, 0),
        HeartbeatReply(9, 1, 0, 0), AppendEntriesConflict(9, 0, 1, 0, 1),
        InstallSnapshotReply(9, 0), AppendEntries(9, 0, 0, 0, b"", 0),
        Heartbeat(9, 1, 0, 0), InstallSnapshot(9, 0, 0, b""),
    ],
)
def test_a_newer_term_ends_leadership_and_is_written(message: Message) -> None:
    """3.3: a leader or candidate that discovers that its term is out of date becomes a follower at once."""
    leader = Alone(0, term=3)
    leader.elect()
    leader.hear(1, message)
    assert (leader.role(), leader.engine.leading, leader.engine.term) == ("follower", False, 9)
    assert leader.written[-1] == Voted(9, NOBODY)
    assert leader.engine.deadline > leader.now


def test_a_candidate_follows_the_leader_of_its_own_term() -> None:
    """3.4: where another server establishes itself as leader, the candidate recognises it."""
    candidate = Alone(0, options=PLAIN)
    candidate.time_out()
    assert candidate.role() == "candidate"
    said = candidate.hear(1, AppendEntries(1, 0, 0, 0, packed(1), 0))
    assert said == [(1, AppendEntriesReply(1, 1))]
    assert (candidate.role(), candidate.engine.leader) == ("follower", 1)
    candidate.hear(2, RequestVoteReply(1, True))
    assert candidate.role() == "follower", "a vote that comes late elects nobody"


def test_a_split_vote_ends_with_a_new_election() -> None:
    """3.4: candidates time out and start a new election with a higher term."""
    candidate = Alone(0, size=5, options=PLAIN)
    candidate.time_out()
    candidate.hear(1, RequestVoteReply(1, True))
    candidate.hear(2, RequestVoteReply(1, False))
    candidate.hear(3, RequestVoteReply(1, False))
    candidate.hear(3, RequestVoteReply(1, False))
    assert candidate.role() == "candidate", "an answer counts once"
    candidate.hear(4, RequestVoteReply(1, False))
    assert candidate.role() == "follower"
    said = candidate.time_out()
    assert [message for _, message in said] == [RequestVote(2, 0, 0)] * 4
    candidate.hear(1, RequestVoteReply(1, True))
    candidate.hear(2, RequestVoteReply(1, True))
    assert candidate.role() == "candidate", "votes of an older term elect nobody"


def test_timeouts_are_random_within_their_range() -> None:
    """3.4: randomised election timeouts make split votes rare."""
    deadlines = {Alone(0, seed=seed).engine.deadline for seed in range(50)}
    assert len(deadlines) > 40
    assert all(1 * SECOND <= deadline <= 2 * SECOND for deadline in deadlines)


def test_only_a_leader_or_a_given_vote_holds_an_election_off() -> None:
    """3.4: the timer restarts on hearing from the current leader or on granting a vote."""
    voter = Alone(0, terms=(1, 1), term=1)
    before = voter.engine.deadline
    voter.hear(1, RequestVote(2, 1, 1), after_ns=MS)
    assert voter.engine.deadline == before, "refused"
    voter.hear(2, RequestVote(2, 2, 1), after_ns=MS)
    assert voter.engine.deadline == voter.now + voter.engine.timeout_ns, "granted"
    voter.hear(2, Heartbeat(2, 1, 0, 0), after_ns=MS)
    assert voter.engine.deadline == voter.now + voter.engine.timeout_ns


def test_a_new_leader_appends_a_no_op_at_once() -> None:
    """6.4: it learns which entries are committed by committing one of its own term."""
    leader = Alone(0, terms=(1, 1), term=1)
    no_op = bytes([2]) + bytes(11)
    said = [AppendEntries(2, number, 2, 1, no_op, 0) for number in (1, 2)]
    assert leader.elect() == list(zip((1, 2), said, strict=True))


def test_a_pre_vote_changes_nothing_at_the_voter() -> None:
    """9.6: only where a majority would vote for it does a server raise its term."""
    voter = Alone(0, term=3)
    before = (voter.engine.status(), voter.engine.deadline)
    assert voter.hear(1, PreVote(4, 0, 0), after_ns=MS) == [(1, PreVoteReply(3, 4, True))]
    assert voter.hear(2, PreVote(4, 0, 0)) == [(2, PreVoteReply(3, 4, True))], "it is not a vote"
    assert (voter.engine.status(), voter.engine.deadline, voter.written) == (*before, [])


def test_a_pre_vote_is_refused_while_a_leader_is_heard() -> None:
    """9.6: a server grants it only if it has not heard from a valid leader for an election timeout."""
    voter = Alone(0)
    voter.hear(1, Heartbeat(1, 1, 0, 0))
    assert voter.hear(2, PreVote(2, 9, 1), after_ns=SECOND - 1) == [(2, PreVoteReply(1, 2, False))]
    assert voter.hear(2, PreVote(2, 9, 1), after_ns=1) == [(2, PreVoteReply(1, 2, True))]
    leader = Alone(0)
    leader.elect()
    assert leader.hear(2, PreVote(2, 9, 1), after_ns=2 * SECOND) == [(2, PreVoteReply(1, 2, False))]


def test_lost_pre_votes_leave_the_term_alone() -> None:
    """9.6: and the next timeout asks again."""
    replica = Alone(0)
    for _ in range(3):
        assert replica.time_out() == [(1, PreVote(1, 0, 0)), (2, PreVote(1, 0, 0))]
        replica.hear(1, PreVoteReply(0, 1, False))
        replica.hear(2, PreVoteReply(0, 1, False))
        assert (replica.role(), replica.engine.term) == ("follower", 0)
    replica.time_out()
    replica.hear(1, PreVoteReply(0, 7, True))
    assert replica.role() == "pre-candidate", "an answer about another election does not count"


@pytest.mark.parametrize("pre_vote", [True, False])
def test_a_partitioned_server_raises_its_term_only_without_pre_vote(pre_vote: bool) -> None:
    """9.6: with it, its return does not disrupt the cluster."""
    cluster = Cluster(Raft, 3, initial_leader=0, options=RaftOptions(pre_vote=pre_vote))
    cluster.run(SECOND)
    cluster.partition([2])
    cluster.run(20 * SECOND)
    term = cluster.engine(2).term
    assert (term == 1) if pre_vote else (term > 5)
    cluster.heal()
    cluster.run(5 * SECOND)
    assert len({cluster.engine(id).term for id in cluster.ids}) == 1
    assert not pre_vote or cluster.leaders() == [0]
    assert cluster.engine(0).term == 1 if pre_vote else cluster.engine(0).term >= term


def test_a_leader_without_a_quorum_steps_down() -> None:
    """6.2: when an election timeout passes without a round of heartbeats to a majority."""
    cluster = Cluster(Raft, 5, initial_leader=0)
    cluster.run(3 * SECOND)
    cluster.partition([0, 1])
    assert not cluster.run(750 * MS, until=lambda: not cluster.engine(0).leading)
    assert cluster.run(260 * MS, until=lambda: not cluster.engine(0).leading)
    assert cluster.engine(0).status().leader is None
    cluster.propose(0, cluster.put(b"x", b"1"))
    assert cluster.replicas[0].redirects[-1].leader == NOBODY


def test_a_leader_that_hears_a_bare_quorum_stays() -> None:
    """6.2: itself and half of the others are enough."""
    cluster = Cluster(Raft, 5, initial_leader=0)
    cluster.run(SECOND)
    cluster.partition([0, 1, 2])
    cluster.run(10 * SECOND)
    assert (cluster.leaders(), cluster.engine(0).term) == ([0], 1)


def test_without_check_quorum_a_cut_off_leader_leads_on() -> None:
    """6.2 is an option: without it, clients of a deposed leader wait."""
    cluster = Cluster(Raft, 3, initial_leader=0, options=RaftOptions(check_quorum=False))
    cluster.run(SECOND)
    cluster.partition([0])
    cluster.run(5 * SECOND)
    assert len(cluster.leaders()) == 2
    assert cluster.engine(0).leading
    cluster.heal()
    cluster.run(SECOND)
    assert len(cluster.leaders()) == 1


@pytest.mark.parametrize("check_quorum", [True, False])
def test_whoever_hears_a_leader_ignores_candidates(check_quorum: bool) -> None:
    """4.2.3: within the minimum timeout of hearing from a leader it neither votes nor adopts the term."""
    options = RaftOptions(check_quorum=check_quorum)
    voter = Alone(0, options=options)
    voter.hear(1, Heartbeat(1, 1, 0, 0))
    said = voter.hear(2, RequestVote(2, 0, 0), after_ns=SECOND - 1)
    assert said == ([] if check_quorum else [(2, RequestVoteReply(2, True))])
    assert voter.engine.term == (1 if check_quorum else 2)
    voter.hear(2, RequestVote(3, 0, 0), after_ns=1)
    assert voter.engine.term == 3
    leader = Alone(0, options=options)
    leader.elect()
    leader.hear(2, RequestVote(2, 9, 1))
    assert leader.engine.leading is check_quorum


def test_a_server_with_a_newer_term_is_brought_back() -> None:
    """3.3: it refuses the leader of an older term, which so learns of the newer one; an election follows."""
    cluster = Cluster(Raft, 3, initial_leader=0, options=RaftOptions(pre_vote=False))
    cluster.run(SECOND)
    cluster.partition([2])
    cluster.run(10 * SECOND)
    cluster.heal()
    cluster.propose(0, cluster.put(b"x", b"1"))
    assert cluster.run(10 * SECOND, until=lambda: cluster.engine(2).committed >= 2)


def test_the_initial_leader_stands_at_once_and_only_at_the_very_first_start() -> None:
    first = Alone(1, initial_leader=1)
    assert first.said == [(0, PreVote(1, 0, 0)), (2, PreVote(1, 0, 0))]
    assert Alone(0, initial_leader=1).said == []
    assert Alone(1, initial_leader=1, term=1).said == []
    cluster = Cluster(Raft, 3, initial_leader=2)
    cluster.settle()
    assert (cluster.leaders(), cluster.now) == ([2], 0)


@pytest.mark.parametrize("size", [1, 2, 3, 31, 32, 33, 63, 64, 65, 99])
def test_every_size_elects_a_leader_and_commits_with_a_bare_quorum(size: int) -> None:
    """3.4, 3.5: a majority is enough, and less is not."""
    cluster = Cluster(Raft, size, initial_leader=size - 1, instant_disk=True)
    cluster.settle()
    assert cluster.leaders() == [size - 1]
    others = [id for id in cluster.ids if id != size - 1]
    needed = size // 2
    cluster.partition([size - 1, *others[: needed - 1]]) if needed else None
    cluster.propose(size - 1, cluster.put(b"x", b"1"))
    cluster.settle()
    assert cluster.engine(size - 1).committed == (1 if needed else 2), "one less than a quorum"
    cluster.heal()
    cluster.settle()
    assert cluster.engine(size - 1).committed == 2


def test_ids_are_any_unsigned_64_bit_numbers() -> None:
    ids = (2**63, 7, 2**64 - 2)
    cluster = Cluster(Raft, 3, ids=ids, initial_leader=2**64 - 2)
    cluster.settle()
    cluster.propose(2**64 - 2, cluster.put(b"x", b"1"))
    cluster.settle()
    assert cluster.leaders() == [2**64 - 2]
    assert cluster.engine(2**64 - 2).committed == 2
    assert cluster.engine(7).leader == 2**64 - 2


def test_commands_are_redirected_to_the_leader_that_is_known() -> None:
    """6.2: a server that does not lead names the most recent leader that it knows."""
    cluster = Cluster(Raft, 3)
    cluster.propose(1, cluster.put(b"x", b"1"))
    cluster.tick(0)
    cluster.settle()
    command = cluster.put(b"x", b"2")
    cluster.propose(1, command)
    assert [redirect.leader for redirect in cluster.replicas[1].redirects] == [NOBODY, 0]
    assert cluster.replicas[1].redirects[-1].commands == [command]
    assert cluster.engine(0).log.last == 1


def test_two_leaders_in_a_term_are_never_followed() -> None:
    """3.4 election safety: it must not happen; going on would split the log."""
    follower = Alone(0)
    follower.hear(1, Heartbeat(1, 1, 0, 0))
    with pytest.raises(AssertionError, match="two leaders"):
        follower.hear(2, Heartbeat(1, 1, 0, 0))


def test_a_tick_before_the_deadline_changes_nothing() -> None:
    replica = Alone(0)
    assert replica.engine.tick(replica.engine.deadline - 1) == []
    assert replica.role() == "follower"


def test_a_lone_replica_waits_for_nothing() -> None:
    """A quorum of one: its own disk decides."""
    cluster = Cluster(Raft, 1, initial_leader=0)
    cluster.sync(0)
    cluster.propose(0, cluster.put(b"x", b"1"))
    assert cluster.engine(0).committed == 0
    cluster.sync(0)
    assert cluster.engine(0).committed == 2
    assert cluster.engine(0).deadline == 2**63 - 1
    cluster.crash(0)
    cluster.restart(0)
    cluster.tick(0)
    cluster.settle()
    assert (cluster.engine(0).term, cluster.engine(0).committed) == (2, 3)


def test_no_message_to_others_is_sent_before_its_term_is_durable() -> None:
    """3.8: in elections and in replication the term in a message is at most the durable one."""
    cluster = Cluster(Raft, 3)
    durable = dict.fromkeys(cluster.ids, 0)
    waiting: dict[int, list[int]] = {id: [] for id in cluster.ids}
    seen = 0

    def observe(what: str, replica: int, detail: Any) -> None:
        nonlocal seen
        if isinstance(detail, Persist):
            if detail.record is not None or waiting[replica]:
                waiting[replica].append(detail.record.term if isinstance(detail.record, Voted) else 0)
        elif what == "synced":
            durable[replica] = max([durable[replica], *waiting[replica][:detail]])
            del waiting[replica][:detail]
        elif isinstance(detail, Send) and not isinstance(detail.message, PreVote):
            seen += 1
            assert detail.message.term <= durable[replica], detail  # type: ignore[attr-defined]

    cluster.observe = observe
    for round in range(4):
        cluster.run(4 * SECOND)
        cluster.propose(cluster.leaders()[0], cluster.put(b"x", b"%d" % round))
        cluster.run(SECOND)
        cluster.partition(cluster.leaders())
        cluster.run(4 * SECOND)
        cluster.heal()
    assert seen > 100
