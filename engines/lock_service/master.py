"""The master of a cell: sessions and their leases, held requests, caches (Burrows 2006, sections 2.2 and 2.7 to 2.9).

The replica that leads becomes master by stages:

    FOLLOWING --led--> TAKING_OVER --its TakeOver is applied--> WAITING --no older lease can be valid--> SERVING

and is FOLLOWING again as soon as it is deposed. Requests that come before it serves wait.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Any

from engines.core import NEVER
from engines.lock_service.commands import (
    DONE,
    EPHEMERAL,
    INVALIDATED,
    NO_HANDLE,
    NO_SESSION,
    QUEUED,
    WITHDRAWN,
    Acquire,
    Checked,
    CheckSequencer,
    Contents,
    Delete,
    EndDelay,
    Event,
    Expire,
    Extended,
    GetContents,
    Granted,
    KeepAlive,
    OpenSession,
    Renew,
    SessionOpened,
    SetContents,
    Taken,
    TakeOver,
    decode_answer,
    decode_request,
    encode_answer,
    encode_own,
)
from engines.lock_service.options import LockOptions
from engines.lock_service.tree import Delay, End, Handover, LockTree, Notice, Withdrawal, refused
from engines.machine import MALFORMED, STALE, sequence_of
from engines.service import OWN, Service, ServiceEffect

FOLLOWING, TAKING_OVER, WAITING, SERVING = "following", "taking over", "waiting", "serving"
RENEWALS = 3  # in the time of a master lease
# What an alarm is about.
SERVE, RENEW, REPLY, EXPIRY, DELAY = range(5)


class Lease:
    """A session as its master sees it. Times are of the master's clock."""

    def __init__(self, session: int, until_ns: int) -> None:
        self.session = session
        self.until_ns = until_ns  # not ended before; never moved backwards (2.8)
        self.granted_ns = 0  # the end that the client was told of
        self.expiring = False
        self.alarmed = False  # to answer the KeepAlive in time
        self.held: tuple[int, int, int] | None = None  # the KeepAlive: client, sequence, when it came
        self.events: list[Event] = []  # that the client has not acknowledged
        self.numbered = 0
        self.cached: set[str] = set()  # what the client may have in its cache
        self.awaited: dict[str, int] = {}  # the path of each barrier that waits for it, and until which event


class Barrier:
    """A node that is about to change: nobody may cache it, and writes wait until nobody has it in its cache (2.7)."""

    def __init__(self) -> None:
        self.sessions: set[int] = set()  # whose caches are not known to be rid of it
        self.writes: list[tuple[int, int, bytes]] = []  # client, sequence, command
        self.proposed = 0


class Master(Service):
    """The service beside a LockTree, at replica ``id``."""

    def __init__(self, id: int, tree: LockTree, options: LockOptions) -> None:
        super().__init__()
        self.id = id
        self.tree = tree
        self.options = options
        self.forget()

    def forget(self) -> None:
        """All that a master keeps in memory (2.9)."""
        self.stage = FOLLOWING
        self.epoch = 0
        self.lease_until_ns = 0
        self.renewals: deque[int] = deque()  # when those under way were proposed
        self.alarms: list[tuple[int, int, int, Any]] = []
        self.alarm_count = 0
        self.early: dict[tuple[int, int], bytes] = {}  # what came before it could be served
        self.leases: dict[int, Lease] = {}
        self.unaware: set[int] = set()  # sessions that do not know of this epoch yet
        self.caching: dict[str, set[int]] = {}
        self.barriers: dict[str, Barrier] = {}
        self.writing: dict[tuple[int, int], str] = {}  # every write that waits or is proposed, and its path
        self.waiting: dict[int, tuple[int, int]] = {}  # the handle of each Acquire that waits: client, sequence
        self.deadline = NEVER

    # What the host tells

    def led(self, now: int) -> list[ServiceEffect]:
        """2.9.1: a new epoch, and the master lease counts from here."""
        self.begin(now)
        self.stage = TAKING_OVER
        self.renewals.append(now)
        self.propose(OWN, encode_own(TakeOver(self.id)))
        return self.effects

    def deposed(self, now: int) -> list[ServiceEffect]:
        """Whoever waits may ask the next master; what was proposed is the host's to let go."""
        self.begin(now)
        held = [*self.early, *self.waiting.values()]
        held += [(client, sequence) for barrier in self.barriers.values() for client, sequence, _ in barrier.writes]
        held += [lease.held[:2] for lease in self.leases.values() if lease.held is not None]
        for client, sequence in held:
            self.let_go(client, sequence)
        self.forget()
        return self.effects

    def request(self, client: int, command: bytes, now: int) -> list[ServiceEffect]:
        """As Service says."""
        self.begin(now)
        if self.stage == SERVING:
            self.take(client, command)
        else:
            self.early[client, sequence_of(command)] = command
        return self.ready()

    def applied(self, origin: int, command: bytes, result: bytes, now: int) -> list[ServiceEffect]:
        """As Service says. What was decided before this epoch began is in the tree, and needs no telling."""
        self.begin(now)
        request = self.tree.request if command else None
        if origin == OWN:
            if type(request) is TakeOver:
                self.take_over(result)
            elif type(request) is Renew:
                self.renewed(result)
        if self.stage == SERVING and command:
            if type(request) is OpenSession and origin >= 0:
                self.opened(result)
            self.tell()
            if origin >= 0:
                self.conclude(origin, sequence_of(command), request, result)
        return self.ready()

    def tick(self, now: int) -> list[ServiceEffect]:
        """As Service says."""
        self.begin(now)
        while self.alarms and self.alarms[0][0] <= now:
            _, _, kind, about = heapq.heappop(self.alarms)
            getattr(self, ALARMS[kind])(about)
        return self.ready()

    def ready(self) -> list[ServiceEffect]:
        """The end of a call."""
        self.deadline = self.alarms[0][0] if self.alarms else NEVER
        return self.effects

    def alarm(self, due_ns: int, kind: int, about: Any = None) -> None:
        """Have something done at ``due_ns``; among those due together, in the order of this call."""
        self.alarm_count += 1
        heapq.heappush(self.alarms, (due_ns, self.alarm_count, kind, about))

    # The master's own lease

    def take_over(self, result: bytes) -> None:
        """This epoch has begun, and no renewal of an older one counts from here on. Those that did were proposed before this
        moment, so that within the bound on clocks the leases are over a full lease from now.
        """
        taken = decode_answer(result)
        assert type(taken) is Taken and self.stage == TAKING_OVER
        self.stage = WAITING
        self.epoch = taken.epoch
        self.extend_own_lease()
        wait_ns = self.options.longest_ns(self.options.master_lease_ns) if taken.before else 0
        self.alarm(self.now + wait_ns, SERVE)
        self.propose_renewal()

    def propose_renewal(self, _: Any = None) -> None:
        """Three times a lease, so that one may be late."""
        self.renewals.append(self.now)
        self.propose(OWN, encode_own(Renew(self.epoch)))
        self.alarm(self.now + self.options.master_lease_ns // RENEWALS, RENEW)

    def renewed(self, result: bytes) -> None:
        """The lease goes on; what had waited for it can be served."""
        assert result == DONE, "a master whose epoch is over has been deposed"
        lapsed = not self.leased()
        self.extend_own_lease()
        if self.stage == SERVING and lapsed and self.leased():
            self.catch_up()

    def extend_own_lease(self) -> None:
        """From when it was proposed, not from when it was decided: a successor may have been told the latter first."""
        self.lease_until_ns = self.renewals.popleft() + self.options.master_lease_ns
        self.beliefs += 1

    def leased(self) -> bool:
        """Whether no other master can be acting."""
        return self.now < self.lease_until_ns

    def serve(self, _: Any = None) -> None:
        """2.9.3 to 2.9.6: every session may have been given a lease by the last master just before it ended, and may have
        cached anything.
        """
        self.stage = SERVING
        self.beliefs += 1
        until_ns = self.now + self.options.longest_ns(self.options.lease_ns)
        for session in self.tree.tenancies:
            self.begin_lease(Lease(session, until_ns))
            self.unaware.add(session)
        for node in self.tree.nodes.values():
            if node.delayed:
                self.delay(Delay(node.path, node.instance, node.owed_ns))
        self.catch_up()

    def catch_up(self) -> None:
        """Serve what had to wait."""
        early, self.early = self.early, {}
        for (client, _), command in early.items():
            self.take(client, command)
        for lease in list(self.leases.values()):
            self.reply_if_due(lease)

    # Requests

    def take(self, client: int, command: bytes) -> None:
        """What is read from memory needs the master's lease; what is decided does not."""
        sequence = sequence_of(command)
        try:
            request = decode_request(command)
        except ValueError:
            self.answer(client, sequence, MALFORMED)
            return
        read = READS.get(type(request))
        if read is not None:
            if self.leased():
                getattr(self, read)(client, sequence, request)
            else:
                self.early[client, sequence] = command
        elif type(request) is SetContents or type(request) is Delete:
            self.write(client, sequence, request, command)
        elif type(request) is Acquire and self.waiting.get(request.handle) == (client, sequence):
            self.answer(client, sequence, QUEUED)
        else:
            self.propose(client, command)

    def conclude(self, client: int, sequence: int, request: Any, result: bytes) -> None:
        """Answer a command that was applied."""
        if type(request) is Acquire and result == QUEUED:
            result = self.queued(client, sequence, request.handle)
        path = self.writing.pop((client, sequence), None)
        if path is not None:
            self.written(path)
        self.answer(client, sequence, result)

    def queued(self, client: int, sequence: int, handle: int) -> bytes:
        """An Acquire was queued: now, or, where it is a retry, at its first time, and much may have happened since."""
        opened = self.tree.handles.get(handle)
        node = None if opened is None else self.tree.node_of(opened)
        if node is None:
            return refused(NO_HANDLE)
        if handle in node.holders:
            return encode_answer(Granted(node.lock_generation))
        if all(waiter.handle != handle for waiter in node.waiters):
            return refused(WITHDRAWN)
        if self.waiting.get(handle, (client, 0))[1] > sequence:
            return refused(WITHDRAWN)  # a late copy: the handle waits by another Acquire since
        self.waiting[handle] = (client, sequence)
        return QUEUED

    def tell(self) -> None:
        """What the last command brought for others (events come after what they tell of, 2.5)."""
        for news in self.tree.news:
            getattr(self, NEWS[type(news)])(news)

    def handed_over(self, news: Handover) -> None:
        """Who waited has the lock; if its client has not asked this master yet, it will."""
        waited = self.waiting.pop(news.handle, None)
        if waited is not None:
            client, sequence = waited
            self.answer(client, sequence, encode_answer(Granted(news.generation)))

    def withdrawn(self, news: Withdrawal) -> None:
        """Who waited will not have it."""
        waited = self.waiting.pop(news.handle, None)
        if waited is not None:
            client, sequence = waited
            self.answer(client, sequence, refused(WITHDRAWN))

    def delay(self, news: Delay) -> None:
        """2.4. Where another master had begun to count, this one begins anew."""
        self.alarm(self.now + news.duration_ns, DELAY, (news.path, news.instance))

    def end_delay(self, about: tuple[str, int]) -> None:
        """The lock-delay is over."""
        self.propose(OWN, encode_own(EndDelay(self.epoch, *about)))

    def notice(self, news: Notice) -> None:
        """An event that a client subscribes to."""
        lease = self.leases.get(news.session)
        if lease is not None:
            self.post(lease, news.kind, news.handle, news.path)

    # Sessions

    def opened(self, result: bytes) -> None:
        """A session begins. (A retry of its OpenSession may come later than its end, or than its answer is remembered.)"""
        if result == STALE:
            return
        session = decode_answer(result)
        if type(session) is SessionOpened and session.session in self.tree.tenancies and session.session not in self.leases:
            self.begin_lease(Lease(session.session, self.now + self.options.lease_ns))

    def begin_lease(self, lease: Lease) -> None:
        """From now on."""
        self.leases[lease.session] = lease
        self.alarm(lease.until_ns, EXPIRY, lease)

    def keep_alive(self, client: int, sequence: int, request: KeepAlive) -> None:
        """2.8: it is held until the lease is nearly over, or there is something to tell."""
        lease = self.leases.get(request.session)
        if lease is None:
            self.answer(client, sequence, refused(NO_SESSION))
            return
        lease.held = (client, sequence, self.now)
        if request.epoch == self.epoch:
            self.acknowledged(lease, request.heard)
        if not lease.expiring:
            self.reply_if_due(lease, request.epoch != self.epoch)

    def acknowledged(self, lease: Lease, heard: int) -> None:
        """The client knows of this epoch, which emptied its cache, and of events up to this one."""
        self.unaware.discard(lease.session)
        lease.events = [event for event in lease.events if event.number > heard]
        for path in [path for path, number in lease.awaited.items() if number <= heard]:
            self.rid(lease, path)

    def reply_if_due(self, lease: Lease, at_once: bool = False) -> None:
        """Answer the KeepAlive that is held, or see to it that this happens in time."""
        if lease.held is None or lease.expiring:
            return
        due_ns = lease.granted_ns - self.options.answer_before_ns
        if at_once or lease.events or self.now >= due_ns:
            if self.leased():
                self.reply(lease)
        elif not lease.alarmed:
            lease.alarmed = True
            self.alarm(due_ns, REPLY, lease)

    def reply_in_time(self, lease: Lease) -> None:
        """The alarm of a lease, which may have been extended since."""
        lease.alarmed = False
        self.reply_if_due(lease)

    def reply(self, lease: Lease) -> None:
        """Extend the lease. Clients count from when they sent the KeepAlive, so this tells them from when it came."""
        assert lease.held is not None and self.leased()
        client, sequence, came_ns = lease.held
        lease.held = None
        lease.granted_ns = self.now + self.options.lease_ns
        lease.until_ns = max(lease.until_ns, lease.granted_ns)
        self.answer(client, sequence, encode_answer(Extended(self.epoch, lease.granted_ns - came_ns, tuple(lease.events))))

    def post(self, lease: Lease, kind: int, handle: int, path: str) -> int:
        """Tell a client something with its KeepAlive; the number of the event."""
        lease.numbered += 1
        lease.events.append(Event(lease.numbered, kind, handle, path))
        self.reply_if_due(lease)
        return lease.numbered

    def expire(self, lease: Lease) -> None:
        """The lease is over, unless it was extended since. Without a lease of its own a master could not have extended any,
        and blames nobody: timers stand still while there is no master (2.9).
        """
        if lease.expiring or self.leases.get(lease.session) is not lease:
            return
        if self.now < lease.until_ns:
            self.alarm(lease.until_ns, EXPIRY, lease)
        elif not self.leased():
            self.alarm(self.now + self.options.master_lease_ns, EXPIRY, lease)
        else:
            lease.expiring = True
            self.rid_of_all(lease)
            self.propose(OWN, encode_own(Expire(self.epoch, lease.session)))

    def ended(self, news: End) -> None:
        """A session is over: its client is told if it asks, now or later."""
        lease = self.leases.pop(news.session, None)
        if lease is not None:
            self.rid_of_all(lease)
            if lease.held is not None:
                client, sequence, _ = lease.held
                self.answer(client, sequence, refused(NO_SESSION))

    # Files and caches

    def get_contents(self, client: int, sequence: int, request: GetContents) -> None:
        """From memory: it is as fresh as can be, since all that this master acknowledged was applied here, and no other
        acknowledges anything while its lease is valid.
        """
        node, why = self.tree.target(request.session, request.handle)
        lease = self.leases.get(request.session)
        if node is None or lease is None or lease.expiring:
            self.answer(client, sequence, refused(why if node is None else NO_SESSION))
            return
        # Ephemeral nodes vanish with their sessions, and that waits for nobody's cache.
        cachable = node.path not in self.barriers and node.kind != EPHEMERAL and lease.session not in self.unaware
        if cachable:
            self.caching.setdefault(node.path, set()).add(lease.session)
            lease.cached.add(node.path)
        contents = Contents(
            self.epoch, node.contents, node.instance, node.content_generation, node.lock_generation, cachable
        )
        self.answer(client, sequence, encode_answer(contents))

    def check_sequencer(self, client: int, sequence: int, request: CheckSequencer) -> None:
        """2.6."""
        self.answer(client, sequence, encode_answer(Checked(self.tree.holds(request.sequencer))))

    def write(self, client: int, sequence: int, request: SetContents | Delete, command: bytes) -> None:
        """2.7: a change waits until no other client can have the old state in its cache. The writer has seen to its own."""
        if (client, sequence) in self.writing:
            return
        known = self.tree.sessions.result_of(client, sequence)
        if known is not None:  # a late copy: its writer may have cached anew what it wrote
            self.answer(client, sequence, known)
            return
        node, _ = self.tree.target(request.session, request.handle)
        if node is None:
            self.propose(client, command)  # and be refused
            return
        barrier = self.barriers.get(node.path)
        if barrier is None:
            barrier = self.barriers[node.path] = Barrier()
        self.writing[client, sequence] = node.path
        barrier.writes.append((client, sequence, command))
        self.invalidate(node.path, barrier, request.session)
        self.pass_barrier(barrier)
        if barrier.writes:
            self.answer(client, sequence, QUEUED)

    def invalidate(self, path: str, barrier: Barrier, writer: int) -> None:
        """Tell who may have it in its cache; who has not heard of this epoch yet may have anything (2.9.5)."""
        cached = self.caching.pop(path, set())
        for session in cached:
            lease = self.leases[session]
            lease.cached.discard(path)
        for session in sorted((cached | self.unaware) - {writer}):
            lease = self.leases[session]
            barrier.sessions.add(session)
            lease.awaited[path] = 0 if session in self.unaware else self.post(lease, INVALIDATED, 0, path)

    def rid(self, lease: Lease, path: str) -> None:
        """The client's cache does not have it any more."""
        del lease.awaited[path]
        barrier = self.barriers[path]
        barrier.sessions.discard(lease.session)
        self.pass_barrier(barrier)

    def rid_of_all(self, lease: Lease) -> None:
        """A client whose lease is over has emptied its cache (2.8)."""
        self.unaware.discard(lease.session)
        for path in lease.cached:
            self.caching[path].discard(lease.session)
        lease.cached = set()
        for path in list(lease.awaited):
            self.rid(lease, path)

    def pass_barrier(self, barrier: Barrier) -> None:
        """Let the writes go on if nobody is waited for."""
        if not barrier.sessions:
            barrier.proposed += len(barrier.writes)
            for client, _, command in barrier.writes:
                self.propose(client, command)
            barrier.writes = []

    def written(self, path: str) -> None:
        """A write was applied: with the last of them, the node may be cached again."""
        barrier = self.barriers[path]
        barrier.proposed -= 1
        if not barrier.proposed and not barrier.writes:
            del self.barriers[path]


READS: dict[Any, str] = {
    KeepAlive: "keep_alive",
    GetContents: "get_contents",
    CheckSequencer: "check_sequencer",
}
NEWS: dict[Any, str] = {
    Handover: "handed_over",
    Withdrawal: "withdrawn",
    Delay: "delay",
    End: "ended",
    Notice: "notice",
}
ALARMS: dict[int, str] = {
    SERVE: "serve",
    RENEW: "propose_renewal",
    REPLY: "reply_in_time",
    EXPIRY: "expire",
    DELAY: "end_delay",
}
