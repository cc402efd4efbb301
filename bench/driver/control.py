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
from typing import TYPE_CHECKING, Any

from bench.driver.frames import Do, Done, encode_messages

if TYPE_CHECKING:
    from bench.driver.connections import Connection
    from bench.driver.replica import Replica


class Control:
    """The actions, on one replica."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica

    def perform(self, connection: Connection, dos: list[Do]) -> None:
        """Perform what the orchestrator wants, and say what came of it."""
        for do in dos:
            action = getattr(self, f"do_{do.action}", None)
            try:
                if action is None:
                    raise ValueError(f"unknown action {do.action}")
                result = action(**do.arguments)
            except (ValueError, TypeError, KeyError) as error:
                result = {"error": f"{type(error).__name__}: {error}"}
            for frame in encode_messages([Done(do.action, result or {})]):
                connection.write(frame)

    def do_peers(self, **addresses: tuple[str, int]) -> None:
        """Where the others listen: {"1": ["127.0.0.1", 4001], ...}."""
        self.replica.meet({int(id): (str(address[0]), int(address[1])) for id, address in addresses.items()})

    def do_block(self, to: int) -> None:
        """Send nothing more to a replica."""
        self.replica.shaper.block(to)

    def do_unblock(self, to: int) -> None:
        """Send to it again."""
        self.replica.shaper.unblock(to, time.monotonic_ns())
        self.replica.soon()

    def do_slow_link(self, peer: int, extra_ns: int) -> None:
        """Let messages to a replica take so much longer; 0 ends it."""
        self.replica.shaper.slow(peer, int(extra_ns))

    def do_slow_disk(self, factor: float) -> None:
        """Let each sync take so many times as long; 1 ends it."""
        self.replica.disk_factor = float(factor)

    def do_clock(self, rate: float) -> None:
        """Let the clock that the host is told run at so many seconds a second; 1 ends it."""
        if not rate > 0:
            raise ValueError(f"a clock cannot run at {rate} seconds a second")
        self.replica.clock.set_rate(float(rate), time.monotonic_ns())
        self.replica.soon()

    def do_stop(self) -> None:
        """End, once what has been said is sent."""
        self.replica.stopping.set()

    def do_status(self) -> dict[str, Any]:
        """This moment, for watchers; times in monotonic ns."""
        replica, now = self.replica, time.monotonic_ns()
        status: dict[str, Any] = {
            "ready": replica.host is not None,
            "incarnation": replica.config.incarnation,
            "now_ns": now,
            "local_ns": replica.clock.local(now),
            "cpu_ns": time.process_time_ns(),
            "loop_lag_ns": replica.lag_ns,
            "dropped": dict(replica.drops),
            "recovered_records": replica.recovered_records,
            "fsyncs": replica.log.syncs,
            "fsync_ns": replica.log.sync_ns,
            "log_bytes": replica.log.written_bytes,
            "client_requests": replica.requests,
            "sent_bytes": replica.sent_bytes,
            "messages": {kind.name: [kind.count, kind.bytes] for kind in replica.kinds.values() if kind.count},
            "links": {
                str(peer): {
                    "carried": link.carried,
                    "blocked": link.blocked_messages,
                    "held": len(link.held),
                    "connected": peer in replica.peers,
                }
                for peer, link in replica.shaper.links.items()
            },
            "led": [list(leadership) for leadership in replica.leaderships],
            "commands": replica.commands,
        }
        return status | (self._progress() if replica.host is not None else {})

    def _progress(self) -> dict[str, Any]:
        replica = self.replica
        engine, machine = replica.host.engine, replica.host.machine
        moment = engine.status()
        return {
            "role": moment.role,
            "leader": moment.leader,
            "leading": engine.leading,
            "term": moment.term,
            "commit": moment.commit,
            "last": moment.last,
            "applied": machine.applied,
            "digest": machine.digest,
            "duplicates": machine.duplicates,
            "digests": [list(digest) for digest in replica.digests],
            "queued": replica.host.queued,
        }
