"""Random faults on a cell, then peace: what ``watch`` says always, progress once the faults have ended.

    schedule(Raft, seed=17)

plays one schedule, wholly determined by its arguments: clocks within the bound that the cell was told, crashes, restarts,
partitions between replicas and of clients, pauses longer than any lease, snapshots, clients that die while they hold
locks. A failure says how to replay it:

    python -m tests.locks.schedule raft 17
"""

from __future__ import annotations

import sys
from typing import Any

from engines.core import Engine
from engines.lock_service.client import EXPIRED, NONE, SAFE
from engines.lock_service.commands import EPHEMERAL, EXCLUSIVE, FILE, SHARED, Answer, Granted, Opened, Refused
from engines.lock_service.options import LockOptions
from tests.engines.schedule import engine_named
from tests.locks.cell import MILLION, MS, OPTIONS, SECOND, Cell, Person
from tests.locks.watch import Violation, require

FAULTS_NS = 12 * SECOND
PEACE_NS = 60 * SECOND
PATHS = ("/red", "/green", "/file")


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


class Habit:
    """What one client is up to: handles on the locks, and at most one thing under way with each."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.handles: dict[str, int] = {}
        self.busy: set[str] = set()
        self.granted = 0


class Story:
    """One schedule in the making."""

    def __init__(self, engine: type[Engine], seed: int, options: LockOptions) -> None:
        cell = Cell(engine, clients=4, seed=seed, options=options, compact_after_bytes=4096)
        self.cell = cell
        self.dice = cell.dice
        for actor in [*cell.replicas, *cell.clients]:
            actor.rate_ppm = self.dice.choice((MILLION, MILLION + self.dice.randint(0, options.skew_ppm)))
        cell.spread_ns = self.dice.choice((MS, 5 * MS, 20 * MS))
        self.habits = [Habit(person) for person in cell.clients]
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
            for habit in self.habits:
                self._live(habit)
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

    def _live(self, habit: Habit) -> None:
        """Whatever comes to a client's mind."""
        person, library = habit.person, habit.person.library
        if not person.up or person.paused_until > self.cell.now:
            return
        if library.state in (NONE, EXPIRED):
            habit.handles, habit.busy = {}, set()
            self.cell.begin(person, "open_session")
        elif library.session and library.state == SAFE:
            path = self.dice.choice((*PATHS, f"/member-{person.id}"))
            if path in habit.busy:
                self._perhaps_withdraw(habit, path)
            elif path not in habit.handles:
                self._open(habit, path)
            else:
                self._use(habit, path)

    def _begin(self, habit: Habit, path: str, name: str, *arguments: Any, **more: Any) -> int:
        """One thing under way with each node; it may be answered at once."""
        habit.busy.add(path)
        session = habit.person.library.session

        def done(answer: Answer) -> None:
            if habit.person.library.session != session:
                return
            habit.busy.discard(path)
            if isinstance(answer, Opened):
                habit.handles[path] = answer.handle
            elif isinstance(answer, Granted):
                habit.granted += 1
            elif isinstance(answer, Refused) and answer.why.startswith("no "):
                habit.handles.pop(path, None)

        call = self.cell.begin(habit.person, name, *arguments, **more)
        if call in habit.person.answers:
            done(habit.person.answers[call])
        else:
            habit.person.calls[call] = done
        return call

    def _open(self, habit: Habit, path: str) -> None:
        kind = FILE if path in PATHS else EPHEMERAL
        delay = self.dice.choice((0, 0, 500 * MS))
        self._begin(habit, path, "open", path, kind=kind, lock_delay_ns=delay, events=self.dice.randint(0, 15))

    def _use(self, habit: Habit, path: str) -> None:
        handle = habit.handles[path]
        if habit.person.library.opening(handle).held is not None:
            if self.dice.random() < 0.5:
                self._begin(habit, path, "release", handle)
            return
        if path == "/file":
            what = self.dice.choice(("get",) * 8 + ("set",))
        else:
            what = self.dice.choice(
                ("acquire", "acquire", "acquire", "try_acquire", "get", "get", "get", "set", "close", "delete")
            )
        if what == "get":
            self._begin(habit, path, "get_contents", handle)
        elif what == "set":
            self._begin(habit, path, "set_contents", handle, b"%d" % self.cell.now)
        elif what == "close":
            if self.dice.random() < 0.2:
                del habit.handles[path]
                self._begin(habit, path, "close", handle)
        elif what == "delete":
            if self.dice.random() < 0.1:
                self._begin(habit, path, "delete", handle)
        else:
            self._begin(habit, path, what, handle, self.dice.choice((EXCLUSIVE, EXCLUSIVE, SHARED)))

    def _perhaps_withdraw(self, habit: Habit, path: str) -> None:
        """Once in a while an Acquire is taken back before it is answered."""
        handle = habit.handles.get(path)
        if handle is not None and handle in habit.person.library.handles and self.dice.random() < 0.03:
            self.cell.begin(habit.person, "release", handle)

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
        living = [habit for habit in self.habits if habit.person.up]
        before = {id(habit): habit.granted for habit in living}
        while any(habit.granted < before[id(habit)] + 2 for habit in living):
            require(cell.now < end, "locks are not granted after the faults ended")
            cell.run(20 * MS)
            for habit in living:
                self._live(habit)
        for habit in living:
            if habit.person.library.session:
                cell.begin(habit.person, "end_session")
        done = cell.run(PEACE_NS, lambda: all(self._empty(replica.host.machine) for replica in cell.replicas))
        require(done, "sessions or handles are left over")

    def _empty(self, tree: Any) -> bool:
        return not tree.tenancies and not tree.handles and all(node.kind != EPHEMERAL for node in tree.nodes.values())


if __name__ == "__main__":
    name, number = sys.argv[1:]
    end = schedule(engine_named(name), int(number))
    sys.stdout.write(f"{len(end.watch.digests)} decided, {end.watch.grants} grants, {end.now / SECOND:.1f} s\n")
