"""The TCP connections of a replica process: the handshake at the door, frames in, frames out, and limits on both.

A Connection knows no protocol: once the other end has proved itself, the replica gives it the call that takes its frames.
Whoever breaks a rule is dropped and counted under the reason; nothing else happens to the run.
"""
from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any, Protocol, cast

from bench.driver.frames import (
    FRAME_LIMIT_BYTES,
    HANDSHAKE_LIMIT_BYTES,
    PEER_FRAME_LIMIT_BYTES,
    Door,
    FrameError,
    Frames,
    Greeting,
    Hello,
)
from bench.driver.shaping import HELD_LIMIT_BYTES
from bench.driver.tls import Session

HANDSHAKE_S = 5.0
# What may wait when a further frame comes, which itself may be as long as it likes; between replicas twice the longest frame
# where that is more, for a state may be.
PEER_UNSENT_LIMIT_BYTES = HELD_LIMIT_BYTES
UNSENT_LIMIT_BYTES = FRAME_LIMIT_BYTES // 8
CLIENT_SOCKET_BYTES = 256 << 10
KEEPALIVE_PROBES = 3
STRANGERS_LIMIT = 512


class Household(Protocol):
    """What a connection needs of the replica whose door it came through."""

    id: int
    secret: bytes
    user_timeout_ns: int
    loop: asyncio.AbstractEventLoop

    def session(self, peer: int | None) -> Session | None: ...
    def strangers(self) -> int: ...
    def made(self, connection: Connection) -> None: ...
    def admit(self, connection: Connection, hello: Hello) -> None: ...
    def joined(self, connection: Connection, peer: int) -> None: ...
    def lost(self, connection: Connection) -> None: ...
    def drop(self, connection: Connection, reason: str) -> None: ...


class Connection(asyncio.Protocol):
    """One TCP connection. ``peer`` is the replica at the other end: the one that was dialled, or else None until it has said
    so. ``pause_s`` is how long to wait before it is dialled again.
    """

    def __init__(self, replica: Household, peer: int | None = None, pause_s: float = 0.0) -> None:
        self.replica = replica
        self.peer = peer
        self.dialled = peer is not None
        self.pause_s = pause_s
        self.role = "stranger"
        self.frames = Frames(HANDSHAKE_LIMIT_BYTES)
        self.longest_bytes = 0
        self.receive: Callable[[memoryview], None] = self._knock if peer is None else self._greet
        self.answers: list[Any] = []
        self.session = replica.session(peer)
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self.transport = cast(asyncio.Transport, transport)
        connection = self.transport.get_extra_info("socket")
        self.file = connection.fileno()
        _give_up_after(connection, self.replica.user_timeout_ns)
        self.transport.set_write_buffer_limits(high=PEER_UNSENT_LIMIT_BYTES)
        self.deadline = self.replica.loop.call_later(HANDSHAKE_S, self.drop, "no handshake in time")
        self.replica.made(self)
        if self.dialled and self.session is not None:
            self.write(b"")
        if self.peer is not None:
            self.greeting = Greeting(self.replica.secret, "peer", self.replica.id, self.peer)
        elif self.replica.strangers() > STRANGERS_LIMIT:
            self.drop("too many strangers")
        else:
            self.door = Door(self.replica.secret, self.replica.id)
            self.write(self.door.open())

    def data_received(self, data: bytes) -> None:
        """Take what is complete."""
        try:
            if self.session is not None:
                data = self._unseal(self.session, data)
            for body in self.frames.feed(data):
                if self.transport.is_closing():
                    return
                self.receive(body)
        except FrameError as error:
            self.drop(str(error))

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        """The connection is gone, for whatever reason."""
        self.lost = True
        self.deadline.cancel()
        self.replica.lost(self)

    def trust(self, role: str, receive: Callable[[memoryview], None]) -> None:
        """The other end has proved itself: from now on its frames go to ``receive``."""
        self.role = role
        self.receive = receive
        if role == "client":
            # What waits here, unread while the replica has enough to do, must not grow old.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CLIENT_SOCKET_BYTES)
        self.frames.limit = PEER_FRAME_LIMIT_BYTES if role == "peer" else FRAME_LIMIT_BYTES
        # A welcome and a long frame may have arrived in one piece.
        self.replica.loop.call_soon(self.data_received, b"")
        self.deadline.cancel()

    def write(self, data: bytes | bytearray) -> None:
        """Send now what the kernel takes, the rest as it can. A loop of its own would send only at the end of its turn,
        which lasts as long as a sync of the disk.
        """
        self._send(data if self.session is None else self.session.seal(data))

    def _unseal(self, session: Session, data: bytes) -> bytes:
        try:
            return session.unseal(data)
        finally:
            answer = session.outgoing.read()  # of TLS itself, as why it refuses the other end
            if answer:
                self._send(answer)

    def _send(self, data: bytes | bytearray) -> None:
        if self.transport.is_closing():
            return
        length, waiting = len(data), self.transport.get_write_buffer_size()
        peer = self.role == "peer"
        if waiting > (max(PEER_UNSENT_LIMIT_BYTES, 2 * self.longest_bytes) if peer else UNSENT_LIMIT_BYTES):
            self.drop("reads too slowly")
            return
        if not waiting:
            try:
                sent = os.write(self.file, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.transport.abort()
                return
            if sent == length:
                return
            data = bytes(memoryview(data)[sent:])
        self.transport.write(data)
        self.longest_bytes = max(self.longest_bytes, length)

    def drop(self, reason: str) -> None:
        """End the connection at once, and count why."""
        if not self.transport.is_closing():
            self.replica.drop(self, reason)
            self.transport.abort()

    def _knock(self, body: memoryview) -> None:
        hello = self.door.admit(body)
        self.replica.admit(self, hello)
        if not self.transport.is_closing():
            self.write(self.door.welcome(hello))

    def _greet(self, body: memoryview) -> None:
        self.write(self.greeting.answer(body))
        if self.greeting.done:
            assert self.peer is not None
            self.replica.joined(self, self.peer)


def _give_up_after(connection: socket.socket, timeout_ns: int) -> None:
    """Have the kernel end a connection whose other end has been silent for so long (RFC 9293, 3.8.3; RFC 1122, 4.2.3.6)."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, timeout_ns // 1_000_000))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        interval_s = max(1, timeout_ns // (1_000_000_000 * KEEPALIVE_PROBES))
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
            connection.setsockopt(socket.IPPROTO_TCP, option, interval_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
