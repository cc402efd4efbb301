"""The sockets of a client process: what its clients have to say goes out, what replicas answer comes in.

A loop of its own selects with microseconds of precision (an event loop's timers have milliseconds), and one frame goes to each
replica for all commands of a turn. What a socket does not take waits here as commands, so that those that have grown old can be
dropped before they are sent: else, where more comes than is decided, replicas would be busy with what clients have given up.
"""
from __future__ import annotations

import select
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from bench.driver.frames import decode_answers, encode_messages

if TYPE_CHECKING:
    from bench.driver.channel import Channel
    from bench.driver.dialogue import Dialogue

SECOND_NS = 1_000_000_000


class Exchange:
    """The connections of one client process, one to each replica. Times are ns since ``start_ns``, on the monotonic clock.

    ``parent`` is a descriptor that the parent keeps silent: SystemExit where it says anything, or ends. ``lag_ns`` is the longest
    that something due had to wait until it was looked at. A command that could not be sent for ``patience_ns`` is dropped.
    """

    def __init__(self, dialogue: Dialogue, channels: list[Channel], parent: int, patience_ns: int) -> None:
        self.dialogue = dialogue
        self.channels = channels
        self.parent = parent
        self.start_ns = time.monotonic_ns()
        self.opened = [0 for _ in channels]
        self.linked = [False for _ in channels]
        self.patience_ns = patience_ns
        self.waiting: list[deque[tuple[int, list[Any]]]] = [deque() for _ in channels]
        self.lost_requests = 0
        self.dropped_requests = 0
        self.lag_ns = 0

    def now(self) -> int:
        """Time since the agreed start; negative before it."""
        return time.monotonic_ns() - self.start_ns

    def flush(self) -> None:
        """One frame to each replica for what the turn brought, or several where that is too much for one."""
        for replica, requests in enumerate(self.dialogue.outgoing):
            channel = self.channels[replica]
            if requests and channel.unwritten:
                self.waiting[replica].append((self.now(), requests.copy()))
            elif requests:
                self.write(channel, requests)
            requests.clear()
            if self.waiting[replica]:
                self.relieve(replica, channel)

    def write(self, channel: Channel, requests: list[Any]) -> None:
        """Send commands, or what the socket takes of them; without a connection they are lost."""
        for frame in encode_messages(requests):
            if not channel.write(frame, self.now()):
                self.lost_requests += len(requests)
                break

    def relieve(self, replica: int, channel: Channel) -> None:
        """Send what waited as far as the socket takes it, oldest first, and drop what has waited for too long."""
        waiting, now = self.waiting[replica], self.now()
        while waiting and (not channel.unwritten or now - waiting[0][0] > self.patience_ns):
            since_ns, requests = waiting.popleft()
            if now - since_ns > self.patience_ns:
                self.dropped_requests += len(requests)
                self.dialogue.dropped(requests)
            else:
                self.write(channel, requests)

    def wait(self, until_ns: int) -> None:
        """Exchange bytes with the replicas; wait for them no longer than to ``until_ns``."""
        now = self.now()
        reading: list[int] = [self.parent]
        writing: list[int] = []
        for replica, channel in enumerate(self.channels):
            if not channel.open:
                if self.linked[replica]:
                    self.linked[replica] = False
                    self.dialogue.disconnected(replica)
                channel.tend(now)
            if channel.file >= 0:
                reading.append(channel.file)
                if channel.writing():
                    writing.append(channel.file)
        readable, writable, _ = select.select(reading, writing, [], max(0, until_ns - self.now()) / SECOND_NS)
        now = self.now()
        self.lag_ns = max(self.lag_ns, now - until_ns)
        if self.parent in readable:
            raise SystemExit(1)
        for replica, channel in enumerate(self.channels):
            if channel.file in writable:
                channel.writable(now)
                self.relieve(replica, channel)
            if channel.file in readable:
                self.read(replica, channel, now)

    def read(self, replica: int, channel: Channel, now: int) -> None:
        """Let the clients hear what has come from a replica."""
        bodies: list[Any] = channel.readable(now)
        if channel.opened != self.opened[replica]:
            self.opened[replica] = channel.opened
            self.linked[replica] = True
            if channel.opened > 1:
                self.dialogue.reset(replica)
        for body in bodies:
            self.dialogue.hear(replica, decode_answers(body), now)
