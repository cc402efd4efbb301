"""Zab, phases 1 to 3: discovery, synchronisation, broadcast. Steps are those of the paper (DSN 2011)."""
from __future__ import annotations

from typing import Any

import pytest

from engines.core import NOBODY, Commit, Persist, Redirect, Send
from engines.zab import (
    AcceptedEpoch,
    Ack,
    AckEpoch,
    AckNewLeader,
    Appended,
    Close,
    CommitProposal,
    CurrentEpoch,
    Diff,
    FollowerInfo,
    LeaderInfo,
    NewLeader,
    Ping,
    Proposal,
    Snap,
    Snapshot,
    Trunc,
    Truncated,
    UpToDate,
    Zab,
    ZabOptions,
)
from engines.zab.messages import FOLLOWING, LEADING
from tests.engines.cluster import MS, SECOND, Cluster
from tests.engines.zab_alone import Alone, follower, history, join, leader, prospect, serving_follower, vote

# -- phase 1: discovery --------------------------------------------------------------------------------------


def test_the_new_epoch_is_later_than_any_accepted_by_a_quorum() -> None:
    """Step l.1.1: from a quorum of CEPOCH messages, one more than their latest epoch; nothing before."""
    alone = prospect(5, accepted=3)
    assert alone.hear(0, FollowerInfo(1, 7)) == []
    assert alone.hear(1, FollowerInfo(1, 2)) == [(0, LeaderInfo(1, 8)), (1, LeaderInfo(1, 8))]
    assert alone.hear(2, FollowerInfo(6, 8)) == [(2, LeaderInfo(6, 8))], "late ones are told the same"
    assert alone.written == [AcceptedEpoch(8)], "and the leader promises it to itself"


def test_an_accepted_epoch_is_written_before_it_is_promised() -> None:
    """Step f.1.2: f.p is on disk before ACK-E leaves; the answer says where the history stands."""
    alone = follower(2, accepted=4, current=3, epochs=(1, 3, 3))
    assert alone.said == [(2, FollowerInfo(1, 4))]
    alone.hold = True
    assert alone.hear(2, LeaderInfo(1, 5)) == []
    assert [write.record for write in alone.waiting] == [AcceptedEpoch(5)]
    assert alone.sync() == [(2, AckEpoch(1, True, 3, 3, 3))]


def test_an_epoch_is_promised_once() -> None:
    """Step f.1.2: only a later epoch is promised; no promise is made for the same one again."""
    assert follower(2, 4, accepted=4).said == [(2, AckEpoch(1, False, 0, 0, 0))]
    refused = follower(2, 3, accepted=4)
    assert refused.engine.status().role == "looking"


def test_promises_that_are_none_make_no_quorum() -> None:
    """Two prospective leaders may propose one epoch; at most one of them can get a quorum of promises."""
    alone = prospect(5)
    for peer in (0, 1, 2, 3):
        alone.hear(peer, FollowerInfo(1, 0))
    for peer in (0, 1, 2):
        assert alone.hear(peer, AckEpoch(1, False, 0, 0, 0)) == []
    assert (3, NewLeader(1)) not in alone.hear(3, AckEpoch(1, True, 0, 0, 0)), "with its own, two of five"


@pytest.mark.parametrize("theirs", [(3, 2, 2), (2, 3, 1), (2, 2, 4)])
def test_a_leader_with_an_older_history_than_a_follower_gives_up(theirs: tuple[int, int, int]) -> None:
    """Step l.1.2 selects the most recent history of a quorum; its owner should have been elected."""
    alone = prospect(3, epochs=(1, 2, 2), accepted=2, current=2)
    alone.hear(0, FollowerInfo(1, 2))
    alone.hear(0, AckEpoch(1, True, *theirs))
    assert alone.engine.status().role == "looking"


def test_answers_of_another_session_do_not_count() -> None:
    """A promise that left the disk late tells of a history that has changed since."""
    alone = prospect(3, epochs=(1, 1), accepted=1, current=1)
    alone.hear(0, FollowerInfo(8, 1))
    assert alone.hear(0, AckEpoch(7, True, 1, 1, 1)) == []
    assert alone.hear(0, AckEpoch(8, True, 1, 1, 2)) == [(0, NewLeader(2))]
    assert alone.hear(0, AckNewLeader(7, 2, 2)) == []
    assert not alone.engine.leading


def test_a_follower_ignores_what_its_leader_said_before_it_joined() -> None:
    """Until LeaderInfo names this session, what arrives was said in an earlier one."""
    alone = follower(2)
    entries = history(1)
    sync = [Diff(0, 1, entries), NewLeader(1), UpToDate(0), Proposal(1, 1, entries)]
    assert alone.hear(2, LeaderInfo(0, 1), *sync, Ping(), Close(0)) == []
    assert alone.hear(1, LeaderInfo(1, 1)) == [], "nor does it listen to another replica"
    assert (alone.engine.status().role, alone.engine.log.last) == ("following", 0)
    assert alone.hear(2, LeaderInfo(1, 1)) == [(2, AckEpoch(1, True, 0, 0, 0))]


def test_discovery_ends_at_the_init_limit() -> None:
    """Without a quorum of followers a prospective leader gives up, and so does a follower without one."""
    options = ZabOptions(init_limit=4, sync_limit=2)
    given: dict[str, Any] = {"options": options, "heartbeat_ns": 10 * MS}
    for alone in (prospect(3, **given), follower(2, **given)):
        alone.wait(39 * MS)
        assert alone.engine.status().role in ("leading", "following")
        alone.wait(1 * MS)
        assert alone.engine.status().role == "looking"


def test_synchronisation_is_given_twice_as_long_after_it_took_longer() -> None:
    """Without a given init limit: nobody tells how large the state is that is under way. Who has come through begins anew."""
    engine = (alone := follower(2, epoch=1, election_timeout_ns=(100 * MS, 100 * MS), heartbeat_ns=10 * MS)).engine
    for limit in (200, 400, 800):
        alone.wait((limit - 1) * MS)
        assert engine.status().role == "following"
        alone.wait(MS)
        assert engine.status().role == "looking"
        for peer, state in ((1, FOLLOWING), (2, LEADING)):
            alone.hear(peer, vote(2, 50, (50, 50), engine.election.round, state))
        alone.hear(2, LeaderInfo(engine.session, 1))
    alone.hear(2, NewLeader(1), UpToDate(0))
    alone.wait(100 * MS)
    assert engine.status().role == "looking"
    assert engine.patience == 1


def test_a_leader_looks_anew_when_someone_accepted_a_later_epoch() -> None:
    """That replica could not join before the next election."""
    alone = leader(3)
    alone.hear(0, FollowerInfo(2, 1))
    assert alone.engine.leading, "an equal epoch can join"
    alone.hear(0, FollowerInfo(3, 2))
    assert alone.engine.status().role == "looking"


# -- phase 2: synchronisation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "sent"),
    [
        ((1, 1, 3, 3), []),
        ((1, 1), [Diff(1, 3, history(3, 3, first=3))]),
        ((), [Diff(0, 1, history(1, 1, 3, 3))]),
        ((1, 1, 1, 1, 1), [Trunc(2), Diff(1, 3, history(3, 3, first=3))]),
        ((1, 1, 2), [Trunc(2), Diff(1, 3, history(3, 3, first=3))]),
        ((1, 1, 3, 3, 3), [Trunc(4)]),
        ((1, 1, 3), [Diff(3, 4, history(3, first=4))]),
    ],
)
def test_the_follower_gets_the_leaders_history(theirs: tuple[int, ...], sent: list[Any]) -> None:
    """Step f.2.1, in the way of ZooKeeper: TRUNC to the last zxid that both have, DIFF from there.

    The leader's history is of the epochs 1, 1, 3, 3; what another replica has beside it was never committed.
    """
    alone = prospect(5, epochs=(1, 1, 3, 3), accepted=4, current=4)
    join(alone, 0, 1, epochs=(1, 1, 3, 3), accepted=4, current=4)
    expected = [(2, message) for message in [*sent, NewLeader(5)]]
    assert join(alone, 2, epochs=theirs, accepted=4, current=theirs[-1] if theirs else 0) == expected
    them = follower(2, 5, epochs=theirs, accepted=4, current=theirs[-1] if theirs else 0)
    them.hear(2, *[message for _, message in expected])
    assert them.epochs == [1, 1, 3, 3]


def test_a_follower_behind_the_log_gets_the_snapshot() -> None:
    """ZooKeeper's SNAP: the whole state, where the log does not begin early enough; then the rest as DIFF."""
    records = [Snapshot(2, 1, b"state", 3, 3, history(1, 3, first=3))]
    alone = prospect(3, records=records)
    said = join(alone, 0, epochs=(1,), accepted=3, current=1)
    sent = [Snap(1, 2, b"state"), Diff(1, 3, history(1, 3, first=3)), NewLeader(4)]
    assert [message for _, message in said] == sent
    them = follower(2, 4, epochs=(1,), accepted=3, current=1)
    assert them.hear(2, said[0][1]) == [(2, Ack(1, 4, 2))]
    assert (them.restored, them.engine.log.base, them.engine.committed) == ([(2, b"state")], 2, 2)
    them.hear(2, said[1][1], said[2][1])
    assert Alone(0, records=them.written).epochs == [1, 3], "and all of that is on disk"


def test_a_history_that_ends_where_the_log_begins_needs_no_snapshot() -> None:
    """DIFF is preferred: the log begins after position 2."""
    records = [Snapshot(2, 1, b"state", 3, 3, history(1, 3, first=3))]
    nearly = join(prospect(3, records=records), 0, epochs=(1, 1), accepted=3, current=1)
    assert nearly == [(0, Diff(1, 3, history(1, 3, first=3))), (0, NewLeader(4))]
    beyond = join(prospect(3, records=records), 0, epochs=(1, 1, 1, 1), accepted=3, current=1)
    assert beyond == [(0, Trunc(3)), (0, Diff(1, 4, history(3, first=4))), (0, NewLeader(4))]


def test_history_and_current_epoch_are_written_before_the_follower_acknowledges() -> None:
    """Step f.2.1: f.a and the history, in this order of records, before ACK-LD leaves."""
    alone = follower(2, 4, epochs=(1, 1, 1), accepted=3, current=1)
    alone.hold = True
    alone.hear(2, Trunc(2), Diff(1, 3, history(3, first=3)), NewLeader(4))
    records = [write.record for write in alone.waiting]
    assert records == [Truncated(2), Appended(history(3, first=3)), CurrentEpoch(4)]
    assert alone.sync() == [(2, Ack(1, 4, 3)), (2, AckNewLeader(1, 4, 3))]
    assert alone.commits == [], "that comes with UpToDate"


def test_a_crash_amid_synchronisation_leaves_the_older_epoch() -> None:
    """Step f.2.1 must be atomic: whoever has only part of the initial history does not have the epoch."""
    alone = follower(2, 4, epochs=(1, 1, 1), accepted=3, current=1)
    alone.hear(2, Trunc(2), Diff(1, 3, history(3, first=3)))
    given = [Appended(history(1, 1, 1)), AcceptedEpoch(3), CurrentEpoch(1)]
    again = Alone(0, records=[*given, *alone.written])
    assert (again.engine.accepted_epoch, again.engine.current_epoch, again.epochs) == (4, 1, [1, 1, 3])


def test_a_leader_serves_only_after_a_quorum_has_its_history() -> None:
    """Step l.2.2: a quorum of ACK-LD establishes the epoch, and commits the whole initial history."""
    alone = prospect(5, epochs=(1, 1), accepted=1, current=1)
    join(alone, 0, 1, epochs=(1,), accepted=1, current=1)
    assert not alone.engine.leading
    assert alone.hear(1, AckNewLeader(1, 2, 2)) == []
    assert (alone.engine.leading, alone.commits) == (False, [])
    assert alone.perform(alone.engine.propose([b"x"], 0)) == [], "a command is turned away"
    assert alone.hear(0, AckNewLeader(1, 2, 2)) == [(0, UpToDate(2)), (1, UpToDate(2))]
    assert (alone.engine.leading, alone.commits) == (True, [1, 2])


def test_the_leaders_own_disk_counts_like_any() -> None:
    """Our own promise and history make the quorum only once they are on our disk."""
    alone = Alone(2, 3)
    alone.hold = True
    alone.hear(0, vote(2))
    alone.hear(1, vote(2))
    join(alone, 0)
    assert [write.record for write in alone.waiting] == [AcceptedEpoch(1)]
    alone.sync()
    alone.hear(0, AckNewLeader(1, 1, 0))
    assert not alone.engine.leading, "its current epoch is not on disk"
    assert alone.sync() == [(0, UpToDate(0))]
    assert alone.engine.leading


def test_a_follower_commits_the_initial_history_when_told_to_serve() -> None:
    """Step f.2.2."""
    alone = follower(2, 4, epochs=(1, 3), accepted=3, current=3)
    alone.hear(2, NewLeader(4))
    assert alone.commits == []
    alone.hear(2, UpToDate(2))
    assert alone.commits == [1, 2]


def test_slices_obey_the_limits() -> None:
    """``message_bytes`` and ``inflight_messages`` bound what is under way; NewLeader comes last."""
    alone = prospect(3, epochs=(1,) * 7, accepted=1, current=1, message_bytes=31, inflight_messages=2)
    first = join(alone, 0)
    assert first == [(0, Diff(0, 1, history(1, 1))), (0, Diff(1, 3, history(1, 1, first=3)))]
    assert alone.hear(0, Ack(1, 2, 2)) == [(0, Diff(1, 5, history(1, 1, first=5)))]
    assert alone.hear(0, Ack(1, 2, 4)) == [(0, Diff(1, 7, history(1, first=7))), (0, NewLeader(2))]
    assert alone.commits == [], "acknowledgements before AckNewLeader commit nothing"
    assert alone.hear(0, AckNewLeader(1, 2, 7)) == [(0, UpToDate(7))]


def test_a_gap_in_the_history_ends_the_session() -> None:
    """A slice that does not continue our zxid cannot be of this session."""
    for diff in (Diff(1, 4, history(3, first=4)), Diff(2, 3, history(3, first=3))):
        alone = follower(2, 4, epochs=(1, 1), accepted=3, current=1)
        alone.hear(2, diff)
        assert (alone.engine.status().role, alone.epochs) == ("looking", [1, 1])


def test_a_late_follower_is_synchronised_while_the_leader_serves() -> None:
    """Step l.3.3: it gets the history with all that was proposed since, and from then on each proposal."""
    alone = leader(3, peers=1)
    alone.propose(b"a")
    assert join(alone, 1) == [(1, Diff(0, 1, alone.engine.log.slice(1, 2))), (1, NewLeader(1))]
    said = alone.propose(b"b")
    assert [(to, type(message)) for to, message in said] == [(0, Proposal), (1, Proposal)]
    assert alone.hear(0, Ack(1, 1, 1)) == [(0, CommitProposal(1, 1))], "1 does not serve yet"
    assert alone.hear(1, Ack(1, 1, 1)) == [], "that was the slice"
    assert alone.hear(1, AckNewLeader(1, 1, 1)) == [(1, UpToDate(1))]
    assert alone.hear(1, Ack(1, 1, 2)) == [(0, CommitProposal(1, 2)), (1, CommitProposal(1, 2))]


def test_a_late_follower_is_told_of_what_it_was_sent_only() -> None:
    """Step f.2.2: what was committed while its window was closed is not yet in its history."""
    alone = leader(3, peers=1, inflight_messages=1)
    join(alone, 1)
    for command in (b"a", b"b"):
        alone.propose(command)
        alone.hear(0, Ack(1, 1, alone.engine.log.last))
    assert alone.hear(1, AckNewLeader(1, 1, 0)) == [(1, UpToDate(1))]
    second = alone.engine.log.slice(2, 3)
    assert alone.hear(1, Ack(1, 1, 1)) == [(1, Proposal(1, 2, second)), (1, CommitProposal(1, 2))]


# -- phase 3: broadcast --------------------------------------------------------------------------------------


def test_a_command_costs_three_messages_a_follower() -> None:
    """Step l.3.1 to f.3.2: PROPOSAL, ACK, COMMIT; 3 (n - 1) messages a command, exactly."""
    for size in (2, 3, 5, 7):
        cluster = Cluster(Zab, size, initial_leader=0)
        cluster.settle()
        sent: list[str] = []

        def observe(what: str, replica: int, detail: Any, sent: list[str] = sent) -> None:
            if what == "sends" and detail.to != replica:
                sent.append(type(detail.message).__name__)

        cluster.observe = observe
        for _ in range(20):
            cluster.propose(0, cluster.put(b"k", b"v"))
            cluster.settle()
        assert {name: sent.count(name) for name in set(sent)} == dict.fromkeys(
            ("Proposal", "Ack", "CommitProposal"), 20 * (size - 1)
        )


def test_a_batch_is_one_proposal_one_ack_one_commit() -> None:
    """Entries travel in bulk, however many."""
    alone = leader(3)
    said = alone.propose(b"a", b"b", b"c")
    assert said == [(peer, Proposal(1, 1, alone.engine.log.slice(1, 4))) for peer in (0, 1)]
    assert alone.hear(0, Ack(1, 1, 3)) == [(0, CommitProposal(1, 3)), (1, CommitProposal(1, 3))]
    them = serving_follower(1)
    assert them.hear(2, said[0][1]) == [(2, Ack(1, 1, 3))]
    assert them.hear(2, CommitProposal(1, 3)) == []
    assert them.commits == [1, 2, 3]


def test_a_quorum_commits_and_the_leaders_disk_is_one_of_it() -> None:
    """Step l.3.2; the leader writes while its proposals travel, so it may be the last to have it."""
    alone = leader(5)
    alone.hold = True
    assert len(alone.propose(b"a")) == 4
    assert alone.hear(0, Ack(1, 1, 1)) == []
    assert alone.hear(1, Ack(1, 1, 1)) == []
    assert alone.sync() == [(peer, CommitProposal(1, 1)) for peer in range(4)]
    alone.propose(b"b")
    alone.hear(0, Ack(1, 1, 2))
    alone.hear(1, Ack(1, 1, 2))
    said = alone.hear(2, Ack(1, 1, 2))
    assert said == [(peer, CommitProposal(1, 2)) for peer in range(4)], "or not be needed"


def test_a_proposal_is_acknowledged_once_written() -> None:
    """Step f.3.1."""
    alone = serving_follower(1)
    alone.hold = True
    assert alone.hear(2, Proposal(1, 1, history(1))) == []
    assert alone.sync() == [(2, Ack(1, 1, 1))]
    assert alone.written[-1] == Appended(history(1))


@pytest.mark.parametrize(
    "wrong", [Proposal(1, 3, history(1, first=3)), Proposal(1, 1, history(1)), CommitProposal(1, 2)]
)
def test_a_follower_accepts_in_zxid_order_only(wrong: Any) -> None:
    """Step f.3.1, local primary order: a gap, a repetition or a commit of what it lacks ends the session."""
    alone = serving_follower(1)
    alone.hear(2, Proposal(1, 1, history(1)))
    alone.hear(2, wrong)
    assert (alone.engine.status().role, alone.epochs, alone.commits) == ("looking", [1], [])


def test_acknowledgements_of_another_epoch_or_session_do_not_count() -> None:
    """They speak of another history."""
    alone = leader(3)
    alone.propose(b"a")
    for stale in (Ack(1, 2, 1), Ack(0, 1, 1), Ack(2, 1, 1)):
        assert alone.hear(0, stale) == []
    assert alone.commits == []
    assert alone.hear(0, Ack(1, 1, 1)) != []


def test_a_window_that_is_full_holds_proposals_and_their_commits_back() -> None:
    """``inflight_messages``: what waits goes in one slice, and a commit never overtakes its proposal."""
    alone = leader(3, inflight_messages=2)
    for command in (b"a", b"b", b"c", b"d"):
        alone.propose(command)
        alone.hear(1, Ack(1, 1, alone.engine.log.last))
    assert alone.engine.committed == 4
    entries = alone.engine.log.slice(3, 5)
    assert alone.hear(0, Ack(1, 1, 1)) == [(0, Proposal(1, 3, entries)), (0, CommitProposal(1, 4))]


def test_a_slow_follower_behind_a_compaction_gets_the_snapshot() -> None:
    """The log's beginning may pass a follower whose window is closed."""
    alone = leader(3, inflight_messages=1)
    for command in (b"a", b"b", b"c"):
        alone.propose(command)
        alone.hear(1, Ack(1, 1, alone.engine.log.last))
    alone.perform(alone.engine.compact(2, b"state", alone.now))
    assert alone.hear(0, Ack(1, 1, 1)) == [(0, Snap(1, 2, b"state"))], "which is committed"
    last = alone.engine.log.slice(3, 4)
    assert alone.hear(0, Ack(1, 1, 2)) == [(0, Proposal(1, 3, last)), (0, CommitProposal(1, 3))]


def test_commands_go_to_the_leader() -> None:
    """Only the primary broadcasts; others name it."""
    alone = serving_follower(1)
    for replica, named in ((alone, 2), (Alone(0, 3), NOBODY)):
        redirect: Any = replica.engine.propose([b"x"], 0)[0]
        assert (type(redirect), redirect.leader, redirect.commands) == (Redirect, named, [b"x"])


# -- time and connections ------------------------------------------------------------------------------------

TICKS = ZabOptions(init_limit=10, sync_limit=3)


def test_pings_go_out_each_tick_and_are_answered() -> None:
    """ZooKeeper's tickTime."""
    alone = leader(3, heartbeat_ns=10 * MS, options=TICKS)
    assert alone.wait(10 * MS) == [(0, Ping()), (1, Ping())]
    assert serving_follower(1).hear(2, Ping()) == [(2, Ping())]
    assert serving_follower(1).hear(1, Ping()) == [], "only the leader is answered"


def test_a_leader_gives_up_without_a_quorum_for_the_sync_limit() -> None:
    """ZooKeeper's syncLimit; one follower of two suffices to go on."""
    alone = leader(3, heartbeat_ns=10 * MS, options=TICKS)
    for _ in range(20):
        alone.wait(10 * MS)
        alone.hear(1, Ping())
    assert alone.engine.leading
    alone.wait(29 * MS)
    assert alone.engine.leading
    alone.wait(1 * MS)
    assert alone.engine.status().role == "looking"


def test_a_follower_gives_up_after_the_sync_limit() -> None:
    """Any message of its leader is a sign of life."""
    alone = serving_follower(1, heartbeat_ns=10 * MS, options=TICKS)
    alone.wait(29 * MS)
    alone.hear(2, Ping())
    alone.wait(29 * MS)
    assert alone.engine.status().role == "following"
    alone.wait(1 * MS)
    assert alone.engine.status().role == "looking"


def test_a_broken_connection_ends_the_session_but_not_the_reign() -> None:
    """The leader closes the session, the follower joins anew in the same epoch, and gets what it missed."""
    cluster = Cluster(Zab, 3, initial_leader=0)
    cluster.settle()
    cluster.propose(0, cluster.put(b"a", b"1"))
    cluster.break_connection(0, 1)
    cluster.settle()
    assert (cluster.leaders(), cluster.engine(0).status().term, cluster.now) == ([0], 1, 0)
    assert [cluster.engine(id).committed for id in cluster.ids] == [1, 1, 1]


def test_a_break_that_the_leader_learns_of_after_the_follower_came_back() -> None:
    """What the leader said meanwhile is lost, so the new session is closed as well."""
    alone = leader(3)
    alone.hear(0, vote(0, round=2), FollowerInfo(2, 1), AckEpoch(2, False, 1, 0, 0))
    assert alone.perform(alone.engine.disconnect(0, alone.now)) == [(0, Close(2))]
    them = follower(2, 1)
    session = them.engine.session
    them.hear(2, Close(session - 1))
    assert them.engine.leader == 2, "not this session"
    them.hear(2, Close(session))
    assert them.engine.leader == NOBODY


def test_a_learner_that_looks_is_dropped() -> None:
    """It will join anew; until then it gets nothing."""
    alone = leader(3)
    alone.hear(0, vote(0, round=2))
    assert [to for to, _ in alone.propose(b"a")] == [1]
    assert alone.hear(0, Ack(1, 1, 1)) == [], "and does not count"
    assert alone.commits == []


def test_a_leader_whose_learners_reconnect_goes_on_leading() -> None:
    """When a follower was last heard outlives its session: a short break does not cost an election."""
    alone = leader(3, peers=1, heartbeat_ns=10 * MS, options=TICKS)
    alone.wait(25 * MS)
    alone.hear(0, Ping())
    assert alone.perform(alone.engine.disconnect(0, alone.now)) == [(0, Close(1))]
    alone.wait(25 * MS)
    assert alone.engine.leading
    alone.hear(0, FollowerInfo(2, 1))
    alone.wait(29 * MS)
    assert alone.engine.leading
    alone.wait(11 * MS)
    assert not alone.engine.leading


# -- persistence ---------------------------------------------------------------------------------------------


def test_compaction_restates_what_still_counts() -> None:
    """Older records may go once this one is durable: it holds both epochs and the rest of the history."""
    alone = serving_follower(2, committed=2, epochs=(1, 1, 1), accepted=1, current=1)
    alone.perform(alone.engine.compact(2, b"state", alone.now))
    assert alone.written[-1] == Snapshot(2, 1, b"state", 2, 2, history(1, first=3))
    again = Alone(0, records=alone.written[-1:])
    assert again.restored == [(2, b"state")]
    assert (again.engine.accepted_epoch, again.engine.current_epoch, again.epochs) == (2, 2, [1])
    alone.perform(alone.engine.compact(1, b"older", alone.now))
    assert alone.written[-1].state == b"state", "a snapshot that comes late changes nothing"  # type: ignore[attr-defined]


def test_recovery_commits_nothing_by_itself() -> None:
    """What of the history is committed, only a leader with a quorum can say."""
    alone = Alone(0, 3, epochs=(1, 1), accepted=1, current=1)
    assert (alone.commits, alone.engine.committed, alone.engine.log.last) == ([], 0, 2)


def test_effects_of_a_proposal_are_sends_and_one_write() -> None:
    """The leader's disk works while the proposals travel; only its own acknowledgement waits for it."""
    alone = leader(3)
    effects = alone.engine.propose([b"a"], alone.now)
    assert [type(effect) for effect in effects] == [Send, Send, Persist]
    write: Any = effects[-1]
    assert (write.then.to, write.then.message) == (2, Ack(alone.engine.session, 1, 1))
    assert not any(isinstance(effect, Commit) for effect in effects)


def test_progress_after_everything_was_lost_but_the_disks() -> None:
    """All crash at once, with what was not synced gone; what was committed is committed again."""
    cluster = Cluster(Zab, 5, initial_leader=3)
    cluster.run(100 * MS)
    for number in range(10):
        cluster.propose(3, cluster.put(b"k", b"%d" % number))
    cluster.run(2 * MS)
    for id in cluster.ids:
        cluster.crash(id)
    for id in cluster.ids:
        cluster.restart(id)
    cluster.run(3 * SECOND)
    assert len(cluster.leaders()) == 1
    assert {cluster.engine(id).committed for id in cluster.ids} == {10}
