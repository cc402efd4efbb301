"""The clients of a lock service: each acquires a lock, holds it, releases it, thinks, and begins again.

What each of them knows of sessions, leases and masters is the client library's (engines.lock_service.client). A session and
the handle on a lock, at its first use, are opened on the way and are not counted; what is counted as an operation is

    acquire, release       of a lock, exclusive or shared
    write                  of the lock's file, at the end of an exclusive hold, under the sequencer of that hold
    read                   of the file, in a round that takes no lock

A client may die when a hold ends: it says nothing more until it comes back, with another session. What it still had to write is
the first thing that it does then, as a late request would come that was under way all the time; its sequencer is stale, unless
the lock was not yet given up. Whoever loses a session as the master fails over does the same.
"""
from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.checkers.beliefs import Believer
from bench.driver.clients import Population, Session
from bench.driver.occasions import ISSUE, NAME_BITS, REQUEST, RETRY
from bench.driver.wire import REQUEST_BYTES
from bench.metrics.trial import (
    ACQUIRE,
    ACQUIRE_SHARED,
    BY_DEATH,
    DIED,
    ENDED,
    FAILED,
    FAILED_OVER,
    HELD_ON,
    IN_JEOPARDY,
    LOST,
    MOMENT,
    OK,
    OPENED,
    OPERATION,
    PENDING,
    READ,
    RELEASE,
    RELEASE_SHARED,
    RETURNED,
    SAFE_AGAIN,
    TENANT,
    UNKNOWN,
    WRITE,
    LockRecord,
)
from bench.scenario.locks import LEAST_CONTENTS_BYTES as TOKEN_BYTES
from engines.core import NEVER, NOBODY
from engines.lock_service.client import EXPIRED, JEOPARDY, MASTER_FAILED_OVER, OPENING, SAFE, Ask, Client, Completed, Told, Turned
from engines.lock_service.commands import (
    EXCLUSIVE,
    FILE,
    SHARED,
    STALE_SEQUENCER,
    Contents,
    Done,
    Event,
    Granted,
    Opened,
    Refused,
    Sequencer,
    SessionOpened,
    Written,
)

if TYPE_CHECKING:
    from bench.driver.network import Chances, Durations
    from bench.metrics.recorder import Recorder
    from engines.lock_service import LockOptions
    from ext.events import EventQueue

NOTHING = -1
UNHEARD = (ACQUIRE, ACQUIRE_SHARED, READ)  # what did not happen, where its client lost its session before the answer
STATES = {JEOPARDY: IN_JEOPARDY, SAFE: SAFE_AGAIN, EXPIRED: ENDED}
LOGGED = (SessionOpened, Opened, Granted, Done, Written)  # answers to what stands in the log


class Habits(NamedTuple):
    """What all clients do. ``draw`` gives the next locks by number; None: each client has its own."""

    draw: Callable[[], list[int]] | None
    think: Durations
    hold: Durations
    dead_for: Durations
    chances: Chances
    exclusive: float
    read: float
    write: float
    dies: float
    lock_delay_ns: int
    contents_bytes: int
    await_release: bool
    window_ns: tuple[int, int]
    stop_ns: int


class Tenant(Believer):
    """A client of the lock service, and where it is in its round."""

    def __init__(self, session: Session, options: LockOptions) -> None:
        Believer.__init__(self, session.id, Client(session.id, len(session.links_to), options, session.target))
        self.session = session
        self.state = self.library.state
        self.wakes_ns = NEVER
        self.due_ns = 0  # the next step comes no earlier
        self.handles: dict[int, int] = {}  # by lock
        self.lock = NOTHING  # of this round
        self.reading = False  # in this round
        self.mode = EXCLUSIVE  # of this round's acquire
        self.call = NOTHING  # that it waits for
        self.row = NOTHING  # in the recorder, of the operation under way
        self.left: dict[int, int] = {}  # rows of releases that it does not wait for, by call
        self.held: Sequencer | None = None
        self.granted_ns = 0
        self.to_write = False  # before the release
        self.late: tuple[int, Sequencer] | None = None  # a write that a lost hold had left: its lock, and the sequencer
        self.lease_until_ns = 0
        self.requests = 0
        self.keep_alives = 0
        self.cache_hits = 0

    def real(self, local: int) -> int:
        """When its clock shows this."""
        return local


class LockClients(Population):
    """All clients, in a closed loop until ``habits.stop_ns``; ``share`` as in Clients. A ``watcher`` (bench.checkers.beliefs) is
    told what they ask for and what becomes of it.
    """

    def __init__(
        self,
        queue: EventQueue,
        sessions: list[Session],
        recorder: Recorder,
        options: LockOptions,
        habits: Habits,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__(queue, sessions, recorder)
        self.part, self.parts = share
        self.tenants: list[Any] = [self.new_tenant(session, options) for session in sessions]
        self.watcher: Any = None
        self.habits = habits
        self.first_ns, self.last_ns = habits.window_ns
        self.drawn: list[int] = []
        self.moments: list[tuple[int, int, int, int]] = []
        self.lost: list[tuple[int, ...]] = []  # after and since when, client, kind, lock, generation, why
        self.acknowledged = array("Q")

    def new_tenant(self, session: Session, options: LockOptions) -> Tenant:
        """A client of these clients' kind."""
        return Tenant(session, options)

    def start(self) -> None:
        """Everybody opens a session; with it, the first round begins."""
        for tenant in self.tenants:
            tenant.library.open_session(tenant.local(self.now()))
            self.attend(tenant)

    def now(self) -> int:
        """The time of an event; in real time that of the turn, since a lease may be over before a late event's turn comes."""
        return max(self.queue.time, self.clock_ns)

    def session_of(self, client: int) -> Session:
        """As Population says."""
        return self.sessions[client // self.parts]

    # The round of a client

    def issue(self, client: int) -> None:
        """The next step of a round: the first, or the end of a hold."""
        tenant = self.tenants[client // self.parts]
        if self.queue.time < tenant.due_ns:
            return
        if self.clock_ns > self.queue.time and tenant.up:
            tenant.library.tick(tenant.local(self.clock_ns))  # a step that comes late may find the lease over
        if not tenant.up:
            self.come_back(tenant)
        elif tenant.library.state != SAFE or tenant.call != NOTHING:
            pass
        elif tenant.held is not None:
            self.end_hold(tenant, tenant.held)
        elif self.queue.time < self.habits.stop_ns:
            self.begin(tenant)
        self.attend(tenant)

    def begin(self, tenant: Tenant) -> None:
        """Another round; what a lost hold had left comes first. There may be no handle yet."""
        habits = self.habits
        if tenant.late is not None:
            tenant.lock = tenant.late[0]
        else:
            tenant.lock = self.next_lock(tenant)
            tenant.reading = self.happens(habits.read)
            tenant.mode = EXCLUSIVE if self.happens(habits.exclusive) else SHARED
        if tenant.lock in tenant.handles:
            self.use(tenant)
        else:
            tenant.call = tenant.library.open(
                f"/lock-{tenant.lock}", tenant.local(self.now()), kind=FILE, lock_delay_ns=habits.lock_delay_ns
            )

    def happens(self, share: float) -> bool:
        """Whether something does that happens so often; nothing is drawn where it always or never does."""
        return share >= 1.0 or (share > 0.0 and self.habits.chances.next() < share)

    def next_lock(self, tenant: Tenant) -> int:
        """The lock of the next round, by its number."""
        if self.habits.draw is None:
            return tenant.session.id
        if not self.drawn:
            self.drawn = self.habits.draw()
        return self.drawn.pop()

    def use(self, tenant: Tenant) -> None:
        """There is a handle: do with it what the round is about."""
        if tenant.late is not None:
            (_, sequencer), tenant.late = tenant.late, None
            self.write(tenant, sequencer)
        elif tenant.reading:
            self.read(tenant)
        else:
            self.acquire(tenant)

    def acquire(self, tenant: Tenant) -> None:
        """The operation lasts until the lock is granted."""
        self.operate(tenant, ACQUIRE if tenant.mode == EXCLUSIVE else ACQUIRE_SHARED, 0)
        tenant.call = tenant.library.acquire(tenant.handles[tenant.lock], tenant.mode, tenant.local(self.now()))

    def read(self, tenant: Tenant) -> None:
        """From the cache, where the lease is valid and it is there."""
        library = tenant.library
        now, hits = self.now(), library.hits
        self.operate(tenant, READ, 0)
        if self.watcher is not None:
            self.watcher.begins(tenant, "get_contents", tenant.handles[tenant.lock], now)
        tenant.call = library.get_contents(tenant.handles[tenant.lock], tenant.local(now))
        if library.hits > hits:
            self.recorder.set_values(tenant.row, 0, 1)
            if self.first_ns <= now < self.last_ns:
                tenant.cache_hits += 1

    def end_hold(self, tenant: Tenant, held: Sequencer) -> None:
        """What is to be written is; then the lock is released, unless the client dies instead."""
        if self.happens(self.habits.dies):
            self.die(tenant, held)
        elif tenant.to_write:
            tenant.to_write = False
            self.write(tenant, held)
        else:
            self.release(tenant, held)

    def write(self, tenant: Tenant, sequencer: Sequencer) -> None:
        """Under a sequencer, which the master refuses where the lock is not held any more as it says (2.4)."""
        library, handle = tenant.library, tenant.handles[tenant.lock]
        size = self.habits.contents_bytes
        self.operate(tenant, WRITE, size)
        token = tenant.row * self.parts + self.part + 1
        self.recorder.set_values(tenant.row, token, sequencer.generation)
        library.set_sequencer(handle, sequencer)
        if self.watcher is not None:
            self.watcher.begins(tenant, "set_contents", handle, self.now())
        contents = token.to_bytes(TOKEN_BYTES, "little").ljust(size, b"\0")
        tenant.call = library.set_contents(handle, contents, tenant.local(self.now()))
        library.set_sequencer(handle, None)

    def release(self, tenant: Tenant, held: Sequencer) -> None:
        """From its call on the lock is not held any more."""
        tenant.held = None
        self.operate(tenant, release_of(held), 0)
        self.recorder.set_values(tenant.row, held.generation, 0)
        call = tenant.library.release(tenant.handles[tenant.lock], tenant.local(self.now()))
        if self.habits.await_release:
            tenant.call = call
        else:
            tenant.left[call] = tenant.row
            tenant.row = NOTHING
            self.later(tenant, self.habits.think)

    def operate(self, tenant: Tenant, kind: int, size: int) -> None:
        """An operation begins."""
        now = self.queue.time
        tenant.row = self.recorder.begin(now, now, tenant.session.id, kind, tenant.lock, size)

    def completed(self, tenant: Tenant, effect: Completed) -> None:
        """A call was answered. What fails does so with its session, which begins another round."""
        answer, client = effect.answer, tenant.session.id
        if self.watcher is not None:
            self.watcher.completed(tenant, effect.call, answer, self.now())
        if type(answer) in LOGGED:
            self.acknowledged.append(client << NAME_BITS | effect.call)
        if effect.call != tenant.call:
            row = tenant.left.pop(effect.call, NOTHING)
            if row != NOTHING and isinstance(answer, Done):
                self.recorder.complete(row, self.queue.time, OK, 0)
            return
        tenant.call = NOTHING
        if isinstance(answer, Opened):
            tenant.handles[tenant.lock] = answer.handle
            self.use(tenant)
        elif isinstance(answer, Granted):
            if self.watcher is not None:
                self.watcher.granted(tenant, tenant.handles[tenant.lock], self.now())
            self.recorder.set_values(tenant.row, 0, effect.waited)
            self.succeed(tenant, answer.generation)
            tenant.held = Sequencer(f"/lock-{tenant.lock}", tenant.mode, answer.generation)
            tenant.granted_ns = self.now()
            tenant.to_write = tenant.mode == EXCLUSIVE and self.happens(self.habits.write)
            self.later(tenant, self.habits.hold)
        elif isinstance(answer, Written):
            self.written(tenant, OK)
        elif isinstance(answer, Contents):
            self.succeed(tenant, int.from_bytes(answer.contents[:TOKEN_BYTES], "little"))
            self.later(tenant, self.habits.think)
        elif isinstance(answer, Done):
            self.succeed(tenant, 0)
            self.later(tenant, self.habits.think)
        elif isinstance(answer, Refused):
            self.refused(tenant, answer)

    def refused(self, tenant: Tenant, answer: Refused) -> None:
        """The sequencer is stale; or the session is over, which the library will say."""
        if answer.why == STALE_SEQUENCER:
            self.written(tenant, FAILED)

    def written(self, tenant: Tenant, status: int) -> None:
        """Of a hold, the release follows; a late write is all that there was left to do."""
        self.recorder.complete(tenant.row, self.queue.time, status, 0)
        tenant.row = NOTHING
        if tenant.held is not None:
            self.release(tenant, tenant.held)
        else:
            self.later(tenant, self.habits.think)

    def succeed(self, tenant: Tenant, returned: int) -> None:
        """The operation under way is over."""
        self.recorder.complete(tenant.row, self.queue.time, OK, returned)
        tenant.row = NOTHING

    def later(self, tenant: Tenant, durations: Durations) -> None:
        """The next step comes after a draw of these."""
        tenant.due_ns = self.queue.time + durations.next()
        self.queue.push(tenant.due_ns, None, ISSUE, tenant.session.id, 0)

    # The end of a session

    def die(self, tenant: Tenant, held: Sequencer) -> None:
        """Nothing is said or heard any more, for a while."""
        now = self.now()
        self.happened(now, tenant, DIED)
        self.lose(tenant, held, now, BY_DEATH)
        tenant.up = False
        self.later(tenant, self.habits.dead_for)

    def come_back(self, tenant: Tenant) -> None:
        """As a process that is started anew."""
        tenant.up = True
        tenant.library.forget()
        tenant.left = {}
        tenant.state = EXPIRED
        self.happened(self.now(), tenant, RETURNED)
        self.open_session(tenant)

    def expired(self, tenant: Tenant) -> None:
        """Everything is lost with the session, and the client begins anew."""
        if tenant.held is not None:
            self.lose(tenant, tenant.held, tenant.lease_until_ns, LOST)
        self.begin_anew(tenant)
        self.open_session(tenant)

    def begin_anew(self, tenant: Tenant) -> None:
        """Without a session nothing is open or under way."""
        if tenant.row != NOTHING and self.recorder.kind_of(tenant.row) in UNHEARD:
            # Nobody was told that the lock was granted, and nobody will be.
            self.recorder.complete(tenant.row, self.queue.time, FAILED, 0)
        tenant.handles, tenant.left = {}, {}
        tenant.call = tenant.row = NOTHING

    def open_session(self, tenant: Tenant) -> None:
        """Another one, as long as there is load."""
        if self.queue.time < self.habits.stop_ns:
            tenant.library.open_session(tenant.local(self.now()))

    def lose(self, tenant: Tenant, held: Sequencer, since_ns: int, why: int) -> None:
        """The master will release the lock, at some time from ``since_ns`` on. What was to be written comes late."""
        told_ns = max(since_ns, tenant.granted_ns)
        self.lost.append((told_ns, since_ns, tenant.session.id, release_of(held), tenant.lock, held.generation, why))
        if tenant.to_write or (tenant.row != NOTHING and self.recorder.kind_of(tenant.row) == WRITE):
            tenant.late = (tenant.lock, held)
        tenant.held = None
        tenant.to_write = False
        tenant.handles = {}

    def happened(self, now: int, tenant: Tenant, what: int) -> None:
        """A moment for the record."""
        self.moments.append((now, tenant.session.id, what, tenant.library.epoch))

    def turned(self, tenant: Tenant, state: str) -> None:
        """The session is in another state."""
        what = OPENED if (tenant.state, state) == (OPENING, SAFE) else STATES.get(state)
        if what is not None:
            self.happened(self.now(), tenant, what)
        tenant.state = state
        if state == SAFE:
            self.queue.push(self.queue.time, None, ISSUE, tenant.session.id, 0)
        elif state == EXPIRED:
            self.expired(tenant)

    # What the library wants

    def attend(self, tenant: Tenant) -> None:
        """Do it, until it wants no more, and wake it in time."""
        library = tenant.library
        now = self.queue.time
        effects = library.take()
        while effects:
            for effect in effects:
                if type(effect) is Ask:
                    self.ask(tenant, effect)
                elif type(effect) is Completed:
                    self.completed(tenant, effect)
                elif type(effect) is Turned:
                    if self.watcher is not None:
                        self.watcher.turned(tenant, effect.state, self.now())
                    self.turned(tenant, effect.state)
                elif type(effect) is Told:
                    self.told(tenant, effect.event)
            effects = library.take()
        if library.valid(tenant.local(self.now())):
            tenant.lease_until_ns = tenant.real(library.lease_until_ns)
        if self.watcher is not None and library.lease_until_ns != tenant.seen_until_ns:
            self.watcher.attended(tenant, self.now())
        due_ns = library.next_deadline()
        if due_ns == NEVER:
            return
        due_ns = tenant.real(due_ns)
        if due_ns < tenant.wakes_ns:
            tenant.wakes_ns = max(due_ns, now)
            self.queue.push(tenant.wakes_ns, None, RETRY, 0, tenant.session.id)

    def told(self, tenant: Tenant, event: Event) -> None:
        """Something happened that its application is to hear of."""
        if event.kind == MASTER_FAILED_OVER:
            self.happened(self.now(), tenant, FAILED_OVER)
        if self.watcher is not None:
            self.watcher.told(tenant, event)

    def ask(self, tenant: Tenant, effect: Ask) -> None:
        """A request leaves."""
        now = self.queue.time
        if self.first_ns <= now < self.last_ns:
            tenant.requests += 1
            tenant.keep_alives += effect.keep_alive
        link = tenant.session.links_to[effect.replica]
        arrival = link.carry(now, REQUEST_BYTES + len(effect.command))
        self.queue.push(arrival, effect.command, REQUEST, effect.replica, tenant.session.id)

    def retry(self, argument: int) -> None:
        """A deadline of the library, which may have moved since."""
        tenant = self.tenants[argument // self.parts]
        if tenant.wakes_ns > self.queue.time:
            return
        tenant.wakes_ns = NEVER
        if tenant.up:
            tenant.library.tick(tenant.local(self.now()))
            self.attend(tenant)

    def answered(self, client: int, sequence: int, result: bytes) -> None:
        """As Population says."""
        tenant = self.tenants[client // self.parts]
        if tenant.up:
            tenant.library.answered(sequence, result, tenant.local(self.now()))
            self.attend(tenant)

    def redirected(self, client: int, sequence: int, leader: int) -> None:
        """As Population says."""
        tenant = self.tenants[client // self.parts]
        if tenant.up:
            tenant.library.redirected(sequence, leader, tenant.local(self.now()))
            self.attend(tenant)

    def let_go(self, client: int, sequence: int) -> None:
        """As Population says."""
        self.redirected(client, sequence, NOBODY)

    def disconnected(self, replica: int) -> None:
        """As Population says."""
        for tenant in self.tenants:
            if tenant.up:
                tenant.library.disconnected(replica, tenant.local(self.now()))
                self.attend(tenant)

    def reset(self, replica: int) -> None:
        """As Population says."""
        self.disconnected(replica)
        for tenant in self.tenants:
            tenant.library.connected(replica, tenant.local(self.now()))

    def finish(self) -> None:
        """What is under way stays unknown. Who holds a lock goes, and the master is left to find out."""
        for tenant in self.tenants:
            if tenant.held is not None:
                self.lose(tenant, tenant.held, min(self.now(), tenant.lease_until_ns), HELD_ON)

    def record(self) -> LockRecord:
        """As Population says."""
        lost = np.zeros(len(self.lost), OPERATION)
        names = ("intended_ns", "started_ns", "client", "kind", "key", "value", "returned")
        for name, column in zip(names, zip(*self.lost, strict=True), strict=False):
            lost[name] = column
        lost["completed_ns"], lost["status"] = PENDING, UNKNOWN
        counts = [(each.session.id, each.requests, each.keep_alives, each.cache_hits) for each in self.tenants]
        return LockRecord(
            moments=np.array(self.moments, MOMENT),
            tenants=np.array(counts, TENANT),
            lost=lost,
            acknowledged=np.array(self.acknowledged, np.uint64),
        )


def release_of(held: Sequencer) -> int:
    """The kind of operation that ends such a hold."""
    return RELEASE if held.mode == EXCLUSIVE else RELEASE_SHARED
