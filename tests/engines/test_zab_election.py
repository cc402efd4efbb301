"""Zab, phase 0: fast leader election. Sections are of Medeiros 2012."""
from __future__ import annotations

import random

import pytest

from engines.core import NOBODY
from engines.zab import Close, FollowerInfo, Notification, Zab, ZabOptions
from engines.zab.messages import FOLLOWING, LEADING, LOOKING
from tests.engines.cluster import MS, SECOND, Cluster
from tests.engines.zab_alone import Alone, Said, follower, leader, prospect, vote


def votes_said(said: Said) -> list[Notification]:
    return [message for _, message in said if isinstance(message, Notification)]


def test_everybody_first_votes_for_itself_and_tells_all() -> None:
    """3.3 (fast leader election): a round begins with the vote for oneself, sent to every other voter."""
    alone = Alone(0, 3, epochs=(1, 2, 2), accepted=2, current=2)
    assert alone.said == [(peer, Notification(0, 2, 2, 3, 1, LOOKING)) for peer in (1, 2)]
    assert alone.engine.status().role == "looking"


@pytest.mark.parametrize(
    ("epoch", "last", "candidate", "better"),
    [
        (3, (1, 1), 0, True), (2, (3, 1), 0, True), (2, (2, 4), 0, True), (2, (2, 3), 2, True),
        (1, (9, 9), 2, False), (2, (1, 9), 2, False), (2, (2, 2), 2, False), (2, (2, 3), 0, False),
    ],
)
def test_the_most_recent_history_wins(
    epoch: int, last: tuple[int, int], candidate: int, better: bool
) -> None:
    """3.3: by current epoch, then last zxid, then id. This one is 1, at epoch 2, with the zxid (2, 3)."""
    alone = Alone(1, 5, epochs=(1, 2, 2), accepted=2, current=2)
    said = votes_said(alone.hear(3, vote(candidate, epoch, last)))
    assert said == ([Notification(candidate, epoch, *last, 1, LOOKING)] * 4 if better else [])


def test_a_later_round_is_joined_and_an_earlier_one_corrected() -> None:
    """3.3: votes of one round only are compared; whoever is behind moves on with its own vote."""
    alone = Alone(1, 5)
    later = alone.hear(3, vote(0, 0, (0, 0), round=4))
    assert later == [(peer, Notification(1, 0, 0, 0, 4, LOOKING)) for peer in (0, 2, 3, 4)], "and 1 beats 0"
    assert alone.hear(3, vote(4, 0, (0, 0), round=2)) == [(3, Notification(1, 0, 0, 0, 4, LOOKING))]
    assert alone.hear(4, vote(4, 0, (0, 0), round=4)) != [], "a better vote of this round"


def test_a_quorum_waits_for_a_better_vote_and_unanimity_does_not() -> None:
    """3.3: finalizeWait; in vain once everybody has the same vote."""
    alone = Alone(2, 3, options=ZabOptions(finalize_wait_ns=50 * MS))
    alone.hear(0, vote(2))
    alone.wait(49 * MS)
    assert alone.engine.status().role == "looking"
    alone.wait(1 * MS)
    assert alone.engine.status().role == "leading"
    assert prospect(3).engine.status().role == "leading", "without any time passing"


def test_a_better_vote_begins_the_wait_anew() -> None:
    """3.3: the vote that was nearly elected is given up for the better one."""
    alone = Alone(3, 5, options=ZabOptions(finalize_wait_ns=50 * MS))
    alone.hear(0, vote(3))
    alone.hear(1, vote(3))
    alone.wait(49 * MS)
    alone.hear(4, vote(4))
    alone.hear(0, vote(4))
    alone.wait(49 * MS)
    assert alone.engine.status().role == "looking"
    alone.wait(1 * MS)
    assert (alone.engine.status().role, alone.engine.leader) == ("following", 4)


def test_who_follows_or_leads_answers_with_the_elected_vote() -> None:
    """3.3: a replica that looks is told who was elected, in which round; its question changes nothing."""
    alone = follower(2)
    assert alone.hear(1, vote(1, round=9)) == [(1, Notification(2, 50, 50, 50, 1, FOLLOWING))]
    assert alone.engine.leader == 2


def test_a_late_joiner_follows_an_established_ensemble() -> None:
    """3.3: once a quorum (the joiner counted) follows a leader that says that it leads, in whatever round."""
    alone = Alone(4, 5, epochs=(1, 1, 1), accepted=1, current=1)
    assert alone.hear(0, vote(2, 1, (1, 1), 7, FOLLOWING)) == []
    assert alone.hear(1, vote(2, 1, (1, 1), 7, FOLLOWING)) == [], "a quorum, but the leader has said nothing"
    assert alone.hear(2, vote(2, 1, (1, 1), 7, LEADING)) == [(2, FollowerInfo(1, 1))]
    assert alone.engine.leader == 2, "though our history is longer: what it has more was never committed"


def test_a_leader_alone_is_not_joined() -> None:
    """3.3: one of five that says it leads, and nobody that follows it, is no ensemble."""
    alone = Alone(4, 5)
    assert alone.hear(2, vote(2, 0, (0, 0), 7, LEADING)) == []
    assert alone.engine.status().role == "looking"


def test_votes_are_told_again_ever_more_rarely() -> None:
    """A vote may be lost with a connection; the notification time-out doubles, up to the election timeout."""
    alone = Alone(0, 3, heartbeat_ns=200 * MS, election_timeout_ns=(SECOND, SECOND))
    times = []
    while alone.now < 4 * SECOND:
        if alone.wait(100 * MS):
            times.append(alone.now // MS)
    assert times == [200, 600, 1400, 2400, 3400]


def test_an_initial_leader_is_elected_at_once() -> None:
    """``initial_leader``: everybody's first vote, so no waiting; replica 2 would win otherwise."""
    cluster = Cluster(Zab, 3, initial_leader=1)
    cluster.settle()
    assert (cluster.now, cluster.leaders()) == (0, [1])


def test_an_initial_leader_is_favoured_only_while_nothing_is_decided() -> None:
    """A replica with an accepted epoch, or in a later round, votes by history."""
    assert votes_said(Alone(0, 3, initial_leader=1, accepted=1).said)[0].leader == 0
    alone = Alone(0, 3, initial_leader=1)
    assert votes_said(alone.said)[0].leader == 1
    alone.hear(2, vote(0, round=2))
    assert alone.engine.election.vote == (0, 0, 0, 0)


def test_a_follower_looks_anew_without_its_leader() -> None:
    """3.3: after the time limit, at a broken connection, and when the leader itself looks."""
    silent = follower(2, 1, options=ZabOptions(init_limit=5), heartbeat_ns=10 * MS)
    silent.wait(49 * MS)
    assert silent.engine.status().role == "following"
    silent.wait(1 * MS)
    broken = follower(2, 1)
    broken.perform(broken.engine.disconnect(2, broken.now))
    left = follower(2, 1)
    left.hear(2, vote(2, round=1))
    for alone in (silent, broken, left):
        assert (alone.engine.status().role, alone.engine.leader) == ("looking", NOBODY)
        assert alone.engine.election.round == 2


def test_an_old_vote_of_the_leader_does_not_end_the_session() -> None:
    """The leader decides later than we do: its last votes of this round arrive after we have joined it."""
    alone = follower(2)
    alone.hear(2, vote(2, 50, (50, 50), round=1))
    alone.hear(2, vote(1, 50, (50, 50), round=0))
    assert alone.engine.leader == 2
    for gone in (vote(2, 50, (50, 50), round=2), vote(1, 50, (60, 60), round=1)):
        alone = follower(2)
        alone.hear(2, gone)
        assert alone.engine.leader == NOBODY, "it is in a later round, or for another"


def test_who_joins_before_we_know_that_we_lead_waits() -> None:
    """The follower has seen the quorum earlier than the leader: its FollowerInfo must not be lost."""
    alone = Alone(2, 3)
    alone.hear(0, vote(2))
    assert alone.hear(0, FollowerInfo(1, 0)) == []
    assert [to for to, _ in alone.hear(1, vote(2))] == [0], "LeaderInfo follows at once"


def test_who_joins_one_that_follows_another_is_turned_away() -> None:
    """ZooKeeper's leader port is closed where nobody leads."""
    assert follower(2).hear(1, FollowerInfo(3, 0)) == [(1, Close(3))]
    alone = Alone(1, 3)
    alone.hear(0, FollowerInfo(4, 0))
    alone.hear(0, vote(2, 9, (9, 9)))
    assert alone.hear(2, vote(2, 9, (9, 9))) == [(2, FollowerInfo(1, 0))], "0 looked since, and does not wait"


def test_one_replica_elects_itself() -> None:
    """The smallest ensemble."""
    cluster = Cluster(Zab, 1)
    cluster.settle()
    assert cluster.leaders() == [0]


@pytest.mark.parametrize("size", [2, 4, 31, 32, 33, 64, 65, 99])
def test_any_size_elects_one(size: int) -> None:
    """All are up and equal, and everybody hears the others in an order of its own: the greatest id wins."""
    cluster = Cluster(Zab, size, start=False)
    dice = random.Random(size)
    cluster.delay_ns = lambda _sender, _receiver: dice.randint(MS // 10, MS)
    for id in cluster.ids:
        cluster.restart(id)
    cluster.run(100 * MS)
    assert cluster.leaders() == [size - 1]
    assert {cluster.engine(id).leader for id in cluster.ids} == {size - 1}


def test_limits_come_from_the_election_timeout_or_in_ticks() -> None:
    """``ZabOptions``: without ticks, failures are noticed in the time that the other engines take."""
    drawn = follower(2, 1, election_timeout_ns=(SECOND, 2 * SECOND)).engine
    assert 2 * SECOND <= drawn.deadline <= 4 * SECOND, "init limit: twice the drawn one"
    ticks = follower(2, 1, options=ZabOptions(init_limit=10, sync_limit=5), heartbeat_ns=7 * MS).engine
    assert ticks.deadline == 70 * MS
    with pytest.raises(ValueError, match="sync_limit must be at least 2 ticks"):
        ZabOptions(sync_limit=1)
    with pytest.raises(ValueError, match="init_limit must be at least 2 ticks"):
        ZabOptions(init_limit=0)
    with pytest.raises(ValueError, match="finalize_wait_ns must not be negative"):
        ZabOptions(finalize_wait_ns=-1)


def test_a_leader_that_looks_leaves_its_learners() -> None:
    """Everything of the old reign is forgotten, and everybody is told of the new round."""
    alone = leader(3)
    alone.perform(alone.engine.disconnect(0, alone.now))
    said = alone.wait(10 * SECOND)
    assert not alone.engine.leading
    assert (1, Notification(2, 1, 0, 0, 2, LOOKING)) in said
