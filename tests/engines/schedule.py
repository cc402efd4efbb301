"""Random faults on a cluster, then peace: safety is checked always, progress once the faults have ended.

    schedule(Raft, seed=17, transport="datagram")

plays one schedule, wholly determined by its arguments: one to seven replicas, clocks at 0.8 to 1.25 of the
true speed, small limits of messages, delays, partitions (both ways and one way), crashes that lose what was
not synced, restarts of all at once, slow disks, broken connections or lost, doubled and overtaken messages,
snapshots with compaction, and clients that retry at whatever replica. A failure says how to replay itself:

    python -m tests.engines.schedule raft 17 datagram [--trace]
"""

from __future__ import annotations

import importlib
import random
import sys
from typing import Any

import msgspec

from engines import machine
from engines.core import NOBODY, Engine
from tests.engines.cluster import MS, SECOND, Cluster, Replica, Violation, require

FAULTS_NS = 2 * SECOND
PATIENCE_NS = 20 * SECOND
OUTSTANDING = 8
KEY = b"journal"


class Client(msgspec.Struct):
    """One session: it appends its next number to the journal, until somebody acknowledges that."""

    id: int
    sequence: int = 0
    command: bytes = b""
    target: int = 0
    retry_at: int = 0


def engine_named(name: str) -> type[Engine]:
    """The engine class of ``engines.<name>``; ImportError where there is no such module."""
    module = importlib.import_module(f"engines.{name}")
    found = [
        thing for thing in vars(module).values() if isinstance(thing, type) and issubclass(thing, Engine)
    ]
    return next(engine for engine in found if name == engine.NAME)


def schedule(
    engine_class: type[Engine],
    seed: int,
    transport: str = "tcp",
    *,
    replicas: int | None = None,
    options: Any = None,
    copies: int | None = None,
    trace: bool = False,
) -> Cluster:
    """Play one schedule; returns the cluster at its end, raises Violation with the line that replays it.

    ``replicas`` fixes the size; ``options`` and ``copies`` are as for Cluster.
    """
    given = {
        name: value
        for name, value in (("replicas", replicas), ("options", options), ("copies", copies))
        if value is not None
    }
    try:
        story = Story(engine_class, seed, transport, **given)
        if trace:
            story.trace()
        story.play()
    except Exception as error:
        line = replay_line(engine_class.NAME, seed, transport, given)
        raise Violation(f"{type(error).__name__}: {error}\nreplay: {line}") from error
    return story.cluster


def replay_line(name: str, seed: int, transport: str, given: dict[str, Any]) -> str:
    """The shell command that plays this schedule again, and tells it."""
    if not given:
        return f"python -m tests.engines.schedule {name} {seed} {transport} --trace"
    more = "".join(f", {keyword}={value}" for keyword, value in given.items())
    return (
        f"python -c 'from tests.engines.schedule import *; from engines.{name} import *; "
        f'schedule(engine_named("{name}"), {seed}, "{transport}"{more}, trace=True)\''
    )


class Story:
    """One schedule in the making."""

    def __init__(
        self,
        engine_class: type[Engine],
        seed: int,
        transport: str,
        *,
        replicas: int | None = None,
        options: Any = None,
        copies: int | None = None,
    ) -> None:
        self.dice = dice = random.Random(f"{seed} {transport}")
        size = replicas or dice.choice((1, 2, 3, 3, 3, 4, 5, 5, 7))
        self.cluster = Cluster(
            engine_class,
            size,
            seed=seed,
            transport=transport,
            options=options,
            copies=copies,
            start=False,
            clocks_permille=[dice.choice((1000, dice.randint(800, 1250))) for _ in range(size)],
            election_timeout_ns=(100 * MS, 200 * MS),
            heartbeat_ns=20 * MS,
            initial_leader=dice.choice((None, dice.randrange(size))),
            inflight_messages=dice.choice((1, 2, 16, 256)),
            message_bytes=dice.choice((64, 512, 1 << 20)),
        )
        self.clients = [Client(id=100 + number) for number in range(dice.randint(1, OUTSTANDING))]
        self.snapshots: dict[int, tuple[int, bytes]] = {}
        self.slow_disk = -1
        self.slow_link = (-1, -1)
        self.spread_ns = dice.choice((0, MS, 10 * MS))
        self.cluster.delay_ns = self._delay_ns
        self.cluster.disk_ns = self._disk_ns
        self.faults = {
            self._crash: 3,
            self._restart: 6,
            self._crash_all: 1,
            self._partition: 2,
            self._one_way: 2,
            self._heal: 4,
            self._weather: 2,
            self._compact: 4,
            self._slow_disk: 1,
            self._slow_link: 1,
            self._burst: 2,
        }
        if self.cluster.fifo:
            self.faults[self._break_connection] = 2

    def play(self) -> None:
        """Faults, then peace, then everything that was acknowledged must be there."""
        cluster = self.cluster
        for id in cluster.ids:
            cluster.restart(id)
        while cluster.now < FAULTS_NS:
            cluster.run(self.dice.randint(0, 10 * MS))
            self._serve_clients()
            if self.dice.random() < 0.1:
                self.dice.choices(list(self.faults), list(self.faults.values()))[0]()
        self._make_peace()
        self._expect_progress()
        self._expect_journal()

    def trace(self) -> None:
        """Print all that happens, for whoever replays a failure."""

        def observe(what: str, replica: int, detail: Any) -> None:
            sys.stdout.write(f"{self.cluster.now / MS:10.3f} ms  {replica} {what} {detail}\n")

        self.cluster.observe = observe

    # -- faults ----------------------------------------------------------------------------------------------

    def _delay_ns(self, sender: int, receiver: int) -> int:
        slow = 50 * MS if (sender, receiver) == self.slow_link else 0
        return slow + MS // 10 + self.dice.randint(0, self.spread_ns)

    def _disk_ns(self, replica: int) -> int:
        return (
            self.dice.randint(20 * MS, 80 * MS) if replica == self.slow_disk else self.dice.randint(0, 2 * MS)
        )

    def _anyone(self) -> int:
        return self.dice.choice(self.cluster.ids)

    def _crash(self) -> None:
        up = self.cluster.up()
        if up:
            self.cluster.crash(self.dice.choice(up), torn=self.dice.random() < 0.5)

    def _crash_all(self) -> None:
        for id in self.cluster.up():
            self.cluster.crash(id, torn=self.dice.random() < 0.5)
        for id in self.cluster.ids:
            self.cluster.restart(id)

    def _restart(self) -> None:
        down = [id for id in self.cluster.ids if self.cluster.replicas[id].engine is None]
        if down:
            self.cluster.restart(self.dice.choice(down))

    def _partition(self) -> None:
        size = self.dice.randint(0, len(self.cluster.ids) // 2)
        self.cluster.partition(self.dice.sample(self.cluster.ids, size))
        self._perhaps_break_cut_connections()

    def _one_way(self) -> None:
        sender = self._anyone()
        for receiver in self.cluster.ids:
            if receiver != sender and self.dice.random() < 0.7:
                self.cluster.cut(*self.dice.choice(((sender, receiver), (receiver, sender))))
        self._perhaps_break_cut_connections()

    def _perhaps_break_cut_connections(self) -> None:
        """A partition that outlasts the transport's patience breaks the connection, and whatever is tried
        after it.
        """
        if not self.cluster.fifo or self.dice.random() < 0.3:
            return

        def lose() -> None:
            for a, b in sorted(self.cluster.cut_links):
                if (b, a) not in self.cluster.cut_links or a < b:
                    self.cluster.break_connection(a, b)

        for waited in range(1, self.dice.randint(2, 5)):
            self.cluster.at(self.cluster.now + waited * self.dice.randint(20 * MS, 120 * MS), lose)

    def _heal(self) -> None:
        self.cluster.heal()

    def _break_connection(self) -> None:
        if len(self.cluster.ids) > 1:
            self.cluster.break_connection(*self.dice.sample(self.cluster.ids, 2))

    def _weather(self) -> None:
        self.cluster.loss = self.dice.choice((0.0, 0.01, 0.1, 0.3))
        self.cluster.duplication = self.dice.choice((0.0, 0.0, 0.1, 0.5))
        self.spread_ns = self.dice.choice((0, MS, 10 * MS, 40 * MS))

    def _slow_disk(self) -> None:
        self.slow_disk = self.dice.choice((-1, self._anyone()))

    def _slow_link(self) -> None:
        self.slow_link = (self._anyone(), self._anyone())

    def _compact(self) -> None:
        """Hand over a snapshot, of now or of a while ago, or only take one."""
        id = self._anyone()
        replica = self.cluster.replicas[id]
        if replica.engine is None or replica.machine.applied == 0:
            return
        position, state = self.snapshots.pop(id, (0, b""))
        if position <= replica.engine.log.base or position > replica.committed:
            position, state = replica.machine.applied, replica.machine.snapshot()
        if self.dice.random() < 0.3:
            self.snapshots[id] = (position, state)
        elif position > replica.engine.log.base:
            self.cluster.compact(id, (position, state))

    def _burst(self) -> None:
        """A batch of puts that nobody waits for."""
        up = self.cluster.up()
        if up:
            batch = [self.cluster.put(b"burst", bytes(8)) for _ in range(self.dice.randint(2, 40))]
            self.cluster.propose(self.dice.choice(self.cluster.leaders() or up), *batch)

    # -- clients ---------------------------------------------------------------------------------------------

    def _serve_clients(self) -> None:
        for client in self.clients:
            if client.command in self.cluster.acknowledged or not client.sequence:
                client.sequence += 1
                token = b"%d.%d;" % (client.id, client.sequence)
                client.command = machine.encode_command(
                    client.id, client.sequence, client.sequence, machine.APPEND, KEY, token
                )
                client.retry_at = self.cluster.now
            if client.retry_at <= self.cluster.now:
                self._try(client)

    def _try(self, client: Client) -> None:
        cluster = self.cluster
        client.retry_at = cluster.now + self.dice.randint(5 * MS, 150 * MS)
        if cluster.replicas[client.target].engine is None or self.dice.random() < 0.2:
            client.target = self._anyone()
        replica = cluster.replicas[client.target]
        if replica.engine is None:
            return
        told = len(replica.redirects)
        cluster.propose(client.target, client.command)
        if len(replica.redirects) > told:
            hint = replica.redirects[-1].leader
            client.target = self._anyone() if hint == NOBODY else hint

    # -- peace -----------------------------------------------------------------------------------------------

    def _make_peace(self) -> None:
        cluster = self.cluster
        cluster.loss = cluster.duplication = 0.0
        self.spread_ns, self.slow_disk, self.slow_link = MS, -1, (-1, -1)
        cluster.agenda = [item for item in cluster.agenda if item[2].__name__ != "lose"]
        cluster.agenda.sort()
        cluster.heal()
        for id in cluster.ids:
            if cluster.replicas[id].engine is None:
                cluster.restart(id)

    def _expect_progress(self) -> None:
        """Every client is answered, and every replica comes to hold everything, within the patience."""
        cluster, end = self.cluster, self.cluster.now + PATIENCE_NS
        waiting = [(client, client.sequence + 1) for client in self.clients]

        def answered() -> bool:
            return all(
                client.sequence > last or (client.sequence == last and client.command in cluster.acknowledged)
                for client, last in waiting
            )

        while not answered():
            require(cluster.now < end, "commands are not committed after the faults ended")
            self._serve_clients()
            cluster.run(10 * MS, until=answered)

        def caught_up() -> bool:
            return all(replica.committed == len(cluster.decided) for replica in self._learners())

        done = cluster.run(PATIENCE_NS, until=caught_up)
        held = [replica.committed for replica in self._learners()]
        require(done, f"of {len(cluster.decided)} decided, replicas hold {held}")

    def _learners(self) -> list[Replica]:
        """The replicas that come to hold what is decided: all but the bystanders of an engine that does not
        replicate.
        """
        cluster = self.cluster
        return [cluster.replicas[id] for id in cluster.ids if cluster.engine(id).status().role != "bystander"]

    def _expect_journal(self) -> None:
        """The journal is the same everywhere; each acknowledged number is in it once, and none is in it
        twice.
        """
        journals = {replica.machine.data.get(KEY, b"") for replica in self._learners()}
        require(len(journals) == 1, f"journals differ: {journals}")
        tokens = journals.pop().split(b";")
        require(len(tokens) == len(set(tokens)), "a retried command was applied twice")
        for command, position in self.cluster.acknowledged.items():
            require(
                self.cluster.decided[position - 1] == command, f"{command!r} was acknowledged and is gone"
            )
        for client in self.clients:
            mine = [token for token in tokens if token.startswith(b"%d." % client.id)]
            require(
                mine == [b"%d.%d" % (client.id, number + 1) for number in range(len(mine))],
                f"{mine} are not in order",
            )
            acknowledged = client.sequence - (client.command not in self.cluster.acknowledged)
            require(
                len(mine) >= acknowledged,
                f"client {client.id} was acknowledged {acknowledged}, applied {len(mine)}",
            )


if __name__ == "__main__":
    name, seed, transport, *more = sys.argv[1:]
    end = schedule(engine_named(name), int(seed), transport, trace="--trace" in more)
    sys.stdout.write(
        f"{len(end.decided)} decided, {len(end.acknowledged)} acknowledged, {end.now / SECOND:.1f} s\n"
    )
