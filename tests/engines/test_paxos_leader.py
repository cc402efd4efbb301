"""What the papers claim of a leader and its quorums, one engine at a time; test_paxos says which papers."""
from __future__ import annotations

import random

import pytest

from engines.core import Configuration, Redirect, Send
from engines.paxos import Paxos, PaxosOptions
from engines.paxos.messages import (
    Accept,
    Accepted,
    AcceptedSlots,
    Heartbeat,
    HeartbeatReply,
    Promise,
    Rejected,
)
from ext.log import pack, unpack
from ext.quorum import FlexibleQuorum, GridQuorum, MajorityQuorum, WeightedQuorum
from tests.engines.test_paxos import MS, accept, ballot, candidate, commits, leader, perform, told, written

# -- the leader ----------------------------------------------------------------------------------------------


def test_a_quorum_of_acceptances_decides_and_the_next_accept_tells() -> None:
    """PMS 2.3 and PMMC on commanders; the leader's own acceptance counts once it is on disk."""
    engine = leader(3)
    effects = engine.propose([b"x"], engine.now)
    now = engine.ballot
    sends = [effect for effect in effects if isinstance(effect, Send)]
    assert told(sends) == [(1, accept(now, 1, b"x")), (2, accept(now, 1, b"x"))]
    assert commits(engine.step(1, Accepted(now, 1, 0), engine.now)) == [], "one of three"
    assert commits(engine.step(0, Accepted(now, 1, 0), engine.now)) == [(1, b"x")]
    [(_, message), _] = told(engine.propose([b"y"], engine.now), Accept)
    assert message.committed == 1


def test_duplicates_and_older_ballots_are_not_counted() -> None:
    """PMS 2.2: a value is chosen by a majority of acceptors, of one proposal."""
    engine = leader(5)
    perform(engine, engine.propose([b"x"], engine.now))
    for _ in range(3):
        assert commits(engine.step(1, Accepted(engine.ballot, 1, 0), engine.now)) == []
        assert commits(engine.step(2, Accepted(engine.ballot - (1 << 16), 1, 0), engine.now)) == []
    assert commits(engine.step(2, Accepted(engine.ballot, 1, 0), engine.now)) == [(1, b"x")]


def test_a_deposed_leader_learns_so_and_redirects() -> None:
    """PMMC, preemption: an acceptor that has promised more says what."""
    engine = leader(3)
    engine.step(1, Rejected(engine.ballot, engine.ballot + 1), engine.now)
    assert not engine.leading
    [effect] = engine.propose([b"x"], engine.now)
    assert isinstance(effect, Redirect)
    engine.step(1, Heartbeat(ballot(9, 1), 0, 0), engine.now)
    [effect] = engine.propose([b"x"], engine.now)
    assert (effect.leader, effect.commands) == (1, [b"x"])


def test_a_rejection_of_an_older_ballot_deposes_nobody() -> None:
    engine = leader(3)
    engine.step(1, Rejected(engine.ballot - (1 << 16), engine.ballot), engine.now)
    assert engine.leading


def test_a_leader_without_a_phase_2_quorum_steps_down() -> None:
    """Our addition to the papers: an election timeout without a quorum in reach."""
    engine = leader(5)
    start = engine.now
    while engine.leading and engine.now < start + 1000 * MS:
        now = engine.deadline
        engine.tick(now)
        if engine.leading and now < start + 400 * MS:
            for peer in (1, 2):
                engine.step(peer, HeartbeatReply(engine.ballot, 0, now), now)
    assert start + 600 * MS - 20 * MS <= engine.now <= start + 640 * MS
    assert not engine.leading


def test_batches_and_big_batches_go_out_in_slices_of_bounded_size() -> None:
    engine = leader(3, message_bytes=100)
    effects = engine.propose([bytes(20)] * 7, engine.now)
    sizes = [len(message.entries) for to, message in told(effects, Accept) if to == 1]
    assert sizes == [96, 96, 32]
    assert len(written(effects)) == 1


def test_flow_control_holds_back_and_sends_in_bulk_when_there_is_room() -> None:
    engine = leader(3, inflight_messages=2)
    sent = [told(engine.propose([b"%d" % number], engine.now), Accept) for number in range(5)]
    assert [len(messages) for messages in sent] == [2, 2, 0, 0, 0]
    [(to, message)] = told(engine.step(1, Accepted(engine.ballot, 1, 0), engine.now), Accept)
    assert (to, message.first, len(unpack(message.entries))) == (1, 3, 3)


def test_a_lost_accept_is_sent_again_after_the_retry_time() -> None:
    engine = leader(3)
    engine.propose([b"x"], engine.now)
    sent_at = engine.now
    while not (again := told(engine.tick(engine.deadline), Accept)):
        pass
    assert engine.now == sent_at + 20 * MS, "the heartbeat interval, where the round trip is short"
    assert again == [(1, accept(engine.ballot, 1, b"x")), (2, accept(engine.ballot, 1, b"x"))]


def test_a_slow_link_is_given_time() -> None:
    engine = leader(3)
    for peer in (1, 2):
        engine.step(peer, HeartbeatReply(engine.ballot, 0, engine.now), engine.now + 35 * MS)
    engine.propose([b"x"], engine.now)
    sent_at = engine.now
    while not told(engine.tick(max(engine.now, engine.deadline)), Accept):
        pass
    assert engine.now == sent_at + 70 * MS, "twice the round trip"


def test_a_hole_is_mended_after_three_reports() -> None:
    engine = leader(3)
    for number in range(6):
        engine.propose([b"%d" % number], engine.now)
    engine.step(1, Accepted(engine.ballot, 1, 0), engine.now)
    reports = [Accepted(engine.ballot, 1, beyond) for beyond in (4, 5, 6, 6)]
    answers = [told(engine.step(1, report, engine.now)) for report in reports]
    assert answers == [[], [], [(1, accept(engine.ballot, 2, b"1", b"2"))], []]
    assert told(engine.step(1, Accepted(engine.ballot, 6, 0), engine.now)) == []
    [(_, message), _] = told(engine.propose([b"7"], engine.now), Accept)
    assert message.first == 7, "nothing after the hole is sent twice"


def test_after_a_broken_connection_an_acceptor_is_asked_where_it_stands() -> None:
    engine = leader(3)
    engine.propose([b"x"], engine.now)
    engine.disconnect(1, engine.now)
    assert [to for to, _ in told(engine.propose([b"y"], engine.now), Accept)] == [2]
    again = told(engine.step(1, HeartbeatReply(engine.ballot, 0, engine.now), engine.now), Accept)
    assert again == [(1, accept(engine.ballot, 1, b"x", b"y"))]


def test_what_was_decided_before_is_sent_to_the_slow_at_the_leaders_ballot() -> None:
    """PMS 2.5 on learners that missed a decision: a proposal at the new number has the chosen value."""
    old = ballot(1, 1)
    engine = candidate(3, [AcceptedSlots(old, 1, pack([(old, b"a"), (old, b"b")]), 2)])
    assert engine.committed == 2
    engine.step(1, Promise(engine.ballot, 3, 3, b"", 2, 2), engine.now)
    assert engine.leading
    late = told(engine.step(2, HeartbeatReply(engine.ballot, 0, engine.now), engine.now), Accept)
    assert late == [(2, accept(engine.ballot, 1, b"a", b"b", committed=2))]


def test_what_a_promise_reports_as_decided_is_decided() -> None:
    """The quorum's highest ballot gives the decided value (P2c): no acceptor need be asked again."""
    engine = candidate(3)
    old = ballot(1, 1)
    effects = engine.step(1, Promise(engine.ballot, 1, 1, pack([(old, b"a"), (old, b"b")]), 2, 1), engine.now)
    assert commits(effects) == [(1, b"a")]
    assert told(effects, Accept) == [(1, accept(engine.ballot, 2, b"b", committed=1))]


# -- quorums -------------------------------------------------------------------------------------------------


def test_phase_2_may_be_small_where_phase_1_is_large() -> None:
    """FPaxos: with phase-2 quorums of 2 of 5, phase 1 needs 4."""
    voters = range(5)
    engine = candidate(5, phase1=FlexibleQuorum(voters, 4), phase2=FlexibleQuorum(voters, 2))
    for peer in (1, 2):
        engine.step(peer, Promise(engine.ballot, 1, 1, b"", 0, 0), engine.now)
        assert not engine.leading
    engine.step(3, Promise(engine.ballot, 1, 1, b"", 0, 0), engine.now)
    assert engine.leading
    perform(engine, engine.propose([b"x"], engine.now))
    assert commits(engine.step(4, Accepted(engine.ballot, 1, 0), engine.now)) == [(1, b"x")]


@pytest.mark.parametrize(
    "options",
    [
        PaxosOptions(phase1=FlexibleQuorum(range(5), 3), phase2=FlexibleQuorum(range(5), 2)),
        PaxosOptions(phase2=FlexibleQuorum(range(5), 2)),
        PaxosOptions(phase2=MajorityQuorum(range(4))),
        PaxosOptions(phase1=MajorityQuorum(range(6))),
        PaxosOptions(WeightedQuorum({0: 1, 1: 1, 2: 1, 3: 1, 4: 9}), FlexibleQuorum(range(5), 4)),
    ],
)
def test_quorums_that_do_not_meet_are_refused(options: PaxosOptions) -> None:
    """FPaxos: every phase-1 quorum must meet every phase-2 quorum."""
    with pytest.raises(ValueError, match="quorum"):
        Paxos(0, Configuration(voters=tuple(range(5))), random.Random(1), options)


def test_any_quorum_system_will_do() -> None:
    """FPaxos on grids: leader 0 decides with its row and one of the other."""
    grid = GridQuorum([[0, 1], [2, 3]])
    engine = candidate(4, phase1=grid, phase2=grid)
    for peer in (2, 3):
        engine.step(peer, Promise(engine.ballot, 1, 1, b"", 0, 0), engine.now)
    assert engine.leading, "0, 2 and 3: the second row, and one of the first"
    perform(engine, engine.propose([b"x"], engine.now))
    assert commits(engine.step(2, Accepted(engine.ballot, 1, 0), engine.now)) == []
    assert commits(engine.step(1, Accepted(engine.ballot, 1, 0), engine.now)) == [(1, b"x")]


def test_one_replica_is_a_quorum() -> None:
    engine = candidate(1)
    assert engine.leading
    assert commits(perform(engine, engine.propose([b"a", b"b"], engine.now))) == [(1, b"a"), (2, b"b")]
