"""The simulated clients of a lock service: each acquires a lock, holds it, releases it, thinks, and begins again.

What each of them knows of sessions, leases and masters is the client library's (engines.lock_service.client). A session and
the handle on a lock, at its first use, are opened on the way and are not counted; an acquire and a release are operations.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.driver.clients import Population, Session
from bench.driver.occasions import ISSUE, REQUEST, RETRY
from bench.driver.wire import REQUEST_BYTES
from bench.metrics.trial import ACQUIRE, OK, RELEASE
from engines.core import NEVER, NOBODY
from engines.lock_service.client import EXPIRED, SAFE, Ask, Client, Completed, Told, Turned
from engines.lock_service.commands import EXCLUSIVE, FILE, Done, Granted, Opened

if TYPE_CHECKING:
    from bench.driver.network import Durations
    from bench.metrics.recorder import Recorder
    from engines.lock_service import LockOptions
    from ext.events import EventQueue

NOTHING = -1


class Tenant:
    """A client of the lock service: the library, and where it is in its round."""

    up = True

    def __init__(self, session: Session, options: LockOptions) -> None:
        self.id: int = session.id
        self.session = session
        self.library = Client(session.id, len(session.links_to), options, session.target)
        self.wakes_ns = NEVER
        self.lock = NOTHING  # of this round
        self.lease_until_ns = 0  # when the lease is over that it last believed in
        self.seen_until_ns = 0  # by the watcher, of the library's lease
        self.begin_anew()

    def begin_anew(self) -> None:
        """Without a session nothing is open, held or under way."""
        self.handles: dict[int, int] = {}  # by lock
        self.call = NOTHING  # that it waits for
        self.row = NOTHING  # in the recorder, of the operation under way
        self.holding = False

    def local(self, now: int) -> int:
        """What its clock shows."""
        return now

    def real(self, local: int) -> int:
        """When its clock shows this."""
        return local


class LockClients(Population):
    """All clients, in a closed loop until ``stop_ns``. ``draw`` gives the next locks by number; None: each client has its own.
    A ``watcher`` (bench.checkers.beliefs) is told what they ask for and what becomes of it.
    """

    def __init__(
        self,
        queue: EventQueue,
        sessions: list[Session],
        recorder: Recorder,
        options: LockOptions,
        lock_delay_ns: int,
        draw: Callable[[], list[int]] | None,
        think: Durations,
        hold: Durations,
        stop_ns: int,
    ) -> None:
        super().__init__(queue, sessions, recorder)
        self.tenants: list[Any] = [self.new_tenant(session, options) for session in sessions]
        self.watcher: Any = None
        self.lock_delay_ns = lock_delay_ns
        self.draw = draw
        self.think = think
        self.hold = hold
        self.stop_ns = stop_ns
        self.drawn: list[int] = []

    def new_tenant(self, session: Session, options: LockOptions) -> Tenant:
        """A client of these clients' kind."""
        return Tenant(session, options)

    def start(self) -> None:
        """Everybody opens a session; with it, the first round begins."""
        for tenant in self.tenants:
            tenant.library.open_session(tenant.local(self.queue.time))
            self.attend(tenant)

    # The round of a client

    def issue(self, client: int) -> None:
        """The next step of a round: the first, or the release of what has been held for long enough."""
        tenant = self.tenants[client]
        if tenant.library.state != SAFE or tenant.call != NOTHING:
            return
        if tenant.holding:
            self.release(tenant)
        elif self.queue.time < self.stop_ns:
            self.begin(tenant)
        self.attend(tenant)

    def begin(self, tenant: Tenant) -> None:
        """Another lock, on which there may be no handle yet."""
        tenant.lock = self.next_lock(tenant)
        if tenant.lock in tenant.handles:
            self.acquire(tenant)
        else:
            tenant.call = tenant.library.open(
                f"/lock-{tenant.lock}", tenant.local(self.queue.time), kind=FILE, lock_delay_ns=self.lock_delay_ns
            )

    def next_lock(self, tenant: Tenant) -> int:
        """The lock of the next round, by its number."""
        if self.draw is None:
            return tenant.session.id
        if not self.drawn:
            self.drawn = self.draw()
        return self.drawn.pop()

    def acquire(self, tenant: Tenant) -> None:
        """The operation lasts until the lock is granted."""
        now = self.queue.time
        tenant.row = self.recorder.begin(now, now, tenant.session.id, ACQUIRE, tenant.lock, 0)
        tenant.call = tenant.library.acquire(tenant.handles[tenant.lock], EXCLUSIVE, tenant.local(now))

    def release(self, tenant: Tenant) -> None:
        """From its call on the lock is not held any more."""
        now = self.queue.time
        tenant.holding = False
        tenant.row = self.recorder.begin(now, now, tenant.session.id, RELEASE, tenant.lock, 0)
        tenant.call = tenant.library.release(tenant.handles[tenant.lock], tenant.local(now))

    def completed(self, tenant: Tenant, effect: Completed) -> None:
        """A call of the round was answered; what fails does so with its session, which begins another round."""
        if effect.call != tenant.call:
            return
        tenant.call = NOTHING
        answer = effect.answer
        if isinstance(answer, Opened):
            tenant.handles[tenant.lock] = answer.handle
            self.acquire(tenant)
        elif isinstance(answer, Granted):
            if self.watcher is not None:
                self.watcher.granted(tenant, tenant.handles[tenant.lock], self.queue.time)
            tenant.holding = True
            self.succeed(tenant)
            self.later(tenant, self.hold)
        elif isinstance(answer, Done):
            self.succeed(tenant)
            self.later(tenant, self.think)

    def succeed(self, tenant: Tenant) -> None:
        """The operation under way is over."""
        self.recorder.complete(tenant.row, self.queue.time, OK, 0)
        tenant.row = NOTHING

    def later(self, tenant: Tenant, durations: Durations) -> None:
        """The next step comes after a draw of these."""
        self.queue.push(self.queue.time + durations.next(), None, ISSUE, tenant.session.id, 0)

    def turned(self, tenant: Tenant, state: str) -> None:
        """The session is in another state. With its end everything is lost, and the client begins anew."""
        if state == SAFE:
            self.queue.push(self.queue.time, None, ISSUE, tenant.session.id, 0)
        elif state == EXPIRED:
            self.abandon(tenant, tenant.lease_until_ns)
            if self.queue.time < self.stop_ns:
                tenant.library.open_session(tenant.local(self.queue.time))

    def abandon(self, tenant: Tenant, over_ns: int) -> None:
        """The session is lost, and over at ``over_ns`` or later. Then the master has released the lock that was held: like what
        was under way, an operation of unknown outcome.
        """
        if tenant.holding:
            now = self.queue.time
            tenant.row = self.recorder.begin(now, now, tenant.session.id, RELEASE, tenant.lock, 0)
            self.recorder.backdate(tenant.row, over_ns)
        self.abandoned += tenant.row != NOTHING
        tenant.begin_anew()

    # What the library wants

    def attend(self, tenant: Tenant) -> None:
        """Do it, until it wants no more, and wake it in time."""
        library = tenant.library
        now = self.queue.time
        effects = library.take()
        while effects:
            for effect in effects:
                if type(effect) is Ask:
                    self.ask(tenant, effect.replica, effect.command)
                elif type(effect) is Completed:
                    self.completed(tenant, effect)
                elif type(effect) is Turned:
                    if self.watcher is not None:
                        self.watcher.turned(tenant, effect.state, now)
                    self.turned(tenant, effect.state)
                elif type(effect) is Told and self.watcher is not None:
                    self.watcher.told(tenant, effect.event)
            effects = library.take()
        if library.valid(tenant.local(now)):
            tenant.lease_until_ns = tenant.real(library.lease_until_ns)
        if self.watcher is not None and library.lease_until_ns != tenant.seen_until_ns:
            tenant.seen_until_ns = library.lease_until_ns
            self.watcher.attended(tenant, now)
        due_ns = library.deadline
        if due_ns == NEVER:
            return
        due_ns = tenant.real(due_ns)
        if due_ns < tenant.wakes_ns:
            tenant.wakes_ns = max(due_ns, now)
            self.queue.push(tenant.wakes_ns, None, RETRY, 0, tenant.session.id)

    def ask(self, tenant: Tenant, replica: int, command: bytes) -> None:
        """A request leaves."""
        link = tenant.session.links_to[replica]
        arrival = link.carry(self.queue.time, REQUEST_BYTES + len(command))
        self.queue.push(arrival, command, REQUEST, replica, tenant.session.id)

    def retry(self, argument: int) -> None:
        """A deadline of the library, which may have moved since."""
        tenant = self.tenants[argument]
        if tenant.wakes_ns > self.queue.time:
            return
        tenant.wakes_ns = NEVER
        tenant.library.tick(tenant.local(self.queue.time))
        self.attend(tenant)

    def answered(self, client: int, sequence: int, result: bytes) -> None:
        """As Population says."""
        tenant = self.tenants[client]
        tenant.library.answered(sequence, result, tenant.local(self.queue.time))
        self.attend(tenant)

    def redirected(self, client: int, sequence: int, leader: int) -> None:
        """As Population says."""
        tenant = self.tenants[client]
        tenant.library.redirected(sequence, leader, tenant.local(self.queue.time))
        self.attend(tenant)

    def let_go(self, client: int, sequence: int) -> None:
        """As Population says."""
        self.redirected(client, sequence, NOBODY)

    def reset(self, replica: int) -> None:
        """As Population says."""
        for tenant in self.tenants:
            tenant.library.disconnected(replica, tenant.local(self.queue.time))
            self.attend(tenant)

    def finish(self) -> None:
        """What is under way stays unknown."""
