"""The steward of a replica on a host of a cluster (`replbench serve`): it starts the replica as a run that drives it says.

    orchestrator --control--> steward --starts, kills, stops, wakes--> replica <--> peers, clients, orchestrator

Of what a run starts here nothing outlives its connection: neither the process nor its folder. So every trial begins with an
empty log, and the faults of a scenario strike a real process. One run drives a steward at a time.

The actions are methods ``do_<action>`` of Attendance; what they answer is read by bench.driver.stations.
"""
from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bench.driver import resources
from bench.driver.children import Child, Household, ProcessError
from bench.driver.connections import Connection
from bench.driver.frames import Do, Done, FrameError, Hello, decode_dos, encode
from bench.driver.homes import Here
from bench.driver.protocols import PROTOCOLS
from bench.driver.stations import replica_address, run_secret
from bench.driver.tls import Credentials, Session, TlsFiles
from bench.metrics import environment
from bench.scenario import Place, address_text, read_scenario

if TYPE_CHECKING:
    from bench.scenario import Address

USER_TIMEOUT_NS = 10_000_000_000
SUCCESSION_S = 5.0  # that the next run waits for what the last one leaves to be gone


class Attendance:
    """One orchestrator's connection, and what it has here; what it wants is done one thing after the other."""

    def __init__(self, steward: Steward) -> None:
        self.steward = steward
        self.dos: asyncio.Queue[Do] = asyncio.Queue()
        self.left = contextlib.AsyncExitStack()
        self.home: Here | None = None

    async def attend(self, connection: Connection) -> None:
        """Until the connection ends; then nothing is left."""
        async with self.left:
            while True:
                do = await self.dos.get()
                action = getattr(self, f"do_{do.action}", None)
                try:
                    if action is None:
                        raise ValueError(f"unknown action {do.action}")
                    result = await action(**do.arguments)
                except (ProcessError, ValueError, TypeError, KeyError, OSError) as error:
                    result = {"error": str(error) or type(error).__name__}
                connection.write(encode([Done(do.action, result)]))

    @property
    def child(self) -> Child:
        """The newest incarnation; ValueError where nothing has been started."""
        if self.home is None or self.home.child is None:
            raise ValueError("nothing has been started")
        return self.home.child

    async def do_describe(self) -> dict[str, Any]:
        """What runs may ask before they begin."""
        steward = self.steward
        return {
            "engines": list(PROTOCOLS),
            "peers": {str(id): address for id, address in steward.peers.items()},
            "busy": steward.driven.locked(),
            "environment": environment.describe(),
        }

    async def do_start(self, config: dict[str, Any], nonce: str) -> dict[str, Any]:
        """Start the next incarnation on the log of the one before, the first on an empty one."""
        if config["engine"] not in PROTOCOLS:
            known = ", ".join(PROTOCOLS)
            raise ValueError(f"unknown engine {config['engine']}; this host has {known}: install the same replbench on all")
        if self.home is None:
            self.home = await self._move_in(nonce)
        child, ready = await self.home.start(config)
        host = {"filesystem": resources.filesystem(self.steward.data), "environment": environment.describe()}
        return ready | {"pid": child.pid, "host": host}

    async def _move_in(self, nonce: str) -> Here:
        steward = self.steward
        try:
            async with asyncio.timeout(SUCCESSION_S):
                await steward.driven.acquire()
        except TimeoutError:
            raise ValueError("it is driven by another run; wait for its end") from None
        self.left.callback(steward.driven.release)
        household = await self.left.enter_async_context(Household(steward.data))
        addresses = {id: replica_address(address) for id, address in steward.peers.items()}
        home = Here(household, steward.id, addresses, run_secret(steward.secret, nonce), steward.tls)
        home.listen = replica_address(steward.listen)
        steward.report(f"a run begins on replica {steward.id}")
        self.left.callback(steward.report, f"a run ends on replica {steward.id}")
        return home

    async def do_kill(self) -> dict[str, Any]:
        await self.child.kill()
        return {}

    async def do_signal(self, number: int) -> dict[str, Any]:
        self.child.signal(signal.Signals(number))
        return {}

    async def do_look(self) -> dict[str, Any]:
        child = self.child
        ended = child.process.returncode is not None
        return {
            "returncode": child.process.returncode,
            "stopped": not ended and await child.stopped(),
            "obituary": child.obituary() if ended else "",
        }

    async def do_end(self) -> dict[str, Any]:
        return {} if self.home is None else await self.home.end()

    async def do_sample(self) -> dict[str, Any]:
        pid = self.child.pid
        return {"pid": pid, "sample": msgspec.to_builtins(resources.sample([pid, os.getpid()]))}

    async def do_audit(
        self, scenario: dict[str, Any], engine: str, said: dict[str, Any], acknowledged: bytes
    ) -> dict[str, Any]:
        """``acknowledged`` has the steps between ascending names, compressed by zlib."""
        if self.home is None:
            raise ValueError("nothing has been started")
        names = np.cumsum(np.frombuffer(zlib.decompress(acknowledged), dtype="<u8"))
        read = read_scenario(scenario, Place("scenario", Path()))
        return {"violations": await self.home.audit(read, engine, said, names)}


class Steward:
    """Listens for whoever drives replica ``id``. ``report`` takes a line for whoever started it.

    ValueError where the certificates are of no use.
    """

    user_timeout_ns = USER_TIMEOUT_NS

    def __init__(
        self,
        id: int,
        peers: dict[int, Address],
        listen: Address,
        secret: bytes,
        data: Path,
        tls: TlsFiles | None,
        report: Callable[[str], None],
    ) -> None:
        self.id = id
        self.peers = peers
        self.listen = listen
        self.secret = secret
        self.data = data
        self.tls = tls
        self.credentials = Credentials(tls) if tls is not None else None
        self.report = report
        self.driven = asyncio.Lock()
        self.dropped: Counter[str] = Counter()
        self.connections: set[Connection] = set()
        self.attending: dict[Connection, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Until SIGTERM or SIGINT; ValueError where its addresses are not to be had."""
        self.loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.loop.add_signal_handler(number, stopping.set)
        await self._require_free(replica_address(self.listen))
        server = await self._listen(self.listen, lambda: Connection(self))
        self.report(f"replica {self.id} can be driven at {address_text(self.listen)}")
        await stopping.wait()
        server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        for task in self.attending.values():
            task.cancel()
        await asyncio.gather(*self.attending.values(), return_exceptions=True)

    async def _listen(self, address: Address, protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        try:
            return await self.loop.create_server(protocol, *address, backlog=1024)
        except OSError as error:
            # The loop's own words repeat the address.
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise ValueError(f"cannot listen on {address_text(address)}: {reason}; choose another address") from None

    async def _require_free(self, address: Address) -> None:
        server = await self._listen(address, asyncio.Protocol)
        server.close()
        await server.wait_closed()

    # What connections need of it (bench.driver.connections.Household)

    def session(self, peer: int | None) -> Session | None:  # noqa: ARG002
        """What encrypts a new connection; None without TLS."""
        return None if self.credentials is None else self.credentials.accept()

    def strangers(self) -> int:
        """How many have not yet said who they are."""
        return sum(connection.role == "stranger" for connection in self.connections)

    def made(self, connection: Connection) -> None:
        """Somebody has connected."""
        self.connections.add(connection)

    def admit(self, connection: Connection, hello: Hello) -> None:
        """Somebody has proved that it knows the secret. FrameError where it is no orchestrator."""
        if hello.role != "control":
            raise FrameError(f"a {hello.role} that has nothing to ask here")
        attendance = Attendance(self)
        self.attending[connection] = self.loop.create_task(attendance.attend(connection))

        def receive(body: memoryview) -> None:
            for do in decode_dos(body):
                attendance.dos.put_nowait(do)

        connection.trust("control", receive)

    def joined(self, connection: Connection, peer: int) -> None:
        """It dials nobody."""
        raise AssertionError(f"{connection.role} {peer} was not dialled")

    def lost(self, connection: Connection) -> None:
        """A connection has ended, and what was begun through it ends too."""
        self.connections.discard(connection)
        task = self.attending.get(connection)
        if task is not None:
            task.add_done_callback(lambda _: self.attending.pop(connection, None))
            task.cancel()

    def drop(self, connection: Connection, reason: str) -> None:
        """Somebody broke a rule: reported ever more rarely, lest strangers fill a disk."""
        kind = reason.partition(":")[0]
        self.dropped[kind] += 1
        if self.dropped[kind].bit_count() == 1:
            self.report(f"dropped a {connection.role}: {reason} ({self.dropped[kind]} such until now)")
