"""A channel that keeps order and loses nothing, over a network that does neither: TCP in small, between processes that stay.

Each message has a number; whoever receives says through which number it has all, on its own messages or alone. What is not
acknowledged is sent again, a burst at a time and ever more slowly while nothing new is acknowledged (RFC 6298, 5.5). The
channel never breaks, because its ends never restart: what a partition keeps back arrives in order when it has healed. What
waits is bounded by what its sender has under way without an answer.
"""
from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from engines.core import NEVER

BURST = 64


class Parcel(msgspec.Struct, omit_defaults=True):
    """A message between two replicas as a JSON object: its class, and its msgpack in base64, as JSON has no exact 64-bit numbers.

    ``number`` and ``through`` are those of an ordered channel, and 0 without one. A parcel numbered 0 on a channel only
    acknowledges.
    """

    type: str
    engine: bytes = b""
    number: int = 0
    through: int = 0


class Channel:
    """One end of the channel to a peer. ``resend_ns`` is the range of the time after which parcels are sent again."""

    def __init__(self, resend_ns: tuple[int, int]) -> None:
        self.least_ns, self.most_ns = resend_ns
        self.wait_ns = self.least_ns
        self.due_ns = NEVER
        self.number = 0
        self.unacknowledged: deque[Parcel] = deque()
        self.through = 0  # everything up to here has been handed on
        self.early: dict[int, Any] = {}
        self.owing = False  # the peer has not been told of something that arrived

    def send(self, type: str, message: bytes, now: int) -> Parcel:
        """The parcel that carries the next message; it is kept until it is acknowledged."""
        self.number += 1
        self.owing = False
        parcel = Parcel(type, message, self.number, self.through)
        if not self.unacknowledged:
            self.due_ns = now + self.wait_ns
        self.unacknowledged.append(parcel)
        return parcel

    def receive(self, parcel: Parcel, message: Any, now: int) -> list[Any]:
        """The messages that may be handed on now that this parcel has come, which brought ``message``: in order, each once."""
        waiting = len(self.unacknowledged)
        while self.unacknowledged and self.unacknowledged[0].number <= parcel.through:
            self.unacknowledged.popleft()
        if len(self.unacknowledged) < waiting:
            self.wait_ns = self.least_ns
            self.due_ns = now + self.wait_ns if self.unacknowledged else NEVER
        if parcel.number == 0:
            return []
        self.owing = True
        if parcel.number > self.through:
            self.early[parcel.number] = message
        ready = []
        while self.through + 1 in self.early:
            self.through += 1
            ready.append(self.early.pop(self.through))
        return ready

    def due(self, now: int) -> list[Parcel]:
        """What is to be sent at the end of a turn: the oldest parcels again, or an acknowledgement that nothing else carried."""
        parcels: list[Parcel] = []
        if now >= self.due_ns:
            self.wait_ns = min(2 * self.wait_ns, self.most_ns)
            self.due_ns = now + self.wait_ns
            parcels = [self.unacknowledged[place] for place in range(min(BURST, len(self.unacknowledged)))]
            for parcel in parcels:
                parcel.through = self.through
        elif self.owing:
            parcels = [Parcel("received", through=self.through)]
        self.owing = False
        return parcels
