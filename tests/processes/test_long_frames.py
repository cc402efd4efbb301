"""Frames beyond the limits: between replicas a whole state may travel, and what is too long even there ends a connection only."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from bench.driver import connections
from bench.driver.connections import Connection
from bench.driver.frames import FrameError, Frames, encode
from bench.driver.shaping import HELD_LIMIT_BYTES, Shaper
from bench.metrics.trial import OK
from bench.micro.null_replica import accept
from engines.core import Configuration
from tests.processes.doorkeeper import Doorkeeper
from tests.processes.real import short
from tests.processes.test_load import loaded
from tests.processes.test_reality import Trio

HOST = "127.0.0.1"


def test_a_long_frame_behind_another_waits_until_that_has_been_heard() -> None:
    short_one, long_one = encode("hello"), encode(bytes(1000))
    frames = Frames(100)
    assert [bytes(body) for body in frames.feed(short_one + long_one)] == [short_one[4:]]
    frames.limit = 2000
    assert [bytes(body) for body in frames.feed(b"")] == [long_one[4:]]
    refused = Frames(100)
    refused.feed(short_one + long_one[:10])
    with pytest.raises(FrameError, match="frame too long"):
        refused.feed(long_one[10:])


async def pair() -> tuple[Doorkeeper, Doorkeeper, Connection, asyncio.Server]:
    """Two replicas that have found each other; the one that was dialled says a long frame as soon as it may, so that it comes
    in one piece with the welcome.
    """
    loop = asyncio.get_running_loop()
    here, there = Doorkeeper(loop, 0), Doorkeeper(loop, 1)
    here.joining.add_done_callback(lambda joining: joining.result().write(encode(bytes(50_000))))
    server = await loop.create_server(lambda: Connection(cast(Any, here)), HOST, 0)
    await loop.create_connection(lambda: Connection(cast(Any, there), 0), HOST, server.sockets[0].getsockname()[1])
    await there.joining
    return here, there, await here.joining, server


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def test_a_replica_may_say_more_at_once_than_anybody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FRAME_LIMIT_BYTES", 1000)
    monkeypatch.setattr(connections, "PEER_FRAME_LIMIT_BYTES", 100_000)

    async def course() -> None:
        here, there, connection, server = await pair()
        await until(lambda: there.bodies)
        assert there.bodies == [encode(bytes(50_000))[4:]]
        connection.write(encode(bytes(100_000)))
        await until(lambda: there.dropped)
        [(role, reason)] = there.dropped
        assert (role, reason.partition(":")[0]) == ("peer", "frame too long")
        assert here.dropped == []
        server.close()

    asyncio.run(course())


def test_what_waits_for_a_replica_may_be_twice_the_longest_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state longer than the limit, and the heartbeats behind it; but not one state after the other."""
    monkeypatch.setattr(connections, "PEER_UNSENT_LIMIT_BYTES", 1000)
    state = bytes(16 << 20)

    async def course() -> None:
        here, there, connection, server = await pair()
        await until(lambda: there.bodies)
        there.connections[0].transport.pause_reading()
        for frame in (state, b"heartbeat", b"heartbeat", state):
            connection.write(frame)
            assert here.dropped == []
        connection.write(state)
        connection.write(state)
        assert here.dropped == [("peer", "reads too slowly")]
        server.close()

    asyncio.run(course())


def shaper() -> Shaper:
    made = Shaper(short(network={"latency": "1ms"}).network, 1, 0, [1])
    made.connect(1, 0)
    return made


def test_a_follower_that_catches_up_by_a_full_window_keeps_its_connection() -> None:
    """What a leader has under way to it is more than the 64 MiB that were once the limit."""
    configuration = Configuration(voters=(0, 1), election_timeout_ns=(10, 20), heartbeat_ns=1)
    assert configuration.inflight_messages * configuration.message_bytes < HELD_LIMIT_BYTES
    shaped = shaper()
    for number in range(configuration.inflight_messages):
        shaped.send(1, number, configuration.message_bytes + 1000, 0)
    assert shaped.starving(0) == []


def test_a_state_longer_than_the_limit_may_be_held_back_and_what_follows_it() -> None:
    shaped = shaper()
    for message in range(2):
        shaped.send(1, message, 2 * HELD_LIMIT_BYTES, 0)
        assert shaped.starving(0) == []
    shaped.send(1, 2, 1, 0)
    assert shaped.starving(0) == [1]


def test_a_message_too_long_for_any_frame_costs_its_connection_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It once was an error that ended the process, and every leader after it."""
    trio = Trio("raft", tmp_path)
    monkeypatch.setattr("bench.driver.reality.PEER_FRAME_LIMIT_BYTES", 200)
    dropped: list[str] = []
    for wire in trio.wires.values():
        monkeypatch.setattr(wire, "drop", dropped.append, raising=False)
    trio.ask(range(1, 20))
    trio.turn(0)
    assert len(dropped) == 2
    assert all(reason.startswith("message too long: a AppendEntries of") for reason in dropped)
    assert trio.worlds[0].host.leading
    for world in trio.worlds:
        world.log.close()


def test_clients_may_send_more_in_a_turn_than_fits_a_frame(tmp_path: Path) -> None:
    """Five values of 16 MiB at once: one frame would be beyond the limit, and was an error that ended the clients."""
    operations, _ = asyncio.run(loaded(
        tmp_path, accept, duration="200ms",
        timeouts={"request": "5s", "operation": "10s"},
        workload={"mix": {"write": 1.0}, "value_size": "16MiB", "arrivals": {"kind": "closed", "clients": 5}},
    ))  # fmt: skip
    assert np.count_nonzero(operations["status"] == OK) >= 2
