"""The simulated clients: sessions that follow a workload, time out, follow redirects and retry.

A session's sequence number tells the row of the operation in the recorder, so an answer finds its row without a table; it is
the token of the value that the operation writes, too. Where several processes share the clients, they take sessions and numbers
in turn, so that none is given twice.
A retried command carries the same number, and the state machine applies it once.
"""
from __future__ import annotations

from array import array
from collections import deque
from typing import TYPE_CHECKING

import cython

from bench.driver.occasions import ISSUE, REQUEST, RETRY
from bench.driver.wire import REQUEST_BYTES
from bench.metrics.trial import CAS, FAILED, OK, READ, WRITE
from engines.core import NOBODY
from engines.machine import encode_numbers

if not cython.compiled:
    from ext.columns import bytes_of, halves_of, integers_of
    from ext.memory import load_u64, push_event

if TYPE_CHECKING:
    import numpy as np

    from bench.driver.network import Durations, Link
    from bench.metrics.recorder import Recorder
    from bench.metrics.trial import LockRecord
    from bench.scenario import Mix
    from bench.workloads.key_value import Operations
    from ext.events import EventQueue

TOKEN_BYTES = 8
APPLIED, STALE = 1, 2
LEADER, ROUND_ROBIN, NEAREST = 0, 1, 2
ROUTING = {"leader": LEADER, "round-robin": ROUND_ROBIN, "nearest": NEAREST}
DRAWN = 4096
SWEEP = 0


class Session:
    """A client: where it is, whom it asks, and what it waits for (kept where it may have more than one under way)."""

    def __init__(self, id: int, target: int, links_to: list[Link], links_from: list[Link]) -> None:
        self.id = id
        self.target = target
        self.links_to = links_to
        self.links_from = links_from
        self.waiting: deque[int] = deque()
        self.heard_ns = 0
        self.turned_ns = 0


class Population:
    """All clients of a run, as a world sees them: what it hands them, by the number of the client."""

    def __init__(self, queue: EventQueue, sessions: list[Session], recorder: Recorder) -> None:
        self.queue = queue
        self.sessions = sessions
        self.recorder = recorder
        self.clock_ns = 0  # of the turn, in real time; an event of it may have been due earlier

    def start(self) -> None:
        """Put what comes first on the queue."""
        raise NotImplementedError

    def issue(self, client: int) -> None:
        """The time has come for what was put on the queue as ISSUE."""
        raise NotImplementedError

    def retry(self, argument: int) -> None:
        """The time has come for what was put on the queue as RETRY."""
        raise NotImplementedError

    def answered(self, client: int, sequence: int, result: bytes) -> None:
        """The result of an operation arrived."""
        raise NotImplementedError

    def redirected(self, client: int, sequence: int, leader: int) -> None:
        """A replica does not lead, and names (or NOBODY) who does."""
        raise NotImplementedError

    def let_go(self, client: int, sequence: int) -> None:
        """The replica lost its leadership before the operation was decided."""
        raise NotImplementedError

    def never_sent(self, client: int, sequence: int) -> None:
        """A try was dropped before it left: the way to the replica was full for too long. It will time out."""

    def reset(self, replica: int) -> None:
        """A replica that restarted resets its clients' connections."""
        raise NotImplementedError

    def disconnected(self, replica: int) -> None:
        """The connection to a replica broke, which some clients notice; ``reset`` follows when there is another."""

    def finish(self) -> None:
        """The end of the run."""
        raise NotImplementedError

    def record(self) -> LockRecord | None:
        """What there is to tell beside the operations."""
        return None

    def answer_arrives(self, client: int, replica: int, depart_ns: int, size: int) -> int:
        """When an answer that leaves a replica now reaches its client."""
        session = self.session_of(client)
        link = session.links_from[replica]
        return link.carry(depart_ns, size)

    def session_of(self, client: int) -> Session:
        """The session of the client of this number."""
        session: Session = self.sessions[client]
        return session


class Clients(Population):
    """The clients of the key-value machine. An open loop has a ``schedule`` of intended starts; a closed one (None) has think
    times.

    ``refusals_are_exact`` is false where the network may double a forwarded command, whose refusal then proves nothing.
    ``share`` is (which, of how many) processes that have the clients between them: session n of them is the client
    n * of_how_many + which.
    """

    def __init__(
        self,
        queue: EventQueue,
        sessions: list[Session],
        operations: Operations,
        mix: Mix,
        recorder: Recorder,
        schedule: np.ndarray | None,
        think: Durations,
        routing: int,
        request_ns: int,
        operation_ns: int,
        stop_ns: int,
        refusals_are_exact: bool,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        super().__init__(queue, sessions, recorder)
        self.operations = operations
        self.closed = schedule is None
        self.planned = array("q", b"" if schedule is None else schedule.astype("<i8").tobytes())
        self.schedule = integers_of(self.planned)
        self.arrival = 0
        self.think = think
        self.routing = routing
        self.replicas = len(sessions[0].links_to)
        self.request_ns = request_ns
        self.operation_ns = operation_ns
        self.backoff_ns = max(request_ns // 64, 1_000)
        self.stop_ns = stop_ns
        self.refusals_are_exact = refusals_are_exact
        self.part, self.parts = share
        self.foreign_sizes: dict[int, int] = {}  # of values that other processes wrote, by token
        self.seen: dict[int, int] = {}
        self.uses_cas = mix.cas > 0.0
        self.uses_chains = mix.read_modify_write > 0.0
        self.chained: set[int] = set()
        self.refusals: dict[int, int] = {}
        self.given_up: set[int] = set()
        self.pausing: set[int] = set()  # numbers of what will be asked again anyhow: a network may double a refusal
        self.sweeping = False
        self.cursor = 0
        self.retries: deque[tuple[int, int]] = deque()
        self.used = DRAWN
        self.refill()

    def start(self) -> None:
        """Put the first arrival of an open loop, or the first operation of every closed client, on the queue."""
        if self.closed:
            for session in self.sessions:
                self.queue.push(self.queue.time + self.think.next(), None, ISSUE, session.id, 0)
        elif len(self.planned):
            self.queue.push(self.schedule[0], None, ISSUE, 0, 0)

    def refill(self) -> None:
        """Draw the next operations."""
        drawn = self.operations.draw(DRAWN)
        columns = (("B", "kind"), ("I", "key"), ("I", "size_bytes"), ("B", "chained"))
        self.drawn = [array(code, drawn[field].tobytes()) for code, field in columns]
        self.kinds = bytes_of(self.drawn[0])
        self.keys = halves_of(self.drawn[1])
        self.sizes = halves_of(self.drawn[2])
        self.chains = bytes_of(self.drawn[3])
        self.used = 0

    def issue(self, client: int) -> None:
        """The time has come for a closed client's next operation, or for the next arrival of an open loop."""
        if self.closed:
            if self.queue.time < self.stop_ns:
                self.next_operation(self.session_of(client))
            return
        session = self.sessions[self.arrival % len(self.sessions)]
        self.arrival += 1
        if self.arrival < len(self.planned):
            self.queue.push(self.schedule[self.arrival], None, ISSUE, 0, 0)
        self.next_operation(session)

    def next_operation(self, session: Session) -> None:
        """Begin the next drawn operation."""
        if self.used == DRAWN:
            self.refill()
        at = self.used
        self.used += 1
        row = self.begin(session, self.kinds[at], self.keys[at], self.sizes[at])
        if self.uses_chains and self.chains[at]:
            self.chained.add(row)

    def begin(self, session: Session, kind: int, key: int, size: int) -> int:
        """Record and send one operation; its intended start is now. Returns its row."""
        now = self.queue.time
        if kind != READ and size < TOKEN_BYTES:
            size = TOKEN_BYTES
        row = self.recorder.begin(now, now, session.id, kind, key, size)
        if kind == WRITE:
            self.recorder.set_values(row, self.number_of(row), 0)
        elif kind == CAS:
            self.recorder.set_values(row, self.number_of(row), self.seen.get(key, 0))
        if self.routing == ROUND_ROBIN:
            session.target = (session.target + 1) % self.replicas
        if not self.closed:
            session.waiting.append(row)
        self.send(session, row)
        if not self.sweeping:
            self.sweeping = True
            self.queue.push(now + self.request_ns, None, RETRY, 0, SWEEP)
        return row

    def send(self, session: Session, row: int) -> None:
        """Send an operation to the session's replica."""
        command = self.command(session, row)
        link = session.links_to[session.target]
        arrival = link.carry(self.queue.time, REQUEST_BYTES + len(command))
        push_event(self.queue, arrival, command, REQUEST, session.target, session.id)

    def command(self, session: Session, row: int) -> bytes:
        """The bytes of an operation; the same at every try, but for the lowest number still waited for."""
        recorder = self.recorder
        kind = recorder.kind_of(row)
        lowest = row
        if not self.closed:
            while session.waiting and self.settled(session.waiting[0]):
                session.waiting.popleft()
            lowest = session.waiting[0]
        number = self.number_of(row)
        size = 0 if kind == READ else recorder.size_of(row)
        token = recorder.expected_of(row) if kind == CAS else 0
        return encode_numbers(
            session.id, number, self.number_of(lowest), kind, recorder.key_of(row), number, size, token, self.size_of(token)
        )

    def number_of(self, row: int) -> int:
        """The sequence number of an operation, and the token of what it writes: no other operation of the run has it."""
        return row * self.parts + self.part + 1

    def row_of(self, number: int) -> int:
        """The operation of a number that was given here."""
        return (number - 1) // self.parts

    def session_of(self, client: int) -> Session:
        """The session of a client of this process."""
        return self.sessions[client // self.parts]

    def settled(self, row: int) -> bool:
        """Whether nobody waits for this operation any more."""
        return not self.recorder.pending(row) or (len(self.given_up) > 0 and row in self.given_up)

    def size_of(self, token: int) -> int:
        """Bytes of the value that the operation of this token writes, which are the token and zeros; of none, 0."""
        if token == 0:
            return 0
        if self.parts > 1 and (token - 1) % self.parts != self.part:
            return self.foreign_sizes[token]
        return self.recorder.size_of(self.row_of(token))

    def answered(self, client: int, sequence: int, result: bytes) -> None:
        """The result of an operation arrived."""
        row = self.row_of(sequence)
        session = self.session_of(client)
        session.heard_ns = self.queue.time
        if self.settled(row) or result[0] == STALE:
            return
        kind = self.recorder.kind_of(row)
        returned = 0
        if kind == READ:
            if result[0] == APPLIED:
                assert len(result) > TOKEN_BYTES, "a value begins with its token"
                returned = load_u64(result, 1)
                if self.uses_cas and self.parts > 1:
                    self.foreign_sizes[returned] = len(result) - 1
        elif kind == CAS:
            returned = result[0]
        self.recorder.complete(row, self.queue.time, OK, returned)
        if self.uses_cas:
            self.learn(row, kind, returned)
        if self.uses_chains and row in self.chained:
            self.chained.discard(row)
            self.begin(session, WRITE, self.recorder.key_of(row), self.recorder.size_of(row))
        elif self.closed:
            self.think_then_issue(session)

    def learn(self, row: int, kind: int, returned: int) -> None:
        """Remember the newest value seen of a key: what the next cas will expect."""
        key = self.recorder.key_of(row)
        if kind == READ:
            self.seen[key] = returned
        elif kind == WRITE or returned:
            self.seen[key] = self.number_of(row)

    def think_then_issue(self, session: Session) -> None:
        """A closed client thinks, then asks again."""
        think_ns = self.think.value if self.think.constant else self.think.next()
        if think_ns > 0:
            self.queue.push(self.queue.time + think_ns, None, ISSUE, session.id, 0)
        elif self.queue.time < self.stop_ns:
            self.next_operation(session)

    def redirected(self, client: int, sequence: int, leader: int) -> None:
        """A replica does not lead: ask the one it names, or, where it knows none, the next one after a while."""
        row = self.row_of(sequence)
        session = self.session_of(client)
        if self.settled(row):
            return
        refusals = self.refusals.get(row, 0) + 1
        self.refusals[row] = refusals
        if self.routing == LEADER:
            self.turn(session, leader if leader != NOBODY else (session.target + 1) % self.replicas)
        if leader != NOBODY and refusals <= 2 and self.routing == LEADER:
            self.resend(row)
        else:
            self.pause(sequence, refusals)

    def let_go(self, client: int, sequence: int) -> None:
        """The replica lost its leadership before the operation was decided: ask again, as it may not have happened."""
        if not self.settled(self.row_of(sequence)):
            if self.routing == LEADER:
                session = self.session_of(client)
                self.turn(session, (session.target + 1) % self.replicas)
            self.pause(sequence, 0)

    def never_sent(self, client: int, sequence: int) -> None:
        """A try was dropped before it left, which is as good as a refusal. Where others are no better off, do not try again."""
        row = self.row_of(sequence)
        if not self.settled(row):
            self.refusals[row] = self.refusals.get(row, 0) + 1
            self.give_up(self.session_of(client), row)

    def turn(self, session: Session, target: int) -> None:
        """From now on this session asks ``target``; what it sent before is sent again when its time is over."""
        session.target = target
        session.heard_ns = session.turned_ns = self.queue.time

    def reset(self, replica: int) -> None:
        """A replica that restarted resets its clients' connections: what they carried is sent again in time."""
        for session in self.sessions:
            if session.target == replica:
                self.turn(session, replica)

    def pause(self, sequence: int, refusals: int) -> None:
        """Ask again after a while, once."""
        if sequence in self.pausing:
            return
        self.pausing.add(sequence)
        self.queue.push(self.queue.time + (self.backoff_ns << min(refusals, 2)), None, RETRY, 0, sequence)

    def resend(self, row: int) -> None:
        """Send an operation once more, or give it up when its time is over."""
        if self.settled(row):
            return
        session = self.session_of(self.recorder.client_of(row))
        if self.queue.time - self.recorder.started_ns(row) >= self.operation_ns:
            self.give_up(session, row)
        else:
            self.recorder.retried(row)
            self.send(session, row)

    def give_up(self, session: Session, row: int) -> None:
        """The client stops waiting: failed where every try was refused, else the outcome stays unknown."""
        if self.certainly_refused(row):
            self.recorder.complete(row, self.queue.time, FAILED, 0)
        self.refusals.pop(row, None)
        self.given_up.add(row)
        self.chained.discard(row)
        if self.closed:
            self.think_then_issue(session)

    def certainly_refused(self, row: int) -> bool:
        """Whether every try of the operation was refused, so that it did not happen."""
        refusals: int = self.refusals.get(row, 0)
        return self.refusals_are_exact and refusals == self.recorder.attempts_of(row)

    def retry(self, sequence: int) -> None:
        """A pause after a refusal is over, or it is time to look for operations without an answer."""
        if sequence != SWEEP:
            self.pausing.discard(sequence)
            self.resend(self.row_of(sequence))
            return
        now = self.queue.time
        while self.cursor < self.recorder.count and self.recorder.started_ns(self.cursor) + self.request_ns <= now:
            self.timed_out(self.cursor, self.recorder.started_ns(self.cursor))
            self.cursor += 1
        while self.retries and self.retries[0][0] + self.request_ns <= now:
            sent_ns, row = self.retries.popleft()
            self.timed_out(row, sent_ns)
        next_ns = self.retries[0][0] + self.request_ns if self.retries else -1
        if self.cursor < self.recorder.count:
            first_ns = self.recorder.started_ns(self.cursor) + self.request_ns
            next_ns = first_ns if next_ns < 0 else min(next_ns, first_ns)
        self.sweeping = next_ns >= 0
        if self.sweeping:
            self.queue.push(next_ns, None, RETRY, 0, SWEEP)

    def timed_out(self, row: int, sent_ns: int) -> None:
        """No answer in time: ask again, the next replica where this one has been silent.

        A leader that answers others is only slow, and its connection loses nothing: to ask it twice would feed a queue that
        is too long already. A replica that forwards cannot tell what became of a command, and is asked again.
        """
        if self.settled(row):
            return
        now = self.queue.time
        session = self.session_of(self.recorder.client_of(row))
        if now - session.heard_ns >= self.request_ns:
            self.turn(session, (session.target + 1) % self.replicas)
        self.retries.append((now, row))
        if self.routing != LEADER or session.turned_ns >= sent_ns:
            self.resend(row)
        elif now - self.recorder.started_ns(row) >= self.operation_ns:
            self.give_up(session, row)

    def finish(self) -> None:
        """The end: what was refused at every try certainly did not happen."""
        for row in self.refusals:
            if not self.settled(row) and self.certainly_refused(row):
                self.recorder.complete(row, self.queue.time, FAILED, 0)
