"""What the papers claim of an acceptor and of a candidate, one engine at a time.

PMS is "Paxos Made Simple" (Lamport 2001), PMMC "Paxos Made Moderately Complex" (van Renesse, Altinbuken
2015), FPaxos "Flexible Paxos" (Howard, Malkhi, Spiegelman 2016).
"""
from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.core import Commit, Configuration, Effect, Message, Persist, Record, Send
from engines.paxos import Paxos, PaxosOptions
from engines.paxos.messages import (
    Accept,
    Accepted,
    AcceptedSlots,
    Heartbeat,
    HeartbeatReply,
    Inquiry,
    LeaderLost,
    Prepare,
    Promise,
    Promised,
    Rejected,
    Snapshot,
    StandInstead,
    ballot_of,
    rank_of,
    round_of,
)
from engines.paxos.slots import Slots
from engines.paxos.window import Window, window_of
from ext.log import Log, pack, unpack

MS = 1_000_000


def ballot(round: int, replica: int) -> int:
    """The ballot of a replica among voters 0, 1, 2, ..."""
    return ballot_of(round, replica)


def replica(
    id: int = 0, size: int = 3, records: list[Record] | None = None, options: PaxosOptions | None = None,
    **given: Any,
) -> Paxos:
    """A replica that has recovered from these records."""
    configuration = Configuration(
        voters=tuple(range(size)), election_timeout_ns=(100 * MS, 200 * MS), heartbeat_ns=20 * MS, **given
    )
    engine = Paxos(id, configuration, random.Random(id), options or PaxosOptions())
    perform(engine, engine.recover(records or [], 0))
    return engine


def sends_of(effect: Effect) -> list[Send]:
    """What leaves with this effect, now or when it is durable."""
    if isinstance(effect, Persist):
        return [] if effect.then is None else [effect.then]
    return [effect] if isinstance(effect, Send) else []


def perform(engine: Paxos, effects: list[Effect]) -> list[Effect]:
    """Make everything durable and step what the replica says to itself; all effects, its own included."""
    done = list(effects)
    for effect in done:
        for promise in sends_of(effect):
            if promise.to == engine.id:
                done += engine.step(engine.id, promise.message, engine.now)
    return done


def told(effects: list[Effect], *classes: type[Message]) -> list[tuple[int, Any]]:
    """What leaves for whom, now or when it is durable."""
    sends = [send for effect in effects for send in sends_of(effect)]
    return [(send.to, send.message) for send in sends if not classes or isinstance(send.message, classes)]


def written(effects: list[Effect]) -> list[Record]:
    return [effect.record for effect in effects if isinstance(effect, Persist) and effect.record is not None]


def commits(effects: list[Effect]) -> list[tuple[int, bytes]]:
    return [(effect.position, effect.command) for effect in effects if isinstance(effect, Commit)]


def accept(ballot: int, first: int, *values: bytes, committed: int = 0) -> Accept:
    return Accept(ballot, first, pack([(ballot, value) for value in values]), committed)


def accepted_by(engine: Paxos) -> dict[int, tuple[int, bytes]]:
    """Slot -> (ballot, value)."""
    log = engine.log
    stored = enumerate(unpack(log.slice(log.base + 1, log.last + 1)), log.base + 1)
    return {**dict(stored), **engine.slots.islands}


def candidate(size: int = 3, records: list[Record] | None = None, **given: Any) -> Paxos:
    """Replica 0, in phase 1, with its own promise counted."""
    phases = {name: given.pop(name) for name in ("phase1", "phase2") if name in given}
    options = PaxosOptions(inquire=False, **phases)
    engine = replica(0, size, records, options, **given)
    perform(engine, engine.tick(engine.deadline))
    assert size == 1 or engine.role == "candidate"
    return engine


def leader(size: int = 3, **given: Any) -> Paxos:
    """Replica 0, in phase 2, elected by all others, of whom nobody had accepted anything."""
    engine = candidate(size, **given)
    for peer in range(1, size):
        engine.step(peer, Promise(engine.ballot, 1, 1, b"", 0, 0), engine.now)
    assert engine.leading
    return engine


# -- ballots -------------------------------------------------------------------------------------------------


PAIRS = st.tuples(st.integers(0, 2**48 - 1), st.integers(0, 2**16 - 1))


@given(PAIRS, PAIRS)
def test_ballots_are_ordered_by_round_then_replica(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (round_of(ballot_of(*one)), rank_of(ballot_of(*one))) == one
    assert (ballot_of(*one) < ballot_of(*other)) == (one < other)


def test_a_ballot_is_never_used_twice_over_a_restart() -> None:
    """PMS 2.5: a proposer keeps its highest number in stable storage, and begins with a higher one."""
    engine = replica(1, options=PaxosOptions(inquire=False))
    effects = engine.tick(engine.deadline)
    assert told(effects) == [(1, Prepare(engine.ballot, 1))], "nobody hears of a ballot before it is on disk"
    [record] = written(effects)
    assert isinstance(record, Promised) and record.ballot == engine.ballot

    again = replica(1, records=[record], options=PaxosOptions(inquire=False))
    again.tick(again.deadline)
    assert again.ballot > engine.ballot
    assert rank_of(again.ballot) == rank_of(engine.ballot) == 1


def test_a_new_ballot_is_above_every_one_heard_of() -> None:
    engine = replica(0, options=PaxosOptions(inquire=False))
    engine.step(1, Prepare(ballot(7, 1), 1), 0)
    engine.tick(engine.deadline)
    assert engine.ballot == ballot(8, 0)
    engine.step(2, Rejected(engine.ballot, ballot(11, 2)), engine.now)
    assert engine.role == "follower"
    engine.tick(engine.deadline)
    assert engine.ballot == ballot(12, 0)


# -- the acceptor --------------------------------------------------------------------------------------------


def test_an_acceptor_accepts_the_first_proposal_that_it_receives() -> None:
    """PMS 2.2, P1; durable before it says so (PMS 2.5)."""
    engine = replica()
    [effect] = engine.step(2, accept(ballot(1, 2), 1, b"x"), 0)
    assert isinstance(effect, Persist)
    assert effect.record == AcceptedSlots(ballot(1, 2), 1, pack([(ballot(1, 2), b"x")]), 0)
    assert told([effect]) == [(2, Accepted(ballot(1, 2), 1, 0))]


def test_a_promise_is_durable_before_it_is_given() -> None:
    """PMS 2.5: an acceptor records its intended response in stable storage before it sends the response."""
    [effect] = replica().step(1, Prepare(ballot(1, 1), 1), 0)
    assert isinstance(effect, Persist)
    assert effect.record == Promised(ballot(1, 1), 0)
    assert told([effect]) == [(1, Promise(ballot(1, 1), 1, 1, b"", 0, 0))]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_promise_is_never_broken(restarted: bool) -> None:
    """PMS 2.2, P1a: it accepts a proposal n only if it has not answered a prepare with a greater number."""
    engine = replica()
    records = written(engine.step(2, Prepare(ballot(5, 2), 1), 0))
    if restarted:
        engine = replica(records=records)
    for message in (accept(ballot(5, 1), 1, b"x"), Prepare(ballot(4, 1), 1), Heartbeat(ballot(5, 1), 9, 0)):
        assert told(engine.step(1, message, 0)) == [(1, Rejected(message.ballot, ballot(5, 2)))]
    assert accepted_by(engine) == {} and engine.committed == 0
    assert told(engine.step(2, accept(ballot(5, 2), 1, b"x"), 0), Accepted)


def test_the_state_of_an_older_leader_is_taken_and_the_leader_refused() -> None:
    """What is decided is so at every ballot."""
    engine = replica()
    engine.step(2, Prepare(ballot(5, 2), 1), 0)
    effects = engine.step(1, Snapshot(ballot(5, 1), 9, ballot(5, 1), b"all of it"), 0)
    assert told(effects) == [(1, Rejected(ballot(5, 1), ballot(5, 2)))]
    assert engine.committed == 9 and accepted_by(engine) == {}
    assert engine.status().term == ballot(5, 2)


def test_an_acceptance_is_a_promise_too() -> None:
    """PMS 2.5: the highest number responded to is remembered, in whichever phase; so after a restart."""
    records = written(replica().step(2, accept(ballot(3, 2), 1, b"x"), 0))
    assert told(replica(records=records).step(1, accept(ballot(3, 1), 1, b"y"), 0)) == [
        (1, Rejected(ballot(3, 1), ballot(3, 2)))
    ]


def test_a_leader_that_was_heard_is_recorded_before_anything_is_acknowledged_to_it() -> None:
    engine = replica()
    effects = engine.step(2, Heartbeat(ballot(3, 2), 0, 7), 0)
    assert written(effects) == [Promised(ballot(3, 2), 0)]
    assert told(effects) == [(2, HeartbeatReply(ballot(3, 2), 0, 7))]
    assert written(engine.step(2, Heartbeat(ballot(3, 2), 0, 8), 0)) == []


def test_phase_1_reports_all_open_slots_and_islands() -> None:
    """PMS 3: one message for all instances from a slot on; slot 3 was lost, and 5 and 6 came before 4."""
    engine = replica()
    old = ballot(1, 1)
    for message in (accept(old, 1, b"a", b"b"), accept(old, 5, b"e", b"f"), accept(old, 8, b"h")):
        engine.step(1, message, 0)
    new, seen, asked = ballot(2, 2), {}, 2
    while asked <= 8:
        [(_, promise)] = told(engine.step(2, Prepare(new, asked), 0))
        assert (promise.asked, promise.last) == (asked, 8)
        seen.update(enumerate(unpack(promise.entries), promise.first))
        asked = max(seen) + 1
    assert seen == {2: (old, b"b"), 5: (old, b"e"), 6: (old, b"f"), 8: (old, b"h")}


def test_a_promise_is_told_in_parts_of_bounded_size() -> None:
    engine = replica(message_bytes=50)
    engine.step(1, accept(ballot(1, 1), 1, bytes(30), bytes(30), bytes(30)), 0)
    [(_, promise)] = told(engine.step(2, Prepare(ballot(2, 2), 1), 0))
    assert (len(unpack(promise.entries)), promise.last) == (1, 3)


def test_an_acceptance_in_the_middle_forgets_no_later_slot() -> None:
    """What it says of slot 3 may be what a value was chosen by (PMS 2.2, P2c), whatever comes for slot 2."""
    engine = replica()
    old, new = ballot(1, 1), ballot(2, 2)
    engine.step(1, accept(old, 1, b"a", b"b", b"c"), 0)
    records = [*written(engine.step(2, accept(new, 2, b"B"), 0))]
    assert accepted_by(engine) == {1: (old, b"a"), 2: (new, b"B"), 3: (old, b"c")}
    first = AcceptedSlots(old, 1, pack([(old, b"a"), (old, b"b"), (old, b"c")]), 0)
    assert accepted_by(replica(records=[first, *records])) == accepted_by(engine)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(1, 5)), max_size=12), st.integers(0, 6))
def test_slots_hold_the_last_entry_of_each(batches: list[tuple[int, int]], compacted: int) -> None:
    """Against a dictionary, with batches in any order and overlapping, then a snapshot."""
    slots, model = Slots(Log()), {}
    for time, (first, length) in enumerate(batches, 1):
        entries = [(time, b"%d" % slot) for slot in range(first, first + length)]
        slots.place(first, pack(entries))
        model.update(enumerate(entries, first))
    assert slots.last() == max(model, default=0)
    slots.skip_to(compacted, 1)
    model = {slot: entry for slot, entry in model.items() if slot > compacted}
    asked, seen = compacted + 1, {}
    while asked <= slots.last():
        first, packed = slots.run(asked, 40)
        seen.update(enumerate(unpack(packed), first))
        asked = first + len(unpack(packed))
    assert seen == model
    assert not slots.islands or min(slots.islands) > slots.log.last + 1, "an island lies beyond a gap"


def test_acknowledgements_are_cumulative_and_stop_at_a_hole() -> None:
    engine = replica()
    now = ballot(1, 1)
    a, b, c = accept(now, 1, b"a"), accept(now, 2, b"b"), accept(now, 3, b"c")
    answers = [told(engine.step(1, message, 0))[0][1] for message in (a, c, b, accept(now, 1, b"a", b"b"))]
    assert answers == [Accepted(now, 1, 0), Accepted(now, 1, 3), Accepted(now, 3, 0), Accepted(now, 3, 0)]


def test_an_old_entry_counts_for_no_new_ballot() -> None:
    """Slot 2 is held from an older ballot: it is no part of a quorum of the new one (PMS 2.2, phase 2)."""
    engine = replica()
    engine.step(1, accept(ballot(1, 1), 1, b"a", b"b", b"c"), 0)
    [(_, answer)] = told(engine.step(2, accept(ballot(2, 2), 1, b"a"), 0))
    assert answer == Accepted(ballot(2, 2), 1, 0)
    [(_, answer)] = told(engine.step(2, accept(ballot(2, 2), 3, b"c"), 0))
    assert answer == Accepted(ballot(2, 2), 1, 3)
    [(_, answer)] = told(engine.step(2, accept(ballot(2, 2), 2, b"B"), 0))
    assert answer == Accepted(ballot(2, 2), 3, 0)


def test_who_hears_a_leader_would_not_have_another() -> None:
    """Asking before standing is our addition; nor would who leads, or has just promised to another."""
    engine = replica()
    engine.step(1, Heartbeat(ballot(1, 1), 0, 0), 0)
    assert engine.step(2, Inquiry(ballot(2, 2)), 99 * MS) == []
    assert told(engine.step(2, Inquiry(ballot(2, 2)), 100 * MS)) == [(2, LeaderLost(ballot(2, 2)))]
    refused = told(engine.step(2, Inquiry(ballot(1, 0)), 100 * MS))
    assert refused == [(2, Rejected(ballot(1, 0), ballot(1, 1)))]
    engine.step(2, Prepare(ballot(2, 2), 1), 100 * MS)
    assert engine.step(1, Inquiry(ballot(3, 1)), 199 * MS) == []
    assert leader(3).step(1, Inquiry(ballot(9, 1)), 1000 * MS) == []


def test_an_inquirer_stands_once_a_phase_1_quorum_has_lost_the_leader() -> None:
    engine = replica(0, 5)
    asked = told(engine.tick(engine.deadline))
    assert asked == [(peer, Inquiry(ballot(1, 0))) for peer in (1, 2, 3, 4)]
    assert written(engine.step(1, LeaderLost(ballot(1, 0)), engine.now)) == []
    assert written(engine.step(1, LeaderLost(ballot(1, 0)), engine.now)) == []
    assert written(engine.step(2, LeaderLost(ballot(7, 0)), engine.now)) == []
    assert written(engine.step(2, LeaderLost(ballot(1, 0)), engine.now)) == [Promised(ballot(1, 0), 0)]
    assert engine.role == "candidate"


@pytest.mark.parametrize("position", [1, 2])
def test_a_compaction_restates_promise_and_slots_so_that_older_records_may_go(position: int) -> None:
    engine = replica()
    now = ballot(1, 1)
    engine.step(1, accept(now, 1, b"a", b"b", committed=2), 0)
    engine.step(1, accept(now, 5, b"e"), 0)
    engine.step(2, Prepare(ballot(4, 2), 1), 0)
    again = replica(records=written(engine.compact(position, b"state", 0)))
    assert again.promised == engine.promised == ballot(4, 2)
    assert accepted_by(again) == accepted_by(engine) != {}
    assert (again.committed, again.log.base) == (2, position)


def test_a_compaction_of_everything_restates_the_promise() -> None:
    engine = replica()
    engine.step(1, accept(ballot(1, 1), 1, b"a", committed=1), 0)
    engine.step(2, Prepare(ballot(4, 2), 1), 0)
    again = replica(records=written(engine.compact(1, b"state", 0)))
    assert told(again.step(1, accept(ballot(1, 1), 2, b"b"), 0), Rejected)
    with pytest.raises(ValueError, match="not decided"):
        engine.compact(2, b"state", 0)


# -- the learner ---------------------------------------------------------------------------------------------


def test_a_follower_learns_from_the_commit_position_only_what_it_accepted_at_that_ballot() -> None:
    """PMS 2.1: nobody learns that a value has been chosen unless it has been; here b"new" was."""
    engine = replica()
    engine.step(1, accept(ballot(1, 1), 1, b"old"), 0)
    assert commits(engine.step(2, Heartbeat(ballot(2, 2), 1, 0), 0)) == []
    assert commits(engine.step(2, accept(ballot(2, 2), 2, b"next", committed=1), 0)) == []
    effects = engine.step(2, accept(ballot(2, 2), 1, b"new", committed=1), 0)
    assert commits(effects) == [(1, b"new")]
    assert commits(engine.step(2, Heartbeat(ballot(2, 2), 2, 0), 0)) == [(2, b"next")]


def test_only_decided_slots_are_committed_in_order_over_a_gap() -> None:
    engine = replica()
    now = ballot(1, 1)
    assert commits(engine.step(1, accept(now, 2, b"b", committed=2), 0)) == []
    assert commits(engine.step(1, accept(now, 1, b"a", committed=2), 0)) == [(1, b"a"), (2, b"b")]


def test_what_is_known_as_decided_outlives_a_restart_that_forgets_the_rest() -> None:
    """Acknowledgements rest on it: a restarted acceptor is never behind what its leader believes."""
    engine = replica()
    records = written(engine.step(1, accept(ballot(1, 1), 1, b"a", b"b"), 0))
    engine.step(1, Heartbeat(ballot(1, 1), 2, 0), 0)
    effects = engine.step(2, Heartbeat(ballot(2, 2), 2, 0), 0)
    assert told(effects) == [(2, HeartbeatReply(ballot(2, 2), 2, 0))]
    again = replica(records=records + written(effects))
    assert (again.committed, again.matched) == (2, 2)


# -- the candidate -------------------------------------------------------------------------------------------


def test_the_value_of_the_highest_ballot_is_proposed_for_each_slot() -> None:
    """PMS 2.2, P2c (b): the value of the highest-numbered proposal among all accepted by the quorum."""
    low, high = ballot(1, 1), ballot(1, 2)
    mine = AcceptedSlots(low, 1, pack([(low, b"low 1"), (low, b"low 2")]), 0)
    engine = candidate(5, [mine])
    engine.step(3, Promise(engine.ballot, 1, 2, pack([(high, b"high 2"), (low, b"low 3")]), 3, 0), engine.now)
    assert not engine.leading, "two promises of five are no quorum"
    effects = engine.step(4, Promise(engine.ballot, 1, 3, pack([(high, b"high 3")]), 3, 0), engine.now)
    assert engine.leading
    [record] = written(effects)
    assert record == AcceptedSlots(
        engine.ballot, 1, pack([(engine.ballot, value) for value in (b"low 1", b"high 2", b"high 3")]), 0
    )
    assert told(effects, Accept)[0] == (3, Accept(engine.ballot, 1, record.entries, 0))


def test_gaps_become_no_ops_and_new_commands_come_after_them() -> None:
    """PMS 3: slots that are constrained by no promise, below ones that are, get a no-op at once."""
    engine = candidate(3)
    old = ballot(1, 1)
    engine.step(1, Promise(engine.ballot, 1, 3, pack([(old, b"c")]), 6, 0), engine.now)
    assert not engine.leading, "slots from 4 on are not reported yet"
    effects = engine.step(1, Promise(engine.ballot, 4, 6, pack([(old, b"f")]), 6, 0), engine.now)
    assert [value for _, value in unpack(written(effects)[0].entries)] == [b"", b"", b"c", b"", b"", b"f"]
    [(_, message)] = told(engine.propose([b"g"], engine.now), Accept)
    assert message.first == 7


def test_an_answer_told_in_parts_is_asked_on_and_a_doubled_one_is_not() -> None:
    engine = candidate(3)
    part = Promise(engine.ballot, 1, 1, pack([(1, b"a")]), 3, 0)
    assert told(engine.step(1, part, engine.now)) == [(1, Prepare(engine.ballot, 2))]
    assert engine.step(1, part, engine.now) == []
    late = Promise(engine.ballot, 3, 3, pack([(1, b"c")]), 3, 0)
    assert engine.step(1, late, engine.now) == [] and not engine.leading, "slot 2 is missing"


def test_who_knows_far_more_is_asked_to_stand_and_told_on_meanwhile() -> None:
    """Else a round trip a message passes before anybody leads; in one candidacy each, as that one may be out of others' reach."""
    engine, asked = candidate(5), []
    for acceptor in (1, 1, 2, 1):
        for slot in (1, 2):
            part = Promise(engine.ballot, slot, slot, pack([(1, b"a")]), 4, 3)
            asked.append([type(message) for _, message in told(engine.step(acceptor, part, engine.now))])
        while engine.promised == part.ballot:
            perform(engine, engine.tick(engine.deadline))
    assert asked == [[StandInstead, Prepare]] * 2 + [[Prepare]] * 2 + [[StandInstead, Prepare]] * 2 + [[Prepare]] * 2


def test_who_is_asked_to_stand_does_so_unless_that_candidacy_is_over() -> None:
    older, now = ballot(1, 0), ballot(2, 0)
    engine = replica(1)
    engine.step(0, Prepare(now, 1), 0)
    assert engine.step(0, StandInstead(older), 0) == [] and engine.role == "follower"
    assert (1, Prepare(ballot(3, 1), 1)) in told(engine.step(0, StandInstead(now), 0)) and engine.role == "candidate"
    assert engine.step(0, StandInstead(now), 0) == [], "it was doubled"
    follower = replica(1)
    follower.step(0, Heartbeat(now, 0, 0), 0)
    assert follower.step(0, StandInstead(now), 0) == [] and follower.leader == 0


def test_promises_of_other_ballots_and_doubled_ones_do_not_count() -> None:
    engine = candidate(5)
    for _ in range(3):
        engine.step(1, Promise(engine.ballot, 1, 1, b"", 0, 0), engine.now)
        engine.step(2, Promise(engine.ballot - (1 << 16), 1, 1, b"", 0, 0), engine.now)
    assert not engine.leading
    engine.step(2, Promise(engine.ballot, 1, 1, b"", 0, 0), engine.now)
    assert engine.leading


def test_promises_are_asked_for_again() -> None:
    engine = candidate(3)
    engine.step(1, Promise(engine.ballot, 1, 1, pack([(1, b"a")]), 2, 0), engine.now)
    asked = told(engine.tick(engine.deadline), Prepare)
    assert asked == [(1, Prepare(engine.ballot, 2)), (2, Prepare(engine.ballot, 1))]


def test_who_has_told_all_hears_that_the_candidacy_goes_on() -> None:
    """Else an acceptor of few slots loses patience, and preempts, while others tell their many (found by explore: seed 500)."""
    engine = candidate(5)
    engine.step(1, Promise(engine.ballot, 1, 1, pack([(1, b"a")]), 1, 0), engine.now)
    asked = told(engine.tick(engine.deadline), Prepare)
    assert (1, Prepare(engine.ballot, 2)) in asked, "and need not tell it again"
    assert len(asked) == 4
    acceptor = replica(1, 5)
    acceptor.step(0, Prepare(engine.ballot, 1), 0)
    patience_ns = acceptor.deadline
    acceptor.step(0, asked[0][1], patience_ns // 2)
    assert acceptor.deadline > patience_ns


def test_nobody_is_asked_again_before_the_ballot_is_on_disk() -> None:
    """PMS 2.5: a ballot that was sent and then forgotten in a crash could be used twice."""
    engine = replica(0, options=PaxosOptions(inquire=False))
    engine.tick(engine.deadline)
    assert engine.tick(engine.deadline) == [] and engine.role == "candidate"


def test_a_preempted_candidate_waits_longer_each_time() -> None:
    """PMMC 3: back off after a preemption, so that of two proposers one gets through (PMS 2.4)."""
    engine = replica(0, options=PaxosOptions(inquire=False))
    longest = []
    for _ in range(6):
        waits = []
        for _ in range(20):
            engine.tick(engine.deadline)
            engine.step(1, Rejected(engine.ballot, engine.ballot + 1), engine.now)
            waits.append(engine.deadline - engine.now)
            assert engine.role == "follower"
        longest.append(max(waits))
    assert longest[-1] > 200 * MS, "the range has widened"
    assert max(longest) <= 200 * MS + 8 * 100 * MS, "and has an end"


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 8), unique=True, max_size=9))
def test_a_window_is_found_whatever_the_numbers_and_their_order(ids: list[int]) -> None:
    windows = [Window(id, 4, 1, 0) for id in ids]
    assert [window_of(windows, id) for id in ids] == windows
    with pytest.raises(KeyError):
        window_of(windows, next(id for id in range(10) if id not in ids))
