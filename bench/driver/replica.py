"""A replica as an operating-system process: one engine and its host on sockets, a disk, and the machine's clock.

    python -m bench.driver.replica CONFIG

CONFIG is a JSON file that only its owner may read (see Config). Standard output says ``{"listening": port}``, and, when the
log is recovered and the host has started, ``{"ready": true, ...}``. The process ends when its standard input does, at
SIGTERM or when it is told to stop; where something is wrong, with one line on standard error and status 1.

Each turn of the loop takes everything that has arrived and hands it to the host; writes to the sockets what need not wait;
makes one write and one fdatasync for all that must be durable; and sends what rode on it, coalesced by connection. The sync
blocks the loop on purpose: what arrives meanwhile is the next turn's group.
"""
from __future__ import annotations

import asyncio
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
from bench.driver.frames import (
    Answer,
    FrameError,
    Hello,
    PeerMessages,
    Request,
    decode_dos,
    decode_requests,
    encode_messages,
)
from bench.driver.host import Forward, ForwardAnswer, Host, World
from bench.driver.occasions import REFUSED
from bench.driver.protocols import PROTOCOLS, new_host
from bench.driver.shaping import Shaper
from bench.driver.storage import StorageError, WriteAheadLog
from bench.driver.timer import Alarm
from bench.driver.wire import Kind
from bench.scenario import Place, ScenarioError, read_scenario
from engines.core import NEVER, NOBODY, Message, Persist
from engines.machine import client_of, sequence_of

SECOND_NS = 1_000_000_000
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 1.0
LAG_EVERY_S = 0.05
FAREWELL_S = 1.0
ORPHAN_S = 5.0
QUEUE_LIMIT_BYTES = 16 << 20
QUEUE_LEAST, QUEUE_MOST = 256, 1 << 16
DIGEST_EVERY, DIGESTS_KEPT = 1024, 1024


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


class Clock:
    """The time as the host is told it: monotonic nanoseconds, run at another rate where a fault says so."""

    def __init__(self) -> None:
        self.rate = 1.0
        self.base_ns = 0
        self.set_ns = 0

    def local(self, now: int) -> int:
        """What this clock shows at a monotonic time."""
        return self.base_ns + (now - self.set_ns if self.rate == 1.0 else int((now - self.set_ns) * self.rate))

    def real(self, local: int) -> int:
        """The monotonic time at which this clock shows ``local``."""
        return self.set_ns + (local - self.base_ns if self.rate == 1.0 else 1 + int((local - self.base_ns) / self.rate))

    def set_rate(self, rate: float, now: int) -> None:
        """From now on, run at ``rate`` seconds a second."""
        self.base_ns, self.set_ns, self.rate = self.local(now), now, rate


class Replica(World):
    """The process: its connections, its log, its host, and the turn that drives them."""

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self.config = config
        self.loop = loop
        self.id = config.id
        self.scenario = read_scenario(config.scenario, Place("scenario", Path()))
        if config.engine not in PROTOCOLS or not 0 <= config.id < self.scenario.replicas:
            raise ValueError(f"there is no replica {config.id} of {config.engine} in this scenario")
        self.engine_class = PROTOCOLS[config.engine][0]
        self.secret = bytes.fromhex(config.secret)
        self.clock = Clock()
        self.alarm = Alarm(loop, self.soon)
        self.others = [id for id in range(self.scenario.replicas) if id != self.id]
        self.shaper = Shaper(self.scenario.network, config.seed, self.id, self.others)
        self.messages = PeerMessages(self.engine_class)
        kinds: list[type] = [*self.engine_class.HANDLERS, Forward, ForwardAnswer]
        self.kinds = {kind: Kind(kind, kind in self.engine_class.HEARTBEATS) for kind in kinds}
        self.log = WriteAheadLog(Path(config.data))
        self.control = Control(self)
        self.host: Any = None
        self.stopping = asyncio.Event()
        self.addresses: dict[int, tuple[str, int]] = {}
        self.connections: set[Connection] = set()
        self.peers: dict[int, Connection] = {}  # as the host sees them: it has been told of every change
        self.clients: dict[int, Connection] = {}
        self.outboxes: dict[int, list[Message]] = {id: [] for id in self.others}
        self.answering: list[Connection] = []
        self.inbox: list[tuple[Any, Any, Any]] = []
        self.turning = False
        self.pending = False
        self.paused = False
        self.disk_factor = 1.0
        self.drops: Counter[str] = Counter()
        self.requests = 0
        self.request_bytes = 0
        self.commands = 0
        self.sent_bytes = 0
        self.leaderships: list[tuple[int, int]] = []
        self.digests: list[tuple[int, int]] = []
        self.lag_ns = 0
        self.recovered_records = 0

    # The life of the process

    async def live(self) -> None:
        """From listening to the end."""
        loop = self.loop
        loop.set_exception_handler(lambda _, context: self.fail(context.get("exception") or context["message"]))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        host, port = self.config.listen
        try:
            server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        except OSError as error:
            raise ValueError(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another port") from None
        threading.Thread(target=self.watch_parent, daemon=True).start()
        say({"listening": server.sockets[0].getsockname()[1]})
        self.meet({int(id): address for id, address in self.config.peers.items()})
        self.measure_lag(time.monotonic_ns())
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
        self.loop.call_soon_threadsafe(self.stopping.set)
        time.sleep(ORPHAN_S)
        os._exit(1)

    def meet(self, addresses: dict[int, tuple[str, int]]) -> None:
        """Learn where the others are; with the last of them, start. ValueError where it is told of strangers."""
        strangers = addresses.keys() - {self.id, *self.others}
        if strangers:
            raise ValueError(f"there are {self.scenario.replicas} replicas; {min(strangers)} is none of them")
        self.addresses.update(addresses)
        if self.host is None and all(id in self.addresses for id in self.others):
            self.start()

    def start(self) -> None:
        """Recover from the log, start the host, and dial the others: of each pair, the higher id does."""
        records = self.log.recover(self.engine_class)
        self.recovered_records = len(records)
        host = new_host(self, self.config.engine, self.id, self.config.incarnation, self.scenario, self.config.seed)
        host.start(records, self.clock.local(time.monotonic_ns()))
        self.host = host
        self.soon()
        for id in self.others:
            if id < self.id:
                self.loop.create_task(self.dial(id, FIRST_PAUSE_S))
        say({"ready": True, "recovered_records": len(records), "torn": bool(self.log.torn)})
        if self.log.torn:
            complain(f"{self.log.torn}; what follows is lost, and was never promised")

    async def farewell(self) -> None:
        """Make durable what waits for it, say what is still to be said, and close."""
        if self.host is not None:
            self.turn()
            records = [persist.record for persist in self.host.gather() if persist.record is not None]
            if records:
                self.log.write(records, self.host.compaction_first, self.host.compaction_last)
        self.host = None
        for connection in list(self.connections):
            connection.transport.close()
        until = self.loop.time() + FAREWELL_S
        while self.connections and self.loop.time() < until:
            await asyncio.sleep(0.005)
        self.log.close()

    def fail(self, error: Any) -> None:
        """Stop at once and loudly: nothing that is not yet sent leaves."""
        if not isinstance(error, StorageError | ValueError):
            traceback.print_exception(error) if isinstance(error, BaseException) else None
            error = f"{type(error).__name__}: {error}"
        complain(error)
        os._exit(1)

    def measure_lag(self, expected_ns: int) -> None:
        """How late the loop is, now and then."""
        now = time.monotonic_ns()
        self.lag_ns = max(self.lag_ns, now - expected_ns)
        self.loop.call_later(LAG_EVERY_S, self.measure_lag, now + int(LAG_EVERY_S * SECOND_NS))

    # Connections

    def let_in(self, connection: Connection, limit: int) -> bool:
        """Remember a new connection; False where too many have not yet said who they are."""
        self.connections.add(connection)
        return sum(each.role == "stranger" for each in self.connections) <= limit

    def admit(self, connection: Connection, hello: Hello) -> None:
        """Somebody has proved that it knows the secret. FrameError where it is not admitted all the same."""
        if hello.role == "control":
            connection.trust("control", lambda body: self.control.perform(connection, decode_dos(body)))
        elif self.host is None:
            connection.abort()
        elif hello.role == "client":
            connection.trust("client", lambda body: self.requested(connection, decode_requests(body)))
            if self.paused:
                connection.transport.pause_reading()
        elif hello.id not in self.others or hello.id < self.id:
            raise FrameError(f"replica {hello.id} has nothing to ask here")
        elif self.shaper.links[hello.id].blocks:
            connection.abort()
        else:
            self.joined(connection, hello.id)

    async def dial(self, peer: int, pause_s: float) -> None:
        """Connect to a replica; try again, ever more slowly, until it answers."""
        while not self.stopping.is_set():
            if not self.shaper.links[peer].blocks:
                try:
                    _, connection = await self.loop.create_connection(
                        lambda: Connection(self, peer), *self.addresses[peer]
                    )
                except OSError:
                    pass
                else:
                    self.connections.add(connection)
                    connection.pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                    return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def joined(self, connection: Connection, peer: int) -> None:
        """A handshake with a replica has succeeded; the host sees the connection when its turn comes."""
        connection.peer = peer
        connection.pause_s = FIRST_PAUSE_S
        connection.trust("peer", lambda body: self.arrived(connection, self.messages.decode(body)))
        self.post("up", connection, None)

    def connection_lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if connection.role == "peer":
            self.post("down", connection, None)
        elif connection.role == "client":
            gone = [client for client, each in self.clients.items() if each is connection]
            for client in gone:
                del self.clients[client]
        if connection.peer is not None and connection.peer < self.id and not self.stopping.is_set():
            self.loop.call_later(connection.pause_s, self.redial, connection.peer, connection.pause_s)

    def redial(self, peer: int, pause_s: float) -> None:
        """Dial again after a pause."""
        if not self.stopping.is_set():
            self.loop.create_task(self.dial(peer, pause_s))

    def dropped(self, connection: Connection, reason: str) -> None:
        """Somebody broke a rule."""
        kind = reason.partition(":")[0] if reason.startswith("malformed") else reason
        self.drops["frame too long" if "exceeds the limit" in kind else kind] += 1
        complain(f"dropped a {connection.role}: {reason}")

    # What arrives

    def post(self, what: str, source: Any, content: Any) -> None:
        """Put something into the inbox of the next turn."""
        self.inbox.append((what, source, content))
        self.soon()

    def soon(self) -> None:
        """See to it that a turn comes, after all that the loop already has to read."""
        if not self.turning and self.host is not None:
            self.turning = True
            self.loop.call_soon(self.turn)

    def arrived(self, connection: Connection, messages: list[Message]) -> None:
        """Messages of another replica."""
        self.post("messages", connection, messages)

    def requested(self, connection: Connection, requests: list[Request]) -> None:
        """Requests of clients; FrameError where a command is not its client's."""
        for request in requests:
            try:
                genuine = client_of(request.command) == request.client
            except ValueError:
                genuine = False
            if not genuine:
                raise FrameError("a command that is not its client's")
        self.post("requests", connection, requests)

    def turn(self) -> None:
        """Everything that has arrived, one sync, everything that may leave."""
        self.turning = False
        if self.host is None:
            return
        try:
            now = time.monotonic_ns()
            inbox, self.inbox = self.inbox, []
            for what, source, content in inbox:
                if what == "requests":
                    self.serve(source, content, self.clock.local(now))
                elif what == "messages":
                    self.deliver(source, content, self.clock.local(now))
                elif what == "up":
                    self.peer_up(source, now)
                else:
                    self.peer_down(source, now)
            self.release(now)
            self.host.wake(self.clock.local(now))
            self.make_durable()
            self.leave()
            self.balance()
            self.arm()
        except Exception as error:
            self.fail(error)

    def serve(self, connection: Connection, requests: list[Request], now: int) -> None:
        """Hand clients' commands to the host; the end of the turn settles them together."""
        host, clients = self.host, self.clients
        for request in requests:
            clients[request.client] = connection
            self.request_bytes += len(request.command)
            host.request(request.client, request.command, now, True)
        self.requests += len(requests)
        if connection.lost:
            for request in requests:
                clients.pop(request.client, None)

    def deliver(self, connection: Connection, messages: list[Message], now: int) -> None:
        """Hand another replica's messages to the host, if they came by the connection that it knows."""
        peer = cast(int, connection.peer)
        if self.peers.get(peer) is not connection:
            return
        for message in messages:
            if type(message) is Forward and self.host.queued > self.queue_limit():
                self.refuse(peer, message)
            else:
                self.host.receive(peer, message, now, True)

    def refuse(self, peer: int, forward: Forward) -> None:
        """The queue is full: the commands that a replica forwards go back, and its clients try later."""
        for command in forward.commands:
            answer = ForwardAnswer(client_of(command), sequence_of(command), REFUSED, NOBODY, b"")
            self.transmit(self.host, peer, answer)

    def peer_up(self, connection: Connection, now: int) -> None:
        """A new connection to a replica. If the host still believes in an older one, that has broken unnoticed."""
        peer = cast(int, connection.peer)
        if connection.lost:
            return
        old = self.peers.get(peer)
        if old is not None:
            self.peer_down(old, now)
            old.abort()
        self.peers[peer] = connection
        self.shaper.connect(peer, now)

    def peer_down(self, connection: Connection, now: int) -> None:
        """The connection to a replica has ended: the host is told before anything of a new one."""
        peer = cast(int, connection.peer)
        if self.peers.get(peer) is connection:
            del self.peers[peer]
            self.forsake(peer, now)

    def forsake(self, peer: int, now: int) -> None:
        """What was under way to a replica is lost, and the engine hears of it where it relies on order."""
        self.outboxes[peer] = []
        self.shaper.disconnect(peer, now)
        if self.shaper.tcp:
            self.host.disconnected(peer, self.clock.local(now))

    # What leaves

    def transmit(self, host: Host, to: int, message: Message) -> None:  # noqa: ARG002
        """A message to another replica: it leaves in this turn, or when its shaped link lets it."""
        kind = self.kinds[type(message)]
        size = kind.size(message)
        kind.count += 1
        kind.bytes += size
        if to in self.shaper.open:
            self.outboxes[to].append(message)
        else:
            self.shaper.send(to, message, size, time.monotonic_ns())

    def answer(self, host: Host, client: int, sequence: int, outcome: int, leader: int, result: bytes) -> None:  # noqa: ARG002
        """An answer to a client, if it is still there."""
        connection = self.clients.get(client)
        if connection is not None:
            if not connection.answers:
                self.answering.append(connection)
            connection.answers.append(Answer(client, sequence, outcome, leader, result))

    def release(self, now: int) -> None:
        """What shaped links have held back until now, and the connections that were held back for too long."""
        for to, message in self.shaper.due(now):
            self.outboxes[to].append(message)
        for peer in self.shaper.starving(now):
            connection = self.peers.get(peer)
            if connection is None:
                self.forsake(peer, now)
            else:
                self.peer_down(connection, now)
                connection.abort()

    def leave(self) -> None:
        """Write what has gathered, one write a connection."""
        for to, outbox in self.outboxes.items():
            if outbox:
                self.outboxes[to] = []
                for frame in encode_messages(outbox):
                    self.sent_bytes += len(frame)
                    self.peers[to].write(frame)
        for connection in self.answering:
            for frame in encode_messages(connection.answers):
                connection.write(frame)
            connection.answers = []
        self.answering = []

    def balance(self) -> None:
        """Where clients send more than is decided, let them wait: their sockets are not read until the queue is short."""
        limit = self.queue_limit()
        if not self.paused and self.host.queued > limit:
            self.paused = True
            for connection in self.connections:
                if connection.role == "client":
                    connection.transport.pause_reading()
        elif self.paused and self.host.queued <= limit // 2:
            self.paused = False
            for connection in self.connections:
                if connection.role == "client":
                    connection.transport.resume_reading()

    def queue_limit(self) -> int:
        """How many commands may wait, so that they take no more than their share of memory."""
        each = 1 + self.request_bytes // max(1, self.requests)
        return max(QUEUE_LEAST, min(QUEUE_MOST, QUEUE_LIMIT_BYTES // each))

    def arm(self) -> None:
        """Wake at the next deadline of the host or of a held message."""
        deadline = self.host.deadline
        self.alarm.set(min(NEVER if deadline == NEVER else self.clock.real(deadline), self.shaper.next_ns()))

    # Disk

    def write(self, host: Host, persists: list[Persist]) -> None:  # noqa: ARG002
        """The host has records to write: they are gathered until the end of the turn."""
        self.pending = True

    def make_durable(self) -> None:
        """Write and sync what the host has gathered, until nothing waits. What need not wait for it leaves first."""
        while self.pending:
            self.pending = False
            records = [persist.record for persist in self.host.gather() if persist.record is not None]
            self.leave()
            if records:
                before_ns = self.log.sync_ns
                self.log.write(records, self.host.compaction_first, self.host.compaction_last)
                if self.disk_factor > 1.0:
                    time.sleep((self.disk_factor - 1.0) * (self.log.sync_ns - before_ns) / SECOND_NS)
            self.host.synced(self.clock.local(time.monotonic_ns()))

    # Watchers

    def applied(self, host: Host, position: int, command: bytes, answered: bool) -> None:  # noqa: ARG002
        """A command was applied; now and then remember the digest, by which replicas are compared."""
        if command:
            self.commands += 1
        if position % DIGEST_EVERY == 0:
            self.digests.append((position, host.machine.digest))
            del self.digests[:-DIGESTS_KEPT]

    def led(self, host: Host) -> None:
        """This replica begins to lead."""
        self.leaderships.append((time.monotonic_ns(), host.engine.status().term))


def say(what: dict[str, Any]) -> None:
    """One line for whoever started this process."""
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


def complain(what: Any) -> None:
    """One line on standard error."""
    sys.stderr.write(f"replica: {what}\n")
    sys.stderr.flush()


def read_config(path: Path) -> Config:
    """ValueError where the file is not as it must be."""
    try:
        if path.stat().st_mode & 0o077:
            raise ValueError(f"{path} holds a secret and can be read by others; chmod 600 it")
        return msgspec.json.decode(path.read_bytes(), type=Config)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: {error}") from None


def main(arguments: list[str]) -> int:
    """Run one replica; the status of the process."""
    if len(arguments) != 1:
        complain("usage: python -m bench.driver.replica CONFIG")
        return 1
    try:
        config = read_config(Path(arguments[0]))
        if config.loop == "uvloop":
            import uvloop

            loop = cast(asyncio.AbstractEventLoop, uvloop.new_event_loop())
        else:
            loop = asyncio.new_event_loop()
        loop.run_until_complete(Replica(config, loop).live())
    except (ValueError, ScenarioError, StorageError) as error:
        complain(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
