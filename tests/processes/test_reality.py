"""The turn of the real world, without sockets: what leaves before the sync, what after it, and what is told when a peer goes.

Three replicas stand in one process; a wire is a list of frames that the test carries by hand.
"""
from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from bench.driver.connections import Connection
from bench.driver.frames import FRAME_LIMIT_BYTES, Frames, PeerMessages, Request, decode_answers
from bench.driver.host import Forward, ForwardAnswer
from bench.driver.log_reader import read_records
from bench.driver.occasions import ACCEPTED, REFUSED
from bench.driver.protocols import PROTOCOLS
from bench.driver.reality import DOWN, MESSAGES, REQUESTS, UP, Reality
from bench.driver.storage import WriteAheadLog
from bench.scenario import Place, read_scenario
from engines.machine import PUT, encode_command
from engines.raft import InstallSnapshot
from engines.unreplicated import Unreplicated
from tests.processes.cluster import FAST

ENGINES = ("paxos", "raft", "zab")
SYNC = "sync"


class Wire:
    """One end of a connection: what is written to it goes into the diary of its owner, and waits to be carried."""

    def __init__(self, diary: list[Any], peer: int) -> None:
        self.diary = diary
        self.peer = peer
        self.lost = False
        self.answers: list[Any] = []
        self.frames: list[bytes] = []
        self.transport = self
        self.reading = True

    def write(self, frame: bytes) -> None:
        self.diary.append(self.peer)
        self.frames.append(bytes(frame))

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        self.lost = True


class WitnessedLog(WriteAheadLog):
    """A log whose syncs go into the diary of its owner."""

    def __init__(self, folder: Path, diary: list[Any]) -> None:
        super().__init__(folder)
        self.diary = diary

    def _sync(self) -> None:
        self.diary.append(SYNC)
        super()._sync()


class Trio:
    """Three worlds and the wires between them."""

    def __init__(self, engine: str, folder: Path) -> None:
        table = {"engine": engine, "replicas": 3, "initial_leader": 0} | FAST
        scenario = read_scenario(table, Place("test", Path()))
        self.messages = PeerMessages(PROTOCOLS[engine][0])
        self.diaries: list[list[Any]] = [[], [], []]
        self.worlds = [self.world(scenario, engine, id, folder) for id in range(3)]
        self.wires = {
            (one, other): Wire(self.diaries[one], other) for one in range(3) for other in range(3) if one != other
        }
        for (one, _), wire in self.wires.items():
            self.worlds[one].inbox.append((UP, cast(Connection, wire), []))
        self.client = Wire(self.diaries[0], -1)
        self.until(lambda: self.worlds[0].host.leading)
        self.quiet()

    def world(self, scenario: Any, engine: str, id: int, folder: Path) -> Reality:
        log = WitnessedLog(folder / str(id), self.diaries[id])
        world = Reality(scenario, engine, id, 1, log)
        world.start(log.recover(PROTOCOLS[engine][0]), 1)
        return world

    def turn(self, id: int) -> list[Any]:
        """Carry what has been sent to a replica, and let it take one turn; what it then did, in order."""
        world = self.worlds[id]
        for (one, other), wire in self.wires.items():
            if other == id:
                back = cast(Connection, self.wires[other, one])
                for frame in wire.frames:
                    for body in Frames(FRAME_LIMIT_BYTES).feed(frame):
                        world.inbox.append((MESSAGES, back, self.messages.decode(body)))
                wire.frames = []
        del self.diaries[id][:]
        world.turn()
        return list(self.diaries[id])

    def until(self, condition: Any) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end
            for id in range(3):
                self.turn(id)

    def quiet(self) -> None:
        """Turn until nothing is on the wires and nothing waits."""
        for _ in range(50):
            for id in range(3):
                self.turn(id)
            if not any(wire.frames for wire in self.wires.values()) and not any(world.pending for world in self.worlds):
                return

    def ask(self, sequences: range) -> None:
        requests = [Request(5, encode_command(5, n, n, PUT, b"key", b"value")) for n in sequences]
        self.worlds[0].inbox.append((REQUESTS, cast(Connection, self.client), requests))

    def answers(self) -> list[int]:
        found = [answer.outcome for frame in self.client.frames for answer in decode_answers(memoryview(frame)[4:])]
        self.client.frames = []
        return found


@pytest.fixture(params=ENGINES)
def trio(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trio]:
    made = Trio(request.param, tmp_path)
    yield made
    for world in made.worlds:
        world.log.close()


def test_a_turn_sends_what_need_not_wait_then_syncs_once_then_sends_what_rode_on_it(trio: Trio) -> None:
    """The leader's proposals leave in parallel with its own write; a follower's promise leaves after its sync. However many
    commands arrived, it is one frame to each peer, and one sync.
    """
    trio.ask(range(1, 21))
    done = trio.turn(0)
    assert done.count(SYNC) == 1
    assert sorted(done[: done.index(SYNC)]) == [1, 2]
    assert trio.answers() == []
    follower = trio.turn(1)
    assert follower.count(SYNC) == 1
    assert 0 in follower[follower.index(SYNC) :]
    assert 0 not in follower[: follower.index(SYNC)]
    trio.until(lambda: trio.client.frames)
    assert trio.answers() == [ACCEPTED] * 20


def test_no_record_no_sync(trio: Trio) -> None:
    assert SYNC not in trio.turn(0)


def test_a_broken_channel_is_told_before_anything_of_the_new_one(trio: Trio) -> None:
    """What the old connection still brings is delivered before its end, what it brings afterwards is not."""
    world = trio.worlds[0]
    told: list[Any] = []
    host = world.host

    class Told:
        """The host, with a witness."""

        def __getattr__(self, name: str) -> Any:
            return getattr(host, name)

        def receive(self, peer: int, message: Any, now: int, more: bool) -> None:
            told.append((peer, type(message).__name__))
            host.receive(peer, message, now, more)

        def disconnected(self, peer: int, now: int) -> None:
            told.append((peer, "disconnected"))
            host.disconnected(peer, now)

    world.host = Told()
    heartbeat = next(iter(PROTOCOLS[world.engine][0].HEARTBEATS), None)
    assert heartbeat is not None
    old, new = cast(Connection, trio.wires[0, 1]), cast(Connection, Wire(trio.diaries[0], 1))
    message = cast(Any, heartbeat)(*[0] * len(heartbeat.__struct_fields__))
    world.inbox += [(MESSAGES, old, [message]), (UP, new, []), (MESSAGES, old, [message]), (MESSAGES, new, [message])]
    world.inbox += [(DOWN, old, [])]
    world.turn()
    name = heartbeat.__name__
    assert told == [(1, name), (1, "disconnected"), (1, name)]
    assert old.lost, "the old one is ended"
    assert world.peers[1] is new


def test_clients_wait_while_the_queue_is_full_and_what_is_forwarded_is_refused(trio: Trio) -> None:
    """Followers are silent, so that nothing is decided: the leader takes a full pipeline and a full queue, and then no more."""
    world, client = trio.worlds[0], trio.client
    world.listen_to(cast(Connection, client))
    for first in range(1, 100_000, 2000):
        trio.ask(range(first, first + 2000))
        world.turn()
    assert not client.reading
    late = Wire(trio.diaries[0], -1)
    world.listen_to(cast(Connection, late))
    assert not late.reading, "who comes now waits too"
    trio.wires[0, 1].frames = []
    world.inbox.append((MESSAGES, cast(Connection, trio.wires[0, 1]), [Forward((encode_command(9, 1, 1, PUT, b"k"),))]))
    world.turn()
    sent = [
        message
        for frame in trio.wires[0, 1].frames
        for message in trio.messages.decode(memoryview(frame)[4:])
        if type(message) is ForwardAnswer
    ]
    assert [(answer.client, answer.outcome) for answer in sent] == [(9, REFUSED)]


def test_an_orderly_end_makes_all_durable_however_small_its_groups_are(tmp_path: Path) -> None:
    """What a follower has applied because others have it may still wait for its own disk when it is told to end."""
    table = {"engine": "unreplicated", "replicas": 1, "storage": {"group": 3}, "batching": {"max_commands": 1}} | FAST
    log = WriteAheadLog(tmp_path)
    world = Reality(read_scenario(table, Place("test", Path())), "unreplicated", 0, 1, log)
    world.start(log.recover(Unreplicated), 1)
    requests = [Request(5, encode_command(5, number, 1, PUT, b"key", b"value")) for number in range(1, 21)]
    world.inbox.append((REQUESTS, cast(Connection, Wire([], -1)), requests))
    world.finish()
    log.close()
    records, _ = read_records(tmp_path, Unreplicated)
    assert len(records) >= len(requests)


def test_a_message_of_many_slices_leaves(tmp_path: Path) -> None:
    """Though nothing else waits for its time."""
    table = {"engine": "raft", "replicas": 3, "network": {"latency": "1ms", "bandwidth": "1Gbit/s"}}
    log = WriteAheadLog(tmp_path)
    world = Reality(read_scenario(table, Place("test", Path())), "raft", 2, 1, log)
    world.start(log.recover(PROTOCOLS["raft"][0]), 1)
    wire = Wire([], 0)
    world.inbox.append((UP, cast(Connection, wire), []))
    world.turn()
    world.transmit(world.host, 0, InstallSnapshot(1, 5, 1, bytes(1_000_000)))
    end = time.monotonic() + 20
    while sum(map(len, wire.frames)) < 1_000_000:
        assert time.monotonic() < end
        time.sleep(max(0, min(0.01, (world.next_ns() - time.monotonic_ns()) / 1e9)))
        world.turn()
    log.close()
