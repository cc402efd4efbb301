"""A host and its service: who is asked, in what order, and what becomes of what the service wants."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bench.driver.host import Host, HostOptions
from bench.driver.occasions import ACCEPTED, REFUSED, UNDECIDED
from engines.core import NEVER, NOBODY, Configuration, Engine
from engines.machine import GET, PUT, KeyValue, encode_command
from engines.raft import (
    AppendEntries,
    AppendEntriesReply,
    HeartbeatReply,
    PreVote,
    PreVoteReply,
    Raft,
    RequestVote,
    RequestVoteReply,
)
from engines.service import ELSEWHERE, OWN, Service, ServiceEffect
from engines.unreplicated import Unreplicated
from ext.log import pack
from tests.simulation.building import MS
from tests.simulation.test_host import Notes

OWN_PUT = encode_command(NOBODY, 0, 0, PUT, b"service", b"1")


class Clerk(Service):
    """Has puts decided, holds gets until the next put, and puts something itself when it is led and once in a while."""

    def __init__(self, machine: KeyValue, answer_at_once: bool = False) -> None:
        super().__init__()
        self.machine = machine
        self.answer_at_once = answer_at_once
        self.happened: list[tuple[Any, ...]] = []
        self.held: list[tuple[int, int]] = []
        self.proposes_when_applied = 0

    def led(self, now: int) -> list[ServiceEffect]:
        self.begin(now)
        self.happened.append(("led", now))
        self.propose(OWN, OWN_PUT)
        return self.effects

    def deposed(self, now: int) -> list[ServiceEffect]:
        self.begin(now)
        self.happened.append(("deposed", now))
        for client, sequence in self.held:
            self.let_go(client, sequence)
        self.held = []
        return self.effects

    def request(self, client: int, command: bytes, now: int) -> list[ServiceEffect]:
        self.begin(now)
        sequence = int.from_bytes(command[8:16], "little")
        self.happened.append(("request", client, sequence))
        if command[20] == GET:
            self.held.append((client, sequence))
        else:
            self.propose(client, command)
        return self.effects

    def applied(self, origin: int, command: bytes, result: bytes, now: int) -> list[ServiceEffect]:
        self.begin(now)
        self.happened.append(("applied", origin, result))
        assert self.machine.applied, "what is told has been applied"
        if origin >= 0:
            self.answer(origin, int.from_bytes(command[8:16], "little"), result)
        for client, sequence in self.held:
            self.answer(client, sequence, b"held")
        self.held = []
        if self.proposes_when_applied:
            self.proposes_when_applied -= 1
            self.propose(OWN, OWN_PUT)
        return self.effects

    def tick(self, now: int) -> list[ServiceEffect]:
        self.begin(now)
        self.happened.append(("tick", now))
        return self.effects


def cell(engine: type[Engine] = Unreplicated, voters: tuple[int, ...] = (0,), **options: Any) -> tuple[Host, Clerk, Notes]:
    machine = KeyValue()
    clerk = Clerk(machine)
    notes = Notes()
    configuration = Configuration(voters=voters, initial_leader=0)
    host = Host(notes, engine(0, configuration, random.Random(1)), machine, HostOptions(**options), clerk)
    host.start([], 0)
    return host, clerk, notes


def put(sequence: int) -> bytes:
    return encode_command(7, sequence, 1, PUT, b"key", b"1")


def test_a_leader_is_told_and_what_it_proposes_is_applied_as_its_own() -> None:
    host, clerk, notes = cell()
    host.synced(MS)
    assert clerk.happened == [("led", 0), ("applied", OWN, b"\x01")]
    assert notes.answers == [], "nobody asked"


def test_requests_go_through_the_service_which_answers_when_it_likes() -> None:
    host, clerk, notes = cell()
    host.request(8, encode_command(8, 5, 1, GET, b"key"), 0, False)
    host.request(7, put(1), 0, False)
    host.synced(1)
    assert notes.answers == [(5, ACCEPTED)], "the service's own put went first, and freed the held get"
    host.synced(2)
    assert notes.answers == [(5, ACCEPTED), (1, ACCEPTED)]
    assert clerk.happened[1:3] == [("request", 8, 5), ("request", 7, 1)]


def test_what_is_proposed_while_applying_follows_at_once() -> None:
    """With nothing to wait for (no sync, one replica) no event would come by: the host asks to be woken."""
    host, clerk, _ = cell(durability=2)
    clerk.proposes_when_applied = 2
    host.request(7, put(1), 5, False)
    for _ in range(4):
        if host.deadline <= 5:
            host.wake(5)
    assert [what[1] for what in clerk.happened if what[0] == "applied"] == [OWN, 7, OWN, OWN]
    assert host.deadline == NEVER


def test_the_deadline_of_the_service_wakes_the_host() -> None:
    host, clerk, _ = cell(durability=2)
    assert host.deadline == NEVER
    clerk.deadline = 10
    host.request(7, put(1), 5, False)
    assert host.deadline == 10
    host.wake(9)
    assert ("tick", 9) not in clerk.happened
    host.wake(10)
    assert clerk.happened[-1] == ("tick", 10)


def elect(host: Host, notes: Notes, now: int) -> None:
    """Replica 1 grants whatever replica 0 asks for."""
    while not host.leading:
        message = notes.sent[-1][1]
        if isinstance(message, PreVote):
            host.receive(1, PreVoteReply(message.term - 1, message.term, True), now, False)
        else:
            assert isinstance(message, RequestVote)
            host.receive(1, RequestVoteReply(message.term, True), now, False)


def test_deposed_everything_is_let_go_and_nothing_is_asked_any_more() -> None:
    host, clerk, notes = cell(Raft, (0, 1, 2), durability=2, pipeline=8)
    elect(host, notes, MS)
    host.request(8, encode_command(8, 5, 1, GET, b"key"), MS, False)
    host.request(7, put(1), MS, False)
    term = host.engine.status().term
    host.receive(2, HeartbeatReply(term + 1, 0, 0, 0), 2 * MS, False)
    assert not host.leading
    assert notes.answers == [(1, UNDECIDED), (5, UNDECIDED)], "proposed and undecided; held"
    assert clerk.happened[-1] == ("deposed", 2 * MS)
    host.request(7, put(2), 3 * MS, False)
    assert notes.answers[-1] == (2, REFUSED)
    assert clerk.happened[-1] == ("deposed", 2 * MS)


def test_what_another_leader_proposed_is_told_as_such() -> None:
    """A leader commits what it found in its log together with its own first entry (Ongaro 2014, 3.6.2)."""
    host, clerk, notes = cell(Raft, (0, 1, 2), durability=2)
    term = host.engine.status().term + 1
    host.receive(1, AppendEntries(term, 1, 0, 0, pack([(term, put(9))]), 0), MS, False)
    now = host.deadline
    host.wake(now)
    elect(host, notes, now)
    for _ in range(2):
        host.receive(1, AppendEntriesReply(term + 1, host.engine.log.last), now, False)
        host.wake(now)
    assert [what[1] for what in clerk.happened if what[0] == "applied"] == [ELSEWHERE, ELSEWHERE, OWN]


def test_a_host_that_forwards_has_no_service() -> None:
    with pytest.raises(ValueError, match="find the leader"):
        cell(forward=True)
