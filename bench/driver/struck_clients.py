"""Clients of a lock service with clocks of their own, that faults can strike, and that run errands (bench.driver.errands).

paused    nothing happens to a client, not even its timers, until it goes on; then all that it missed comes at once
cut off   it hears nothing, and what it says waits; its timers go on
mute      it hears, and what it says waits
crashed   it forgets everything, session included; another takes its place
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.driver.clock import Clock
from bench.driver.errands import Errands
from bench.driver.lock_clients import LockClients, Tenant
from bench.driver.occasions import ISSUE, RETRY
from bench.metrics.trial import BY_DEATH, DIED
from engines.core import NEVER
from engines.lock_service.client import EXPIRED, SAFE, Ask, Completed

if TYPE_CHECKING:
    from bench.driver.clients import Session
    from engines.lock_service import LockOptions

ERRAND = 1 << 32  # added to a client's number, where the timer is that of its errands


class Struck(Tenant):
    """A client, and what has become of it."""

    def __init__(self, session: Session, options: LockOptions) -> None:
        super().__init__(session, options)
        self.clock = Clock()
        self.crashed = False
        self.paused = False
        self.deaf = False
        self.mute = False
        self.missed: list[Callable[[], None]] = []  # while it is paused or deaf
        self.unsent: list[Ask] = []
        self.errands: Errands | None = None
        self.errands_ns = 0

    def local(self, now: int) -> int:
        """As Tenant says."""
        return self.clock.local(now)

    def real(self, local: int) -> int:
        """As Tenant says."""
        return self.clock.real(local)


class StruckClients(LockClients):
    """As the module says."""

    def new_tenant(self, session: Session, options: LockOptions) -> Tenant:
        """As LockClients says."""
        return Struck(session, options)

    def begin_errands(self, errands_ns: int, seed: int) -> None:
        """Everybody runs errands from the start on, one each ``errands_ns``."""
        for tenant in self.tenants:
            tenant.errands_ns = errands_ns
            tenant.errands = self.errands_of(tenant, random.Random(f"{seed}/errands/{tenant.id}"))
            self.push_errand(tenant)

    def errands_of(self, tenant: Struck, dice: random.Random) -> Errands:
        """Those of one client."""
        return Errands(tenant.id, dice, partial(self.call, tenant), tenant.library, (0, 0, self.habits.lock_delay_ns))

    def call(self, tenant: Struck, name: str, *arguments: Any, **more: Any) -> int:
        """Ask the library for something; the number of the call."""
        if self.watcher is not None:
            self.watcher.begins(tenant, name, arguments[0] if arguments else None, self.queue.time)
        call: int = getattr(tenant.library, name)(*arguments, now=tenant.local(self.queue.time), **more)
        return call

    def push_errand(self, tenant: Struck) -> None:
        """The next one."""
        assert tenant.errands is not None
        wait_ns = int(tenant.errands_ns * tenant.errands.dice.uniform(0.5, 1.5))
        self.queue.push(self.queue.time + max(1, wait_ns), None, RETRY, 0, ERRAND + tenant.id)

    def run_errand(self, tenant: Struck) -> None:
        """It is time for one, unless the client is in no state for it."""
        if self.queue.time >= self.habits.stop_ns:
            return
        self.push_errand(tenant)
        if tenant.up and not tenant.paused and tenant.library.state == SAFE:
            assert tenant.errands is not None
            tenant.errands.step()
            self.attend(tenant)

    # What faults do

    def halt(self, client: int) -> None:
        """Its process is stopped."""
        self.tenants[client].paused = True

    def go_on(self, client: int) -> None:
        """Its process goes on: its timers first, of which one may be long overdue."""
        tenant = self.tenants[client]
        tenant.paused = False
        if tenant.up:
            self.tick(tenant)
        if not tenant.deaf:
            self.catch_up(tenant)

    def cut(self, client: int, deaf: bool) -> None:
        """Its network fails: what it says waits, and, where it is ``deaf`` too, what it should hear."""
        self.tenants[client].mute = True
        self.tenants[client].deaf = deaf

    def mend(self, client: int) -> None:
        """Its network works again: what was sent meanwhile gets through, either way."""
        tenant = self.tenants[client]
        tenant.mute = tenant.deaf = False
        unsent, tenant.unsent = tenant.unsent, []
        for effect in unsent:
            self.ask(tenant, effect)
        if tenant.up and not tenant.paused:
            self.catch_up(tenant)

    def catch_up(self, tenant: Struck) -> None:
        """Hear what has been missed."""
        missed, tenant.missed = tenant.missed, []
        for event in missed:
            event()

    def crash(self, client: int) -> None:
        """It dies; its lock, if it holds one, is released at some time, by the master."""
        tenant = self.tenants[client]
        self.happened(self.queue.time, tenant, DIED)
        if tenant.held is not None:
            self.lose(tenant, tenant.held, min(self.queue.time, tenant.lease_until_ns), BY_DEATH)
        self.begin_anew(tenant)
        tenant.missed, tenant.unsent = [], []
        tenant.crashed, tenant.up = True, False

    def restart(self, client: int) -> None:
        """Another takes its place."""
        tenant = self.tenants[client]
        tenant.crashed = False
        tenant.due_ns = self.queue.time
        self.queue.push(self.queue.time, None, ISSUE, tenant.id, 0)

    def come_back(self, tenant: Tenant) -> None:
        """As LockClients says."""
        errands: Errands | None = tenant.errands  # type: ignore[attr-defined]
        if errands is not None:
            errands.forget()
        LockClients.come_back(self, tenant)

    def set_clock_rate(self, client: int, rate: float) -> None:
        """Its clock runs at this rate from now on."""
        tenant = self.tenants[client]
        self.attend(tenant)
        tenant.clock.set_rate(rate, self.queue.time)
        tenant.wakes_ns = NEVER
        self.attend(tenant)

    # What happens

    def hears(self, tenant: Any, what: Callable[..., None], *arguments: Any) -> None:
        """It hears this now; later, where it is paused or deaf; never, where it is dead."""
        if not tenant.up:
            return
        if tenant.paused or tenant.deaf:
            tenant.missed.append(partial(what, tenant, *arguments))
        else:
            what(tenant, *arguments)

    def ask(self, tenant: Tenant, effect: Ask) -> None:
        """As LockClients says."""
        struck: Any = tenant
        if struck.mute:
            struck.unsent.append(effect)
        else:
            LockClients.ask(self, tenant, effect)

    def issue(self, client: int) -> None:
        """As LockClients says."""
        struck: Any = self.tenants[client]
        if struck.paused and not struck.crashed:
            struck.missed.append(partial(self.go_on_with, struck))
        elif not struck.crashed:
            self.go_on_with(struck)

    def go_on_with(self, tenant: Any) -> None:
        """The next step of a round. Who has slept beyond its lease notices that before anything else."""
        if tenant.up and tenant.local(self.queue.time) >= tenant.library.deadline:
            self.tick(tenant)
        LockClients.issue(self, tenant.id)

    def tick(self, tenant: Struck) -> None:
        """Let the library look at the clock."""
        tenant.wakes_ns = NEVER
        tenant.library.tick(tenant.local(self.queue.time))
        self.attend(tenant)

    def retry(self, argument: int) -> None:
        """As LockClients says; or it is time for an errand."""
        if argument >= ERRAND:
            self.run_errand(self.tenants[argument - ERRAND])
            return
        tenant = self.tenants[argument]
        if not tenant.paused:
            LockClients.retry(self, argument)

    def answered(self, client: int, sequence: int, result: bytes) -> None:
        """As Population says."""
        self.hears(self.tenants[client], self.hear_answer, sequence, result)

    def hear_answer(self, tenant: Struck, sequence: int, result: bytes) -> None:
        """An answer arrived."""
        LockClients.answered(self, tenant.id, sequence, result)

    def redirected(self, client: int, sequence: int, leader: int) -> None:
        """As Population says."""
        self.hears(self.tenants[client], self.hear_refusal, sequence, leader)

    def hear_refusal(self, tenant: Struck, sequence: int, leader: int) -> None:
        """A refusal arrived."""
        LockClients.redirected(self, tenant.id, sequence, leader)

    def reset(self, replica: int) -> None:
        """As Population says."""
        for tenant in self.tenants:
            self.hears(tenant, self.hear_reset, replica)

    def hear_reset(self, tenant: Struck, replica: int) -> None:
        """A replica that restarted has reset its connection."""
        tenant.library.disconnected(replica, tenant.local(self.queue.time))
        tenant.library.connected(replica, tenant.local(self.queue.time))
        self.attend(tenant)

    def completed(self, tenant: Tenant, effect: Completed) -> None:
        """As LockClients says; it may have been an errand."""
        errands: Errands | None = tenant.errands  # type: ignore[attr-defined]
        if errands is not None:
            errands.completed(effect.call, effect.answer)
        LockClients.completed(self, tenant, effect)

    def turned(self, tenant: Tenant, state: str) -> None:
        """As LockClients says."""
        errands: Errands | None = tenant.errands  # type: ignore[attr-defined]
        if state == EXPIRED and errands is not None:
            errands.forget()
        LockClients.turned(self, tenant, state)
