"""A replica that decides nothing: it answers every request as it is told to, at once. Also the generator's ceiling:

    python -m tests.processes.null_replica --seconds 5 --clients 256
"""
from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.driver.frames import FRAME_LIMIT_BYTES, Answer, Door, Frames, Request, decode_requests, encode
from bench.driver.occasions import ACCEPTED
from bench.metrics.trial import OK
from engines.core import NOBODY
from engines.machine import sequence_of

SECRET = bytes(range(32))
Reply = Callable[[Request], Answer | None]


def accept(request: Request) -> Answer | None:
    """As if it had been applied, and a read had found a value."""
    return Answer(request.client, sequence_of(request.command), ACCEPTED, NOBODY, b"\x01" + bytes(8))


class NullReplica(asyncio.Protocol):
    """One connection of it; ``reply`` decides what is answered, None: nothing."""

    def __init__(self, id: int, reply: Reply, connections: list[Any]) -> None:
        self.door = Door(SECRET, id)
        self.reply = reply
        self.frames = Frames(FRAME_LIMIT_BYTES)
        self.known = False
        self.connections = connections

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.connections.append(transport)
        transport.write(self.door.open())

    def data_received(self, data: bytes) -> None:
        for body in self.frames.feed(data):
            if self.known:
                answers = [self.reply(request) for request in decode_requests(body)]
                self.transport.write(encode([answer for answer in answers if answer is not None]))
            else:
                self.transport.write(self.door.welcome(self.door.admit(body)))
                self.known = True


async def listen(id: int, reply: Reply, connections: list[Any]) -> tuple[asyncio.Server, int]:
    """Serve on a free port; returns the server and the port."""
    server = await asyncio.get_running_loop().create_server(lambda: NullReplica(id, reply, connections), "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def _serve(pipe: Any) -> None:
    import uvloop

    async def forever() -> None:
        _, port = await listen(0, accept, [])
        pipe.send(port)
        await asyncio.Event().wait()

    uvloop.run(forever())


def measure(seconds: float, clients: int) -> tuple[float, float]:
    """(operations a second, processor share of the generator) against a null replica, in a process of its own."""
    from bench.driver.load import Config, Load
    from tests.processes.real import short

    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=_serve, args=(there,), daemon=True)
    server.start()
    scenario = short(
        replicas=1, duration=f"{seconds}s", warmup="500ms",
        workload={"mix": {"write": 1.0}, "value_size": "256B", "arrivals": {"kind": "closed", "clients": clients}},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "operations.npy")
        config = Config(scenario.resolved(), 1, {0: ("127.0.0.1", here.recv())}, SECRET.hex(), out)
        load = Load(config, os.pipe()[0])
        load.connect()
        load.start_ns = time.monotonic_ns()
        load.run()
        report = load.report()
        done = np.load(out)
    server.terminate()
    completed = done["completed_ns"][done["status"] == OK]
    first, last = load.marks
    return np.count_nonzero((completed >= first) & (completed < last)) / seconds, report.cpu_ns / seconds / 1e9


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=256)
    rate, share = measure(**vars(parser.parse_args()))
    print(msgspec.json.encode({"ops_per_s": round(rate), "generator_cpu_share": round(share, 3)}).decode())
