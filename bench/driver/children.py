"""The processes of a run: started in groups of their own, watched, and gone at its end, as is their folder."""
from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import psutil

from bench.driver.janitor import started
from ext import build

HOST = "127.0.0.1"
GRACE_S = 10.0
READY_S = 30.0
LAST_LINES = 3
LAST_WORDS_BYTES = 4096
# Below the ports that the system gives to outgoing connections, so that none takes a replica's while it is down.
PORTS = range(20_000, 32_000)


class ProcessError(RuntimeError):
    """A process of the run could not be started, or died of itself; one line, with the last words of its log."""


def free_ports(count: int) -> list[int]:
    """So many ports on the loopback interface on which nobody listens."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise ProcessError(f"no {count} free ports between {PORTS.start} and {PORTS.stop} on {HOST}")


class Child:
    """One process; it speaks in lines of JSON on its standard output, and complains into its log."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log
        self.may_end = False

    @property
    def pid(self) -> int:
        """Its number, and that of its group."""
        return self.process.pid

    async def line(self, key: str, within_s: float) -> dict[str, Any]:
        """The next line that has ``key``; ProcessError where the process ends or takes longer."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(within_s):
                while raw := await self.process.stdout.readline():
                    found = msgspec.json.decode(raw, type=dict[str, Any])
                    if key in found:
                        return found
                await self.process.wait()
        except TimeoutError:
            raise ProcessError(f"{self.name} has not said {key} for {within_s:g} s{self.last_words()}") from None
        except msgspec.DecodeError as error:
            raise ProcessError(f"{self.name} said what is no JSON: {error}") from None
        raise ProcessError(self.obituary())

    def say(self, message: dict[str, Any]) -> None:
        """Write a line of JSON to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(message) + b"\n")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its group, unless it has ended."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.may_end = True
        self.signal(signal.SIGKILL)
        await self.process.wait()

    async def pause(self) -> None:
        """SIGSTOP."""
        self.signal(signal.SIGSTOP)

    async def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    async def killed(self) -> bool:
        """Whether SIGKILL has ended it."""
        return self.process.returncode == -signal.SIGKILL

    async def stopped(self) -> bool:
        """Whether it stands still."""
        try:
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)
        except psutil.NoSuchProcess:
            return False

    async def ended(self, within_s: float) -> bool:
        """Whether it ends within so many seconds."""
        try:
            async with asyncio.timeout(within_s):
                await self.process.wait()
        except TimeoutError:
            return False
        return True

    def obituary(self) -> str:
        """How it ended, in one line."""
        code = self.process.returncode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
        return f"{self.name} {how}{self.last_words()}"

    def last_words(self) -> str:
        """The end of its log, for a message of one line."""
        try:
            lines = self.log.read_text(errors="replace").split("\n")
        except OSError:
            return ""
        lines = [line.strip() for line in lines if line.strip()][-LAST_LINES:]
        return f": {' | '.join(lines)}" if lines else ""


class Household:
    """``async with Household(where) as household``: a folder and processes, none of which outlives the block.

    ``failed`` is done, with a ProcessError, when a process has ended that may not.
    """

    def __init__(self, where: Path) -> None:
        self.where = where
        self.children: list[Child] = []
        self.watchers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Household:
        self.folder = Path(tempfile.mkdtemp(prefix=".processes-", dir=self.where))
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.janitor = subprocess.Popen(
            [sys.executable, "-m", "bench.driver.janitor", str(self.folder)],
            stdin=subprocess.PIPE, env=_environment(), process_group=0, text=True,
        )  # fmt: skip
        return self

    async def start(self, name: str, module: str, config: dict[str, Any]) -> Child:
        """Start ``python -m module`` with a configuration that only this user can read."""
        path, log = self.folder / f"{name}.json", self.folder / f"{name}.log"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(config))
        # Blank lines hold the room that its last words need when the disk is full.
        log.write_bytes(b"\n" * LAST_WORDS_BYTES)
        with log.open("r+b") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, str(path),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=_environment(), process_group=0,
            )  # fmt: skip
        child = Child(name, process, log)
        self.children.append(child)
        assert self.janitor.stdin is not None
        self.janitor.stdin.write(f"{child.pid} {started(child.pid)}\n")
        self.janitor.stdin.flush()
        self.watchers.add(asyncio.create_task(self._watch(child)))
        return child

    async def _watch(self, child: Child) -> None:
        await child.process.wait()
        if not child.may_end and not self.failed.done():
            self.failed.set_exception(ProcessError(child.obituary()))

    async def end(self, children: Iterable[Child]) -> None:
        """Ask processes to end by closing their standard input; kill what is still there after a while."""
        children = list(children)
        for child in children:
            child.may_end = True
            child.signal(signal.SIGCONT)
            assert child.process.stdin is not None
            child.process.stdin.close()
        await asyncio.gather(*(self._end(child) for child in children))

    async def _end(self, child: Child) -> None:
        if not await child.ended(GRACE_S):
            child.signal(signal.SIGKILL)
            await child.process.wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for watcher in self.watchers:
            watcher.cancel()
        for child in self.children:
            child.may_end = True
            child.signal(signal.SIGKILL)
        await asyncio.shield(asyncio.gather(*(child.process.wait() for child in self.children)))
        if self.failed.done() and not self.failed.cancelled():
            self.failed.exception()
        self.failed.cancel()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert self.janitor.stdin is not None
        self.janitor.stdin.close()
        self.janitor.wait()


def _environment() -> dict[str, str]:
    """Children import the very code of this process, wherever they are started."""
    paths = [str(build.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
