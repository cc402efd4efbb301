"""Every statement of the lock service has a short story in which it does not hold, and is silent in one where all do."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from bench.checkers import statements
from bench.checkers.beliefs import HELD_TWICE, Believer, LockWatcher
from bench.checkers.invariants import Agreement
from bench.checkers.locks import REJECTED, LockLog
from bench.checkers.statements import LOCKS, MOMENTS, RECORDS, STATUSES, name_of, watched
from engines.core import NOBODY
from engines.lock_service import LockOptions, LockTree
from engines.lock_service.client import EXPIRED, JEOPARDY, SAFE, Client, Opening
from engines.lock_service.commands import (
    CONTENTS_CHANGED,
    EPHEMERAL,
    EXCLUSIVE,
    FILE,
    NOT_HELD,
    SHARED,
    Acquire,
    Checked,
    Close,
    Contents,
    EndSession,
    Event,
    Expire,
    Granted,
    Open,
    OpenSession,
    Refused,
    Release,
    Request,
    Sequencer,
    SetContents,
    TakeOver,
    Written,
    encode_answer,
    encode_request,
)
from engines.lock_service.master import SERVING

SECOND = 1_000_000_000
OPTIONS = LockOptions(lease_ns=12 * SECOND, grace_ns=45 * SECOND)


class Story:
    """A cell without an engine: two clients with a session and a handle on /lock each, and two replicas."""

    def __init__(self, clocks: bool = True) -> None:
        self.agreement = Agreement()
        self.tree = LockTree()
        self.now = 0
        self.people = [Believer(id, Client(id, 2, OPTIONS)) for id in (0, 1)]
        service = SimpleNamespace(stage=SERVING, epoch=1, lease_until_ns=0)
        self.replicas = [
            SimpleNamespace(
                up=True, local=lambda now: now, host=SimpleNamespace(leading=True, service=SimpleNamespace(**vars(service)))
            )
            for _ in range(2)
        ]
        self.watch = LockWatcher(self.agreement, OPTIONS, self.replicas, self.people, clocks)
        self.do(TakeOver(0), NOBODY)
        self.sessions = [self.do(OpenSession(), id) for id in (0, 1)]
        self.handles = [self.do(Open(session, "/lock", FILE, b"", SECOND, CONTENTS_CHANGED)) for session in self.sessions]
        for person, session, handle in zip(self.people, self.sessions, self.handles, strict=True):
            person.library.state = SAFE
            person.library.session = session
            person.library.handles[handle] = Opening("/lock")

    def do(self, request: Request, client: int = 0, harm: Callable[[LockTree], None] | None = None) -> int:
        """Have a command decided; ``harm`` is done to the tree before anybody looks. Its position."""
        position = self.tree.applied + 1
        self.tree.apply(position, encode_request(client, position, position, request))
        if harm is not None:
            harm(self.tree)
        self.watch.applied(self.tree, self.now)
        return position

    def acquire(self, who: int, mode: int = EXCLUSIVE, harm: Callable[[LockTree], None] | None = None) -> int:
        return self.do(Acquire(self.sessions[who], self.handles[who], mode, True, None), who, harm)

    def release(self, who: int, harm: Callable[[LockTree], None] | None = None) -> int:
        return self.do(Release(self.sessions[who], self.handles[who]), who, harm)

    def expire(self, who: int, harm: Callable[[LockTree], None] | None = None) -> int:
        return self.do(Expire(1, self.sessions[who]), NOBODY, harm)

    def believe(self, who: int, generation: int, until_ns: int = 12 * SECOND) -> None:
        """A client is told that it holds the lock."""
        person, handle = self.people[who], self.handles[who]
        person.library.lease_until_ns = until_ns
        self.watch.attended(person, self.now)
        self.watch.begins(person, "acquire", handle, self.now)
        person.library.handles[handle].held = Sequencer("/lock", EXCLUSIVE, generation)
        self.watch.completed(person, 1, Granted(generation), self.now)

    def names(self) -> list[str]:
        return [name_of(violation) for violation in self.agreement.violations]


def held_twice(story: Story) -> None:
    generation = story.acquire(0)
    story.believe(0, generation)
    story.do(Release(story.sessions[0], story.handles[0]))
    story.people[0].library.handles[story.handles[0]].held = Sequencer("/lock", EXCLUSIVE, generation)
    story.believe(1, story.acquire(1))


def believed_and_not_held(story: Story) -> None:
    story.believe(0, 7)


def expired_too_early(story: Story) -> None:
    story.people[0].library.lease_until_ns = 12 * SECOND
    story.expire(0)


def extended_too_late(story: Story) -> None:
    story.expire(0)
    story.people[0].library.lease_until_ns = 12 * SECOND
    story.watch.attended(story.people[0], 0)


def given_up(story: Story) -> None:
    person = story.people[0]
    person.library.lease_until_ns = 12 * SECOND
    story.watch.attended(person, 0)
    story.watch.turned(person, JEOPARDY, 12 * SECOND)
    story.watch.turned(person, EXPIRED, 20 * SECOND)


def lock_delay_cut_short(story: Story) -> None:
    story.acquire(0)
    story.acquire(1)
    story.expire(0, lambda tree: tree.grant(tree.nodes["/lock"], story.handles[1], EXCLUSIVE))


def stale_read(story: Story) -> None:
    one, other = story.people
    story.watch.begins(one, "set_contents", story.handles[0], 0)
    story.watch.completed(one, 1, Written(9), 0)
    story.watch.begins(other, "get_contents", story.handles[1], 0)
    story.watch.completed(other, 1, Contents(1, b"", 1, 8, 0, True), 0)


def stale_sequencer_called_valid(story: Story) -> None:
    stale = Sequencer("/lock", EXCLUSIVE, story.acquire(0))
    story.release(0)
    story.watch.begins(story.people[1], "check_sequencer", stale, SECOND)
    story.watch.completed(story.people[1], 1, Checked(True), 2 * SECOND)


def two_masters(story: Story) -> None:
    for id, replica in enumerate(story.replicas):
        replica.host.service.lease_until_ns = SECOND
        story.watch.believed(id, 0)


def event_too_early(story: Story) -> None:
    story.watch.told(story.people[0], Event(1, CONTENTS_CHANGED, story.handles[0], "/lock"))


def same_generation(story: Story) -> None:
    first = story.acquire(0)
    story.release(0)
    story.acquire(1, harm=lambda tree: setattr(tree.nodes["/lock"], "lock_generation", first))


def two_exclusive_holders(story: Story) -> None:
    story.acquire(0)
    story.acquire(1, harm=lambda tree: tree.grant(tree.nodes["/lock"], story.handles[1], SHARED))


def stale_write(story: Story) -> None:
    stale = Sequencer("/lock", EXCLUSIVE, story.acquire(0))
    story.release(0)
    write = SetContents(story.sessions[0], story.handles[0], b"", 0, stale)
    story.do(write, harm=lambda tree: setattr(tree.nodes["/lock"], "content_generation", tree.applied))


def released_by_another(story: Story) -> None:
    story.acquire(0)
    story.release(1, harm=lambda tree: tree.let_go(tree.nodes["/lock"], story.handles[0], 0))


def granted_and_not_known(story: Story) -> None:
    person, handle, generation = story.people[0], story.handles[0], story.acquire(0)
    story.watch.begins(person, "acquire", handle, story.now)
    release = person.library.release(handle, story.now)
    story.watch.granted(person, handle, story.now)
    assert story.names() == [], "a release is under way"
    person.library.answered(release, encode_answer(Refused(NOT_HELD)), story.now)
    story.watch.completed(person, 1, Granted(generation), story.now)


def dead_session_opens(story: Story) -> None:
    tenancy = story.tree.tenancies[story.sessions[0]]
    story.expire(0)
    story.tree.tenancies[story.sessions[0]] = tenancy
    story.do(Open(story.sessions[0], "/lock", FILE, b"", 0, 0))


def ephemeral_stays(story: Story) -> None:
    handle = story.do(Open(story.sessions[0], "/here", EPHEMERAL, b"", 0, 0))
    node = story.tree.nodes["/here"]
    story.do(Close(story.sessions[0], handle), harm=lambda tree: tree.nodes.update({"/here": node}))


def ephemeral_vanishes(story: Story) -> None:
    handle, _ = (story.do(Open(session, "/here", EPHEMERAL, b"", 0, 0)) for session in story.sessions)
    story.do(Close(story.sessions[0], handle), harm=lambda tree: tree.nodes.pop("/here"))


def earlier_epoch_counts(story: Story) -> None:
    story.do(TakeOver(1), NOBODY)
    story.do(Expire(1, story.sessions[0]), NOBODY, lambda tree: tree.conclude(story.sessions[0], True))


STORIES: list[tuple[str, Callable[[Story], None]]] = [
    (statements.EXCLUSION, held_twice),
    (statements.KNOWN, granted_and_not_known),
    (statements.EXCLUSION, believed_and_not_held),
    (statements.LEASES, expired_too_early),
    (statements.LEASES, extended_too_late),
    (statements.GRACE, given_up),
    (statements.LOCK_DELAYS, lock_delay_cut_short),
    (statements.CACHES, stale_read),
    (statements.CACHES, stale_sequencer_called_valid),
    (statements.ONE_MASTER, two_masters),
    (statements.EVENTS_AFTER, event_too_early),
    (statements.GENERATIONS, same_generation),
    (statements.GENERATIONS, two_exclusive_holders),
    (statements.FENCES, stale_write),
    (statements.LETTING_GO, released_by_another),
    (statements.OVER_ONCE, dead_session_opens),
    (statements.EPHEMERALS, ephemeral_stays),
    (statements.EPHEMERALS, ephemeral_vanishes),
    (statements.STALE_EPOCHS, earlier_epoch_counts),
]


@pytest.mark.parametrize(("name", "tell"), STORIES)
def test_a_watcher_sees_what_must_not_be(name: str, tell: Callable[[Story], None]) -> None:
    story = Story()
    tell(story)
    assert set(story.names()) == {name}, story.agreement.violations


def test_every_statement_has_a_story() -> None:
    assert {name for name, _ in STORIES} == {statement.name for statement in LOCKS}


def all_is_well(story: Story) -> None:
    """Locks of both modes go from hand to hand, one holder fails, the other waits for the lock-delay."""
    generation = story.acquire(0)
    story.believe(0, generation)
    story.people[0].library.handles[story.handles[0]].held = None
    story.release(0)
    story.acquire(0, SHARED)
    story.acquire(1, SHARED)
    story.release(1)
    story.acquire(1)
    story.now = 13 * SECOND
    story.expire(0)
    story.now = 15 * SECOND
    story.do(EndSession(story.sessions[1]), 1)


def test_watchers_are_silent_where_all_is_well() -> None:
    story = Story()
    all_is_well(story)
    assert story.names() == []


def test_beyond_their_bound_clocks_excuse_beliefs_and_no_stale_sequencer() -> None:
    story = Story(clocks=False)
    held_twice(story)
    assert story.names() == []
    assert story.watch.counts[HELD_TWICE] == 1
    stale = Sequencer("/lock", EXCLUSIVE, 1)
    story.do(SetContents(story.sessions[0], story.handles[0], b"", 0, stale))
    assert story.watch.counts[REJECTED] == 1
    stale_write(story)
    assert story.names() == [statements.FENCES]
    names = watched("raft", statements.ALL, True, (STATUSES, RECORDS, MOMENTS), locks=True, clocks=False)
    assert {statement.name for statement in LOCKS if statement.clocks} & names == set()
    assert statements.FENCES in names


def test_a_log_that_begins_with_a_snapshot_is_understood() -> None:
    story = Story()
    story.acquire(0)
    story.do(Open(story.sessions[0], "/here", EPHEMERAL, b"", 0, 0))
    tree = LockTree()
    tree.restore(story.tree.applied, story.tree.snapshot())
    log = LockLog(story.agreement, OPTIONS, clocks=False)
    log.resume(tree)
    for request in (Expire(1, story.sessions[0]), Acquire(story.sessions[1], story.handles[1], EXCLUSIVE, False, None)):
        tree.apply(tree.applied + 1, encode_request(NOBODY, 0, 0, request))
        log.applied(tree)
    assert story.names() == []
