"""What the orchestrator may ask of a replica process: Do(action, arguments) is a method ``do_<action>`` of Control.

    peers       where the others listen: {"1": ["127.0.0.1", 4001], ...}
    status      this moment, for watchers; times in monotonic ns
    block       send nothing more to a replica; unblock: send to it again
    slow_link   let messages to a replica take so much longer; 0 ends it
    slow_disk   let each sync take so many times as long; 1 ends it
    clock       let the clock that the host is told run at so many seconds a second; 1 ends it
    stop        end, once what has been said is sent
"""
from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from bench.driver.connections import Connection
from bench.driver.frames import Do, Done, encode_messages
from bench.driver.reality import Reality


class Control:
    """The actions, on one replica; ``meet``, ``soon`` and ``stop`` are its process's own."""

    def __init__(
        self,
        world: Reality,
        meet: Callable[[dict[int, tuple[str, int]]], None],
        soon: Callable[[], None],
        stop: Callable[[], None],
    ) -> None:
        self.world = world
        self.meet = meet
        self.soon = soon
        self.stop = stop
        self.dropped: Counter[str] = Counter()
        self.lag_ns = 0

    def perform(self, connection: Connection, dos: list[Do]) -> None:
        """Perform what the orchestrator wants, and say what came of it: of what makes no sense, why."""
        for do in dos:
            action = getattr(self, f"do_{do.action}", None)
            try:
                if action is None:
                    raise ValueError(f"unknown action {do.action}")
                result = action(**do.arguments)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                result = {"error": f"{type(error).__name__}: {error}"}
            for frame in encode_messages([Done(do.action, result or {})]):
                connection.write(frame)

    def do_peers(self, **addresses: list[Any]) -> None:
        self.meet({int(id): (str(address[0]), int(address[1])) for id, address in addresses.items()})

    def do_block(self, to: int) -> None:
        self.world.shaper.block(to)

    def do_unblock(self, to: int) -> None:
        self.world.shaper.unblock(to, time.monotonic_ns())
        self.soon()

    def do_slow_link(self, peer: int, extra_ns: int) -> None:
        self.world.shaper.slow(peer, extra_ns)

    def do_slow_disk(self, factor: float) -> None:
        if not factor >= 1:
            raise ValueError(f"a disk can only become slower, not {factor} times as slow")
        self.world.disk_factor = float(factor)

    def do_clock(self, rate: float) -> None:
        if not 0 < rate < 1000:
            raise ValueError(f"a clock cannot run at {rate} seconds a second")
        self.world.clock.set_rate(float(rate), time.monotonic_ns())
        self.soon()

    def do_stop(self) -> None:
        self.stop()

    def do_status(self) -> dict[str, Any]:
        world, log, now = self.world, self.world.log, time.monotonic_ns()
        return {
            "ready": world.host is not None,
            "now_ns": now,
            "local_ns": world.clock.local(now),
            "cpu_ns": time.process_time_ns(),
            "loop_lag_ns": self.lag_ns,
            "dropped": dict(self.dropped),
            "fsyncs": log.syncs,
            "fsync_ns": log.sync_ns,
            "disk_delay_ns": world.disk_delay_ns,
            "log_bytes": log.written_bytes,
            "client_requests": world.requests,
            "paused": world.paused,
            "commands": world.commands,
            "sent_bytes": world.sent_bytes,
            "messages": {kind.name: [kind.count, kind.bytes] for kind in world.kinds.values() if kind.count},
            "links": {str(peer): self._link(peer) for peer in world.shaper.links},
            "led": [list(leadership) for leadership in world.leaderships],
            "noticed": list(world.noticed),
        } | self._progress()

    def _link(self, peer: int) -> dict[str, Any]:
        link = self.world.shaper.links[peer]
        return {
            "carried": self.world.sent[peer],
            "blocked": link.blocked_messages,
            "slowed": self.world.shaper.slowed[peer],
            "under_way": self.world.shaper.under_way[peer],
            "held": len(link.held),
            "lost": link.lost_messages,
            "connected": peer in self.world.peers,
        }

    def _progress(self) -> dict[str, Any]:
        """How far the engine and its state machine have come; nothing before the host has started."""
        host = self.world.host
        if host is None:
            return {}
        moment = host.engine.status()
        return {
            "incarnation": self.world.incarnation,
            "role": moment.role,
            "leader": moment.leader,
            "leading": host.engine.leading,
            "term": moment.term,
            "commit": moment.commit,
            "last": moment.last,
            "applied": host.machine.applied,
            "digest": host.machine.digest,
            "duplicates": host.machine.duplicates,
            "digests": [list(digest) for digest in self.world.digests],
            "queued": host.queue.count,
        }
