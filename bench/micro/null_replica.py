"""A replica that decides nothing: it answers every request at once, as it is told to.

``python -m bench.micro.null_replica CONFIG`` accepts everything, says ``{"listening": port}``, and ends when its standard input
does.
"""
from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.driver.frames import FRAME_LIMIT_BYTES, Answer, Door, Frames, Request, decode_requests, encode
from bench.driver.occasions import ACCEPTED
from engines.core import NOBODY
from engines.machine import sequence_of

Reply = Callable[[Request], Answer | None]


class Config(msgspec.Struct, frozen=True):
    """What the process is told; ``secret`` is hexadecimal."""

    secret: str


def accept(request: Request) -> Answer | None:
    """As if it had been applied, and a read had found a value."""
    return Answer(request.client, sequence_of(request.command), ACCEPTED, NOBODY, b"\x01" + bytes(8))


class NullReplica(asyncio.Protocol):
    """One connection of it; ``reply`` decides what is answered, None: nothing."""

    def __init__(self, secret: bytes, id: int, reply: Reply, connections: list[Any]) -> None:
        self.door = Door(secret, id)
        self.reply = reply
        self.frames = Frames(FRAME_LIMIT_BYTES)
        self.known = False
        self.connections = connections

    def connection_made(self, transport: Any) -> None:
        """Begin the handshake."""
        self.transport = transport
        self.connections.append(transport)
        transport.write(self.door.open())

    def data_received(self, data: bytes) -> None:
        """Answer what is complete, in one frame for each that came."""
        for body in self.frames.feed(data):
            if self.known:
                answers = [self.reply(request) for request in decode_requests(body)]
                self.transport.write(encode([answer for answer in answers if answer is not None]))
            else:
                self.transport.write(self.door.welcome(self.door.admit(body)))
                self.known = True


async def listen(secret: bytes, id: int, reply: Reply, connections: list[Any]) -> tuple[asyncio.Server, int]:
    """Serve on a free port of the loopback interface; returns the server and the port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: NullReplica(secret, id, reply, connections), "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def _serve(secret: bytes) -> None:
    _, port = await listen(secret, 0, accept, [])
    sys.stdout.write(msgspec.json.encode({"listening": port}).decode() + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


def main(arguments: list[str]) -> int:
    """Run as a process."""
    import uvloop

    uvloop.run(_serve(bytes.fromhex(msgspec.json.decode(Path(arguments[0]).read_bytes(), type=Config).secret)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
