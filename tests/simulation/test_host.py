"""The host alone, with the unreplicated engine and a world that only takes notes: batches, pipeline, disk
groups, compaction.
"""

from __future__ import annotations

import random
import threading
from itertools import pairwise
from typing import Any

import pytest

from bench.driver.host import DURABILITY, Host, HostOptions, World
from engines.core import Configuration, Engine, Message, Persist, Record
from engines.machine import PUT, KeyValue, encode_command
from engines.raft import AppendEntries, AppendEntriesConflict, Entries, Raft
from engines.unreplicated import Unreplicated
from ext.log import pack
from tests.simulation.building import MS


class Notes(World):
    """Writes down what the host does; the test decides when a write is durable."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, int]] = []
        self.writes: list[int] = []
        self.sent: list[tuple[int, Message]] = []

    def transmit(self, host: Host, to: int, message: Message) -> None:  # noqa: ARG002
        self.sent.append((to, message))

    def answer(
        self,
        host: Host,  # noqa: ARG002
        client: int,  # noqa: ARG002
        sequence: int,
        outcome: int,
        leader: int,  # noqa: ARG002
        result: bytes,  # noqa: ARG002
    ) -> None:
        self.answers.append((sequence, outcome))

    def write(self, host: Host, persists: list[Persist]) -> None:  # noqa: ARG002
        self.writes.append(len(persists))

    def applied(self, host: Host, position: int, command: bytes, answered: bool) -> None:
        pass

    def led(self, host: Host) -> None:
        pass


def host_of(
    engine: type[Engine] = Unreplicated, records: list[Record] | None = None, id: int = 0, **options: Any
) -> tuple[Host, Notes]:
    """A started host of one replica."""
    configuration = Configuration(voters=(id,), initial_leader=id)
    notes = Notes()
    host = Host(notes, engine(id, configuration, random.Random(1)), KeyValue(), HostOptions(**options))
    host.start(records or [], 0)
    return host, notes


def ask(host: Host, sequence: int, now: int = 0, more: bool = False, value: bytes = b"") -> None:
    host.request(7, encode_command(7, sequence, 1, PUT, b"key", value), now, more)


def answered(notes: Notes) -> list[int]:
    return [sequence for sequence, _ in notes.answers]


def test_what_comes_during_a_sync_waits_for_the_next_and_shares_it() -> None:
    """Group commit: one record is written, three gather, one sync covers them; no answer before its sync."""
    host, notes = host_of(pipeline=8)
    for sequence in (1, 2, 3, 4):
        ask(host, sequence)
    assert notes.writes == [1]
    assert answered(notes) == []
    host.synced(MS)
    assert notes.writes == [1, 3]
    assert answered(notes) == [1]
    host.synced(2 * MS)
    assert answered(notes) == [1, 2, 3, 4]


def test_a_group_may_be_limited() -> None:
    host, notes = host_of(pipeline=8, group=2)
    for sequence in (1, 2, 3, 4, 5):
        ask(host, sequence)
    for now in range(1, 4):
        host.synced(now)
    assert notes.writes == [1, 2, 2]
    assert answered(notes) == [1, 2, 3, 4, 5]


def test_promises_that_write_nothing_need_no_place_in_a_limited_group() -> None:
    """Else a follower's refusals each wait for a sync of their own, and it never catches up."""
    configuration = Configuration(voters=(0, 1, 2), initial_leader=1)
    notes = Notes()
    host = Host(notes, Raft(0, configuration, random.Random(1)), KeyValue(), HostOptions(group=1))
    host.start([], 0)
    host.receive(1, AppendEntries(1, 1, 0, 0, pack([(1, b"")]), 0), 1, False)
    host.receive(1, AppendEntries(1, 1, 1, 1, pack([(1, b"")]), 0), 2, False)
    for overtaken in (5, 6, 7):
        host.receive(1, AppendEntries(1, 1, overtaken, 1, b"", 0), 3, False)
    assert notes.writes == [1]
    host.synced(4)  # a new term
    host.synced(5)
    assert notes.writes == [1, 1, 4]
    host.synced(6)
    refusals = [message for _, message in notes.sent if isinstance(message, AppendEntriesConflict)]
    assert len(refusals) == 3
    assert notes.writes == [1, 1, 4]


def test_a_full_pipeline_gathers_a_batch() -> None:
    """One proposal under way, two commands a batch: the second and third command wait and go together."""
    host, notes = host_of(pipeline=1, max_commands=2)
    for sequence in (1, 2, 3, 4):
        ask(host, sequence)
    assert host.engine.log.last == 1
    host.synced(1)
    assert host.engine.log.last == 3
    host.synced(2)
    host.synced(3)
    assert notes.writes == [1, 1, 1]
    assert answered(notes) == [1, 2, 3, 4]


def test_commands_of_one_turn_make_one_batch() -> None:
    """While more work of the turn waits behind it, a command waits for company; a full batch does not."""
    host, _ = host_of(pipeline=8, max_commands=3)
    for sequence in (1, 2):
        ask(host, sequence, more=True)
    assert host.engine.log.last == 0
    ask(host, 3, more=True)
    assert host.engine.log.last == 3
    ask(host, 4, more=True)
    ask(host, 5, more=False)
    assert host.engine.log.last == 5


def test_a_retry_that_waited_until_its_first_copy_was_applied_is_answered_and_not_decided_again() -> None:
    """Else retries that come as fast as commands are decided keep a queue full for ever."""
    host, notes = host_of(pipeline=1, max_commands=2)
    for sequence in (1, 2, 1, 2, 1, 3, 2):
        ask(host, sequence)
    for now in range(1, 6):
        host.synced(now)
    assert answered(notes) == [1, 1, 2, 2, 1, 2, 3]
    assert host.engine.log.last == 4, "but for the second copy of 2, which was proposed with the first"
    assert host.machine.duplicates == 1
    assert host.queue.count == 0


def test_a_batch_waits_no_longer_than_its_delay() -> None:
    """The deadline is the first command's time plus the delay."""
    host, notes = host_of(pipeline=8, max_commands=8, max_delay_ns=5 * MS)
    ask(host, 1, now=10 * MS)
    ask(host, 2, now=12 * MS)
    assert host.deadline == 15 * MS
    host.wake(14 * MS)
    assert notes.writes == []
    host.wake(15 * MS)
    assert host.engine.log.last == 2
    assert notes.writes == [1]


def test_without_durability_nothing_is_waited_for_or_written() -> None:
    host, notes = host_of(durability=DURABILITY["none"])
    ask(host, 1)
    assert (answered(notes), notes.writes) == ([1], [])


def test_batch_interval_answers_first_and_writes_later() -> None:
    """One sync an interval covers what gathered; nobody waits for it."""
    host, notes = host_of(durability=DURABILITY["batch-interval"], interval_ns=10 * MS, pipeline=8)
    ask(host, 1, now=MS)
    ask(host, 2, now=2 * MS)
    assert (answered(notes), notes.writes) == ([1, 2], [])
    assert host.deadline == 10 * MS
    host.wake(10 * MS)
    assert notes.writes == [2]


def test_a_bystander_names_the_server() -> None:
    """A replica that does not lead refuses, or forwards where that is the routing."""
    configuration = Configuration(voters=(0, 1))
    for forward in (False, True):
        notes = Notes()
        host = Host(
            notes, Unreplicated(1, configuration, random.Random(1)), KeyValue(), HostOptions(forward=forward)
        )
        host.start([], 0)
        ask(host, 1)
        assert len(notes.sent) == int(forward)
        assert notes.answers == ([] if forward else [(1, 1)])


@pytest.mark.parametrize("engine", [Unreplicated, Raft])
def test_a_log_is_compacted_when_it_has_grown(engine: type[Engine]) -> None:
    """Its size is looked at every so many commands: it outgrows the limit by no more than these."""
    host, _ = host_of(engine, compact_after_bytes=2000, pipeline=8)
    host.synced(0)
    host.synced(0)
    host.synced(0)
    for sequence in range(1, 1000):
        ask(host, sequence, now=sequence, value=bytes(100))
        for _ in range(4):
            host.synced(sequence)
    assert host.engine.log.base > 500
    assert host.engine.log.nbytes < 2000 + 256 * 150
    assert host.machine.applied == host.engine.committed
    assert host.compaction_first is not None


def test_replicas_of_one_history_do_not_compact_at_the_same_time() -> None:
    hosts = [host_of(id=id, compact_after_bytes=200_000)[0] for id in range(3)]
    bases = []
    for sequence in range(1, 4000):
        for host in hosts:
            ask(host, sequence, now=sequence, value=bytes(100))
            host.synced(sequence)
        bases.append(tuple(host.engine.log.base for host in hosts))
    moved = [sum(one != other for one, other in zip(earlier, later, strict=True)) for earlier, later in pairwise(bases)]
    assert max(moved) == 1
    assert min(len({base[id] for base in bases}) for id in range(3)) > 2, "each has compacted more than once"


def test_a_long_log_of_which_nothing_is_known_to_be_committed_is_kept() -> None:
    """After a restart there is nothing to make a snapshot of, however long the log is."""
    entries = pack([(1, bytes(500)) for _ in range(20)])
    configuration = Configuration(voters=(0, 1, 2))
    host = Host(
        Notes(), Raft(0, configuration, random.Random(1)), KeyValue(), HostOptions(compact_after_bytes=1024)
    )
    host.start([Entries(1, entries)], 0)
    assert (host.engine.log.base, host.engine.log.last) == (0, 20)


def test_a_host_with_very_many_batches_under_way_goes_without_harm() -> None:
    """A leader that crashes takes them along: no recursion may be as deep as they are many. The stack is small
    here, so that few are enough.
    """
    host, notes = host_of(pipeline=1_000_000, max_commands=1)
    for sequence in range(1, 50_001):
        ask(host, sequence)
    assert host.engine.log.last == 50_000
    assert notes.answers == []
    hosts = [host]
    del host
    before = threading.stack_size(256 * 1024)
    try:
        crash = threading.Thread(target=hosts.clear)
        crash.start()
        crash.join()
    finally:
        threading.stack_size(before)
    assert hosts == []
