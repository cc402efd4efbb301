"""The control channel of a replica, and what its statuses say when they are put together."""
from __future__ import annotations

import asyncio
import os
import ssl
from collections import deque
from typing import Any

from bench.checkers.invariants import Agreement
from bench.checkers.statements import AGREEMENT, MONOTONE
from bench.driver.frames import FRAME_LIMIT_BYTES, Do, Frames, Greeting, decode_dones, encode
from bench.driver.tls import Credentials, reason_of

READ_BYTES = 1 << 16
DIAL_S, LONGEST_DIAL_S = 0.02, 0.5
Status = dict[str, Any]


class ControlError(RuntimeError):
    """A replica refused what it was told, or has gone; one line."""


class Control:
    """A connection on which a replica does what it is told, one thing after the other."""

    def __init__(self, replica: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.replica = replica
        self.reader = reader
        self.writer = writer
        self.frames = Frames(FRAME_LIMIT_BYTES)
        self.waiting: deque[asyncio.Future[Status]] = deque()
        self.task: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, address: tuple[str, int], secret: bytes, replica: int, within_s: float, credentials: Credentials | None = None
    ) -> Control:
        """Connect and prove oneself, as often as it takes; TimeoutError, with the last trouble, where it takes too long."""
        host, port = address
        context = None if credentials is None else credentials.connecting
        name = None if credentials is None else host
        trouble, pause_s = "it does not answer", DIAL_S
        try:
            async with asyncio.timeout(within_s):
                while True:
                    try:
                        streams = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
                        control = cls(replica, *streams)
                        await control._greet(secret)
                        return control
                    except OSError as error:
                        trouble = _trouble(error)
                        await asyncio.sleep(pause_s)
                        pause_s = min(2 * pause_s, LONGEST_DIAL_S)
        except TimeoutError:
            raise TimeoutError(trouble) from None

    async def _greet(self, secret: bytes) -> None:
        greeting = Greeting(secret, "control", 0, self.replica)
        try:
            while not greeting.done:
                data = await self.reader.read(READ_BYTES)
                if not data:
                    raise ConnectionResetError("it closes the connection")
                for body in self.frames.feed(data):
                    self.writer.write(greeting.answer(body))
        except BaseException:
            self.writer.close()
            raise
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            while data := await self.reader.read(READ_BYTES):
                for body in self.frames.feed(data):
                    for done in decode_dones(body):
                        future = self.waiting.popleft()
                        if not future.done():
                            future.set_result(done.result)
        except OSError:
            pass
        finally:
            for future in self.waiting:
                if not future.done():
                    future.set_exception(ControlError(f"replica {self.replica} has closed its control channel"))

    async def do(self, action: str, within_s: float = 5.0, **arguments: Any) -> Status:
        """Have it done; ControlError where it is refused, or the replica gone; TimeoutError where that takes too long."""
        if self.task is None or self.task.done():
            raise ControlError(f"replica {self.replica} has closed its control channel")
        future: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        self.writer.write(encode([Do(action, arguments)]))
        async with asyncio.timeout(within_s):
            result = await future
        if "error" in result:
            raise ControlError(f"replica {self.replica} refused {action}: {result['error']}")
        return result

    def close(self) -> None:
        """Let go of the connection."""
        if self.task is not None:
            self.task.cancel()
        self.writer.close()


def _trouble(error: OSError) -> str:
    """Why there is no connection; the words of event loops repeat the address."""
    if isinstance(error, ssl.SSLError):
        return reason_of(error)
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


class Board:
    """What replicas said of themselves, of every incarnation the newest: counters, leaders, and whether histories agree."""

    def __init__(self, heartbeats: frozenset[str]) -> None:
        self.heartbeats = heartbeats
        self.newest: dict[tuple[int, int], Status] = {}
        self.current: dict[int, Status] = {}
        self.digests: dict[int, tuple[int, int]] = {}
        self.leaders: dict[tuple[int, int], int] = {}
        self.agreement = Agreement()

    def take(self, replica: int, status: Status) -> None:
        """A status of a replica has come."""
        before = self.newest.get((replica, status["incarnation"]), status)
        if status["applied"] < before["applied"]:
            self.agreement.violated(f"{MONOTONE}: replica {replica} went from {before['applied']} to {status['applied']}")
        self.current[replica] = self.newest[replica, status["incarnation"]] = status
        for position, digest in (*status["digests"], (status["applied"], status["digest"])):
            other, theirs = self.digests.setdefault(position, (replica, digest))
            if theirs != digest:
                self.agreement.violated(
                    f"{AGREEMENT}: replicas {other} and {replica} have different histories up to position {position}"
                )
        for moment_ns, term in status["led"]:
            if (replica, term) not in self.leaders:
                self.leaders[replica, term] = moment_ns
                self.agreement.led(replica, term)

    def noticed(self) -> list[tuple[int, int]]:
        """When which replica had no leader any more."""
        return [(moment_ns, replica) for (replica, _), status in self.newest.items() for moment_ns in status["noticed"]]

    def decided(self) -> int:
        """The last position that some replica has applied."""
        return max((status["applied"] for status in self.newest.values()), default=0)

    def totals(self) -> dict[str, int]:
        """The counters of Trial.counts, and "kind NAME" for each class of messages, summed over all incarnations."""
        totals = dict.fromkeys(
            ("commits", "messages", "heartbeats", "message_bytes", "fsyncs", "client_requests", "cpu_ns"), 0
        )
        totals["commits"] = self.decided()
        for status in self.newest.values():
            for name in ("fsyncs", "client_requests", "cpu_ns"):
                totals[name] += status[name]
            for name, (count, size) in status["messages"].items():
                heartbeat = name in self.heartbeats
                totals["heartbeats" if heartbeat else "messages"] += count
                totals["message_bytes"] += 0 if heartbeat else size
                totals[f"kind {name}"] = totals.get(f"kind {name}", 0) + count
        return totals
