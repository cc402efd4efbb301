"""A state may be big, and its way long: it is sent once, and again only where it is known to be lost or may well be."""

from __future__ import annotations

from engines.core import Restore
from engines.paxos import Paxos
from engines.paxos.messages import Accepted, HeartbeatReply, Prepare, Promise, Rejected, Snapshot
from tests.engines.test_paxos import MS, accept, ballot, candidate, leader, perform, replica, told

STATE = b"all of it"


def leader_that_sends_a_state() -> Paxos:
    """A leader whose follower 2 is back, and has just been sent the state up to slot 3."""
    engine = leader(3)
    perform(engine, engine.propose([b"1", b"2", b"3"], engine.now))
    engine.step(1, Accepted(engine.ballot, 3, 0), engine.now)
    engine.disconnect(2, engine.now)
    engine.compact(3, STATE, engine.now)
    asked_at = engine.now
    effects = engine.step(2, HeartbeatReply(engine.ballot, 0, asked_at), engine.now + MS)
    assert [to for to, _ in told(effects, Snapshot)] == [2]
    return engine


def beats(engine: Paxos, until_ns: int) -> list[tuple[int, Snapshot]]:
    """Let the leader go on, heard by follower 1 only; the states that it sends."""
    sent = []
    while engine.now < until_ns:
        sent += told(engine.tick(engine.deadline), Snapshot)
        engine.step(1, HeartbeatReply(engine.ballot, 3, engine.now), engine.now)
    assert engine.leading
    return sent


def test_a_state_is_not_sent_again_while_its_follower_is_silent() -> None:
    """However long the way: election timeouts are 200 ms, heartbeats 20 ms."""
    engine = leader_that_sends_a_state()
    assert beats(engine, engine.now + 3000 * MS) == []
    engine.propose([b"4"], engine.now)
    assert told(engine.step(2, HeartbeatReply(engine.ballot, 0, 0), engine.now), Snapshot) == [], "an older heartbeat"
    assert told(engine.step(2, Accepted(engine.ballot, 0, 4), engine.now), Snapshot) == [], "what comes after it, overtaking"
    effects = engine.step(2, Accepted(engine.ballot, 3, 0), engine.now)
    assert told(effects) == [], "what came after the state is under way already"


def test_a_state_is_sent_again_when_a_later_heartbeat_was_answered_without_it() -> None:
    engine = leader_that_sends_a_state()
    beats(engine, engine.now + 50 * MS)
    effects = engine.step(2, HeartbeatReply(engine.ballot, 0, engine.now), engine.now)
    assert [to for to, _ in told(effects, Snapshot)] == [2]


def test_a_state_is_sent_again_over_a_new_channel() -> None:
    engine = leader_that_sends_a_state()
    engine.disconnect(2, engine.now)
    effects = engine.step(2, HeartbeatReply(engine.ballot, 0, engine.now), engine.now)
    assert [to for to, _ in told(effects, Snapshot)] == [2]


def acceptor_without_its_first_slots() -> Paxos:
    """Replica 1, whose log begins after slot 3."""
    engine = replica(1)
    now = ballot(1, 0)
    engine.step(0, accept(now, 1, b"1", b"2", b"3"), 0)
    engine.step(0, accept(now, 4, b"4", committed=3), 0)
    engine.compact(3, STATE, 0)
    return engine


def test_a_candidate_that_asks_again_is_told_a_state_more_and_more_seldom() -> None:
    """It asks at every heartbeat, and at higher ballots; the state may be under way for long."""
    engine = acceptor_without_its_first_slots()
    told_at = []
    for asked_at in range(0, 3000 * MS, 20 * MS):
        number = 2 + asked_at // (200 * MS)
        if told(engine.step(2, Prepare(ballot(number, 2), 1), asked_at), Snapshot):
            told_at.append(asked_at // MS)
    assert told_at == [0, 200, 600, 1400]
    assert engine.promised == ballot(16, 2)


def test_a_candidate_is_told_a_state_at_once_where_the_last_one_is_gone() -> None:
    engine = acceptor_without_its_first_slots()
    assert told(engine.step(2, Prepare(ballot(2, 2), 1), 0), Snapshot)
    engine.disconnect(2, MS)
    assert told(engine.step(2, Prepare(ballot(2, 2), 1), 2 * MS), Snapshot)
    assert told(engine.step(2, Prepare(ballot(2, 2), 4), 3 * MS), Promise), "it has the state"
    assert told(engine.step(2, Prepare(ballot(3, 2), 1), 4 * MS), Snapshot), "and has lost it since"


def test_a_candidate_that_asks_again_is_told_the_same_slots_more_and_more_seldom() -> None:
    """What is told may take longer than a heartbeat to send. A higher ballot is another promise."""
    engine = acceptor_without_its_first_slots()
    told_at = [
        asked_at // MS
        for asked_at in range(0, 700 * MS, 20 * MS)
        if told(engine.step(2, Prepare(ballot(2, 2), 4), asked_at), Promise)
    ]
    assert told_at == [0, 40, 120, 280, 600]
    assert told(engine.step(2, Prepare(ballot(2, 2), 5), 701 * MS), Promise)
    assert told(engine.step(2, Prepare(ballot(2, 2), 5), 702 * MS), Promise), "it has told all"
    assert told(engine.step(2, Prepare(ballot(3, 2), 4), 703 * MS), Promise)


def test_a_candidate_takes_the_state_that_it_asked_for_in_an_older_candidacy() -> None:
    """What is decided is so at every ballot."""
    engine = candidate(3)
    older = engine.ballot
    while engine.ballot == older:
        perform(engine, engine.tick(engine.deadline))
    effects = engine.step(1, Snapshot(older, 3, ballot(1, 2), STATE), engine.now)
    assert [effect.position for effect in effects if isinstance(effect, Restore)] == [3]
    assert told(effects) == [(1, Prepare(engine.ballot, 4)), (1, Rejected(older, engine.ballot))]
    assert engine.committed == 3


def test_a_state_that_comes_before_the_ballot_is_on_disk_is_taken_and_nothing_asked() -> None:
    """The first Prepare asks for what is missing by then, of oneself, too."""
    engine = candidate(3)
    older = engine.ballot
    effects = []
    while engine.ballot == older:
        effects = engine.tick(engine.deadline)
    assert told(engine.step(1, Snapshot(older, 3, ballot(1, 2), STATE), engine.now), Prepare) == []
    asked = told(perform(engine, effects), Prepare)
    assert [(to, message.first) for to, message in asked if to != engine.id] == [(1, 4), (2, 4)]
    engine.step(1, Promise(engine.ballot, 4, 4, b"", 3, 3), engine.now)
    assert engine.leading
