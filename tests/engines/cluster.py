"""A small cluster of engines for tests: links, disks, clocks and crashes, and a watcher that checks every
call.

By hand, everything waits until it is told to happen:

    cluster = Cluster(Raft, 3, options=RaftOptions(pre_vote=False))
    cluster.tick(0)                         # virtual time moves on to replica 0's deadline
    cluster.sync(0)                         # its disk has written: the promises leave
    cluster.deliver(0, 1)                   # the oldest message under way from 0 to 1
    cluster.propose(0, cluster.put(b"x", b"1"))
    cluster.crash(1); cluster.restart(1)    # what was not synced is gone

``cluster.settle()`` delivers and syncs everything until nothing is under way; ``cluster.run(50 * MS)`` lets
virtual time pass, with deadlines, delays and disks. Both may be mixed with the calls above.

Over "tcp" a link keeps order and loses nothing while its connection stands: a cut link holds its messages
back, and ``break_connection`` (or a crash) loses them and tells both ends. Over "datagram" messages may be
lost, doubled and overtaken (``drop``, ``duplicate``, the index of ``deliver``), a cut link loses them, and
nobody is told anything.

Always checked: effects in order and of the closed set; commits consecutive; agreement; a command is on enough
disks when it is first decided; at most one leader a term; a restored snapshot is the prefix that was decided;
a tick moves the deadline. ``tests/engines/schedule.py`` plays random faults on it.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, Union

import msgspec

from engines import machine
from engines.core import (
    NEVER,
    NOBODY,
    Commit,
    Configuration,
    Effect,
    Engine,
    Persist,
    Redirect,
    Restore,
    Send,
)

MS = 1_000_000
SECOND = 1_000_000_000
STORM = 5000
EFFECTS = (Send, Persist, Commit, Redirect, Restore)


class Violation(AssertionError):  # noqa: N818 (what it is, not what went wrong with the test)
    """Something happened that no schedule may bring about."""


def require(condition: object, complaint: str) -> None:
    """An assert that stays when Python is asked to drop them."""
    if not condition:
        raise Violation(complaint)


class Parcel:
    """A message under way; ``due`` is when ``run`` delivers it, unless it was arranged anew since."""

    __slots__ = ("arranged", "due", "message")

    def __init__(self, message: bytes, due: int) -> None:
        self.message = message
        self.due = due
        self.arranged = 0


class Write:
    """A record on its way to the disk, and the promise that waits for it; ``restates`` is set on the last
    record of a compaction: how many records, itself included, stand for everything that was on the disk
    before them.
    """

    __slots__ = ("promise", "record", "restates")

    def __init__(self, record: bytes | None, promise: Send | None) -> None:
        self.record = record
        self.promise = promise
        self.restates = 0


class Replica:
    """One machine: its engine while it is up, its disk, its clock, and the state machine behind it."""

    def __init__(self, id: int, clock_permille: int) -> None:
        self.id = id
        self.clock_permille = clock_permille
        self.engine: Engine | None = None
        self.disk: list[bytes] = []
        self.unsynced: list[Write] = []
        self.syncing = 0
        self.inbox: deque[Any] = deque()
        self.machine = machine.KeyValue()
        self.commits: list[tuple[int, bytes]] = []
        self.results: dict[bytes, bytes] = {}
        self.redirects: list[Redirect] = []
        self.proposed: set[bytes] = set()
        self.committed = 0
        self.incarnation = 0

    def store(self, writes: list[Write]) -> None:
        """These writes reach the disk, which drops what a complete compaction has restated."""
        for write in writes:
            if write.record is not None:
                self.disk.append(write.record)
            if write.restates:
                del self.disk[: -write.restates]

    def clock(self, now: int) -> int:
        """What this machine's clock shows."""
        return now * self.clock_permille // 1000

    def wakes_at(self) -> int:
        """The earliest cluster time at which this machine's clock shows the engine's deadline."""
        if self.engine is None or self.engine.deadline == NEVER:
            return NEVER
        return -(-self.engine.deadline * 1000 // self.clock_permille)


class Cluster:
    """``size`` replicas of one engine, numbered from 0 (or as ``ids`` says), all up unless ``start`` is
    false.

    ``options`` is handed to the engine's constructor; ``copies`` is how many disks must hold a command when
    it is first decided (default: a majority). ``instant_disk`` makes every write durable at once. Other
    keywords go to Configuration.
    """

    def __init__(
        self,
        engine_class: type[Engine],
        size: int = 3,
        *,
        seed: int = 0,
        transport: str = "tcp",
        ids: Iterable[int] = (),
        options: Any = None,
        copies: int | None = None,
        instant_disk: bool = False,
        start: bool = True,
        clocks_permille: Iterable[int] = (),
        **configuration: Any,
    ) -> None:
        if transport not in ("tcp", "datagram"):
            raise ValueError(f"transport must be tcp or datagram, not {transport}")
        self.engine_class = engine_class
        self.ids = tuple(ids) or tuple(range(size))
        self.configuration = Configuration(voters=self.ids, **configuration)
        self.options = options
        self.dice = random.Random(seed)
        self.fifo = transport == "tcp"
        self.instant_disk = instant_disk
        self.copies = len(self.ids) // 2 + 1 if copies is None else copies
        clocks = tuple(clocks_permille) or (1000,) * len(self.ids)
        self.replicas = {id: Replica(id, clock) for id, clock in zip(self.ids, clocks, strict=True)}
        self.links: defaultdict[tuple[int, int], list[Parcel]] = defaultdict(list)
        self.cut_links: set[tuple[int, int]] = set()
        self.delay_ns: Callable[[int, int], int] = lambda _sender, _receiver: MS
        self.disk_ns: Callable[[int], int] = lambda _replica: MS
        self.loss = 0.0
        self.duplication = 0.0
        self.now = 0
        self.agenda: list[tuple[int, int, Callable[[], None]]] = []
        self.arranged = 0
        self.sequence = 0
        self.decided: list[bytes] = []
        self.digests: list[int] = []
        self.acknowledged: dict[bytes, int] = {}
        self.leader_of_term: dict[int, int] = {}
        self.observe: Callable[[str, int, Any], None] = lambda _what, _replica, _detail: None
        self._compaction: list[Persist] = []
        self._messages = msgspec.msgpack.Decoder(Union[tuple(engine_class.HANDLERS)])  # noqa: UP007 (made at run time)
        self._records = msgspec.msgpack.Decoder(Union[engine_class.RECORDS])  # noqa: UP007
        if start:
            for id in self.ids:
                self.restart(id)

    # -- what happens to a replica ---------------------------------------------------------------------------

    def engine(self, id: int) -> Any:
        """The engine of a replica that is up."""
        engine = self.replicas[id].engine
        assert engine is not None, f"replica {id} is down"
        return engine

    def up(self) -> list[int]:
        """The replicas that are up."""
        return [id for id in self.ids if self.replicas[id].engine is not None]

    def leaders(self) -> list[int]:
        """The replicas that accept proposals."""
        return [id for id in self.up() if self.engine(id).leading]

    def tick(self, id: int, after_ns: int | None = None) -> None:
        """Tick one replica: now (after_ns 0), later, or (None) as soon as its deadline comes. Nobody else is
        ticked.
        """
        replica = self.replicas[id]
        if after_ns is not None:
            self.now += after_ns
        else:
            require(replica.wakes_at() != NEVER, f"replica {id} waits for nothing")
            self.now = max(self.now, replica.wakes_at())
        clock = replica.clock(self.now)
        self._perform(replica, self.engine(id).tick(clock))
        require(self.engine(id).deadline > clock, f"replica {id} was ticked and did not move its deadline")

    def propose(self, id: int, *commands: bytes) -> None:
        """A batch of clients' commands arrives at this replica."""
        replica = self.replicas[id]
        replica.proposed.update(commands)
        self._perform(replica, self.engine(id).propose(list(commands), replica.clock(self.now)))

    def command(
        self, operation: int, key: bytes, value: bytes = b"", expected: bytes = b"", client: int = 1
    ) -> bytes:
        """A fresh command of one client, which has its answers to all earlier ones."""
        self.sequence += 1
        return machine.encode_command(client, self.sequence, self.sequence, operation, key, value, expected)

    def put(self, key: bytes, value: bytes) -> bytes:
        """A fresh put."""
        return self.command(machine.PUT, key, value)

    def compact(self, id: int, snapshot: tuple[int, bytes] | None = None) -> None:
        """Hand over a snapshot: as given (position, state), or of this moment."""
        replica = self.replicas[id]
        position, state = snapshot or (replica.machine.applied, replica.machine.snapshot())
        effects = self.engine(id).compact(position, state, replica.clock(self.now))
        self._compaction = [one for one in effects if isinstance(one, Persist) and one.record is not None]
        self._perform(replica, effects)
        self._compaction = []

    def sync(self, id: int, count: int | None = None) -> None:
        """The disk has written the oldest ``count`` waiting records (all of them): their promises leave, in
        order.
        """
        replica = self.replicas[id]
        waiting = replica.unsynced[:count]
        del replica.unsynced[:count]
        self.observe("synced", id, len(waiting))
        self._release(replica, waiting)
        self._perform(replica, [])

    def crash(self, id: int, torn: bool = False) -> None:
        """The machine stops; unsynced records are gone, but some of the oldest where ``torn``."""
        replica = self.replicas[id]
        self.observe("crashes", id, torn)
        if torn:
            kept = self.dice.randint(0, len(replica.unsynced))
            replica.store(replica.unsynced[:kept])
        replica.engine = None
        replica.unsynced = []
        replica.syncing = 0
        replica.inbox.clear()
        if self.fifo:
            for peer in self.ids:
                if peer != id:
                    self.break_connection(id, peer)

    def restart(self, id: int) -> None:
        """A new incarnation, which recovers from what the disk holds; peers see a new connection."""
        replica = self.replicas[id]
        require(replica.engine is None, f"replica {id} is up")
        self.observe("starts", id, len(replica.disk))
        dice = random.Random(self.dice.getrandbits(64))
        arguments = () if self.options is None else (self.options,)
        replica.engine = self.engine_class(id, self.configuration, dice, *arguments)
        replica.machine = machine.KeyValue()
        replica.commits = []
        replica.proposed = set()
        replica.committed = 0
        replica.incarnation += 1
        records = [self._records.decode(record) for record in replica.disk]
        # What is left of the last incarnation's connections goes first: the new one's messages must survive.
        if self.fifo and replica.incarnation > 1:
            for peer in self.ids:
                if peer != id:
                    self.break_connection(peer, id, tell=(peer,))
        self._perform(replica, self.engine(id).recover(records, replica.clock(self.now)))

    # -- what happens between replicas -----------------------------------------------------------------------

    def under_way(self, sender: int, receiver: int) -> list[Any]:
        """The messages under way on one link, oldest first."""
        return [self._messages.decode(parcel.message) for parcel in self.links[sender, receiver]]

    def deliver(self, sender: int, receiver: int, index: int = 0) -> Any:
        """Deliver one message under way, the oldest unless ``index`` says otherwise (datagram only); returns
        it.
        """
        require(index == 0 or not self.fifo, "a tcp link keeps order")
        parcel = self.links[sender, receiver].pop(index)
        message = self._messages.decode(parcel.message)
        replica = self.replicas[receiver]
        if replica.engine is not None:
            self.observe("receives", receiver, (sender, message))
            self._perform(replica, replica.engine.step(sender, message, replica.clock(self.now)))
        return message

    def drop(self, sender: int, receiver: int, index: int = 0) -> Any:
        """Lose one message (datagram only); returns it."""
        require(not self.fifo, "a tcp link loses nothing: break the connection")
        return self._messages.decode(self.links[sender, receiver].pop(index).message)

    def duplicate(self, sender: int, receiver: int, index: int = 0) -> None:
        """Double one message (datagram only); the copy is under way last."""
        require(not self.fifo, "a tcp link doubles nothing")
        self._post(sender, receiver, self.links[sender, receiver][index].message)

    def cut(self, sender: int, receiver: int) -> None:
        """From now on nothing arrives on this one-way link."""
        self.cut_links.add((sender, receiver))
        if not self.fifo:
            self.links[sender, receiver].clear()

    def partition(self, *groups: Iterable[int]) -> None:
        """Cut every link between two groups, both ways; replicas in no group form one more."""
        place = {id: number for number, group in enumerate(groups) for id in group}
        for sender in self.ids:
            for receiver in self.ids:
                if place.get(sender, -1) != place.get(receiver, -1):
                    self.cut(sender, receiver)

    def heal(self) -> None:
        """Mend every link; what tcp held back gets under way again."""
        healed, self.cut_links = sorted(self.cut_links), set()
        for sender, receiver in healed:
            due = 0
            for parcel in self.links[sender, receiver]:
                parcel.due = due = max(due, self.now + self.delay_ns(sender, receiver))
                self._arrange(sender, receiver, parcel)

    def break_connection(self, a: int, b: int, tell: tuple[int, ...] = ()) -> None:
        """Lose what is under way both ways, and tell both ends that are up (or only those named)."""
        require(self.fifo, "there are no connections over datagrams")
        self.links[a, b].clear()
        self.links[b, a].clear()
        for end, peer in ((a, b), (b, a)):
            replica = self.replicas[end]
            if replica.engine is not None and (not tell or end in tell):
                self.observe("loses", end, peer)
                self._perform(replica, replica.engine.disconnect(peer, replica.clock(self.now)))

    # -- time ------------------------------------------------------------------------------------------------

    def settle(self, limit: int = 100_000) -> None:
        """Deliver and sync until nothing is under way; no time passes, links in order of their ends."""
        while limit > 0:
            links = [link for link in sorted(self.links) if self.links[link] and link not in self.cut_links]
            disks = [id for id in self.up() if self.replicas[id].unsynced]
            if not links and not disks:
                return
            for id in disks:
                self.sync(id)
            for link in links:
                for _ in range(len(self.links[link])):
                    limit -= 1
                    if self.links[link]:
                        self.deliver(*link)
        raise Violation("the replicas never stop talking")

    def advance(self, duration_ns: int) -> None:
        """Let virtual time pass, with deadlines; nothing is delivered or synced."""
        end = self.now + duration_ns
        while (sleeper := min(self.replicas.values(), key=Replica.wakes_at)).wakes_at() <= end:
            self.tick(sleeper.id)
        self.now = end

    def run(self, duration_ns: int, until: Callable[[], bool] | None = None) -> bool:
        """Let virtual time pass, with deadlines, delays and disks; true as soon as ``until`` holds."""
        end = self.now + duration_ns
        while until is None or not until():
            sleeper = min(self.replicas.values(), key=Replica.wakes_at)
            wake = sleeper.wakes_at()
            due = self.agenda[0][0] if self.agenda else NEVER
            if min(wake, due) > end:
                self.now = end
                return False
            if due <= wake:
                self.now = max(self.now, due)
                heapq.heappop(self.agenda)[2]()
            else:
                self.tick(sleeper.id)
        return True

    def at(self, due: int, action: Callable[[], None]) -> None:
        """Have ``run`` do something at a time of the cluster's clock."""
        self.arranged += 1
        heapq.heappush(self.agenda, (due, self.arranged, action))

    def _arrange(self, sender: int, receiver: int, parcel: Parcel) -> None:
        parcel.arranged = arrangement = self.arranged + 1

        def arrive() -> None:
            link = self.links[sender, receiver]
            if parcel.arranged == arrangement and parcel in link and (sender, receiver) not in self.cut_links:
                self.deliver(sender, receiver, link.index(parcel))

        self.at(parcel.due, arrive)

    def _post(self, sender: int, receiver: int, message: bytes) -> None:
        link = self.links[sender, receiver]
        require(len(link) < STORM, f"a storm: {STORM} messages are under way from {sender} to {receiver}")
        due = self.now + self.delay_ns(sender, receiver)
        parcel = Parcel(message, max(due, link[-1].due) if self.fifo and link else due)
        link.append(parcel)
        self._arrange(sender, receiver, parcel)

    def _begin_sync(self, replica: Replica) -> None:
        """Have ``run`` sync what waits now; what comes meanwhile goes with the next sync (group commit)."""
        engine, replica.syncing = replica.engine, len(replica.unsynced)

        def done() -> None:
            if replica.engine is engine and replica.syncing:
                count, replica.syncing = min(replica.syncing, len(replica.unsynced)), 0
                self.sync(replica.id, count)
                if replica.unsynced and not replica.syncing:
                    self._begin_sync(replica)

        self.at(self.now + self.disk_ns(replica.id), done)

    # -- effects and what must always hold -------------------------------------------------------------------

    def _perform(self, replica: Replica, effects: list[Effect]) -> None:
        """Perform effects in order, then step what the replica sent itself, until it has no more to say to
        itself.
        """
        while True:
            for effect in effects:
                require(type(effect) in EFFECTS, f"{effect!r} is no effect")
                self._perform_one(replica, effect)
            self._watch(replica)
            if not replica.inbox:
                return
            assert replica.engine is not None
            effects = replica.engine.step(replica.id, replica.inbox.popleft(), replica.clock(self.now))

    def _perform_one(self, replica: Replica, effect: Effect) -> None:
        if isinstance(effect, Send):
            self._send(replica, effect)
        elif isinstance(effect, Persist):
            self._persist(replica, effect)
        elif isinstance(effect, Commit):
            result = self._commit(replica, effect.position, effect.command)
            self.observe("commits", replica.id, (effect, result))
        elif isinstance(effect, Redirect):
            self.observe("redirects", replica.id, effect)
            require(effect.leader == NOBODY or effect.leader in self.ids, f"{effect!r} names a stranger")
            require(effect.leader != replica.id, f"replica {replica.id} redirects to itself")
            replica.redirects.append(effect)
        else:
            self.observe("restores", replica.id, effect)
            self._restore(replica, effect)

    def _send(self, replica: Replica, effect: Send) -> None:
        self.observe("sends", replica.id, effect)
        require(effect.to in self.ids, f"{effect!r} goes to a stranger")
        encoded = msgspec.msgpack.encode(effect.message)
        if effect.to == replica.id:
            replica.inbox.append(self._messages.decode(encoded))
        elif (replica.id, effect.to) in self.cut_links and not self.fifo:
            return
        elif self.loss == 0 or self.fifo or self.dice.random() >= self.loss:
            self._post(replica.id, effect.to, encoded)
            if self.duplication and not self.fifo and self.dice.random() < self.duplication:
                self._post(replica.id, effect.to, encoded)

    def _persist(self, replica: Replica, effect: Persist) -> None:
        self.observe("writes", replica.id, effect)
        record = None if effect.record is None else msgspec.msgpack.encode(effect.record)
        require(record is not None or effect.then is not None, "a write of nothing that promises nothing")
        if record is not None:
            self._records.decode(record)
        write = Write(record, effect.then)
        if self._compaction and effect is self._compaction[-1]:
            write.restates = len(self._compaction)
        if self.instant_disk or (record is None and not replica.unsynced):
            self._release(replica, [write])
            return
        replica.unsynced.append(write)
        if not replica.syncing:
            self._begin_sync(replica)

    def _release(self, replica: Replica, writes: list[Write]) -> None:
        """These writes are durable: what they promise may be said."""
        replica.store(writes)
        for write in writes:
            if write.promise is not None:
                self._send(replica, write.promise)

    def _commit(self, replica: Replica, position: int, command: bytes) -> bytes:
        require(
            position == replica.committed + 1,
            f"replica {replica.id} commits {position} after {replica.committed}",
        )
        replica.committed = position
        replica.commits.append((position, command))
        result = replica.machine.apply(position, command)
        if position == len(self.decided) + 1:
            holders = sum(
                any(command in record for record in reversed(one.disk)) for one in self.replicas.values()
            )
            require(not command or holders >= self.copies, f"{position} is decided on only {holders} disks")
            self.decided.append(command)
            self.digests.append(replica.machine.digest)
        decided = self.decided[position - 1]
        require(
            command == decided,
            f"replica {replica.id} commits {command!r} at {position}, decided was {decided!r}",
        )
        require(
            replica.machine.digest == self.digests[position - 1],
            f"replica {replica.id} applied {position} differently",
        )
        if command in replica.proposed and replica.engine is not None and replica.engine.leading:
            self.acknowledged.setdefault(command, position)
            replica.results.setdefault(command, result)
        return result

    def _restore(self, replica: Replica, effect: Restore) -> None:
        require(
            effect.position > replica.committed,
            f"replica {replica.id} restores {effect!r} after {replica.committed}",
        )
        require(effect.position <= len(self.decided), f"{effect!r} lies beyond what was decided")
        replica.machine.restore(effect.position, effect.state)
        replica.committed = effect.position
        require(
            replica.machine.digest == self.digests[effect.position - 1], f"{effect!r} is not what was decided"
        )

    def _watch(self, replica: Replica) -> None:
        engine = replica.engine
        if engine is None:
            return
        status = engine.status()
        require(
            status.commit == engine.committed == replica.committed,
            f"{status} but {replica.committed} committed",
        )
        require(status.last >= status.commit, f"{status} commits what it does not hold")
        if engine.leading:
            leader = self.leader_of_term.setdefault(status.term, replica.id)
            require(leader == replica.id, f"replicas {leader} and {replica.id} both lead term {status.term}")
