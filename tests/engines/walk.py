"""Random walks through what can happen to a cluster: any event at any time, as in the asynchronous model.

    walk(Raft, seed=17, transport="datagram")

Where ``schedule`` lets time pass, so that what takes long seldom meets what is quick, a walk picks each next event by lot: some
message arrives, some record reaches a disk, some timer expires however soon, somebody crashes. A few hundred steps meet more
crashes between a write and its sync, and more elections over a half-told history, than minutes of a schedule. How likely each
kind of event is differs from walk to walk (swarm testing, Groce et al. 2012): a walk that never breaks a connection goes where
one that often does cannot. In the end there is peace, and a command must be decided everywhere.

    python -m tests.engines.walk raft 17 datagram [--trace]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

from engines.core import Engine
from tests.engines.cluster import MS, SECOND, Cluster, Violation, require
from tests.engines.schedule import engine_named

STEPS = 400
PATIENCE_NS = 20 * SECOND
LIMITS = {"inflight_messages": (1, 2, 16), "message_bytes": (64, 1 << 20)}


class Walk:
    """One walk; ``steps`` of it, then peace."""

    def __init__(self, engine_class: type[Engine], seed: int, transport: str, options: Any = None) -> None:
        self.dice = dice = random.Random(f"walk {seed} {transport}")
        size = dice.choice((2, 3, 3, 3, 4, 5))
        self.cluster = Cluster(
            engine_class,
            size,
            seed=seed,
            transport=transport,
            options=options,
            election_timeout_ns=(100 * MS, 200 * MS),
            heartbeat_ns=20 * MS,
            initial_leader=dice.choice((None, 0)),
            inflight_messages=dice.choice(LIMITS["inflight_messages"]),
            message_bytes=dice.choice(LIMITS["message_bytes"]),
        )
        self.kinds: dict[Callable[[], None], float] = {
            self._deliver: 60,
            self._sync: dice.choice((5, 15, 30)),
            self._tick: dice.choice((2, 4, 8)),
            self._propose: dice.choice((2, 6)),
            self._crash: dice.choice((0, 1, 3)),
            self._restart: dice.choice((1, 3)),
            self._partition: dice.choice((0, 0, 1)),
            self._heal: dice.choice((0.3, 2)),
            self._compact: dice.choice((0, 0, 1)),
            self._change_paces: dice.choice((0, 0.5, 2)),
        }
        if transport == "tcp":
            self.kinds[self._break_connection] = dice.choice((0, 0.5, 2))
        else:
            self.kinds[self._drop] = dice.choice((0, 3, 10))
            self.kinds[self._duplicate] = dice.choice((0, 3))
        self._change_paces()
        self.in_order = transport == "tcp" or dice.random() < 0.5

    def take(self, steps: int = STEPS) -> None:
        """The walk, and the peace after it."""
        for kind in self.dice.choices(list(self.kinds), list(self.kinds.values()), k=steps):
            kind()
        self._make_peace()

    # -- events; one that is not possible now does nothing ---------------------------------------------------

    def _links(self) -> list[tuple[int, int]]:
        cluster = self.cluster
        return [link for link in sorted(cluster.links) if cluster.links[link] and link not in cluster.cut_links]

    def _deliver(self) -> None:
        if links := self._links():
            [link] = self.dice.choices(links, [self.pace[link] for link in links])
            count = len(self.cluster.links[link])
            self.cluster.deliver(*link, 0 if self.in_order else self.dice.randrange(count))

    def _change_paces(self) -> None:
        """Some links are slow for a while: what was said on them arrives when others have moved on."""
        ids = self.cluster.ids
        paces = self.dice.choice(((1.0,), (1.0, 1.0, 0.01)))
        self.pace = {(sender, receiver): self.dice.choice(paces) for sender in ids for receiver in ids}

    def _drop(self) -> None:
        if links := self._links():
            link = self.dice.choice(links)
            self.cluster.drop(*link, self.dice.randrange(len(self.cluster.links[link])))

    def _duplicate(self) -> None:
        if links := self._links():
            link = self.dice.choice(links)
            self.cluster.duplicate(*link, self.dice.randrange(len(self.cluster.links[link])))

    def _sync(self) -> None:
        cluster = self.cluster
        if writing := [id for id in cluster.up() if cluster.replicas[id].unsynced]:
            id = self.dice.choice(writing)
            cluster.sync(id, self.dice.choice((None, 1)))

    def _tick(self) -> None:
        if up := self.cluster.up():
            self.cluster.tick(self.dice.choice(up))

    def _propose(self) -> None:
        cluster = self.cluster
        if up := cluster.leaders() or cluster.up():
            commands = [cluster.put(b"key", b"value") for _ in range(self.dice.choice((1, 1, 3)))]
            cluster.propose(self.dice.choice(up), *commands)

    def _crash(self) -> None:
        if up := self.cluster.up():
            self.cluster.crash(self.dice.choice(up), torn=self.dice.random() < 0.5)

    def _restart(self) -> None:
        if down := sorted(set(self.cluster.ids) - set(self.cluster.up())):
            self.cluster.restart(self.dice.choice(down))

    def _partition(self) -> None:
        self.cluster.partition(self.dice.sample(self.cluster.ids, self.dice.randint(1, len(self.cluster.ids) - 1)))

    def _heal(self) -> None:
        self.cluster.heal()

    def _compact(self) -> None:
        cluster = self.cluster
        if able := [id for id in cluster.up() if cluster.replicas[id].machine.applied > cluster.engine(id).log.base]:
            cluster.compact(self.dice.choice(able))

    def _break_connection(self) -> None:
        self.cluster.break_connection(*self.dice.sample(self.cluster.ids, 2))

    # -- peace -----------------------------------------------------------------------------------------------

    def _make_peace(self) -> None:
        """Everybody is up and hears everybody, time passes: a command is decided, and all come to hold it."""
        cluster = self.cluster
        cluster.heal()
        for id in sorted(set(cluster.ids) - set(cluster.up())):
            cluster.restart(id)
        cluster.agenda.clear()
        for (sender, receiver), link in cluster.links.items():
            for parcel in link:
                parcel.due = cluster.now + MS
                cluster._arrange(sender, receiver, parcel)
        for id in cluster.ids:
            cluster.replicas[id].syncing = 0
            if cluster.replicas[id].unsynced:
                cluster._begin_sync(cluster.replicas[id])
        last = cluster.put(b"key", b"last")
        end = cluster.now + PATIENCE_NS
        while last not in cluster.decided:
            require(cluster.now < end, "a command is not committed after the faults ended")
            for id in cluster.leaders():
                cluster.propose(id, last)
            cluster.run(200 * MS, until=lambda: last in cluster.decided)
        done = cluster.run(
            PATIENCE_NS, until=lambda: all(cluster.engine(id).committed >= len(cluster.decided) for id in cluster.ids)
        )
        held = [cluster.engine(id).committed for id in cluster.ids]
        require(done, f"of {len(cluster.decided)} decided, replicas hold {held}")


def walk(engine_class: type[Engine], seed: int, transport: str, options: Any = None, trace: bool = False) -> Cluster:
    """Take one walk; returns the cluster at its end, raises Violation with the line that replays it (without its options)."""
    try:
        taken = Walk(engine_class, seed, transport, options)
        if trace:
            taken.cluster.observe = lambda what, replica, detail: print(f"{replica} {what} {detail}")
        taken.take()
    except Exception as error:
        line = f"python -m tests.engines.walk {engine_class.NAME} {seed} {transport} --trace"
        raise Violation(f"{type(error).__name__}: {error}\nreplay: {line}") from error
    return taken.cluster


if __name__ == "__main__":
    name, number, network, *more = sys.argv[1:]
    end = walk(engine_named(name), int(number), network, trace="--trace" in more)
    sys.stdout.write(f"{len(end.decided)} decided, {end.now / SECOND:.1f} s\n")
