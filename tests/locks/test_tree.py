"""The replicated state alone: what each command does, whoever proposed it (Burrows 2006, 2.3 to 2.6)."""

from __future__ import annotations

from typing import Any

import pytest

from engines.lock_service import commands
from engines.lock_service.commands import (
    ALREADY,
    CHANGED,
    CHILD_CHANGED,
    CONFLICT,
    CONFLICTING_REQUEST,
    CONTENTS_CHANGED,
    CONTENTS_LIMIT_BYTES,
    DIRECTORY,
    EPHEMERAL,
    EXCLUSIVE,
    EXISTING,
    FILE,
    IS_A_DIRECTORY,
    LOCK_ACQUIRED,
    NO_HANDLE,
    NO_NODE,
    NO_SESSION,
    NOT_A_DIRECTORY,
    NOT_EMPTY,
    NOT_HELD,
    SHARED,
    STALE_EPOCH,
    STALE_SEQUENCER,
    TOO_LONG,
    Done,
    Granted,
    Queued,
    Refused,
    Sequencer,
    SessionOpened,
    Taken,
    Written,
    decode_answer,
    encode_own,
    encode_request,
)
from engines.lock_service.tree import Delay, End, Handover, LockTree, Notice, Withdrawal
from engines.machine import MALFORMED

MINUTE = 60_000_000_000


class Cabinet:
    """A tree, and clients that number their commands."""

    def __init__(self) -> None:
        self.tree = LockTree()
        self.sequence = 0
        self.epoch = self.own(commands.TakeOver(0)).epoch

    def raw(self, command: bytes) -> bytes:
        return self.tree.apply(self.tree.applied + 1, command)

    def own(self, request: commands.Request) -> Any:
        return decode_answer(self.raw(encode_own(request)))

    def ask(self, request: commands.Request, client: int = 7) -> Any:
        self.sequence += 1
        return decode_answer(self.raw(encode_request(client, self.sequence, self.sequence, request)))

    def session(self) -> int:
        opened = self.ask(commands.OpenSession())
        assert isinstance(opened, SessionOpened)
        return opened.session

    def open(self, session: int, path: str = "/lock", kind: int = FILE, delay_ns: int = 0, events: int = 0) -> int:
        handle: int = self.ask(commands.Open(session, path, kind, b"first", delay_ns, events)).handle
        return handle

    def acquire(self, session: int, handle: int, mode: int = EXCLUSIVE, wait: bool = True, shown: Sequencer | None = None) -> Any:
        return self.ask(commands.Acquire(session, handle, mode, wait, shown))

    def release(self, session: int, handle: int) -> Any:
        return self.ask(commands.Release(session, handle))

    def expire(self, session: int) -> Any:
        return self.own(commands.Expire(self.epoch, session))

    def pair(self, **more: Any) -> tuple[int, int, int, int]:
        """Two sessions with a handle each on one lock."""
        one, two = self.session(), self.session()
        return one, self.open(one, **more), two, self.open(two, **more)


def test_a_lock_is_held_by_one_exclusive_or_by_many_shared() -> None:
    """2.4"""
    cabinet = Cabinet()
    one, mine, two, yours = cabinet.pair()
    assert isinstance(cabinet.acquire(one, mine), Granted)
    assert cabinet.acquire(two, yours, wait=False) == Refused(CONFLICT)
    assert cabinet.acquire(two, yours, SHARED, wait=False) == Refused(CONFLICT)
    cabinet.release(one, mine)
    shared = cabinet.acquire(one, mine, SHARED)
    assert cabinet.acquire(two, yours, SHARED) == shared, "the same generation: the lock was never free between"
    assert cabinet.acquire(two, yours, SHARED) == Refused(ALREADY)


def test_who_waits_is_served_in_turn_by_the_release_itself() -> None:
    """One command both releases and hands over: no herd, and no second round."""
    cabinet = Cabinet()
    one, mine, two, yours = cabinet.pair()
    three = cabinet.session()
    theirs = cabinet.open(three)
    first = cabinet.acquire(one, mine)
    assert cabinet.acquire(two, yours) == Queued()
    assert cabinet.acquire(three, theirs, SHARED) == Queued()
    assert cabinet.release(one, mine) == Done()
    position = cabinet.tree.applied
    assert cabinet.tree.news == [Handover(yours, position)]
    assert position > first.generation
    cabinet.release(two, yours)
    assert [type(news) for news in cabinet.tree.news] == [Handover]


def test_shared_requests_do_not_overtake_an_exclusive_one_that_waits() -> None:
    cabinet = Cabinet()
    one, mine, two, yours = cabinet.pair()
    three = cabinet.session()
    theirs = cabinet.open(three)
    cabinet.acquire(one, mine, SHARED)
    assert cabinet.acquire(two, yours) == Queued()
    assert cabinet.acquire(three, theirs, SHARED, wait=False) == Refused(CONFLICT)
    assert cabinet.acquire(three, theirs, SHARED) == Queued()
    cabinet.release(two, yours)
    assert cabinet.tree.news == [Withdrawal(yours), Handover(theirs, cabinet.tree.nodes["/lock"].lock_generation)]


def test_only_its_holder_releases_a_lock() -> None:
    cabinet = Cabinet()
    one, mine, two, yours = cabinet.pair()
    cabinet.acquire(one, mine)
    assert cabinet.release(two, yours) == Refused(NOT_HELD)
    assert cabinet.release(two, mine) == Refused(NO_HANDLE), "a handle is its session's alone"
    assert cabinet.acquire(two, yours, wait=False) == Refused(CONFLICT)


def test_sequencers_are_valid_while_the_lock_is_held_as_they_say() -> None:
    """2.4, 2.6: generations increase whenever the lock goes from free to held; what shows a stale sequencer is refused."""
    cabinet = Cabinet()
    one, mine, two, yours = cabinet.pair()
    old = Sequencer("/lock", EXCLUSIVE, cabinet.acquire(one, mine).generation)
    assert cabinet.tree.holds(old)
    assert isinstance(cabinet.ask(commands.SetContents(one, mine, b"x", 0, old)), Written)
    assert not cabinet.tree.holds(Sequencer("/lock", SHARED, old.generation))
    cabinet.release(one, mine)
    assert not cabinet.tree.holds(old)
    new = cabinet.acquire(two, yours).generation
    assert new > old.generation
    assert not cabinet.tree.holds(old)
    assert cabinet.ask(commands.SetContents(one, mine, b"y", 0, old)) == Refused(STALE_SEQUENCER)
    assert cabinet.ask(commands.Delete(one, mine, old)) == Refused(STALE_SEQUENCER)
    assert cabinet.acquire(one, mine, shown=old) == Refused(STALE_SEQUENCER)


def test_generations_increase_beyond_the_end_of_a_node() -> None:
    """2.3: an instance number is greater than those of all earlier nodes of the name. Here so are lock generations."""
    cabinet = Cabinet()
    session = cabinet.session()
    handle = cabinet.open(session)
    old = Sequencer("/lock", EXCLUSIVE, cabinet.acquire(session, handle).generation)
    instance = cabinet.tree.nodes["/lock"].instance
    assert cabinet.ask(commands.Delete(session, handle, None)) == Done()
    assert cabinet.acquire(session, handle) == Refused(NO_NODE), "the handle is of an instance that is gone"
    again = cabinet.open(session)
    assert cabinet.tree.nodes["/lock"].instance > instance
    assert cabinet.acquire(session, again).generation > old.generation
    assert not cabinet.tree.holds(old)


def test_a_lock_lost_to_a_failure_is_for_nobody_until_its_delay_is_over() -> None:
    """2.4: released normally it is available at once."""
    cabinet = Cabinet()
    one, mine, two, yours = cabinet.pair(delay_ns=MINUTE)
    cabinet.acquire(one, mine)
    assert cabinet.acquire(two, yours) == Queued()
    cabinet.expire(one)
    instance = cabinet.tree.nodes["/lock"].instance
    assert cabinet.tree.news == [Delay("/lock", instance, MINUTE), End(one)]
    other = cabinet.session()
    theirs = cabinet.open(other)
    assert cabinet.acquire(other, theirs, wait=False) == Refused(CONFLICT)
    assert cabinet.ask(commands.Delete(other, theirs, None)) == Refused(CONFLICT), "not even by way of another instance"
    assert cabinet.own(commands.EndDelay(cabinet.epoch, "/lock", instance)) == Done()
    assert cabinet.tree.news == [Handover(yours, cabinet.tree.applied)]
    assert cabinet.own(commands.EndDelay(cabinet.epoch, "/lock", instance)) == Refused(NO_NODE)
    cabinet.ask(commands.EndSession(two))
    assert isinstance(cabinet.acquire(other, theirs, wait=False), Granted), "an end in order owes nothing"


def test_the_delay_of_a_failed_shared_holder_counts_from_when_the_last_one_leaves() -> None:
    cabinet = Cabinet()
    one, mine, two, yours = cabinet.pair(delay_ns=MINUTE)
    cabinet.acquire(one, mine, SHARED)
    cabinet.acquire(two, yours, SHARED)
    cabinet.expire(one)
    assert cabinet.tree.news == [End(one)]
    cabinet.release(two, yours)
    assert [type(news) for news in cabinet.tree.news] == [Delay]


def test_ephemeral_nodes_vanish_with_their_last_handle() -> None:
    """2.3"""
    cabinet = Cabinet()
    one, _, two, yours = cabinet.pair(path="/member", kind=EPHEMERAL)
    cabinet.expire(one)
    assert "/member" in cabinet.tree.nodes
    cabinet.ask(commands.Close(two, yours))
    assert "/member" not in cabinet.tree.nodes
    permanent = cabinet.open(two, "/file")
    cabinet.ask(commands.Close(two, permanent))
    assert "/file" in cabinet.tree.nodes


def test_directories_hold_nodes_and_no_contents() -> None:
    """2.3, 2.6: Delete wants no children."""
    cabinet = Cabinet()
    session = cabinet.session()
    folder = cabinet.open(session, "/cell", DIRECTORY)
    child = cabinet.open(session, "/cell/lock")
    assert cabinet.ask(commands.Delete(session, folder, None)) == Refused(NOT_EMPTY)
    assert cabinet.ask(commands.SetContents(session, folder, b"", 0, None)) == Refused(IS_A_DIRECTORY)
    assert cabinet.ask(commands.Open(session, "/cell/lock/x", FILE, b"", 0, 0)) == Refused(NOT_A_DIRECTORY)
    assert cabinet.ask(commands.Open(session, "/none/x", FILE, b"", 0, 0)) == Refused(NOT_A_DIRECTORY)
    assert cabinet.ask(commands.Open(session, "/cell/", FILE, b"", 0, 0)) == Refused(NOT_A_DIRECTORY)
    assert cabinet.ask(commands.Open(session, "/cell/other", EXISTING, b"", 0, 0)) == Refused(NO_NODE)
    assert cabinet.ask(commands.Delete(session, child, None)) == Done()
    assert cabinet.ask(commands.Delete(session, folder, None)) == Done()


def test_contents_are_written_whole_and_may_be_compared_by_generation() -> None:
    """2.6: a compare-and-swap on a file."""
    cabinet = Cabinet()
    session = cabinet.session()
    handle = cabinet.open(session, "/file")
    created = cabinet.tree.nodes["/file"].content_generation
    written = cabinet.ask(commands.SetContents(session, handle, b"1", created, None))
    assert written.generation > created
    assert cabinet.ask(commands.SetContents(session, handle, b"2", created, None)) == Refused(CHANGED)
    too_long = bytes(CONTENTS_LIMIT_BYTES + 1)
    assert cabinet.ask(commands.SetContents(session, handle, too_long, 0, None)) == Refused(TOO_LONG)
    assert cabinet.tree.nodes["/file"].contents == b"1"


def test_events_go_to_the_handles_that_subscribe_and_come_with_the_change() -> None:
    """2.5"""
    cabinet = Cabinet()
    one, two = cabinet.session(), cabinet.session()
    folder = cabinet.open(one, "/cell", DIRECTORY, events=CHILD_CHANGED)
    mine = cabinet.open(one, "/cell/lock", events=CONTENTS_CHANGED | LOCK_ACQUIRED | CONFLICTING_REQUEST)
    assert cabinet.tree.news == [Notice(one, folder, CHILD_CHANGED, "/cell")]
    yours = cabinet.open(two, "/cell/lock")
    cabinet.ask(commands.SetContents(two, yours, b"2", 0, None))
    assert cabinet.tree.news == [Notice(one, mine, CONTENTS_CHANGED, "/cell/lock")]
    assert cabinet.tree.nodes["/cell/lock"].contents == b"2"
    cabinet.acquire(one, mine)
    assert cabinet.tree.news == [Notice(one, mine, LOCK_ACQUIRED, "/cell/lock")]
    cabinet.acquire(two, yours)
    assert cabinet.tree.news == [Notice(one, mine, CONFLICTING_REQUEST, "/cell/lock")]
    cabinet.raw(b"")
    cabinet.ask(commands.Close(two, yours))
    assert cabinet.tree.news == [Withdrawal(yours)]


def test_a_locked_node_is_not_deleted_under_its_holder() -> None:
    cabinet = Cabinet()
    one, mine, two, yours = cabinet.pair()
    cabinet.acquire(one, mine)
    assert cabinet.ask(commands.Delete(two, yours, None)) == Refused(CONFLICT)


def test_an_older_master_ends_nothing() -> None:
    """2.9.1"""
    cabinet = Cabinet()
    one, mine, two, yours = cabinet.pair(delay_ns=MINUTE)
    cabinet.acquire(one, mine)
    new = cabinet.own(commands.TakeOver(1))
    assert new == Taken(cabinet.tree.applied, cabinet.epoch)
    assert cabinet.expire(one) == Refused(STALE_EPOCH)
    assert cabinet.own(commands.Renew(cabinet.epoch)) == Refused(STALE_EPOCH)
    assert cabinet.own(commands.Renew(new.epoch)) == Done()
    assert cabinet.own(commands.Expire(new.epoch, one)) == Done()
    instance = cabinet.tree.nodes["/lock"].instance
    assert cabinet.own(commands.EndDelay(cabinet.epoch, "/lock", instance)) == Refused(STALE_EPOCH)
    assert cabinet.acquire(two, yours, wait=False) == Refused(CONFLICT)


def test_a_session_that_has_ended_can_do_nothing() -> None:
    cabinet = Cabinet()
    one, mine, two, yours = cabinet.pair()
    cabinet.acquire(one, mine)
    cabinet.expire(one)
    assert isinstance(cabinet.acquire(two, yours), Granted)
    for request in (
        commands.Acquire(one, mine, EXCLUSIVE, True, None),
        commands.Release(one, mine),
        commands.Close(one, mine),
        commands.SetContents(one, mine, b"", 0, None),
        commands.Delete(one, mine, None),
        commands.Open(one, "/x", FILE, b"", 0, 0),
        commands.EndSession(one),
    ):
        assert cabinet.ask(request) == Refused(NO_SESSION)
    assert cabinet.expire(one) == Refused(NO_SESSION)


def test_a_retried_command_counts_once_and_what_is_no_command_not_at_all() -> None:
    cabinet = Cabinet()
    session = cabinet.session()
    command = encode_request(7, 99, 99, commands.Open(session, "/x", FILE, b"", 0, 0))
    assert cabinet.raw(command) == cabinet.raw(command)
    assert len(cabinet.tree.handles) == 1
    assert cabinet.tree.duplicates == 1
    assert cabinet.raw(command[:25]) == MALFORMED
    assert cabinet.raw(bytes(10)) == MALFORMED
    read = encode_request(7, 100, 100, commands.GetContents(session, 1))
    assert cabinet.raw(read) == MALFORMED, "reads are not for the log"


@pytest.mark.parametrize("before", [0, 5, 9])
def test_a_snapshot_holds_everything(before: int) -> None:
    """The same commands lead to the same bytes, with a snapshot between or without."""

    def play(cabinet: Cabinet, snapshot_at: int) -> LockTree:
        for step in range(12):
            if step == snapshot_at:
                state = cabinet.tree.snapshot()
                tree = LockTree()
                tree.restore(cabinet.tree.applied, state)
                cabinet.tree = tree
            if step == 0:
                cabinet.one, cabinet.mine, cabinet.two, cabinet.yours = cabinet.pair(delay_ns=9, events=15)  # type: ignore[attr-defined]
            elif step == 3:
                cabinet.acquire(cabinet.one, cabinet.mine)  # type: ignore[attr-defined]
            elif step == 6:
                cabinet.acquire(cabinet.two, cabinet.yours)  # type: ignore[attr-defined]
            elif step == 8:
                cabinet.expire(cabinet.one)  # type: ignore[attr-defined]
            elif step == 10:
                cabinet.own(commands.EndDelay(cabinet.epoch, "/lock", cabinet.tree.nodes["/lock"].instance))
        return cabinet.tree

    straight, through = play(Cabinet(), -1), play(Cabinet(), before)
    assert straight.snapshot() == through.snapshot()
    assert straight.nodes["/lock"].holders, "the one who waited has it"


def test_a_snapshot_of_another_position_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot restore"):
        LockTree().restore(5, LockTree().snapshot())
