"""The clients of bench.driver.clients, in real time: the same event queue, on which what the sockets bring is an event, too.

The queue's time follows the clock, a turn at a time. An arrival of the schedule keeps its intended time however late its turn
is; when it really left is recorded beside it. Clients' latencies of the scenario are applied here, both ways, as in the
simulation: a request is due to be written when it would have arrived, an answer is heard when it would have arrived.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.driver.frames import Request
from bench.driver.occasions import ACCEPTED, ANSWER, ISSUE, REDIRECTED, REQUEST, RETRY
from bench.driver.wire import ANSWER_BYTES
from engines.core import NEVER
from engines.machine import sequence_of

if TYPE_CHECKING:
    from bench.driver.clients import Population
    from ext.events import EventQueue


class Dialogue:
    """What all clients say and hear. ``outgoing[replica]`` is what is to be written to a replica at the end of a turn."""

    def __init__(self, queue: EventQueue, clients: Population, replicas: int) -> None:
        self.queue = queue
        self.clients = clients
        self.recorder = clients.recorder
        self.outgoing: list[list[Any]] = [[] for _ in range(replicas)]
        self.begun = 0

    def hear(self, replica: int, answers: list[Any], now: int) -> None:
        """Answers of a replica were read at ``now``."""
        for answer in answers:
            client, sequence, result = answer.client, answer.sequence, answer.result
            arrival = self.clients.answer_arrives(client, replica, now, ANSWER_BYTES + len(result))
            if answer.outcome == ACCEPTED:
                self.queue.push(arrival, result, ANSWER, client, sequence)
            else:
                self.queue.push(arrival, answer.leader, REDIRECTED, client, sequence)

    def reset(self, replica: int) -> None:
        """There is another connection to a replica: what the last one carried is lost."""
        self.clients.reset(replica)

    def disconnected(self, replica: int) -> None:
        """There is no connection to a replica any more."""
        self.clients.disconnected(replica)

    def dropped(self, requests: list[Any]) -> None:
        """These commands have waited for too long to be written, and never will be."""
        for request in requests:
            self.clients.never_sent(request.client, sequence_of(request.command))

    def turn(self, now: int, most: int) -> int:
        """Let at most ``most`` events happen that are due at ``now``; returns when the next one is, or NEVER."""
        queue, clients = self.queue, self.clients
        clients.clock_ns = now
        while len(queue) > 0 and queue.peek_time() <= now and most > 0:
            most -= 1
            payload = queue.pop()
            kind = queue.kind
            if kind == REQUEST:
                self.outgoing[queue.target].append(Request(queue.argument, payload))
            elif kind == ANSWER:
                clients.answered(queue.target, queue.argument, payload)
            elif kind == REDIRECTED:
                clients.redirected(queue.target, queue.argument, payload)
            elif kind == ISSUE:
                clients.issue(queue.target)
            else:
                assert kind == RETRY
                clients.retry(queue.argument)
            while self.begun < self.recorder.count:
                if self.recorder.pending(self.begun):
                    self.recorder.sent(self.begun, now)
                self.begun += 1
        return queue.peek_time() if len(queue) > 0 else NEVER
