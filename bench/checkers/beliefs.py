"""What the clients and the masters of a lock service believe, held against what the log says (``bench.checkers.locks``).

Whoever runs the cell tells what happens, with the time of the world. A client is a ``Believer``; a replica has ``host``, ``up``
and ``local``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.checkers.locks import LockLog
from bench.checkers.statements import CACHES, EVENTS_AFTER, EXCLUSION, GRACE, KNOWN, LEASES, ONE_MASTER
from engines.lock_service.client import EXPIRED, JEOPARDY, SAFE
from engines.lock_service.commands import EXCLUSIVE, FREE, Checked, Contents, Expire, Granted, Written
from engines.lock_service.master import SERVING

if TYPE_CHECKING:
    from bench.checkers.invariants import Agreement
    from engines.lock_service.client import Client, Opening
    from engines.lock_service.options import LockOptions
    from engines.lock_service.tree import LockTree

FAIL_OVERS, ENTERED, LEFT, GRANTS = "master fail-overs", "jeopardy entered", "jeopardy left", "locks granted"
GIVEN_UP, TOLD_OVER = "grace periods over", "clients told that their session is over"
CACHED, INVALIDATED, HELD_TWICE = "reads from a cache", "cache entries invalidated", "locks held twice, in beliefs"
ACQUIRING = ("acquire", "try_acquire")
EVENTS_HEARD, FAIL_OVERS_HEARD = "events heard", "fail-overs heard of"


class Believer:
    """A client: its library, whether it is ``up``, and what its watcher has noted of it."""

    def __init__(self, id: int, library: Client) -> None:
        self.id = id
        self.library = library
        self.up = True
        self.seen_state = ""
        self.seen_session = 0  # of the lease that was last seen, which is valid until this by its own clock
        self.seen_until_ns = 0
        self.asked: dict[int, Any] = {}  # what is under way, by the number of the call
        self.cached: set[str] = set()  # the paths of what its cache was seen to have, in this session and epoch
        self.cached_session = 0
        self.cached_epoch = 0

    def local(self, now: int) -> int:
        """What its clock shows."""
        return now


class LockWatcher:
    """Of one cell. ``clocks`` says whether they keep to their bound: beyond it, beliefs may be wrong, and are only counted."""

    def __init__(
        self,
        agreement: Agreement,
        options: LockOptions,
        replicas: Sequence[Any],
        clients: Sequence[Believer],
        clocks: bool = True,
    ) -> None:
        self.log = LockLog(agreement, options, clocks)
        self.counts = self.log.counts
        self.options = options
        self.replicas = replicas
        self.clients = {client.id: client for client in clients}
        self.clocks = clocks
        self.beliefs: dict[int, tuple[int, int]] = {}  # of each replica as a master: its epoch, and until when
        self.acknowledged: dict[str, int] = {}  # the newest content generation that a writer was told
        self.holders: dict[str, dict[int, Believer]] = {}  # by handle; who holds it no more goes when looked at
        self.heard: dict[tuple[int, int], int] = {}  # events by handle and kind
        self.grants = 0
        self.cache_reads = 0

    # The log

    def applied(self, tree: LockTree, now: int) -> None:
        """A position was applied for the first time."""
        log = self.log
        log.applied(tree, now)
        if not log.lost and not log.ended:
            return
        for session, client in log.ended.items():
            person = self.clients.get(client)
            if person is None or type(tree.request) is not Expire or person.library.session != session:
                continue
            if self.believes(person, now):
                self.doubted(LEASES, f"client {client} believes in session {session}, which ended at {tree.applied}")
        for handle, client in log.lost.items():
            person = self.clients.get(client)
            if person is None:
                continue
            opening = person.library.handles.get(handle)
            if opening is not None and opening.held is not None and self.believes(person, now):
                self.doubted(EXCLUSION, f"client {client} believes to hold by {handle} what it lost at {tree.applied}")

    # Masters

    def believed(self, replica: int, now: int) -> None:
        """A replica leads, and may have begun to believe in a lease: does it, and does another?"""
        host = self.replicas[replica].host
        if host is None or not self.acts(replica, now):
            return
        belief = host.service.epoch, host.service.lease_until_ns
        before = self.beliefs.get(replica)
        if belief == before:
            return
        if before is None or before[0] != belief[0]:
            self.counts[FAIL_OVERS] += len(self.beliefs) > 0
        self.beliefs[replica] = belief
        for other in range(len(self.replicas)):
            if other != replica and self.acts(other, now):
                self.doubted(ONE_MASTER, f"replicas {other} and {replica} are masters at {now} ns")

    def acts(self, replica: int, now: int) -> bool:
        """Whether this replica is a master that believes in its lease."""
        node = self.replicas[replica]
        if not node.up or node.host is None or not node.host.leading:
            return False
        service = node.host.service
        return bool(service.stage == SERVING and node.local(now) < service.lease_until_ns)

    # Clients

    def believes(self, client: Believer, now: int) -> bool:
        """Whether it believes in its session."""
        return client.up and client.library.valid(client.local(now))

    def begins(self, client: Believer, name: str, argument: Any, now: int) -> None:
        """Before its library is asked, which may answer at once; ``argument`` is the first of the call."""
        library = client.library
        number = library.sequence + 1
        if name == "get_contents":
            self.reads(client, library.opening(argument).path, number)
        elif name == "set_contents":
            path = library.opening(argument).path
            if client.cached_session == library.session and client.cached_epoch == library.epoch:
                client.cached.discard(path)
            client.asked[number] = path
        elif name in ACQUIRING:
            client.asked[number] = argument
        elif name == "check_sequencer":
            client.asked[number] = argument, now

    def reads(self, client: Believer, path: str, number: int) -> None:
        """What it reads must not be older than what is acknowledged now."""
        library = client.library
        client.asked[number] = path, self.acknowledged.get(path, 0)
        if client.cached_session != library.session or client.cached_epoch != library.epoch:
            client.cached_session = library.session
            client.cached_epoch = library.epoch
            client.cached = set()
        if path in library.cache:
            self.cache_reads += 1
            client.cached.add(path)
        elif path in client.cached:
            self.counts[INVALIDATED] += library.state == SAFE
            client.cached.discard(path)

    def completed(self, client: Believer, call: int, answer: Any, now: int) -> None:
        """A call was answered."""
        if not client.asked:
            return
        asked = client.asked.pop(call, None)
        if asked is None:
            return
        kind = type(answer)
        if kind is Granted:
            self.granted(client, asked, now)
        elif kind is Written:
            self.acknowledged[asked] = max(self.acknowledged.get(asked, 0), answer.generation)
        elif kind is Contents:
            path, least = asked
            if answer.generation < least:
                what = f"client {client.id} read {path} of {answer.generation} after {least} was acknowledged"
                self.doubted(CACHES, what)
        elif kind is Checked and answer.valid:
            self.check_answer(client, *asked)

    def granted(self, client: Believer, handle: int, now: int) -> None:
        """A client was told that it has the lock of this handle."""
        self.grants += 1
        library = client.library
        opening = library.handles.get(handle)
        if opening is None or opening.held is None:
            if opening is not None and handle in self.log.lock(opening.path).holders and not library.busy(handle):
                self.log.violated(KNOWN, f"client {client.id} holds {opening.path} by {handle}, and does not know it")
            return
        holders = self.holders.get(opening.path)
        if holders is None:
            holders = self.holders[opening.path] = {}
        holders[handle] = client
        if self.believes(client, now):
            self.check(client, handle, opening, now)

    def check_answer(self, client: Believer, sequencer: Any, asked_ns: int) -> None:
        """A sequencer is valid, it is said: then it was at some time since that was asked."""
        lock = self.log.lock(sequencer.path)
        newer = lock.generation > sequencer.generation and lock.since_ns < asked_ns
        freed = lock.generation == sequencer.generation and lock.mode == FREE and lock.free_ns < asked_ns
        if newer or freed:
            self.doubted(CACHES, f"client {client.id} was told at {asked_ns} ns or later that {sequencer} is valid")

    def told(self, client: Believer, event: Any) -> None:
        """An event reached its application."""
        if not event.handle:
            self.counts[FAIL_OVERS_HEARD] += 1
            return
        self.counts[EVENTS_HEARD] += 1
        key = event.handle, event.kind
        self.heard[key] = self.heard.get(key, 0) + 1
        if self.heard[key] > self.log.notices[key]:
            what = f"client {client.id} heard {self.heard[key]} times of {event.kind} at {event.path}"
            self.log.violated(EVENTS_AFTER, f"{what}, which has happened {self.log.notices[key]} times")

    def turned(self, client: Believer, state: str, now: int) -> None:
        """Its session is in another state."""
        before, client.seen_state = client.seen_state, state
        self.counts[ENTERED] += state == JEOPARDY
        self.counts[LEFT] += state == SAFE and before == JEOPARDY
        session = client.seen_session
        if state != EXPIRED or not session:
            return
        over = session not in self.log.clients
        patient = before == JEOPARDY and client.local(now) >= client.seen_until_ns + self.options.grace_ns
        self.counts[GIVEN_UP] += patient
        self.counts[TOLD_OVER] += not patient
        if not (over or patient):
            self.doubted(GRACE, f"client {client.id} gave up session {session}, which goes on")

    def attended(self, client: Believer, now: int) -> None:
        """The end of a client's turn: a longer lease is a new belief in all that is held under it."""
        library = client.library
        if library.session == client.seen_session and library.lease_until_ns == client.seen_until_ns:
            return
        client.seen_session = library.session
        client.seen_until_ns = library.lease_until_ns
        if not self.believes(client, now):
            return
        if library.session in self.log.expired:
            self.doubted(LEASES, f"client {client.id} believes in session {library.session} at {now} ns, which is over")
        for handle, opening in library.handles.items():
            if opening.held is not None:
                self.check(client, handle, opening, now)

    def check(self, client: Believer, handle: int, opening: Opening, now: int) -> None:
        """A client has begun to believe that it holds a lock: does it, and whom does it contradict?"""
        held: Any = opening.held
        lock = self.log.lock(opening.path)
        if handle not in lock.holders or held.generation != lock.generation:
            self.doubted(EXCLUSION, f"client {client.id} believes to hold {held}, which it does not")
        holders = self.holders[opening.path]
        if len(holders) == 1:
            return
        for number in list(holders):
            person = holders[number]
            theirs = person.library.handles.get(number)
            if theirs is None or theirs.held is None:
                del holders[number]
            elif number != handle and EXCLUSIVE in (held.mode, theirs.held.mode) and self.believes(person, now):
                self.counts[HELD_TWICE] += 1
                self.doubted(EXCLUSION, f"clients {client.id} and {person.id} both believe to hold {opening.path}")

    def counted(self) -> Counter[str]:
        """How often each thing happened that is worth it (bench.exploration.coverage)."""
        return self.counts + Counter({GRANTS: self.grants, CACHED: self.cache_reads})

    def doubted(self, name: str, what: str) -> None:
        """A belief is wrong, which it must not be while clocks keep to their bound."""
        if self.clocks:
            self.log.violated(name, what)
