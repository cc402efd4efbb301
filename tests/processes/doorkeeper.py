"""What a Connection needs of a replica, for tests that have both ends in one process."""
from __future__ import annotations

import asyncio
from typing import Any

from bench.driver.connections import Connection
from bench.driver.tls import Credentials, Session
from tests.processes.cluster import SECRET


class Doorkeeper:
    """Admits whoever knows the secret; ``joining`` is the first connection, once it is."""

    secret, user_timeout_ns = SECRET, 10_000_000_000

    def __init__(self, loop: asyncio.AbstractEventLoop, id: int, credentials: Credentials | None = None) -> None:
        self.loop = loop
        self.id = id
        self.credentials = credentials
        self.connections: list[Connection] = []
        self.dropped: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.joining: asyncio.Future[Connection] = loop.create_future()

    def session(self, peer: int | None) -> Session | None:
        if self.credentials is None:
            return None
        return self.credentials.accept() if peer is None else self.credentials.connect("127.0.0.1")

    def strangers(self) -> int:
        return 1

    def made(self, connection: Connection) -> None:
        self.connections.append(connection)

    def lost(self, connection: Connection) -> None:
        self.connections.remove(connection)

    def drop(self, connection: Connection, reason: str) -> None:
        self.dropped.append((connection.role, reason))

    def admit(self, connection: Connection, hello: Any) -> None:
        connection.trust(hello.role, lambda body: self.bodies.append(bytes(body)))
        self.loop.call_soon(self.joining.set_result, connection)

    def joined(self, connection: Connection, peer: int) -> None:
        assert connection.peer == peer
        connection.trust("peer", lambda body: self.bodies.append(bytes(body)))
        self.loop.call_soon(self.joining.set_result, connection)
