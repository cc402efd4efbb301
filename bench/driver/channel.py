"""A connection from a client process to a replica, without waiting anywhere: it connects, proves itself, and carries frames.

What is written while there is no connection is lost, as it would be on its way to a machine that is down; whoever asked tries
again in its own time. A connection that ends, or that cannot prove itself soon, is made anew after a pause.
"""
from __future__ import annotations

import errno
import os
import socket

from bench.driver.frames import FRAME_LIMIT_BYTES, Frames, Greeting, Role
from bench.driver.tls import Credentials, Session

RETRY_NS = 20_000_000
PATIENCE_NS = 2_000_000_000
READ_BYTES = 1 << 18
UNWRITTEN_LIMIT_BYTES = 64 << 20
SOCKET_BYTES = 256 << 10  # what the system may hold: else megabytes, which nobody can take back


class Channel:
    """Owned by one loop, which selects on ``file`` (-1: there is no socket) for reading, and for writing where ``writing()``.

    The bodies that ``readable`` returns lie in its buffer, and are good until its next call.
    """

    def __init__(
        self,
        address: tuple[str, int],
        secret: bytes,
        role: Role,
        id: int,
        replica: int,
        credentials: Credentials | None = None,
    ) -> None:
        self.address = address
        self.secret = secret
        self.role = role
        self.id = id
        self.replica = replica
        self.credentials = credentials
        self.session: Session | None = None
        self.trouble = "no connection"
        self.socket: socket.socket | None = None
        self.file = -1
        # Memory of this size, taken anew for each read, would be mapped and unmapped by the system each time.
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.greeting: Greeting | None = None
        self.open = False
        self.opened = 0
        self.act_at_ns = 0
        self.unwritten = bytearray()

    def writing(self) -> bool:
        """Whether there is something to write, a connection in the making included."""
        return self.socket is not None and (self.greeting is None or len(self.unwritten) > 0)

    def tend(self, now: int) -> None:
        """Begin to connect where it is time; give up one that has not come about."""
        if self.open or now < self.act_at_ns:
            return
        self.close(now)
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        self.file = self.socket.fileno()
        self.act_at_ns = now + PATIENCE_NS
        if self.socket.connect_ex(self.address) not in (0, errno.EINPROGRESS):
            self.close(now)

    def close(self, now: int) -> None:
        """Let go of the connection; another one is tried after a pause."""
        if self.socket is not None:
            self.socket.close()
        self.socket, self.file, self.session, self.greeting, self.open = None, -1, None, None, False
        self.unwritten.clear()
        self.act_at_ns = now + RETRY_NS

    def write(self, frame: bytes | bytearray, now: int) -> bool:
        """Send a frame, or keep what the socket does not take; False where it was lost."""
        if not self.open or len(self.unwritten) + len(frame) > UNWRITTEN_LIMIT_BYTES:
            return False
        data = frame if self.session is None else self.session.seal(frame)
        if self.unwritten:
            self.unwritten += data
            return True
        sent = self.send(data, now)
        if sent < len(data):
            self.unwritten += memoryview(data)[sent:]
        return self.open

    def send(self, data: bytes | bytearray, now: int) -> int:
        """How many bytes the socket takes; the connection is closed where it is broken."""
        assert self.socket is not None
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.close(now)
            return len(data)

    def _say(self, data: bytes | bytearray) -> None:
        self.unwritten += data if self.session is None else self.session.seal(data)

    def writable(self, now: int) -> None:
        """The socket takes bytes: finish connecting, or write."""
        assert self.socket is not None
        if self.greeting is None:
            code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self.trouble = os.strerror(code)
                self.close(now)
                return
            if self.credentials is not None:
                self.session = self.credentials.connect(self.address[0])
                self._say(b"")
            self.greeting = Greeting(self.secret, self.role, self.id, self.replica)
            self.frames = Frames(FRAME_LIMIT_BYTES)
        if self.unwritten:
            sent = self.send(self.unwritten, now)
            del self.unwritten[:sent]

    def readable(self, now: int) -> list[memoryview]:
        """The bodies of the frames that have come; none while the connection is in the making, or at its end."""
        assert self.socket is not None
        try:
            size = self.socket.recv_into(self.buffer)
            if not size:
                raise ConnectionResetError("the connection was closed")
            data: bytes | memoryview = self.buffer[:size]
            if self.session is not None:
                data = self.session.unseal(data)
                self.unwritten += self.session.outgoing.read()
            bodies = self.frames.feed(data) if self.greeting is not None else []
            return bodies if self.open else self._join(bodies)
        except BlockingIOError:
            return []
        except (OSError, ValueError) as error:
            self.trouble = str(error)
            self.close(now)
            return []

    def _join(self, bodies: list[memoryview]) -> list[memoryview]:
        assert self.greeting is not None
        while bodies and not self.greeting.done:
            self._say(self.greeting.answer(bodies.pop(0)))
        if self.greeting.done:
            self.open = True
            self.opened += 1
        return bodies
