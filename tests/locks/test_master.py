"""The master alone, with a log that decides when it is told to (Burrows 2006, 2.2 and 2.7 to 2.9)."""

from __future__ import annotations

from collections import deque
from typing import Any

from engines.core import NEVER
from engines.lock_service import LockOptions, LockTree, Master, commands
from engines.lock_service.commands import (
    CONTENTS_CHANGED,
    EXCLUSIVE,
    FILE,
    INVALIDATED,
    NO_SESSION,
    Checked,
    Contents,
    Done,
    Expire,
    Extended,
    Granted,
    Queued,
    Refused,
    Renew,
    Sequencer,
    TakeOver,
    Written,
    decode_answer,
    decode_request,
    encode_own,
    encode_request,
)
from engines.machine import STALE
from engines.service import OWN, Answer, LetGo, Propose

SECOND = 1_000_000_000
LEASE = 12 * SECOND
MASTER_LEASE = 3 * SECOND
OPTIONS = LockOptions()
FULL_MASTER_LEASE = OPTIONS.longest_ns(MASTER_LEASE)


class Desk:
    """A master, its tree, and the log between them. ``say`` asks as a client; answers wait in ``answers``."""

    def __init__(self, before: bool = False) -> None:
        self.tree = LockTree()
        if before:
            self.decide(encode_own(TakeOver(9)))
        self.master = Master(0, self.tree, OPTIONS)
        self.now = 0
        self.log: deque[Propose] = deque()
        self.answers: list[tuple[int, int, Any]] = []
        self.let_go: list[tuple[int, int]] = []
        self.sequence = 0

    def decide(self, command: bytes) -> bytes:
        return self.tree.apply(self.tree.applied + 1, command)

    def perform(self, effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Propose):
                self.log.append(effect)
            elif isinstance(effect, Answer):
                self.answers.append((effect.client, effect.sequence, decode_answer(effect.result)))
            else:
                assert isinstance(effect, LetGo)
                self.let_go.append((effect.client, effect.sequence))

    def apply(self, count: int = -1) -> None:
        """The log decides what was proposed."""
        while self.log and count:
            count -= 1
            proposal = self.log.popleft()
            result = self.decide(proposal.command)
            self.perform(self.master.applied(proposal.origin, proposal.command, result, self.now))

    def until(self, now: int, decide: bool = True) -> None:
        """Time passes, deadline by deadline; what is proposed is decided at once, unless told otherwise."""
        while self.master.deadline <= now:
            self.now = max(self.now, self.master.deadline)
            self.perform(self.master.tick(self.now))
            if decide:
                self.apply()
        self.now = now

    def lead(self) -> Desk:
        self.perform(self.master.led(self.now))
        self.apply()
        return self

    def say(self, client: int, request: commands.Request) -> int:
        self.sequence += 1
        self.perform(self.master.request(client, encode_request(client, self.sequence, 1, request), self.now))
        return self.sequence

    def ask(self, client: int, request: commands.Request) -> Any:
        """The answer, once the log has decided."""
        number = self.say(client, request)
        self.apply()
        return self.answer(number)

    def answer(self, number: int) -> Any:
        """The last answer to a request; None where there is none."""
        return next((answer for _, sequence, answer in reversed(self.answers) if sequence == number), None)

    def session(self, client: int) -> int:
        """A session whose client knows of this epoch, and has a KeepAlive at the master."""
        session: int = self.ask(client, commands.OpenSession()).session
        extended = self.ask(client, commands.KeepAlive(session, 0, 0))
        assert isinstance(extended, Extended)
        self.keep_alive(client, session)
        return session

    def keep_alive(self, client: int, session: int, heard: int = 0) -> int:
        return self.say(client, commands.KeepAlive(session, self.master.epoch, heard))

    def open(self, client: int, session: int, path: str = "/x", **more: Any) -> int:
        fields = {"kind": FILE, "contents": b"old", "lock_delay_ns": 0, "events": 0} | more
        handle: int = self.ask(client, commands.Open(session, path, **fields)).handle
        return handle

    def proposed(self) -> list[Any]:
        return [decode_request(proposal.command) for proposal in self.log]


def of_two() -> tuple[Desk, int, int, int, int]:
    """A master that serves, the sessions of clients 1 and 2, and the handle of each on one file."""
    desk = Desk().lead()
    desk.until(0)
    one, two = desk.session(1), desk.session(2)
    return desk, one, two, desk.open(1, one), desk.open(2, two)


def test_the_first_master_serves_at_once_and_a_later_one_after_a_full_master_lease() -> None:
    """2.2: no other master acts while one's lease is valid; on a clock that is slower by the bound it lasts longer."""
    first = Desk().lead()
    first.until(0)
    assert isinstance(first.ask(1, commands.OpenSession()), commands.SessionOpened)
    later = Desk(before=True).lead()
    number = later.say(1, commands.OpenSession())
    later.until(FULL_MASTER_LEASE - 1)
    assert later.answer(number) is None
    later.until(FULL_MASTER_LEASE)
    assert isinstance(later.answer(number), commands.SessionOpened)


def test_the_wait_counts_from_the_decision_of_the_new_epoch() -> None:
    """Until then renewals of the old one may still be decided, each proposed before that moment."""
    desk = Desk(before=True)
    desk.perform(desk.master.led(0))
    desk.now = 10 * SECOND
    desk.apply()
    number = desk.say(1, commands.OpenSession())
    desk.until(10 * SECOND + FULL_MASTER_LEASE - 1)
    assert desk.answer(number) is None
    desk.until(10 * SECOND + FULL_MASTER_LEASE)
    assert desk.answer(number) is not None


def test_the_master_lease_counts_from_the_proposal() -> None:
    """A renewal that is decided late has told a successor nothing: the lease it gives is over before it came."""
    desk = Desk().lead()
    desk.until(0)
    session = desk.session(1)
    sequencer = Sequencer("/x", EXCLUSIVE, 1)
    desk.until(MASTER_LEASE - 1, decide=False)
    assert desk.answer(desk.say(1, commands.CheckSequencer(session, sequencer))) == Checked(False)
    desk.until(MASTER_LEASE, decide=False)
    number = desk.say(1, commands.CheckSequencer(session, sequencer))
    assert desk.answer(number) is None, "no lease, no read from memory"
    desk.now = 20 * SECOND
    renewals = [request for request in desk.proposed() if isinstance(request, Renew)]
    assert renewals
    desk.apply()
    assert desk.answer(number) is None, "what was proposed at 3 s counts from 3 s"
    desk.until(21 * SECOND)
    assert desk.answer(number) == Checked(False), "and goes on with a renewal in time"


def test_a_keep_alive_is_held_until_the_lease_is_nearly_over() -> None:
    """2.8: and answered with what it was extended by, counted from when it came."""
    desk = Desk().lead()
    desk.until(0)
    session = desk.session(1)
    held = desk.sequence
    desk.until(7 * SECOND - 1)
    assert desk.answer(held) is None
    desk.until(7 * SECOND)
    assert desk.answer(held) == Extended(desk.master.epoch, 7 * SECOND + LEASE, ())
    assert desk.master.leases[session].until_ns == 19 * SECOND


def test_a_session_ends_once_and_only_after_its_lease() -> None:
    """2.8: the master does not end it unilaterally before."""
    desk = Desk().lead()
    desk.until(0)
    session = desk.ask(1, commands.OpenSession()).session
    desk.ask(1, commands.KeepAlive(session, 0, 0))
    desk.until(LEASE - 1)
    assert session in desk.tree.tenancies
    desk.until(LEASE, decide=False)
    assert desk.proposed().count(Expire(desk.master.epoch, session)) == 1
    late = desk.keep_alive(1, session)
    assert desk.answer(late) is None, "a session that is being ended is not extended"
    desk.until(LEASE + SECOND, decide=False)
    assert desk.proposed().count(Expire(desk.master.epoch, session)) == 1
    desk.apply()
    assert session not in desk.tree.tenancies
    assert desk.answer(late) == Refused(NO_SESSION)
    assert desk.ask(1, commands.KeepAlive(session, desk.master.epoch, 0)) == Refused(NO_SESSION)


def test_an_open_session_that_comes_when_its_answer_is_forgotten_begins_nothing() -> None:
    desk = Desk().lead()
    desk.until(0)
    desk.ask(1, commands.OpenSession())
    late = encode_request(1, 1, 1, commands.OpenSession())
    desk.decide(encode_request(1, 9, 9, commands.OpenSession()))
    leases = dict(desk.master.leases)
    (told,) = desk.master.applied(1, late, desk.decide(late), desk.now)
    assert (told.client, told.sequence, told.result) == (1, 1, STALE)
    assert desk.master.leases == leases


def test_who_died_keeps_its_lease_until_the_answer_to_the_keep_alive_that_the_master_held() -> None:
    """2.8: the master advances the lease when it answers, and cannot tell a client that is dead from one that waits."""
    desk = Desk().lead()
    desk.until(0)
    session = desk.session(1)  # and never heard of again
    desk.until(19 * SECOND - 1)
    assert session in desk.tree.tenancies
    desk.until(19 * SECOND)
    assert session not in desk.tree.tenancies, "the KeepAlive was answered once, at 7 s, with 12 s more"


def test_a_new_master_honours_the_leases_of_the_old() -> None:
    """2.9.3: the last one may have extended any to the full, just before it ended."""
    desk = Desk().lead()
    desk.until(0)
    session = desk.session(1)
    new = Desk()
    new.tree.restore(desk.tree.applied, desk.tree.snapshot())
    new.lead()
    new.until(FULL_MASTER_LEASE)
    last = FULL_MASTER_LEASE + OPTIONS.longest_ns(LEASE)
    new.until(last - 1)
    assert session in new.tree.tenancies
    new.until(last)
    assert session not in new.tree.tenancies


def taken_over(*clients: int) -> tuple[Desk, list[int]]:
    """A second master that has just begun to serve, with the sessions of these clients, a file each has open."""
    desk = Desk().lead()
    desk.until(0)
    sessions = [desk.session(client) for client in clients]
    for client, session in zip(clients, sessions, strict=True):
        desk.open(client, session)
    new = Desk()
    new.tree.restore(desk.tree.applied, desk.tree.snapshot())
    new.sequence = desk.sequence
    new.lead()
    new.until(FULL_MASTER_LEASE)
    return new, sessions


def handle_of(desk: Desk, session: int) -> int:
    return next(iter(desk.tree.tenancies[session].handles))


def test_a_client_of_an_older_epoch_is_told_of_the_new_one_at_once() -> None:
    """2.9.1, 2.9.5"""
    desk, (session,) = taken_over(1)
    answer = desk.ask(1, commands.KeepAlive(session, 1, 0))
    assert isinstance(answer, Extended)
    assert answer.epoch == desk.master.epoch
    assert session in desk.master.unaware, "it has to acknowledge it"
    desk.keep_alive(1, session)
    assert session not in desk.master.unaware


def test_after_a_fail_over_writes_wait_for_those_who_may_still_cache_anything() -> None:
    """2.9.6: until each session acknowledges the fail-over, or is over. (Here locks do not wait for that: nobody caches them.)"""
    desk, (one, two) = taken_over(1, 2)
    write = desk.say(1, commands.SetContents(one, handle_of(desk, one), b"new", 0, None))
    desk.apply()
    assert desk.answer(write) == Queued()
    assert isinstance(desk.ask(1, commands.Acquire(one, handle_of(desk, one), EXCLUSIVE, True, None)), Granted)
    desk.say(2, commands.KeepAlive(two, 1, 0))
    desk.apply()
    assert desk.answer(write) == Queued(), "told, and yet to answer"
    desk.keep_alive(2, two)
    desk.apply()
    assert isinstance(desk.answer(write), Written)


def test_lock_delays_begin_anew_with_another_master() -> None:
    desk = Desk().lead()
    desk.until(0)
    session = desk.ask(1, commands.OpenSession()).session
    handle = desk.open(1, session, lock_delay_ns=60 * SECOND)
    desk.ask(1, commands.Acquire(session, handle, EXCLUSIVE, True, None))
    desk.until(LEASE + 30 * SECOND)
    assert desk.tree.nodes["/x"].delayed
    new = Desk()
    new.tree.restore(desk.tree.applied, desk.tree.snapshot())
    new.lead()
    new.until(FULL_MASTER_LEASE + 60 * SECOND - 1)
    assert new.tree.nodes["/x"].delayed
    new.until(FULL_MASTER_LEASE + 60 * SECOND)
    assert not new.tree.nodes["/x"].delayed


def test_a_write_waits_until_every_cache_is_rid_of_the_old_state() -> None:
    """2.7: one round of invalidations, as the node is not cachable meanwhile; the acknowledgement is the next KeepAlive."""
    desk = Desk().lead()
    desk.until(0)
    writer, reader = desk.session(1), desk.session(2)
    held = desk.sequence
    mine, yours = desk.open(1, writer), desk.open(2, reader)
    assert desk.ask(2, commands.GetContents(reader, yours)).cachable
    write = desk.say(1, commands.SetContents(writer, mine, b"new", 0, None))
    desk.apply()
    assert desk.answer(write) == Queued()
    (event,) = desk.answer(held).events
    assert (event.kind, event.path) == (INVALIDATED, "/x")
    again = desk.ask(2, commands.GetContents(reader, yours))
    assert (again.contents, again.cachable) == (b"old", False)
    desk.keep_alive(2, reader, event.number)
    assert isinstance(desk.proposed()[-1], commands.SetContents)
    between = desk.answer(desk.say(2, commands.GetContents(reader, yours)))
    assert (between.contents, between.cachable) == (b"old", False), "proposed is not written"
    desk.apply()
    assert isinstance(desk.answer(write), Written)
    after = desk.ask(2, commands.GetContents(reader, yours))
    assert isinstance(after, Contents)
    assert (after.contents, after.cachable) == (b"new", True)


def test_a_late_copy_of_a_write_does_not_make_its_writers_cache_forgotten() -> None:
    """2.7: who writes has emptied its own cache, but may have read anew by the time that a copy of the write comes."""
    desk, writer, other, mine, yours = of_two()
    request = commands.SetContents(writer, mine, b"new", 0, None)
    written = desk.ask(1, request)
    write = desk.sequence
    assert desk.ask(1, commands.GetContents(writer, mine)).cachable
    desk.perform(desk.master.request(1, encode_request(1, write, 1, request), desk.now))
    desk.apply()
    assert desk.answers[-1] == (1, write, written)
    waits = desk.say(2, commands.SetContents(other, yours, b"newer", 0, None))
    desk.apply()
    assert desk.answer(waits) == Queued()


def test_a_write_waits_no_longer_than_the_lease_of_who_does_not_answer() -> None:
    """2.7: or the client has let its lease expire."""
    desk = Desk().lead()
    desk.until(0)
    writer, reader = desk.session(1), desk.ask(2, commands.OpenSession()).session
    desk.ask(2, commands.KeepAlive(reader, desk.master.epoch, 0))
    mine, yours = desk.open(1, writer), desk.open(2, reader)
    desk.ask(2, commands.GetContents(reader, yours))
    write = desk.say(1, commands.SetContents(writer, mine, b"new", 0, None))
    desk.until(LEASE - 1)
    assert desk.answer(write) == Queued()
    desk.until(LEASE)
    assert isinstance(desk.answer(write), Written)


def test_events_come_after_what_they_tell_of_and_until_they_are_acknowledged() -> None:
    """2.5, 2.8: with a KeepAlive that is answered early."""
    desk = Desk().lead()
    desk.until(0)
    writer, other = desk.session(1), desk.session(2)
    held = desk.sequence
    mine = desk.open(1, writer)
    yours = desk.open(2, other, events=CONTENTS_CHANGED)
    desk.say(1, commands.SetContents(writer, mine, b"new", 0, None))
    assert desk.answer(held) is None, "proposed, not applied"
    desk.apply()
    (event,) = desk.answer(held).events
    assert (event.kind, event.handle) == (CONTENTS_CHANGED, yours)
    again = desk.ask(2, commands.KeepAlive(other, desk.master.epoch, event.number - 1))
    assert again.events == (event,), "the first answer may have been lost"
    later = desk.keep_alive(2, other, event.number)
    assert desk.answer(later) is None


def test_who_waits_for_a_lock_is_answered_by_its_release() -> None:
    desk, one, two, mine, yours = of_two()
    desk.ask(1, commands.Acquire(one, mine, EXCLUSIVE, True, None))
    waits = desk.say(2, commands.Acquire(two, yours, EXCLUSIVE, True, None))
    desk.apply()
    assert desk.answer(waits) == Queued()
    before = desk.tree.applied
    assert desk.ask(1, commands.Release(one, mine)) == Done()
    assert desk.answer(waits) == Granted(desk.tree.applied)
    assert desk.tree.applied == before + 1, "one commit"


def test_a_retried_acquire_is_told_what_became_of_it() -> None:
    """Of another master, which knows no more than the log: the first time it was queued, and now it may hold."""
    desk, (one, two) = taken_over(1, 2)
    mine, yours = handle_of(desk, one), handle_of(desk, two)
    desk.ask(1, commands.Acquire(one, mine, EXCLUSIVE, True, None))
    number = desk.say(2, commands.Acquire(two, yours, EXCLUSIVE, True, None))
    desk.apply()
    command = encode_request(2, number, number, commands.Acquire(two, yours, EXCLUSIVE, True, None))
    desk.perform(desk.master.request(2, command, desk.now))
    assert not any(isinstance(request, commands.Acquire) for request in desk.proposed()), "it still waits here"
    desk.perform(desk.master.deposed(desk.now))
    assert (2, number) in desk.let_go
    desk.log.clear()
    desk.decide(encode_request(1, 999, 999, commands.Release(one, mine)))
    desk.lead()
    desk.until(desk.now + FULL_MASTER_LEASE)
    desk.perform(desk.master.request(2, command, desk.now))
    desk.apply()
    assert desk.answer(number) == Granted(desk.tree.nodes["/x"].lock_generation)


def test_a_late_copy_of_an_acquire_does_not_wait_in_place_of_the_next() -> None:
    desk, one, other, mine, yours = of_two()
    desk.ask(2, commands.Acquire(other, yours, EXCLUSIVE, True, None))
    request = commands.Acquire(one, mine, EXCLUSIVE, True, None)
    assert desk.ask(1, request) == Queued()
    first = desk.sequence
    desk.ask(1, commands.Release(one, mine))
    assert desk.ask(1, request) == Queued()
    second = desk.sequence
    desk.perform(desk.master.request(1, encode_request(1, first, 1, request), desk.now))
    desk.apply()
    assert desk.answer(first) == Refused(commands.WITHDRAWN)
    desk.ask(2, commands.Release(other, yours))
    assert isinstance(desk.answer(second), Granted)


def test_deposed_a_master_forgets_everything_and_lets_go_of_what_it_held() -> None:
    """2.9"""
    desk = Desk().lead()
    desk.until(0)
    writer, reader = desk.session(1), desk.session(2)
    keep_alive = desk.sequence
    mine, yours = desk.open(1, writer), desk.open(2, reader)
    desk.ask(2, commands.GetContents(reader, yours))
    desk.ask(1, commands.Acquire(writer, mine, EXCLUSIVE, True, None))
    waits = desk.say(2, commands.Acquire(reader, yours, EXCLUSIVE, True, None))
    desk.apply()
    write = desk.say(1, commands.SetContents(writer, mine, b"new", 0, None))
    later = desk.keep_alive(2, reader)
    desk.perform(desk.master.deposed(desk.now))
    assert {(2, waits), (1, write)} <= set(desk.let_go)
    assert (2, keep_alive) not in desk.let_go, "answered with the invalidation"
    assert {(2, later)} & set(desk.let_go) or desk.answer(later) is not None
    assert desk.master.deadline == NEVER
    assert not desk.master.leases


def test_a_master_without_its_own_lease_ends_no_session() -> None:
    """2.9: timers stand still while there is no master, which is as if each lease had been extended."""
    desk = Desk().lead()
    desk.until(0)
    session = desk.session(1)
    held = desk.sequence
    desk.until(LEASE + 5 * SECOND, decide=False)
    assert not any(isinstance(request, Expire) for request in desk.proposed())
    desk.apply()
    desk.until(desk.now + SECOND + 1)
    assert isinstance(desk.answer(held), Extended)
    assert session in desk.tree.tenancies
    assert desk.log == deque() or desk.log[0].origin == OWN
