"""The client library alone, told what to believe (Burrows 2006, 2.4 and 2.6 to 2.9)."""

from __future__ import annotations

from typing import Any

import pytest

from engines.core import NEVER, NOBODY
from engines.lock_service import Client, LockOptions, commands
from engines.lock_service.client import (
    EXPIRED,
    JEOPARDY,
    MASTER_FAILED_OVER,
    OPENING,
    SAFE,
    Ask,
    Completed,
    Told,
    Turned,
)
from engines.lock_service.commands import (
    ALREADY,
    CONFLICT,
    CONTENTS_CHANGED,
    EXCLUSIVE,
    INVALIDATED,
    NO_SESSION,
    Contents,
    Done,
    Event,
    Extended,
    Granted,
    Opened,
    Queued,
    Refused,
    Sequencer,
    SessionOpened,
    Written,
    decode_request,
    encode_answer,
)
from engines.machine import sequence_of

SECOND = 1_000_000_000
OPTIONS = LockOptions()
LEASE = OPTIONS.lease_ns
SHORT_LEASE = OPTIONS.shortest_ns(LEASE)


class Phone:
    """A client, and what it has said and done."""

    def __init__(self) -> None:
        self.client = Client(7, 3, OPTIONS)
        self.now = 0
        self.asked: list[tuple[int, int, Any]] = []  # replica, number, request
        self.completed: dict[int, Any] = {}
        self.told: list[Event] = []
        self.states: list[str] = []

    def listen(self) -> None:
        for effect in self.client.take():
            if isinstance(effect, Ask):
                self.asked.append((effect.replica, sequence_of(effect.command), decode_request(effect.command)))
            elif isinstance(effect, Completed):
                assert effect.call not in self.completed, "a call is over once"
                self.completed[effect.call] = effect.answer
            elif isinstance(effect, Told):
                self.told.append(effect.event)
            else:
                assert isinstance(effect, Turned)
                self.states.append(effect.state)

    def do(self, name: str, *arguments: Any, **more: Any) -> int:
        number: int = getattr(self.client, name)(*arguments, now=self.now, **more)
        self.listen()
        return number

    def answer(self, number: int, answer: commands.Answer) -> None:
        self.client.answered(number, encode_answer(answer), self.now)
        self.listen()

    def until(self, now: int) -> None:
        while self.client.deadline <= now:
            self.now = max(self.now, self.client.deadline)
            self.client.tick(self.now)
            self.listen()
        self.now = now

    @property
    def keep_alive(self) -> int:
        """The number of the KeepAlive under way."""
        return self.client.keep_alive

    def extend(self, valid_ns: int = LEASE, epoch: int = 5, *events: Event) -> None:
        self.answer(self.keep_alive, Extended(epoch, valid_ns, events))


def safe() -> Phone:
    """A phone with session 3 of epoch 5, and handle 4 on /x."""
    phone = Phone()
    phone.answer(phone.do("open_session"), SessionOpened(3))
    phone.extend()
    phone.answer(phone.do("open", "/x"), Opened(4, 4, True))
    return phone


def test_the_lease_counts_from_when_the_keep_alive_was_sent_on_the_slowest_clock() -> None:
    """2.8: the reply's time in flight, and the rate of the master's clock, are taken for the worst."""
    phone = safe()
    assert phone.states == [OPENING, SAFE]
    phone.until(7 * SECOND)
    phone.extend(7 * SECOND + LEASE)
    until = OPTIONS.shortest_ns(7 * SECOND + LEASE)
    assert until < 7 * SECOND + LEASE
    assert phone.client.valid(until - 1)
    assert not phone.client.valid(until)


def test_another_keep_alive_follows_at_once_and_an_answer_to_an_older_one_counts_for_nothing() -> None:
    """2.8"""
    phone = safe()
    old = phone.keep_alive
    phone.extend()
    assert phone.asked[-1] == (0, phone.keep_alive, commands.KeepAlive(3, 5, 0))
    before = phone.client.lease_until_ns
    phone.answer(old, Extended(5, 100 * LEASE, ()))
    assert phone.client.lease_until_ns == before


def test_in_jeopardy_the_cache_is_empty_and_calls_wait_and_safe_again_they_go_on() -> None:
    """2.8"""
    phone = safe()
    phone.answer(phone.do("get_contents", 4), Contents(5, b"1", 4, 4, 0, True))
    phone.until(SHORT_LEASE)
    assert phone.states[-1] == JEOPARDY
    assert phone.client.cache == {}
    asked = len(phone.asked)
    call = phone.do("get_contents", 4)
    assert len(phone.asked) == asked
    phone.until(phone.now + 10 * SECOND)
    assert all(type(request) is commands.KeepAlive for _, _, request in phone.asked[asked:])
    phone.extend()
    assert phone.states[-1] == SAFE
    assert (phone.client.target, call, commands.GetContents(3, 4)) in phone.asked


def test_a_client_in_jeopardy_tries_all_replicas() -> None:
    phone = safe()
    phone.until(SHORT_LEASE)
    asked = len(phone.asked)
    phone.until(SHORT_LEASE + 5 * SECOND)
    assert {replica for replica, _, _ in phone.asked[asked:]} == {0, 1, 2}


def test_the_session_is_given_up_when_the_grace_period_is_over_and_not_before() -> None:
    """2.8: 45 s after the lease."""
    phone = safe()
    phone.answer(phone.do("acquire", 4, EXCLUSIVE), Granted(9))
    call = phone.do("get_contents", 4)
    phone.until(SHORT_LEASE + 45 * SECOND - 1)
    assert phone.states[-1] == JEOPARDY
    phone.until(SHORT_LEASE + 45 * SECOND)
    assert phone.states[-1] == EXPIRED
    assert phone.completed[call] == Refused(NO_SESSION)
    assert phone.client.handles == {}
    assert phone.client.deadline == NEVER
    with pytest.raises(ValueError, match="no open handle"):
        phone.do("release", 4)
    phone.do("open_session")
    assert phone.states[-1] == OPENING


def test_an_answer_that_comes_after_the_lease_it_gives_makes_nothing_safe() -> None:
    phone = safe()
    phone.until(30 * SECOND)
    sent = phone.client.keep_alive_ns
    phone.now = sent + LEASE
    phone.extend()
    assert phone.states[-1] == JEOPARDY


def test_a_session_that_the_master_has_ended_is_over() -> None:
    phone = safe()
    phone.answer(phone.keep_alive, Refused(NO_SESSION))
    assert phone.states[-1] == EXPIRED


def test_a_lock_is_believed_from_its_grant_to_the_call_of_release_while_the_lease_is_valid() -> None:
    """2.4"""
    phone = safe()
    call = phone.do("acquire", 4, EXCLUSIVE)
    phone.answer(call, Queued())
    assert call not in phone.completed
    assert not phone.client.holds(4, phone.now)
    phone.answer(call, Granted(9))
    assert phone.client.holds(4, phone.now)
    assert not phone.client.holds(4, SHORT_LEASE)
    assert phone.client.get_sequencer(4) == Sequencer("/x", EXCLUSIVE, 9)
    phone.do("release", 4)
    assert not phone.client.holds(4, phone.now)
    assert phone.client.get_sequencer(4) is None


@pytest.mark.parametrize("name", ["release", "close", "delete", "end_session"])
def test_a_grant_that_comes_after_it_was_given_up_is_not_believed(name: str) -> None:
    phone = safe()
    call = phone.do("acquire", 4, EXCLUSIVE)
    phone.do(name, *(() if name == "end_session" else (4,)))
    phone.answer(call, Granted(9))
    assert phone.completed[call] == Granted(9)
    assert not phone.client.holds(4, phone.now)


@pytest.mark.parametrize("name", ["release", "close", "delete", "end_session"])
def test_a_lock_is_not_asked_for_before_it_is_given_up(name: str) -> None:
    """A retry may be applied after what was asked later: it would take away a lock that was granted, and is believed in."""
    phone = safe()
    giving_up = phone.do(name, *(() if name == "end_session" else (4,)))
    acquire = phone.do("acquire", 4, EXCLUSIVE)
    phone.until(OPTIONS.request_ns)
    assert [number for _, number, _ in phone.asked].count(giving_up) == 2
    assert acquire not in [number for _, number, _ in phone.asked]
    phone.answer(giving_up, Refused(CONFLICT) if name == "end_session" else Done())
    phone.until(phone.now)
    assert phone.asked[-1][1] == acquire


def held() -> Phone:
    """A phone that holds the lock of handle 4."""
    phone = safe()
    phone.answer(phone.do("acquire", 4, EXCLUSIVE), Granted(9))
    return phone


def test_the_next_acquire_goes_with_the_release_of_what_is_held() -> None:
    """It cannot be granted before the release is applied, and a retry of that is not applied a second time."""
    phone = held()
    release = phone.do("release", 4)
    acquire = phone.do("acquire", 4, EXCLUSIVE)
    assert [number for _, number, _ in phone.asked[-2:]] == [release, acquire]
    phone.answer(acquire, Granted(12))
    assert phone.client.holds(4, phone.now)
    phone.answer(release, Done())
    assert phone.client.get_sequencer(4) == Sequencer("/x", EXCLUSIVE, 12)


def test_releases_of_a_lock_keep_their_order() -> None:
    """What the second gives up may be the first one's, which would be free, and then granted, before the first is applied."""
    phone = held()
    first = phone.do("release", 4)
    acquire = phone.do("acquire", 4, EXCLUSIVE)
    phone.answer(acquire, Queued())
    second = phone.do("release", 4)
    phone.until(phone.now)
    assert second not in [number for _, number, _ in phone.asked]
    phone.answer(first, Done())
    phone.until(phone.now)
    assert phone.asked[-1][1] == second


@pytest.mark.parametrize("first", ["acquire", "release"])
def test_an_acquire_that_overtakes_the_release_is_asked_once_more_in_its_turn(first: str) -> None:
    """Datagrams, retries and fail-overs change the order; the application sees one call, which is granted."""
    phone = held()
    release = phone.do("release", 4)
    acquire = phone.do("acquire", 4, EXCLUSIVE)
    if first == "release":
        phone.answer(release, Done())
    phone.answer(acquire, Refused(ALREADY))
    assert acquire not in phone.completed
    if first == "acquire":
        phone.until(phone.now)
        assert phone.asked[-1][1] == acquire, "it waits for the release, now"
        phone.answer(release, Done())
        phone.until(phone.now)
    again, request = phone.asked[-1][1:]
    assert again > acquire
    assert request == commands.Acquire(3, 4, EXCLUSIVE, True, None)
    phone.answer(again, Granted(12))
    assert phone.completed[acquire] == Granted(12)
    assert again not in phone.completed
    assert phone.client.holds(4, phone.now)


def test_an_acquire_that_was_given_up_is_not_asked_once_more() -> None:
    """The Release that waits for it would go first, and nobody would know that the lock is held."""
    phone = held()
    first = phone.do("release", 4)
    acquire = phone.do("acquire", 4, EXCLUSIVE)
    second = phone.do("release", 4)
    assert phone.client.busy(4)
    phone.answer(acquire, Refused(ALREADY))
    assert phone.completed[acquire] == Refused(ALREADY)
    phone.answer(first, Done())
    phone.until(phone.now)
    assert phone.asked[-1][1] == second
    phone.answer(second, Refused(commands.NOT_HELD))
    assert not phone.client.busy(4)


def test_a_lock_that_is_held_already_is_not_asked_for_for_ever() -> None:
    phone = held()
    acquire = phone.do("acquire", 4, EXCLUSIVE)
    phone.answer(acquire, Refused(ALREADY))
    phone.answer(phone.asked[-1][1], Refused(ALREADY))
    assert phone.completed[acquire] == Refused(ALREADY)
    assert phone.client.holds(4, phone.now)


def test_what_was_asked_again_ends_with_its_session_under_its_own_number() -> None:
    phone = held()
    phone.do("release", 4)
    acquire = phone.do("acquire", 4, EXCLUSIVE)
    phone.answer(acquire, Refused(ALREADY))
    phone.answer(phone.keep_alive, Refused(NO_SESSION))
    assert phone.completed[acquire] == Refused(NO_SESSION)


def test_a_lock_is_not_given_up_before_it_is_known_to_have_been_asked_for() -> None:
    """The Acquire could be applied after the Release, and nobody would know that the lock is held."""
    phone = safe()
    acquire = phone.do("acquire", 4, EXCLUSIVE)
    release = phone.do("release", 4)
    phone.do("get_contents", 4)
    assert release not in [number for _, number, _ in phone.asked]
    phone.answer(acquire, Queued())
    phone.until(phone.now)
    assert phone.asked[-1][1] == release


def test_try_acquire_does_not_wait() -> None:
    phone = safe()
    call = phone.do("try_acquire", 4, EXCLUSIVE)
    assert phone.asked[-1][2] == commands.Acquire(3, 4, EXCLUSIVE, False, None)
    phone.answer(call, Refused(CONFLICT))
    assert phone.completed[call] == Refused(CONFLICT)


def test_what_is_cached_is_read_without_asking_until_it_is_invalidated() -> None:
    """2.7: the next KeepAlive acknowledges."""
    phone = safe()
    contents = Contents(5, b"1", 4, 4, 0, True)
    phone.answer(phone.do("get_contents", 4), contents)
    asked = len(phone.asked)
    assert phone.completed[phone.do("get_contents", 4)] == contents
    assert len(phone.asked) == asked
    phone.extend(LEASE, 5, Event(1, INVALIDATED, 0, "/x"))
    assert phone.asked[-1][2] == commands.KeepAlive(3, 5, 1)
    phone.do("get_contents", 4)
    assert phone.asked[-1][2] == commands.GetContents(3, 4)


def test_what_was_invalidated_while_it_was_under_way_is_not_cached() -> None:
    """An answer may be overtaken by the invalidation of what it says."""
    phone = safe()
    call = phone.do("get_contents", 4)
    phone.extend(LEASE, 5, Event(1, INVALIDATED, 0, "/x"))
    phone.answer(call, Contents(5, b"1", 4, 4, 0, True))
    assert phone.client.cache == {}


def test_a_writer_caches_nothing_of_what_it_writes() -> None:
    """Its master invalidates every cache but its own."""
    phone = safe()
    phone.answer(phone.do("get_contents", 4), Contents(5, b"1", 4, 4, 0, True))
    read = phone.do("get_contents", 4)
    assert read in phone.completed
    write = phone.do("set_contents", 4, b"2")
    read = phone.do("get_contents", 4)
    phone.answer(read, Contents(5, b"1", 4, 4, 0, True))
    assert phone.client.cache == {}
    phone.answer(write, Written(12))
    late = phone.do("get_contents", 4)
    phone.answer(late, Contents(5, b"2", 4, 12, 0, True))
    assert phone.client.cache != {}


def test_a_fail_over_empties_the_cache_is_told_and_is_acknowledged() -> None:
    """2.9.5: events and invalidations may have been lost."""
    phone = safe()
    phone.answer(phone.do("get_contents", 4), Contents(5, b"1", 4, 4, 0, True))
    phone.extend(LEASE, 5, Event(1, CONTENTS_CHANGED, 4, "/x"))
    under_way = phone.do("open", "/y")
    phone.extend(LEASE, 8)
    assert [event.kind for event in phone.told] == [CONTENTS_CHANGED, MASTER_FAILED_OVER]
    assert phone.client.cache == {}
    assert phone.asked[-1][2] == commands.KeepAlive(3, 8, 0)
    phone.until(phone.now)
    assert [number for _, number, _ in phone.asked].count(under_way) == 2, "the new master is asked as well"
    phone.extend(LEASE, 8, Event(1, CONTENTS_CHANGED, 4, "/x"))
    phone.extend(LEASE, 8, Event(1, CONTENTS_CHANGED, 4, "/x"))
    assert len(phone.told) == 3, "an event of the new epoch, once"


def test_what_an_older_master_read_is_not_cached() -> None:
    phone = safe()
    call = phone.do("get_contents", 4)
    phone.extend(LEASE, 8)
    phone.answer(call, Contents(5, b"1", 4, 4, 0, True))
    assert phone.client.cache == {}


def test_a_refusal_turns_to_the_leader_it_names_and_without_one_to_the_next_after_a_while() -> None:
    phone = safe()
    phone.now = SECOND
    call = phone.do("get_contents", 4)
    phone.client.redirected(call, 2, phone.now)
    phone.until(phone.now)
    assert {(replica, type(request)) for replica, _, request in phone.asked[-2:]} == {
        (2, commands.KeepAlive), (2, commands.GetContents)
    }  # fmt: skip
    asked = len(phone.asked)
    phone.client.redirected(call, NOBODY, phone.now)
    phone.until(phone.now)
    assert len(phone.asked) == asked
    phone.until(phone.now + SECOND // 16)
    assert {replica for replica, _, _ in phone.asked[asked:]} == {0}


def test_replicas_that_name_each_other_are_not_asked_as_fast_as_they_answer() -> None:
    phone = safe()
    call = phone.do("get_contents", 4)
    asked = len(phone.asked)
    for step in range(1000):
        phone.now += 1000
        phone.client.redirected(call, 1 + step % 2, phone.now)
        phone.until(phone.now)
    assert len(phone.asked) - asked < 10


def test_a_late_refusal_that_names_the_replica_that_is_asked_by_now_turns_nobody_away() -> None:
    phone = safe()
    phone.now = SECOND
    first, second = phone.do("get_contents", 4), phone.do("get_contents", 4)
    asked = len(phone.asked)
    for call in (first, second):
        phone.client.redirected(call, 2, phone.now)
        phone.until(phone.now)
    phone.until(phone.now + SECOND // 2)
    assert {replica for replica, _, _ in phone.asked[asked:]} == {2}
    assert len(phone.asked) - asked <= 6, "each once more at once, and once after a while"


def test_who_turns_to_another_replica_takes_its_keep_alive_along() -> None:
    """Else a new master hears nothing of a client that it answers, and has others' writes wait for its cache (2.9.6)."""
    phone = safe()
    phone.do("acquire", 4, EXCLUSIVE)
    phone.until(OPTIONS.request_ns)
    phone.until(phone.now)
    replica, number, request = phone.asked[-1]
    assert (replica, number, type(request)) == (1, phone.keep_alive, commands.KeepAlive)


def test_a_broken_connection_and_silence_are_both_reasons_to_ask_another_replica() -> None:
    """With all that is under way, and the KeepAlive, whose answer nobody would miss before the lease is nearly over."""
    phone = safe()
    call = phone.do("get_contents", 4)
    asked = len(phone.asked)
    phone.client.disconnected(1, phone.now)
    phone.client.connected(1, phone.now)
    phone.until(phone.now + SECOND // 16)
    assert len(phone.asked) == asked, "that was another replica"
    phone.client.disconnected(0, phone.now)
    phone.until(phone.now + SECOND // 16)
    assert [(replica, number) for replica, number, _ in phone.asked[asked:]] == [(1, phone.keep_alive), (1, call)]
    phone.until(phone.now + 2 * SECOND)
    assert (2, call, commands.GetContents(3, 4)) in phone.asked[asked:]


def test_a_replica_that_no_connection_leads_to_is_passed_over_until_there_is_one() -> None:
    """Others may still name it as their leader."""
    phone = safe()
    call = phone.do("get_contents", 4)
    phone.client.disconnected(0, phone.now)
    phone.until(phone.now + SECOND // 16)
    phone.client.redirected(call, 0, phone.now)
    phone.until(phone.now + SECOND // 16)
    phone.until(phone.now + 3 * SECOND)
    assert {replica for replica, _, _ in phone.asked[-6:]} == {1, 2}
    phone.client.connected(0, phone.now)
    phone.client.redirected(call, 0, phone.now)
    phone.until(phone.now)
    assert phone.asked[-1][:2] == (0, call)


def test_a_queued_acquire_is_not_sent_again_and_again() -> None:
    phone = safe()
    call = phone.do("acquire", 4, EXCLUSIVE)
    phone.answer(call, Queued())
    phone.until(6 * SECOND)
    assert [number for _, number, _ in phone.asked].count(call) == 1


def test_a_sequencer_that_is_set_travels_with_what_is_asked() -> None:
    """2.6: SetSequencer."""
    phone = safe()
    sequencer = Sequencer("/lock", EXCLUSIVE, 9)
    phone.client.set_sequencer(4, sequencer)
    phone.do("set_contents", 4, b"x")
    assert phone.asked[-1][2] == commands.SetContents(3, 4, b"x", 0, sequencer)
    phone.do("check_sequencer", sequencer)
    assert phone.asked[-1][2] == commands.CheckSequencer(3, sequencer)


def test_results_are_remembered_for_as_long_as_a_call_is_under_way() -> None:
    """A call that waits holds back what the state machine may forget; KeepAlives and reads do not."""
    phone = safe()
    waits = phone.do("acquire", 4, EXCLUSIVE)
    phone.answer(waits, Queued())
    phone.do("get_contents", 4)
    phone.client.release(4, phone.now)
    (ask,) = [effect for effect in phone.client.take() if isinstance(effect, Ask)]
    assert sequence_of(ask.command) - int.from_bytes(ask.command[16:20], "little") == waits


def test_ending_a_session_ends_it() -> None:
    phone = safe()
    call = phone.do("end_session")
    phone.answer(call, Done())
    assert phone.states[-1] == EXPIRED


@pytest.mark.parametrize(
    ("name", "arguments", "more"),
    [
        ("open", ("x",), {}),
        ("open", ("/x/",), {}),
        ("open", ("/x",), {"lock_delay_ns": OPTIONS.lock_delay_ns + 1}),
        ("open", ("/x",), {"events": INVALIDATED}),
        ("set_contents", (4, bytes(256 * 1024 + 1)), {}),
        ("acquire", (99, EXCLUSIVE), {}),
        ("open_session", (), {}),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(name: str, arguments: tuple[Any, ...], more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        safe().do(name, *arguments, **more)


def test_durations_are_stretched_and_shrunk_by_the_bound_on_clocks() -> None:
    """At 1 %: what waits for others' clocks waits 12.12 s for 12 s; what others wait for is over after 11.88 s."""
    assert OPTIONS.longest_ns(LEASE) == 12_120_000_000
    assert OPTIONS.shortest_ns(LEASE) == 11_881_188_118
    assert LockOptions(skew_ppm=1).longest_ns(1) == 2, "never a nanosecond too short"


@pytest.mark.parametrize("more", [{"lease_ns": 1}, {"skew_ppm": -1}, {"master_lease_ns": 0}, {"grace_ns": -1}])
def test_times_that_cannot_be_are_refused(more: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        LockOptions(**more)
