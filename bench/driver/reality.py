"""The real world: what a host needs of sockets, disk and clock, as ``bench.driver.simulation`` is of virtual time.

Each turn takes everything that has arrived and hands it to the host; writes to the sockets what need not wait; makes one
write and one fdatasync for all that must be durable; and sends what rode on it, coalesced by connection. The sync blocks on
purpose: what arrives meanwhile is the next turn's group.

Who connects to whom, and when a turn comes, is the process's business (bench.driver.replica).
"""
from __future__ import annotations

import time
from typing import Any, cast

from bench.driver.clock import Clock
from bench.driver.connections import Connection
from bench.driver.frames import PEER_FRAME_LIMIT_BYTES, Answer, FrameError, Request, encode_messages
from bench.driver.host import Forward, ForwardAnswer, Host, World
from bench.driver.occasions import REFUSED
from bench.driver.protocols import PROTOCOLS, new_host
from bench.driver.shaping import Shaper
from bench.driver.storage import WriteAheadLog
from bench.driver.wire import Kind
from bench.scenario import Scenario
from engines.core import NEVER, NOBODY, Message, Persist, Record
from engines.machine import client_of, sequence_of

SECOND_NS = 1_000_000_000
QUEUE_LIMIT_BYTES = 16 << 20
QUEUE_LEAST, QUEUE_MOST = 256, 1 << 16
QUEUE_PATIENCE = 4  # a queue is full with what is decided in this part of a client's patience
DIGEST_EVERY, DIGESTS_KEPT = 1024, 1024
NOTICED_KEPT = 1024
REQUESTS, MESSAGES, UP, DOWN = range(4)


class Reality(World):
    """One host between its log, its peers and its clients. Times are monotonic ns, as the machine's clock shows them."""

    def __init__(self, scenario: Scenario, engine: str, id: int, seed: int, log: WriteAheadLog) -> None:
        engine_class = PROTOCOLS[engine][0]
        others = [other for other in range(scenario.replicas) if other != id]
        kinds: list[type] = [*engine_class.HANDLERS, Forward, ForwardAnswer]
        self.scenario = scenario
        self.engine = engine
        self.id = id
        self.seed = seed
        self.incarnation = 0
        self.log = log
        self.clock = Clock()
        self.shaper = Shaper(scenario.network, seed, id, others)
        self.kinds = {kind: Kind(kind, kind in engine_class.HEARTBEATS) for kind in kinds}
        self.host: Any = None
        self.inbox: list[tuple[int, Connection, list[Any]]] = []
        self.peers: dict[int, Connection] = {}  # as the host sees them: it has been told of every change
        self.clients: dict[int, Connection] = {}
        self.audience: set[Connection] = set()
        self.outboxes: dict[int, list[Message]] = {other: [] for other in others}
        self.answering: list[Connection] = []
        self.pending = False
        self.paused = False
        self.disk_factor = 1.0
        self.disk_delay_ns = 0
        self.pace_ns = scenario.timeouts.request_ns // QUEUE_PATIENCE
        self.paced_ns = 0
        self.paced_commands = 0
        self.pace = 0
        self.requests = 0
        self.request_bytes = 0
        self.commands = 0
        self.sent = dict.fromkeys(others, 0)
        self.sent_bytes = 0
        self.leaderships: list[tuple[int, int]] = []
        self.noticed: list[int] = []
        self.digests: list[tuple[int, int]] = []

    def start(self, records: list[Record], incarnation: int) -> None:
        """Start the host with what its log kept."""
        host = new_host(self, self.engine, self.id, incarnation, self.scenario, self.seed)
        host.start(records, self.clock.local(time.monotonic_ns()))
        self.host = host
        self.incarnation = incarnation

    def turn(self) -> None:
        """Everything that has arrived, one sync, everything that may leave."""
        now = time.monotonic_ns()
        local = self.clock.local(now)
        inbox, self.inbox = self.inbox, []
        for what, connection, content in inbox:
            if what == REQUESTS:
                self.serve(connection, content, local)
            elif what == MESSAGES:
                self.deliver(connection, content, local)
            elif what == UP:
                self.peer_up(connection, now)
            else:
                self.peer_down(connection, now)
        self.release(now)
        self.host.wake(local)
        self.make_durable()
        self.leave()
        self.keep_pace(now)
        self.balance()

    def next_ns(self) -> int:
        """When the next turn is due, though nothing arrives: a deadline of the host, or a message that is held back."""
        deadline = self.host.deadline
        return min(NEVER if deadline == NEVER else self.clock.real(deadline), self.shaper.next_ns())

    def finish(self) -> None:
        """The last turn: make durable what was not in a hurry."""
        self.turn()
        self.save(self.host.remaining())

    # What arrives

    def serve(self, connection: Connection, requests: list[Request], now: int) -> None:
        """Hand clients' commands to the host; the end of the turn settles them together."""
        host, clients = self.host, self.clients
        for request in requests:
            command = request.command
            clients[request.client] = connection
            self.request_bytes += len(command)
            host.request(request.client, command, now, True)
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
            if type(message) is Forward and self.host.queue.count > self.queue_limit():
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
            old.transport.abort()
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
        if self.shaper.next_ns() == NEVER:
            return
        for to, message in self.shaper.due(now):
            self.outboxes[to].append(message)
        for peer in self.shaper.starving(now):
            connection = self.peers.get(peer)
            if connection is None:
                self.forsake(peer, now)
            else:
                self.peer_down(connection, now)
                connection.transport.abort()

    def leave(self) -> None:
        """Write what has gathered, one write a connection: first to clients, since only they wait for this moment."""
        for connection in self.answering:
            for frame in encode_messages(connection.answers):
                connection.write(frame)
            connection.answers = []
        self.answering = []
        for to, outbox in self.outboxes.items():
            if outbox:
                self.outboxes[to] = []
                self.sent[to] += len(outbox)
                try:
                    frames = encode_messages(outbox, PEER_FRAME_LIMIT_BYTES)
                except FrameError as error:
                    self.peers[to].drop(str(error))
                    continue
                for frame in frames:
                    self.sent_bytes += len(frame)
                    self.peers[to].write(frame)

    def keep_pace(self, now: int) -> None:
        """Count how many commands are decided in ``pace_ns``."""
        passed = now - self.paced_ns
        if passed >= self.pace_ns:
            self.pace = (self.commands - self.paced_commands) * self.pace_ns // passed
            self.paced_ns, self.paced_commands = now, self.commands

    def balance(self) -> None:
        """Where clients send more than is decided, let them wait: their sockets are not read until the queue is short."""
        limit, queued = self.queue_limit(), self.host.queue.count
        if not self.paused and queued > limit:
            self.paused = True
            for connection in self.audience:
                connection.transport.pause_reading()
        elif self.paused and queued <= limit // 2:
            self.paused = False
            for connection in self.audience:
                connection.transport.resume_reading()

    def queue_limit(self) -> int:
        """How many commands may wait, so that clients still wait for them when they are decided, and they take no more than
        their share of memory.
        """
        each = 1 + self.request_bytes // max(1, self.requests)
        return max(QUEUE_LEAST, min(self.pace, QUEUE_MOST, QUEUE_LIMIT_BYTES // each))

    def listen_to(self, connection: Connection) -> None:
        """A client has come."""
        self.audience.add(connection)
        if self.paused:
            connection.transport.pause_reading()

    def forget(self, connection: Connection) -> None:
        """A client has gone."""
        self.audience.discard(connection)
        for client in [client for client, each in self.clients.items() if each is connection]:
            del self.clients[client]

    # Disk

    def write(self, host: Host, persists: list[Persist]) -> None:  # noqa: ARG002
        """The host has records to write: they are gathered until the end of this turn, or of the next if it has synced."""
        self.pending = True

    def make_durable(self) -> None:
        """Write and sync what the host has gathered; what need not wait for it leaves first. What the host then has to write
        waits for the next turn, so that nobody's messages wait for two syncs.
        """
        if not self.pending:
            return
        self.pending = False
        persists = self.host.gather()
        self.leave()
        self.save(persists)
        self.host.synced(self.clock.local(time.monotonic_ns()))

    def compacting(self) -> bool:
        """Whether the last state is still being written: states that queued up would fill memory and disk."""
        return bool(self.log.segments.archiving)

    def save(self, persists: list[Persist]) -> None:
        """One write and one sync, as slow as the fault of the moment has it."""
        records = [persist.record for persist in persists if persist.record is not None]
        if not records:
            return
        before_ns = self.log.sync_ns
        self.log.write(records, self.host.compaction_first, self.host.compaction_last)
        if self.disk_factor > 1.0:
            delay_ns = int((self.disk_factor - 1.0) * (self.log.sync_ns - before_ns))
            time.sleep(delay_ns / SECOND_NS)
            self.disk_delay_ns += delay_ns

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

    def lost_leader(self, host: Host) -> None:  # noqa: ARG002
        """As World says; of a replica that stays alone for long, the latest times are kept."""
        self.noticed.append(time.monotonic_ns())
        del self.noticed[:-NOTICED_KEPT]
