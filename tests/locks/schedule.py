"""Random faults on a cell, then peace: what ``watch`` says always, progress once the faults have ended.

    schedule(Raft, seed=17)

plays one schedule, wholly determined by its arguments: clocks within the bound that the cell was told, crashes, restarts,
partitions between replicas and of clients, requests that others overtake, pauses longer than any lease, snapshots,
clients that die while they hold locks. A failure says how to replay it:

    python -m tests.locks.schedule raft 17
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from bench.driver.errands import Errands
from engines.core import Engine
from engines.lock_service.client import EXPIRED, NONE, OPENING, SAFE
from engines.lock_service.commands import EPHEMERAL
from engines.lock_service.options import LockOptions
from tests.engines.schedule import engine_named
from tests.locks.cell import MILLION, MS, OPTIONS, SECOND, Cell, Person, Violation, require

FAULTS_NS = 12 * SECOND
PEACE_NS = 60 * SECOND


def schedule(engine: type[Engine], seed: int, options: LockOptions = OPTIONS) -> Cell:
    """Play one schedule; the cell at its end. Raises Violation with the line that replays it."""
    try:
        story = Story(engine, seed, options)
        story.play()
    except Exception as error:
        raise Violation(
            f"{type(error).__name__}: {error}\nreplay: python -m tests.locks.schedule {engine.NAME} {seed}"
        ) from error
    return story.cell


class Story:
    """One schedule in the making."""

    def __init__(self, engine: type[Engine], seed: int, options: LockOptions) -> None:
        cell = Cell(engine, clients=4, seed=seed, options=options, compact_after_bytes=4096)
        self.cell = cell
        self.dice = cell.dice
        for actor in [*cell.replicas, *cell.clients]:
            actor.rate_ppm = self.dice.choice((MILLION, MILLION + self.dice.randint(0, options.skew_ppm)))
        cell.spread_ns = self.dice.choice((MS, 5 * MS, 20 * MS))
        cell.astray = self.dice.choice((0.0, 0.05, 0.3))
        for person in cell.clients:
            begin = partial(cell.begin, person)
            person.errands = Errands(person.id, cell.dice, begin, person.library, (0, 0, 500 * MS))
        self.faults = {
            self._crash: 3,
            self._restart: 5,
            self._crash_all: 1,
            self._partition: 2,
            self._divide: 3,
            self._cut_client: 3,
            self._heal: 4,
            self._pause_replica: 2,
            self._pause_client: 2,
            self._die: 1,
        }

    def play(self) -> None:
        cell = self.cell
        while cell.now < FAULTS_NS:
            cell.run(self.dice.randint(0, 40 * MS))
            for person in cell.clients:
                self._live(person)
            if self.dice.random() < 0.08:
                self.dice.choices(list(self.faults), list(self.faults.values()))[0]()
        self._make_peace()
        self._expect_progress()

    # Faults

    def _up(self) -> list[Any]:
        return [replica for replica in self.cell.replicas if replica.up]

    def _crash(self) -> None:
        # Mostly the master, which is what a lock service has to survive.
        up = self.cell.masters() if self.dice.random() < 0.7 else self._up()
        if up:
            self.cell.crash(self.dice.choice(up), self.dice.randint(0, 2))

    def _restart(self) -> None:
        for replica in self.cell.replicas:
            if not replica.up:
                self.cell.boot(replica)
                return

    def _crash_all(self) -> None:
        for replica in self._up():
            self.cell.crash(replica, self.dice.randint(0, 2))
        for replica in self.cell.replicas:
            self.cell.boot(replica)

    def _partition(self) -> None:
        alone = self.dice.choice(self.cell.replicas)
        for other in self.cell.replicas:
            if other is not alone:
                self.cell.cut(alone.id, other.id)

    def _divide(self) -> None:
        """The master on one side with some of the clients, a majority on the other with the rest: who is master?"""
        for master in self.cell.masters()[:1]:
            others = [replica.id for replica in self.cell.replicas if replica is not master]
            for other in others:
                self.cell.cut(master.id, other)
            for person in self.cell.clients:
                for away in (others if self.dice.random() < 0.5 else [master.id]):
                    self.cell.cut(person.id, away)

    def _cut_client(self) -> None:
        person = self.dice.choice(self.cell.clients)
        for replica in self.cell.replicas:
            if self.dice.random() < 0.7:
                self.cell.cut(person.id, replica.id)

    def _heal(self) -> None:
        self.cell.heal()

    def _pause_ns(self) -> int:
        return self.dice.choice((50 * MS, 400 * MS, 1500 * MS, 2500 * MS))

    def _pause_replica(self) -> None:
        up = self.cell.masters() or self._up()
        if up:
            self.dice.choice(up).paused_until = self.cell.now + self._pause_ns()

    def _pause_client(self) -> None:
        self.dice.choice(self.cell.clients).paused_until = self.cell.now + self._pause_ns()

    def _die(self) -> None:
        alive = [person for person in self.cell.clients if person.up]
        if len(alive) > 2:
            self.dice.choice(alive).up = False

    # Clients

    def _live(self, person: Person) -> None:
        """Whatever comes to a client's mind."""
        if not person.up or person.paused_until > self.cell.now:
            return
        if person.library.state in (NONE, EXPIRED):
            person.errands.forget()
            self.cell.begin(person, "open_session")
        elif person.library.session and person.library.state == SAFE:
            person.errands.step()

    # Peace

    def _make_peace(self) -> None:
        cell = self.cell
        cell.heal()
        cell.spread_ns = MS
        for replica in cell.replicas:
            replica.paused_until = 0
            if not replica.up:
                cell.boot(replica)
        for person in cell.clients:
            person.paused_until = 0

    def _expect_progress(self) -> None:
        """Every client that lives gets every lock, once more; in the end no more is left than the living have open."""
        cell, end = self.cell, self.cell.now + PEACE_NS
        living = [person for person in cell.clients if person.up]
        before = {person.id: person.errands.granted for person in living}
        while any(person.errands.granted < before[person.id] + 2 for person in living):
            require(cell.now < end, "locks are not granted after the faults ended")
            cell.run(20 * MS)
            for person in living:
                self._live(person)
        cell.run(PEACE_NS, lambda: all(person.library.state != OPENING for person in living))
        for person in living:
            if person.library.session:
                cell.begin(person, "end_session")
        done = cell.run(PEACE_NS, lambda: all(self._empty(replica.host.machine) for replica in cell.replicas))
        require(done, "sessions or handles are left over")

    def _empty(self, tree: Any) -> bool:
        return not tree.tenancies and not tree.handles and all(node.kind != EPHEMERAL for node in tree.nodes.values())


if __name__ == "__main__":
    name, number = sys.argv[1:]
    end = schedule(engine_named(name), int(number))
    sys.stdout.write(f"{end.agreement.highest} decided, {end.watch.grants} grants, {end.now / SECOND:.1f} s\n")
