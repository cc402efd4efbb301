"""What the clients and the masters of a lock service believe, held against what the log says (``bench.checkers.locks``).

Whoever runs the cell tells what happens, with the time of the world. A client is anything with ``id``, its ``library``, ``up``
and ``local(now)``, what its clock shows; a replica has ``host``, ``up`` and ``local``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.checkers.locks import LockLog
from bench.checkers.statements import CACHES, EVENTS_AFTER, EXCLUSION, GRACE, LEASES, ONE_MASTER
from engines.lock_service.client import EXPIRED, JEOPARDY, SAFE
from engines.lock_service.commands import EXCLUSIVE, FREE, Checked, Contents, Expire, Granted, Written
from engines.lock_service.master import SERVING

if TYPE_CHECKING:
    from bench.checkers.invariants import Agreement
    from engines.lock_service.options import LockOptions
    from engines.lock_service.tree import LockTree

FAIL_OVERS, ENTERED, LEFT, GRANTS = "master fail-overs", "jeopardy entered", "jeopardy left", "locks granted"
GIVEN_UP, TOLD_OVER = "grace periods over", "clients told that their session is over"
CACHED, INVALIDATED, HELD_TWICE = "reads from a cache", "cache entries invalidated", "locks held twice, in beliefs"
ACQUIRING = ("acquire", "try_acquire")
EVENTS_HEARD, FAIL_OVERS_HEARD = "events heard", "fail-overs heard of"


class LockWatcher:
    """Of one cell. ``clocks`` says whether they keep to their bound: beyond it, beliefs may be wrong, and are only counted."""

    def __init__(
        self, agreement: Agreement, options: LockOptions, replicas: Sequence[Any], clients: Sequence[Any], clocks: bool = True
    ) -> None:
        self.log = LockLog(agreement, options, clocks)
        self.counts = self.log.counts
        self.options = options
        self.replicas = replicas
        self.clients = {client.id: client for client in clients}
        self.clocks = clocks
        self.leases: dict[int, tuple[int, int]] = {}  # of each client: its session, and until when by its own clock
        self.states: dict[int, str] = {}
        self.beliefs: dict[int, tuple[int, int]] = {}  # of each replica as a master: its epoch, and until when
        self.asked: dict[tuple[int, int], Any] = {}  # what is under way, by client and call
        self.acknowledged: dict[str, int] = {}  # the newest content generation that a writer was told
        self.cached: set[tuple[int, str, int, int]] = set()  # client, path, session, epoch
        self.holders: dict[str, set[tuple[int, int]]] = {}  # client and handle; who holds it no more goes when looked at
        self.heard: dict[tuple[int, int], int] = {}  # events by handle and kind
        self.grants = 0

    # The log

    def applied(self, tree: LockTree, now: int) -> None:
        """A position was applied for the first time."""
        log = self.log
        log.applied(tree, now)
        if not log.lost and not log.ended:
            return
        for session, client in log.ended.items():
            person = self.clients.get(client)
            expired = type(tree.request) is Expire and person is not None and person.library.session == session
            if expired and self.believes(person, now):
                self.doubted(LEASES, f"client {client} believes in session {session}, which ended at {tree.applied}")
        for handle, client in log.lost.items():
            person = self.clients.get(client)
            opening = None if person is None else person.library.handles.get(handle)
            if opening is not None and opening.held is not None and self.holds(person, handle, now):
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

    def believes(self, client: Any, now: int) -> bool:
        """Whether it believes in its session."""
        return bool(client.up and client.library.valid(client.local(now)))

    def holds(self, client: Any, handle: int, now: int) -> bool:
        """Whether it believes to hold a lock by this handle."""
        return bool(client.up and client.library.holds(handle, client.local(now)))

    def begins(self, client: Any, name: str, argument: Any, now: int) -> None:
        """Before its library is asked, which may answer at once; ``argument`` is the first of the call."""
        number = client.id, client.library.sequence + 1
        if name in ACQUIRING:
            self.asked[number] = argument
        elif name == "set_contents":
            path = client.library.opening(argument).path
            self.cached.discard((client.id, path, client.library.session, client.library.epoch))
            self.asked[number] = path
        elif name == "get_contents":
            self.reads(client, client.library.opening(argument).path, number)
        elif name == "check_sequencer":
            self.asked[number] = argument, now

    def reads(self, client: Any, path: str, number: tuple[int, int]) -> None:
        """What it reads must not be older than what is acknowledged now."""
        library = client.library
        self.asked[number] = path, self.acknowledged.get(path, 0)
        entry = client.id, path, library.session, library.epoch
        if path in library.cache:
            self.counts[CACHED] += 1
            self.cached.add(entry)
        elif entry in self.cached:
            self.counts[INVALIDATED] += library.state == SAFE
            self.cached.discard(entry)

    def completed(self, client: Any, call: int, answer: Any, now: int) -> None:
        """A call was answered."""
        asked = self.asked.pop((client.id, call), None)
        if asked is None:
            return
        if type(answer) is Granted:
            self.granted(client, asked, now)
        elif type(answer) is Written:
            self.acknowledged[asked] = max(self.acknowledged.get(asked, 0), answer.generation)
        elif type(answer) is Contents:
            path, least = asked
            if answer.generation < least:
                what = f"client {client.id} read {path} of {answer.generation} after {least} was acknowledged"
                self.doubted(CACHES, what)
        elif type(answer) is Checked and answer.valid:
            self.check_answer(client, *asked)

    def granted(self, client: Any, handle: int, now: int) -> None:
        """A client was told that it has the lock of this handle."""
        self.grants += 1
        opening = client.library.handles.get(handle)
        if opening is None or opening.held is None:
            return
        holders = self.holders.get(opening.path)
        if holders is None:
            holders = self.holders[opening.path] = set()
        holders.add((client.id, handle))
        self.check(client, handle, opening, now)

    def check_answer(self, client: Any, sequencer: Any, asked_ns: int) -> None:
        """A sequencer is valid, it is said: then it was at some time since that was asked."""
        lock = self.log.lock(sequencer.path)
        newer = lock.generation > sequencer.generation and lock.since_ns < asked_ns
        freed = lock.generation == sequencer.generation and lock.mode == FREE and lock.free_ns < asked_ns
        if newer or freed:
            self.doubted(CACHES, f"client {client.id} was told at {asked_ns} ns or later that {sequencer} is valid")

    def told(self, client: Any, event: Any) -> None:
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

    def turned(self, client: Any, state: str, now: int) -> None:
        """Its session is in another state."""
        before = self.states.get(client.id)
        self.states[client.id] = state
        self.counts[ENTERED] += state == JEOPARDY
        self.counts[LEFT] += state == SAFE and before == JEOPARDY
        session, until_ns = self.leases.get(client.id, (0, 0))
        if state != EXPIRED or not session:
            return
        over = session not in self.log.clients
        patient = before == JEOPARDY and client.local(now) >= until_ns + self.options.grace_ns
        self.counts[GIVEN_UP] += patient
        self.counts[TOLD_OVER] += not patient
        if not (over or patient):
            self.doubted(GRACE, f"client {client.id} gave up session {session}, which goes on")

    def attended(self, client: Any, now: int) -> None:
        """The end of a client's turn: a longer lease is a new belief in all that is held under it."""
        library = client.library
        lease = library.session, library.lease_until_ns
        before = self.leases.get(client.id)
        if lease == before:
            return
        self.leases[client.id] = lease
        if not library.valid(client.local(now)):
            return
        if library.session in self.log.expired:
            self.doubted(LEASES, f"client {client.id} believes in session {library.session} at {now} ns, which is over")
        for handle, opening in library.handles.items():
            self.check(client, handle, opening, now)

    def check(self, client: Any, handle: int, opening: Any, now: int) -> None:
        """A client has begun to believe that it holds a lock: does it, and whom does it contradict?"""
        if opening.held is None or not self.holds(client, handle, now):
            return
        lock = self.log.lock(opening.path)
        if handle not in lock.holders or opening.held.generation != lock.generation:
            self.doubted(EXCLUSION, f"client {client.id} believes to hold {opening.held}, which it does not")
        holders = self.holders[opening.path]
        if len(holders) == 1:
            return
        for other in sorted(holders - {(client.id, handle)}):
            person, number = self.clients[other[0]], other[1]
            theirs = person.library.handles.get(number)
            if theirs is None or theirs.held is None:
                holders.discard(other)
            elif EXCLUSIVE in (opening.held.mode, theirs.held.mode) and self.holds(person, number, now):
                self.counts[HELD_TWICE] += 1
                self.doubted(EXCLUSION, f"clients {client.id} and {other[0]} both believe to hold {opening.path}")

    def counted(self) -> Counter[str]:
        """How often each thing happened that is worth it (bench.exploration.coverage)."""
        return self.counts + Counter({GRANTS: self.grants})

    def doubted(self, name: str, what: str) -> None:
        """A belief is wrong, which it must not be while clocks keep to their bound."""
        if self.clocks:
            self.log.violated(name, what)
