"""The watchers of the test cluster see what they are there to see: each engine below breaks one rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engines.core import Commit, Redirect, Send
from engines.unreplicated import Durable, Unreplicated
from tests.engines.cluster import MS, Cluster, Violation
from tests.engines.schedule import schedule


class Hasty(Unreplicated):
    """Announces its commands before they are written."""

    def propose(self, commands: list[bytes], now: int) -> list[Any]:
        effects = super().propose(commands, now)
        return [*effects, *self.step(self.id, Durable(self.log.last), now)] if self.leading else effects


class Forgetful(Unreplicated):
    """Does not read its disk."""

    def recover(self, _records: list[Any], now: int) -> list[Any]:
        return super().recover([], now)


class Crowned(Unreplicated):
    """Leads, whoever it is."""

    leading = property(lambda _self: True, lambda _self, _value: None)  # type: ignore[assignment]


class Stuttering(Unreplicated):
    """Announces everything twice."""

    def step(self, sender: int, message: Any, now: int) -> list[Any]:
        return [effect for effect in super().step(sender, message, now) for _ in range(2)]


class Inventive(Unreplicated):
    """Announces a command that nobody wrote."""

    def step(self, sender: int, message: Any, now: int) -> list[Any]:
        return [Commit(effect.position, b"invented") for effect in super().step(sender, message, now)]


class Modest(Unreplicated):
    """Sends everybody to itself."""

    def propose(self, commands: list[bytes], _now: int) -> list[Any]:
        return [Redirect(self.id, commands)]


class Restless(Unreplicated):
    """Wants to be ticked for ever."""

    deadline = property(lambda _self: 5 * MS, lambda _self, _value: None)  # type: ignore[assignment]


class Lost(Unreplicated):
    """Writes to a replica that does not exist."""

    def propose(self, _commands: list[bytes], _now: int) -> list[Any]:
        return [Send(99, Durable(1))]


class Strange(Unreplicated):
    """Wants something that no host knows."""

    def propose(self, _commands: list[bytes], _now: int) -> list[Any]:
        return ["please"]


class Lazy(Unreplicated):
    """Accepts commands and never does anything."""

    def propose(self, _commands: list[bytes], _now: int) -> list[Any]:
        return []


@pytest.mark.parametrize(
    "engine, complaint",
    [
        (Hasty, "decided on only 0 disks"),
        (Forgetful, "commits .* decided was"),
        (Crowned, "both lead term 1"),
        (Stuttering, "commits 1 after 1"),
        (Inventive, "decided on only 0 disks"),
        (Modest, "redirects to itself"),
        (Restless, "did not move its deadline"),
        (Lost, "goes to a stranger"),
        (Strange, "'please' is no effect"),
        (Lazy, "commands are not committed after the faults ended"),
    ],
)
def test_a_schedule_finds_the_engine_that(engine: type[Unreplicated], complaint: str) -> None:
    with pytest.raises(Violation, match=complaint):
        for seed in range(10):
            schedule(engine, seed, "tcp", copies=1)


def test_a_failure_says_how_to_replay_itself() -> None:
    with pytest.raises(
        Violation, match=r"replay: python -m tests\.engines\.schedule unreplicated 3 datagram --trace"
    ):
        schedule(Strange, 3, "datagram")


def test_a_schedule_is_determined_by_its_arguments() -> None:
    ends = [schedule(Unreplicated, 5, "datagram", copies=1) for _ in range(2)]
    assert ends[0].decided == ends[1].decided
    assert ends[0].now == ends[1].now
    assert ends[0].decided != schedule(Unreplicated, 6, "datagram", copies=1).decided


# -- links, by an engine that only echoes --------------------------------------------------------------------


class Chatty(Unreplicated):
    """Tells everybody each position that it is proposed."""

    def propose(self, commands: list[bytes], _now: int) -> list[Any]:
        return [Send(peer, Durable(int(command))) for command in commands for peer in self.peers]

    def step(self, _sender: int, message: Any, _now: int) -> list[Any]:
        heard.append(message.position)
        return []

    def disconnect(self, peer: int, _now: int) -> list[Any]:
        heard.append(f"{self.id} lost {peer}")
        return []


heard: list[object] = []


@pytest.fixture
def chat() -> Callable[..., Cluster]:
    def build(transport: str, size: int = 2) -> Cluster:
        heard.clear()
        return Cluster(Chatty, size, transport=transport)

    return build


def test_tcp_keeps_order_and_holds_back_what_is_cut(chat: Callable[..., Cluster]) -> None:
    cluster = chat("tcp")
    delays = iter([9 * MS, MS, MS])
    cluster.delay_ns = lambda _sender, _receiver: next(delays, MS)
    cluster.propose(0, b"1", b"2")
    cluster.run(8 * MS)
    assert heard == []
    cluster.run(2 * MS)
    assert heard == [1, 2]
    cluster.cut(0, 1)
    cluster.propose(0, b"3")
    cluster.run(100 * MS)
    assert heard == [1, 2]
    cluster.heal()
    cluster.run(2 * MS)
    assert heard == [1, 2, 3]


def test_tcp_loses_what_is_under_way_when_its_connection_breaks_and_tells_both_ends(
    chat: Callable[..., Cluster],
) -> None:
    cluster = chat("tcp")
    cluster.propose(0, b"1")
    cluster.break_connection(0, 1)
    cluster.propose(0, b"2")
    cluster.settle()
    assert heard == ["0 lost 1", "1 lost 0", 2]
    for forbidden in (cluster.drop, cluster.duplicate):
        with pytest.raises(Violation):
            forbidden(0, 1)


def test_a_crash_breaks_connections_and_so_does_a_restart(chat: Callable[..., Cluster]) -> None:
    cluster = chat("tcp", 3)
    cluster.propose(0, b"1")
    cluster.crash(1)
    assert heard == ["0 lost 1", "2 lost 1"]
    cluster.propose(0, b"2")
    cluster.restart(1)
    assert heard == ["0 lost 1", "2 lost 1"] * 2
    assert cluster.under_way(0, 1) == []
    assert cluster.under_way(0, 2) == [Durable(1), Durable(2)]


def test_datagrams_are_lost_doubled_and_overtaken_and_nobody_is_told(chat: Callable[..., Cluster]) -> None:
    cluster = chat("datagram")
    cluster.propose(0, b"1", b"2", b"3")
    cluster.deliver(0, 1, 2)
    cluster.drop(0, 1)
    cluster.duplicate(0, 1)
    cluster.settle()
    assert heard == [3, 2, 2]
    cluster.propose(0, b"4")
    cluster.cut(0, 1)
    cluster.propose(0, b"5")
    cluster.heal()
    cluster.run(10 * MS)
    assert heard == [3, 2, 2]
    with pytest.raises(Violation):
        cluster.break_connection(0, 1)


# -- disks ---------------------------------------------------------------------------------------------------


def test_a_sync_covers_what_was_written_before_it_began() -> None:
    cluster = Cluster(Unreplicated, 1, copies=1)
    cluster.disk_ns = lambda _replica: 10 * MS
    cluster.propose(0, cluster.put(b"x", b"1"))
    cluster.run(5 * MS)
    cluster.propose(0, cluster.put(b"x", b"2"), cluster.put(b"x", b"3"))
    cluster.run(5 * MS)
    assert cluster.replicas[0].committed == 1
    cluster.run(9 * MS)
    assert cluster.replicas[0].committed == 1
    cluster.run(MS)
    assert cluster.replicas[0].committed == 3


def test_a_torn_crash_keeps_some_of_the_oldest_writes() -> None:
    kept = set()
    for seed in range(30):
        cluster = Cluster(Unreplicated, 1, copies=1, seed=seed)
        for value in (b"1", b"2", b"3"):
            cluster.propose(0, cluster.put(b"x", value))
        cluster.crash(0, torn=True)
        cluster.restart(0)
        assert [position for position, _ in cluster.replicas[0].commits] == list(
            range(1, cluster.replicas[0].committed + 1)
        )
        kept.add(cluster.replicas[0].committed)
    assert kept == {0, 1, 2, 3}


def test_clocks_run_at_their_own_speed() -> None:
    cluster = Cluster(Unreplicated, 2, copies=1, clocks_permille=(800, 1250))
    cluster.run(1000 * MS)
    cluster.propose(0, cluster.put(b"x", b"1"))
    cluster.propose(1, cluster.put(b"x", b"1"))
    assert (cluster.engine(0).now, cluster.engine(1).now) == (800 * MS, 1250 * MS)
