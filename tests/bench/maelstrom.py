"""A small Maelstrom in virtual time: it carries the lines of nodes and clients with delays, losses and partitions, and records
what clients saw.

Its clients are those of the lin-kv workload: one request at a time to any node, a second's patience, and a new name after an
answer that leaves the outcome open.
"""

from __future__ import annotations

import heapq
import json
import random
from collections import Counter
from itertools import count
from typing import Any

from bench.checkers.history import Histories, Operation
from bench.driver.maelstrom import KEY_DOES_NOT_EXIST, NOT_SUPPORTED, PRECONDITION_FAILED, UNAVAILABLE, Node

MS, SECOND = 1_000_000, 1_000_000_000
DEFINITE = {NOT_SUPPORTED, UNAVAILABLE}
PATIENCE_NS = SECOND


class Client:
    """One closed loop: what it asks now, and since when."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: Operation | None = None
        self.msg_id = 0


class Recorder:
    """The operations of all clients by key, and how often each code was the answer."""

    def __init__(self) -> None:
        self.histories: Histories = {}
        self.answers: Counter[str | int] = Counter()

    def settle(self, operation: Operation, body: dict[str, Any] | None, now: int) -> bool:
        """Note the answer to an operation, or that none came; whether it leaves the outcome open."""
        code = None if body is None else body.get("code")
        self.answers["none" if body is None else code if code is not None else body["type"]] += 1
        known = body is not None and (code is None or code in (KEY_DOES_NOT_EXIST, PRECONDITION_FAILED))
        if code in DEFINITE:
            return False
        operation.ok, operation.return_ns = (True, now) if known else (None, None)
        if body is not None and known:
            if code == KEY_DOES_NOT_EXIST:  # whatever was asked, it has seen that nothing is there
                operation.op, operation.arg, operation.ret = "read", None, None
            elif operation.op == "read":
                operation.ret = body["value"]
            elif operation.op == "cas":
                operation.ret = code is None
        self.histories.setdefault(operation.key, []).append(operation)
        return not known


class Bench:
    """Nodes n0, n1, ... and clients c0, c1, ... around one network."""

    def __init__(self, engine: str, nodes: int, clients: int, seed: int) -> None:
        self.dice = random.Random(f"{engine} {seed}")
        self.now = 0
        self.names = [f"n{number}" for number in range(nodes)]
        self.complaints: list[str] = []
        self.nodes = {name: Node(engine, 100 * MS, self.dice.getrandbits(60), self.complaints.append) for name in self.names}
        self.numbers = count(clients)
        self.clients = {f"c{number}": Client(f"c{number}") for number in range(clients)}
        self.recorder = Recorder()
        self.arrivals: list[tuple[int, int, str, bytes]] = []
        self.arranged = count()
        self.latency_ns = 5 * MS
        self.loss = 0.0
        self.cut: set[tuple[str, str]] = set()
        self.dead: set[str] = set()
        self.values = count(1)
        self.asking = True
        self.kinds: Counter[str] = Counter()

    def start(self) -> None:
        """The init of each node, some time apart from one another, as Maelstrom does it; then clients begin."""
        for name in self.names:
            body = {"type": "init", "msg_id": 1, "node_id": name, "node_ids": self.names}
            self.post("control", name, json.dumps({"src": "control", "dest": name, "body": body}).encode())
        for client in list(self.clients.values()):
            self.ask(client)

    def post(self, source: str, to: str, line: bytes) -> None:
        """Put a line on its way. Clients' lines are delayed as others are; what is lost is lost between nodes."""
        between_nodes = source in self.nodes and to in self.nodes
        if between_nodes and self.dice.random() < self.loss:
            return
        due = self.now + self.dice.randint(0, self.latency_ns)
        heapq.heappush(self.arrivals, (due, next(self.arranged), to, line))

    def run(self, duration_ns: int) -> None:
        """Let time pass."""
        end = self.now + duration_ns
        while True:
            alive = [name for name in self.names if name not in self.dead]
            wakes = min((max(self.now, self.nodes[name].next_ns()), name) for name in alive)
            due = self.arrivals[0][0] if self.arrivals else end + 1
            self.now = min(due, wakes[0], end)
            if due <= self.now:
                _, _, to, line = heapq.heappop(self.arrivals)
                self.deliver(to, line)
            elif wakes[0] <= self.now < end:
                self.turn(wakes[1], [])
            elif self.now >= end:
                return

    def deliver(self, to: str, line: bytes) -> None:
        """A line has arrived."""
        message = json.loads(line)
        if to in self.nodes:
            if to not in self.dead and (message["src"], to) not in self.cut:
                self.turn(to, [line])
        elif to in self.clients:
            self.answered(self.clients[to], message["body"])

    def turn(self, name: str, lines: list[bytes]) -> None:
        """A node takes its lines, and what it says gets under way."""
        for line in self.nodes[name].turn(lines, self.now).splitlines():
            message = json.loads(line)
            assert message["src"] == name
            self.kinds[message["body"]["type"]] += 1
            self.post(name, message["dest"], line)

    def ask(self, client: Client) -> None:
        """A client's next request, and the end of its patience."""
        if not self.asking:
            return
        key = self.dice.randrange(3)
        op = self.dice.choice(("read", "write", "cas"))
        old, new = self.dice.randint(1, 5), next(self.values) % 5 + 1
        arg = {"read": None, "write": new, "cas": [old, new]}[op]
        fields = {"read": {}, "write": {"value": new}, "cas": {"from": old, "to": new}}[op]
        number = int(client.name[1:])
        client.msg_id += 1
        client.asked = Operation(client=number, op=op, key=key, arg=arg, call_ns=self.now, return_ns=None, ok=None)  # type: ignore[arg-type]
        body = {"type": op, "msg_id": client.msg_id, "key": key, **fields}
        to = self.dice.choice([name for name in self.names if name not in self.dead])
        self.post(client.name, to, json.dumps({"src": client.name, "dest": to, "body": body}).encode())
        lapse = {"src": client.name, "dest": client.name, "body": {"type": "lapse", "in_reply_to": client.msg_id}}
        heapq.heappush(self.arrivals, (self.now + PATIENCE_NS, next(self.arranged), client.name, json.dumps(lapse).encode()))

    def answered(self, client: Client, body: dict[str, Any]) -> None:
        """An answer, or the end of a client's patience; either may be for a request that is settled."""
        if client.asked is None or body["in_reply_to"] != client.msg_id:
            return
        operation, client.asked = client.asked, None
        if self.recorder.settle(operation, None if body["type"] == "lapse" else body, self.now):
            del self.clients[client.name]
            client = Client(f"c{next(self.numbers)}")
            self.clients[client.name] = client
        self.ask(client)

    def finish(self) -> Histories:
        """Ask no more, wait for what is under way; what clients saw."""
        self.asking = False
        self.run(2 * PATIENCE_NS)
        assert all(client.asked is None for client in self.clients.values())
        return self.recorder.histories

    def isolate(self, name: str) -> None:
        """Nothing passes between this node and the others."""
        for other in self.names:
            if other != name:
                self.cut |= {(name, other), (other, name)}
