"""A cell for tests: hosts with any engine, clients with the library, in virtual time with faults of every kind.

    cell = Cell(Raft, clients=2)
    alice, bob = cell.clients
    cell.start()                                   # a master, and a session each
    lock = cell.open(alice, "/lock")
    cell.call(alice, "acquire", lock, EXCLUSIVE)   # the answer, once it is there

Every machine has its own clock, which may run at its own rate, stand still for nobody, and yet be watched: a paused machine
does nothing while its clock goes on. Links keep order; a cut one holds what is sent until it is mended, a crash loses it.
But clients' requests may come by another way, and late (``astray``), as where a retry goes by another connection.

Always watched, by the product's own watchers: that replicas agree, and what bench.checkers.beliefs says of a lock service.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from bench.checkers.beliefs import Believer, LockWatcher
from bench.checkers.invariants import Agreement
from bench.driver.host import Host, HostOptions, World
from bench.driver.occasions import ACCEPTED
from engines.core import NEVER, Configuration, Engine, Message, Persist
from engines.lock_service import Client, LockOptions, LockTree, Master
from engines.lock_service.client import EXPIRED, NONE, SAFE, Ask, Completed, Told, Turned
from engines.lock_service.commands import FILE, Answer, Opened

MS = 1_000_000
SECOND = 1_000_000_000
MILLION = 1_000_000
PATIENCE_NS = 60 * SECOND
LATEST_NS = 300 * MS
OPTIONS = LockOptions(
    lease_ns=1200 * MS,
    answer_before_ns=500 * MS,
    grace_ns=4500 * MS,
    lock_delay_ns=6000 * MS,
    master_lease_ns=300 * MS,
    request_ns=100 * MS,
    skew_ppm=50_000,
)


class Violation(AssertionError):  # noqa: N818 (what it is, not what went wrong with the test)
    """Something happened that no schedule may bring about."""


def require(condition: object, complaint: str) -> None:
    """An assert that stays when Python is asked to drop them."""
    if not condition:
        raise Violation(complaint)


class Actor:
    """Something with a clock: a replica or a client. ``rate_ppm`` is how fast its clock runs, a million is right."""

    def __init__(self) -> None:
        self.rate_ppm = MILLION
        self.up = True
        self.paused_until = 0
        self.incarnation = 0
        self.wake_at = NEVER

    def local(self, now: int) -> int:
        return now * self.rate_ppm // MILLION

    def true(self, local: int) -> int:
        """The first moment at which its clock shows this."""
        return -(-local * MILLION // self.rate_ppm)


class Replica(Actor):
    """A host while it is up, and its disk."""

    def __init__(self, id: int) -> None:
        super().__init__()
        self.id = id
        self.host: Any = None
        self.stable: list[Any] = []
        self.compaction_from = 0


class Person(Actor, Believer):
    """A client, what it was told, and what it does about it."""

    def __init__(self, id: int, replicas: int, options: LockOptions) -> None:
        Actor.__init__(self)
        Believer.__init__(self, id, Client(id, replicas, options))
        self.answers: dict[int, Answer] = {}
        self.told: list[Any] = []
        self.states: list[str] = []
        self.errands: Any = None
        self.cut: set[int] = set()

    def valid(self, now: int) -> bool:
        """Whether it believes in its session."""
        return self.up and self.library.valid(self.local(now))


class Cell(World):
    """Replicas of one engine and their clients."""

    def __init__(
        self,
        engine: type[Engine],
        replicas: int = 3,
        clients: int = 1,
        seed: int = 0,
        options: LockOptions = OPTIONS,
        **host: Any,
    ) -> None:
        self.dice = random.Random(f"{engine.NAME} {seed}")
        self.engine = engine
        self.options = options
        self.host_options = HostOptions(pipeline=8, max_commands=4, **host)
        self.configuration = Configuration(
            voters=tuple(range(replicas)), election_timeout_ns=(100 * MS, 200 * MS), heartbeat_ns=20 * MS, initial_leader=0
        )
        self.replicas = [Replica(id) for id in range(replicas)]
        self.clients = [Person(100 + number, replicas, options) for number in range(clients)]
        self.people = {person.id: person for person in self.clients}
        self.now = 0
        self.agenda: list[tuple[int, int, Actor | None, Callable[[], None]]] = []
        self.count = 0
        self.last_due: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.epochs: defaultdict[tuple[int, int], int] = defaultdict(int)  # of connections
        self.under_way: defaultdict[tuple[int, int], deque[Callable[[], None]]] = defaultdict(deque)
        self.stalled: defaultdict[tuple[int, int], int] = defaultdict(int)  # of these, arrivals that a cut holds up
        self.cut_links: set[tuple[int, int]] = set()
        self.spread_ns = MS
        self.astray = 0.0  # of requests
        self.agreement = Agreement(replicas)
        self.watch = LockWatcher(self.agreement, options, self.replicas, self.clients)
        self.asked = 0
        for replica in self.replicas:
            self.boot(replica)

    # Time

    def at(self, due: int, actor: Actor | None, action: Callable[[], None]) -> None:
        """Do something, on an actor that is not paused by then."""
        self.count += 1
        heapq.heappush(self.agenda, (due, self.count, actor, action))

    def run(self, duration_ns: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; true as soon as ``until`` holds."""
        end = self.now + duration_ns
        while until is None or not until():
            if not self.agenda or self.agenda[0][0] > end:
                self.now = end
                return False
            due, order, actor, action = heapq.heappop(self.agenda)
            self.now = max(self.now, due)
            if actor is not None and actor.paused_until > self.now:
                heapq.heappush(self.agenda, (actor.paused_until, order, actor, action))
                continue
            action()
        return True

    def eventually(self, condition: Callable[[], bool], patience_ns: int = PATIENCE_NS) -> None:
        """Let time pass until this holds."""
        assert self.run(patience_ns, condition), "it never came about"

    # Replicas

    def boot(self, replica: Replica) -> None:
        """A new incarnation."""
        replica.up = True
        replica.incarnation += 1
        replica.wake_at = NEVER
        tree = LockTree()
        dice = random.Random(self.dice.getrandbits(64))
        service = Master(replica.id, tree, self.options)
        replica.host = Host(self, self.engine(replica.id, self.configuration, dice), tree, self.host_options, service)
        self.agreement.restarted(replica.id)
        for person in self.clients:
            self.post(replica.id, person, lambda person=person: self.heard(person, "connected", replica.id))
        replica.host.start(list(replica.stable), replica.local(self.now))
        self.arm(replica)

    def crash(self, replica: Replica, survivors: int = 0) -> None:
        """Power is lost; connections break when the others notice, which is at once."""
        for persist in replica.host.writing[:survivors]:
            self.keep(replica, persist)
        replica.up = False
        replica.host = None
        replica.paused_until = 0
        for other in self.replicas:
            if other is not replica:
                self.reset(replica.id, other.id)
                if other.up:
                    self.tell_disconnected(other, replica.id)
        for person in self.clients:
            self.reset(replica.id, person.id)
            self.post(replica.id, person, lambda person=person: self.heard(person, "disconnected", replica.id))

    def reset(self, one: int, other: int) -> None:
        """What is under way between two is lost."""
        for link in ((one, other), (other, one)):
            self.epochs[link] += 1
            self.under_way[link].clear()
            self.stalled[link] = 0

    def tell_disconnected(self, replica: Replica, peer: int) -> None:
        """As soon as it is not paused; before anything new of this peer."""

        def tell() -> None:
            if replica.up:
                replica.host.disconnected(peer, replica.local(self.now))
                self.arm(replica)

        self.at(self.now, replica, tell)

    def arm(self, replica: Replica) -> None:
        """See to it that the host is woken."""
        deadline = replica.host.deadline
        if deadline == NEVER:
            return
        wake_at = max(replica.true(deadline), self.now)
        if wake_at < replica.wake_at:
            replica.wake_at = wake_at
            host = replica.host

            def wake() -> None:
                if replica.host is host and replica.wake_at == wake_at:
                    replica.wake_at = NEVER
                    if replica.local(self.now) >= host.deadline:
                        host.wake(replica.local(self.now))
                    self.arm(replica)

            self.at(wake_at, replica, wake)

    def masters(self) -> list[Replica]:
        """Those that serve."""
        return [replica for replica in self.replicas if replica.up and replica.host.service.stage == "serving"]

    # Links

    def post(self, sender: int, receiver: Actor, action: Callable[[], None]) -> None:
        """Have something arrive, in order; not if the connection breaks before."""
        link = (sender, receiver.id)  # type: ignore[attr-defined]
        self.under_way[link].append(action)
        self.arrive_later(link, receiver)

    def arrive_later(self, link: tuple[int, int], receiver: Actor) -> None:
        """Have what is first on its way by then arrive."""
        if link in self.cut_links:
            self.stalled[link] += 1
            return
        due = max(self.last_due[link], self.now + MS // 10 + self.dice.randint(0, self.spread_ns))
        self.last_due[link] = due
        epoch = self.epochs[link]

        def arrive() -> None:
            if self.epochs[link] != epoch:
                return
            if link in self.cut_links:
                self.stalled[link] += 1
            else:
                self.under_way[link].popleft()()

        self.at(due, receiver, arrive)

    def cut(self, one: int, other: int) -> None:
        """Nothing arrives, either way."""
        self.cut_links |= {(one, other), (other, one)}

    def heal(self) -> None:
        """Every link is mended; what was held flows."""
        healed, self.cut_links = sorted(self.cut_links), set()
        for link in healed:
            receiver = self.people.get(link[1]) or self.replicas[link[1]]
            for _ in range(self.stalled.pop(link, 0)):
                self.arrive_later(link, receiver)

    # The world of a host

    def transmit(self, host: Host, to: int, message: Message) -> None:
        sender, receiver = host.id, self.replicas[to]

        def arrive() -> None:
            if receiver.up:
                receiver.host.receive(sender, message, receiver.local(self.now), False)
                self.arm(receiver)

        self.post(sender, receiver, arrive)

    def answer(self, host: Host, client: int, sequence: int, outcome: int, leader: int, result: bytes) -> None:
        person = self.people[client]
        if outcome == ACCEPTED:
            self.post(host.id, person, lambda: self.heard(person, "answered", sequence, result))
        else:
            self.post(host.id, person, lambda: self.heard(person, "redirected", sequence, leader))

    def write(self, host: Host, persists: list[Persist]) -> None:  # noqa: ARG002
        replica = self.replicas[host.id]

        def done() -> None:
            if replica.host is host:
                for persist in host.writing:
                    self.keep(replica, persist)
                host.synced(replica.local(self.now))
                self.arm(replica)

        self.at(self.now + self.dice.randint(MS // 10, self.spread_ns + MS), replica, done)

    def keep(self, replica: Replica, persist: Persist) -> None:
        """A record is durable; the last of a compaction makes all before its first unnecessary."""
        if persist.record is None:
            return
        if persist.record is replica.host.compaction_first:
            replica.compaction_from = len(replica.stable)
        replica.stable.append(persist.record)
        if persist.record is replica.host.compaction_last:
            del replica.stable[: replica.compaction_from]

    def applied(self, host: Host, position: int, command: bytes, answered: bool) -> None:  # noqa: ARG002
        tree: Any = host.machine
        first = self.agreement.applied(host.id, position, tree.digest, tree.duplicates, command)
        if first and command:
            self.watch.applied(tree, self.now)
        self.judge()

    def believed(self, host: Host) -> None:
        self.watch.believed(host.id, self.now)
        self.judge()

    def judge(self) -> None:
        """Nothing may have been seen that must not be."""
        require(not self.agreement.violations, str(self.agreement.violations))

    def led(self, host: Host) -> None:
        pass

    # Clients

    def heard(self, person: Person, what: str, *arguments: Any) -> None:
        """Something reached a client."""
        if person.up:
            getattr(person.library, what)(*arguments, person.local(self.now))
            self.attend(person)

    def attend(self, person: Person) -> None:
        """Do what the library wants, and wake it in time."""
        for effect in person.library.take():
            if isinstance(effect, Ask):
                self.ask(person, effect)
            elif isinstance(effect, Completed):
                self.watch.completed(person, effect.call, effect.answer, self.now)
                person.answers[effect.call] = effect.answer
                if person.errands is not None:
                    person.errands.completed(effect.call, effect.answer)
            elif isinstance(effect, Told):
                self.watch.told(person, effect.event)
                person.told.append(effect.event)
            elif isinstance(effect, Turned):
                self.watch.turned(person, effect.state, self.now)
                person.states.append(effect.state)
        self.watch.attended(person, self.now)
        self.judge()
        due = person.library.deadline
        if due != NEVER:
            wake_at = max(person.true(due), self.now)
            if wake_at < person.wake_at or person.wake_at <= self.now:
                person.wake_at = wake_at

                def wake() -> None:
                    if person.up and person.wake_at == wake_at:
                        person.wake_at = NEVER
                        person.library.tick(person.local(self.now))
                        self.attend(person)

                self.at(wake_at, person, wake)

    def ask(self, person: Person, effect: Ask) -> None:
        """A request leaves."""
        replica, client = self.replicas[effect.replica], person.id
        self.asked += 1

        def arrive() -> None:
            if replica.up:
                replica.host.request(client, effect.command, replica.local(self.now), False)
                self.arm(replica)

        if self.astray and self.dice.random() < self.astray:
            self.at(self.now + self.dice.randint(0, LATEST_NS), replica, arrive)
        else:
            self.post(client, replica, arrive)

    def begin(self, person: Person, name: str, *arguments: Any, **more: Any) -> int:
        """Begin a call; its number."""
        self.watch.begins(person, name, arguments[0] if arguments else None, self.now)
        call: int = getattr(person.library, name)(*arguments, now=person.local(self.now), **more)
        self.attend(person)
        return call

    def call(self, person: Person, name: str, *arguments: Any, **more: Any) -> Any:
        """Begin a call and let time pass until it is answered."""
        number = self.begin(person, name, *arguments, **more)
        self.eventually(lambda: number in person.answers)
        return person.answers[number]

    def open(self, person: Person, path: str, kind: int = FILE, **more: Any) -> int:
        """A handle."""
        opened = self.call(person, "open", path, kind=kind, **more)
        assert isinstance(opened, Opened), opened
        return opened.handle

    def start(self) -> None:
        """A session for everybody."""
        for person in self.clients:
            if person.library.state in (NONE, EXPIRED):
                self.begin(person, "open_session")
        self.eventually(lambda: all(person.library.state == SAFE for person in self.clients))
