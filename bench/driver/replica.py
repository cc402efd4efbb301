"""A replica as an operating-system process.

    python -m bench.driver.replica CONFIG

CONFIG is a JSON file that only its owner may read (see Config). Standard output says ``{"listening": port}``, and, when the
log is recovered and the host has started, ``{"ready": true, ...}``. The process ends when its standard input does, at
SIGTERM or when it is told to stop, and says with ``{"ended": ...}`` what it had applied; where something is wrong, it ends with
one line on standard error and status 1.

One connection joins each pair of replicas, dialled by the one with the higher id, so that its end is one event that both
see, as in the simulation; each direction is shaped by its sender.
"""
from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

import ext  # noqa: F401  (installs the finder of compiled modules first)
from bench.driver.connections import Connection
from bench.driver.control import Control
from bench.driver.frames import FrameError, Hello, PeerMessages, decode_dos, decode_requests
from bench.driver.log_format import StorageError
from bench.driver.private import read_private
from bench.driver.protocols import PROTOCOLS
from bench.driver.reality import DOWN, MESSAGES, REQUESTS, SECOND_NS, UP, Reality
from bench.driver.storage import WriteAheadLog
from bench.driver.timer import Alarm
from bench.driver.tls import Credentials, Session, TlsFiles
from bench.scenario import Place, read_scenario

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 1.0
LAG_EVERY_S = 0.05
FAREWELL_S = 1.0
ORPHAN_S = 5.0
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a replica process is told: who it is, what it runs, where the others are, and where its log lies.

    ``scenario`` is the table of a resolved scenario. ``peers`` may name the replica itself, and may come later
    (Do "peers"). ``secret`` is hexadecimal.
    """

    id: int
    engine: str
    scenario: dict[str, Any]
    listen: tuple[str, int]
    secret: str
    data: str
    seed: int
    incarnation: int
    peers: dict[str, tuple[str, int]] = {}
    loop: Literal["uvloop", "asyncio"] = "uvloop"
    tls: TlsFiles | None = None


class Replica:
    """The process: who connects to whom, when a turn comes, and how it all ends.

    ValueError where the configuration makes no sense, StorageError where the log is not fit for use.
    """

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        scenario = read_scenario(config.scenario, Place("scenario", Path()))
        if config.engine not in PROTOCOLS or not 0 <= config.id < scenario.replicas:
            raise ValueError(f"there is no replica {config.id} of {config.engine} among {scenario.replicas} replicas")
        self.config = config
        self.loop = loop
        self.id = config.id
        self.engine_class = PROTOCOLS[config.engine][0]
        self.secret = bytes.fromhex(config.secret)
        self.credentials = Credentials(config.tls) if config.tls is not None else None
        self.user_timeout_ns = scenario.network.user_timeout_ns
        self.others = [id for id in range(scenario.replicas) if id != self.id]
        self.messages = PeerMessages(self.engine_class)
        self.log = WriteAheadLog(Path(config.data))
        self.world = Reality(scenario, config.engine, self.id, config.seed, self.log)
        self.control = Control(self.world, self.meet, self.soon, self.stop)
        self.alarm = Alarm(loop, self.soon)
        self.stopping = asyncio.Event()
        self.addresses: dict[int, tuple[str, int]] = {}
        self.connections: set[Connection] = set()
        self.turning = False
        self.started = False
        self.dropped: Counter[str] = self.control.dropped

    # The life of the process

    async def live(self) -> None:
        """From listening to the end."""
        loop = self.loop
        loop.set_exception_handler(lambda _, context: self.troubled(context.get("exception") or context["message"]))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        host, port = self.config.listen
        try:
            server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
            if not server.sockets:  # of two that bind a port at once, one may learn only now that the other listens
                raise OSError("Address already in use")
        except OSError as error:
            raise ValueError(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another port") from None
        threading.Thread(target=self.watch_parent, daemon=True).start()
        say({"listening": server.sockets[0].getsockname()[1]})
        self.measure_lag(time.monotonic_ns())
        self.meet({int(id): address for id, address in self.config.peers.items()})
        await self.stopping.wait()
        server.close()
        await self.farewell()

    def watch_parent(self) -> None:
        """In a thread of its own: whoever started this process holds its standard input open while it lives."""
        try:
            while os.read(0, 4096):
                pass
        except OSError:
            pass
        self.loop.call_soon_threadsafe(self.stop)
        time.sleep(ORPHAN_S)
        os._exit(1)

    def meet(self, addresses: dict[int, tuple[str, int]]) -> None:
        """Learn where the others are; with the last of them, start. ValueError where it is told of strangers."""
        strangers = addresses.keys() - {self.id, *self.others}
        if strangers:
            raise ValueError(f"there are {len(self.others) + 1} replicas, and {min(strangers)} is none of them")
        self.addresses.update(addresses)
        if not self.started and all(id in self.addresses for id in self.others):
            self.start()

    def start(self) -> None:
        """Recover from the log, start the host, and dial the others."""
        records = self.log.recover(self.engine_class)
        self.world.start(records, self.config.incarnation)
        self.started = True
        gc.freeze()  # what has been loaded stays: the collector need not look at it again and again
        self.soon()
        for id in self.others:
            if id < self.id:
                self.dial_after(id, 0.0)
        if self.log.torn:
            complain(f"{self.log.torn}: what was being written there is lost; it was never promised")
        say({"ready": True, "recovered_records": len(records), "torn": bool(self.log.torn)})

    def soon(self) -> None:
        """See to it that a turn comes, after all that the loop already has to read."""
        if self.started and not self.turning:
            self.turning = True
            self.loop.call_soon(self.turn)

    def turn(self) -> None:
        """One turn of the world, and the alarm for the next. What goes wrong there stops the replica."""
        self.turning = False
        if not self.started:
            return
        try:
            self.world.turn()
            self.alarm.set(self.world.next_ns())
            if self.world.pending:
                self.soon()
        except Exception as error:
            self.fail(error)

    def stop(self) -> None:
        """End, once what has been said is sent."""
        self.stopping.set()

    async def farewell(self) -> None:
        """Make durable what waits for it, say what is still to be said, and close."""
        if self.started:
            self.started = False
            try:
                self.world.finish()
                machine = self.world.host.machine
                say({"ended": {"applied": machine.applied, "digest": machine.digest}})
            except Exception as error:
                self.fail(error)
        for connection in list(self.connections):
            connection.transport.close()
        until = self.loop.time() + FAREWELL_S
        while self.connections and self.loop.time() < until:
            await asyncio.sleep(0.005)
        self.alarm.close()
        self.log.close()

    def troubled(self, error: Any) -> None:
        """What went wrong in the loop itself ends the replica, but for a lack of descriptors, which strangers can bring about."""
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            self.dropped["no descriptors left"] += 1
        else:
            self.fail(error)

    def fail(self, error: Any) -> None:
        """Stop at once and loudly: nothing that is not yet sent leaves."""
        try:
            if isinstance(error, BaseException) and not isinstance(error, StorageError | ValueError):
                complain("".join(traceback.format_exception(error)).rstrip())
                error = f"{type(error).__name__}: {error}"
            complain(error)
        finally:
            os._exit(1)

    def measure_lag(self, expected_ns: int) -> None:
        """How late the loop is, now and then."""
        now = time.monotonic_ns()
        self.control.lag_ns = max(self.control.lag_ns, now - expected_ns)
        self.loop.call_later(LAG_EVERY_S, self.measure_lag, now + int(LAG_EVERY_S * SECOND_NS))

    # Connections

    def session(self, peer: int | None) -> Session | None:
        """What encrypts a new connection, to ``peer`` or from whoever comes; None without TLS."""
        if self.credentials is None:
            return None
        return self.credentials.accept() if peer is None else self.credentials.connect(self.addresses[peer][0])

    def strangers(self) -> int:
        """How many have not yet said who they are."""
        return sum(connection.role == "stranger" for connection in self.connections)

    def made(self, connection: Connection) -> None:
        """A connection has been made, either way."""
        self.connections.add(connection)

    def admit(self, connection: Connection, hello: Hello) -> None:
        """Somebody has proved that it knows the secret. FrameError where it is not admitted all the same.

        Whoever comes too early, or across a link that a fault has cut, finds a closed door and may come again.
        """
        if hello.role == "control":
            connection.trust("control", lambda body: self.control.perform(connection, decode_dos(body)))
        elif not self.started:
            connection.transport.abort()
        elif hello.role == "client":
            connection.trust("client", lambda body: self.post(REQUESTS, connection, decode_requests(body)))
            self.world.listen_to(connection)
        elif hello.id not in self.others or hello.id < self.id:
            raise FrameError("a replica that has nothing to ask here")
        elif self.world.shaper.links[hello.id].blocks:
            connection.transport.abort()
        else:
            self.joined(connection, hello.id)

    def joined(self, connection: Connection, peer: int) -> None:
        """A handshake with a replica has succeeded; the host sees the connection when its turn comes."""
        connection.peer = peer
        connection.pause_s = FIRST_PAUSE_S
        connection.trust("peer", lambda body: self.post(MESSAGES, connection, self.messages.decode(body)))
        self.post(UP, connection, [])

    def lost(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if connection.role == "peer":
            self.post(DOWN, connection, [])
        elif connection.role == "client":
            self.world.forget(connection)
        if connection.dialled:
            assert connection.peer is not None
            self.dial_after(connection.peer, connection.pause_s)

    def drop(self, connection: Connection, reason: str) -> None:
        """Somebody broke a rule: counted by the kind of reason, and reported ever more rarely, lest strangers fill a disk."""
        kind = reason.partition(":")[0]
        self.dropped[kind] += 1
        if self.dropped[kind].bit_count() == 1:
            complain(f"dropped a {connection.role}: {reason} ({self.dropped[kind]} such until now)")

    def dial_after(self, peer: int, pause_s: float) -> None:
        """Dial a replica after a pause."""
        if not self.stopping.is_set():
            self.loop.call_later(pause_s, lambda: self.loop.create_task(self.dial(peer, pause_s)))

    async def dial(self, peer: int, pause_s: float) -> None:
        """Connect to a replica; where it does not answer, try again ever more slowly."""
        next_pause_s = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        if self.world.shaper.links[peer].blocks:
            self.dial_after(peer, FIRST_PAUSE_S)
            return
        try:
            await self.loop.create_connection(lambda: Connection(self, peer, next_pause_s), *self.addresses[peer])
        except OSError:
            self.dial_after(peer, next_pause_s)

    # What arrives

    def post(self, what: int, connection: Connection, content: list[Any]) -> None:
        """Put something into the inbox of the next turn."""
        self.world.inbox.append((what, connection, content))
        self.soon()


def say(what: dict[str, Any]) -> None:
    """One line for whoever started this process, and may have gone."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, msgspec.json.encode(what) + b"\n")


def complain(what: Any) -> None:
    """One line on standard error, if there is room: what stops a replica is often a full disk, and must not be stopped by it."""
    with contextlib.suppress(OSError):
        os.write(2, f"replica: {what}\n".encode(errors="replace"))


def read_config(path: Path) -> Config:
    """ValueError where the file is not as it must be."""
    try:
        return msgspec.json.decode(read_private(path), type=Config)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: {error}") from None


def new_loop(kind: str) -> asyncio.AbstractEventLoop:
    """The event loop of this name."""
    if kind == "asyncio":
        return asyncio.new_event_loop()
    import uvloop

    return cast(asyncio.AbstractEventLoop, uvloop.new_event_loop())


def main(arguments: list[str]) -> int:
    """Run one replica; the status of the process."""
    if len(arguments) != 1:
        complain("usage: python -m bench.driver.replica CONFIG")
        return 1
    try:
        config = read_config(Path(arguments[0]))
        loop = new_loop(config.loop)
        loop.run_until_complete(Replica(config, loop).live())
    except (ValueError, StorageError) as error:
        complain(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
