"""The shaped network: the model holds messages back as the scenario says, and the machine's clock lets them go in time."""
from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.driver.network import link_between
from bench.driver.replica import new_loop
from bench.driver.shaping import HELD_LIMIT_BYTES, Shaper
from bench.driver.timer import Alarm
from bench.scenario import Network, Place, read_scenario
from engines.core import NEVER

MS, SECOND = 1_000_000, 1_000_000_000
START = 5 * SECOND


def network(**table: Any) -> Network:
    table = {"bandwidth": "unlimited"} | table
    return read_scenario({"engine": "raft", "network": table}, Place("test", Path())).network


def shaper(connected: bool = True, **table: Any) -> Shaper:
    made = Shaper(network(**table), 1, 0, [1, 2])
    if connected:
        made.connect(1, START)
    return made


def released(shaped: Shaper, until: int = NEVER - 1) -> list[tuple[int, Any]]:
    """Every message with the time at which it was let go, on a clock that jumps from one to the next."""
    found = []
    while (now := shaped.next_ns()) <= until:
        due = shaped.due(now)
        if not due and shaped.next_ns() == now:
            break
        found += [(now, message) for _, message in due]
    return found


DISTRIBUTIONS: dict[str, tuple[dict[str, str], Any]] = {
    "normal": ({"mean": "5ms", "stddev": "0.5ms"}, stats.norm(5 * MS, 0.5 * MS)),
    "uniform": ({"low": "1ms", "high": "3ms"}, stats.uniform(1 * MS, 2 * MS)),
    "exponential": ({"mean": "2ms"}, stats.expon(scale=2 * MS)),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_ten_thousand_messages_follow_the_requested_distribution(name: str) -> None:
    """Kolmogorov-Smirnov at 0.1 %, with messages so far apart that none waits for the one before it."""
    parameters, expected = DISTRIBUTIONS[name]
    shaped = shaper(latency={"distribution": name, **parameters})
    for number in range(10_000):
        shaped.send(1, number, 100, START + number * SECOND)
    delays = [now - START - number * SECOND for now, number in released(shaped)]
    assert len(delays) == 10_000
    assert stats.kstest(delays, expected.cdf).pvalue > 0.001


def test_the_real_links_are_the_simulated_ones() -> None:
    """Same profile, same seed: message by message the same delays."""
    parameters = {"distribution": "lognormal", "mean": "2ms", "stddev": "1ms"}
    shaped = shaper(latency=parameters, jitter="1ms", loss=0.05)
    link = link_between(network(latency=parameters, jitter="1ms", loss=0.05), 1, 0, 1)
    expected = []
    for number in range(500):
        shaped.send(1, number, 100, START + number * MS)
        expected.append((link.carry(START + number * MS, 100), number))
    assert released(shaped) == expected


def test_tcp_keeps_order_and_a_lost_packet_holds_up_those_behind_it() -> None:
    shaped = shaper(latency="1ms", loss=0.1, retransmit="200ms")
    for number in range(1000):
        shaped.send(1, number, 100, START + number * MS)
    found = released(shaped)
    assert [message for _, message in found] == list(range(1000))
    late = [now - START - number * MS for now, number in found]
    assert max(late) >= 201 * MS
    assert sum(delay > MS for delay in late) > 200, "those behind a lost one wait with it"


def test_datagrams_are_lost_doubled_and_overtaken() -> None:
    shaped = shaper(transport="datagram", latency="1ms", loss=0.2, duplicate=0.1, reorder=0.2)
    for number in range(2000):
        shaped.send(1, number, 100, START + number * MS)
    found = [message for _, message in released(shaped)]
    assert 1400 < len(set(found)) < 1800
    assert len(found) > len(set(found)) + 50
    assert found != sorted(found)


def test_bandwidth_is_the_hosts_and_shared_by_its_links() -> None:
    """8 Mbit/s carry a byte a microsecond: 1000 bytes leave a millisecond apart, whomever they are for."""
    shaped = shaper(latency="0ms", bandwidth="8Mbit/s")
    shaped.connect(2, START)
    for number in range(10):
        shaped.send(1 + number % 2, number, 1000, START)
    assert [now - START for now, _ in released(shaped)] == [MS * (1 + number) for number in range(10)]


def test_a_long_message_lets_others_go_between_its_slices() -> None:
    """As in the simulation (tests/simulation/test_states.py)."""
    shaped = shaper(latency="0ms", bandwidth="8Mbit/s")
    shaped.connect(2, START)
    shaped.send(1, "long", 200_000, START)
    shaped.send(1, "behind", 1000, START)
    shaped.send(2, "other", 1000, START)
    assert shaped.kept_bytes == {1: 201_000, 2: 1000}
    assert [((now - START) / MS, message) for now, message in released(shaped)] == [
        (66.536, "other"),
        (201, "long"),
        (202, "behind"),
    ]
    assert shaped.kept_bytes == {1: 0, 2: 0}


@pytest.mark.parametrize("until_ms", [50, 300])
def test_a_block_in_the_midst_of_a_long_message_keeps_the_order(until_ms: int) -> None:
    shaped = shaper(latency="0ms", bandwidth="8Mbit/s")
    shaped.send(1, "long", 200_000, START)
    shaped.block(1)
    shaped.send(1, "behind", 1000, START + MS)
    assert released(shaped, START + until_ms * MS) == []
    shaped.unblock(1, START + until_ms * MS)
    shaped.send(1, "last", 1000, START + until_ms * MS)
    assert [message for _, message in released(shaped)] == ["long", "behind", "last"]


@pytest.mark.parametrize("lost", [False, True])
def test_a_long_message_that_is_leaving_is_held_by_a_block_and_lost_with_its_connection(lost: bool) -> None:
    shaped = shaper(latency="0ms", bandwidth="8Mbit/s", user_timeout="1s", retransmit="10ms")
    shaped.send(1, "long", 200_000, START)
    if lost:
        shaped.disconnect(1, START + MS)
        shaped.connect(1, START + 2 * MS)
    else:
        shaped.block(1)
        assert released(shaped, START + 300 * MS) == []
        assert shaped.kept_bytes[1] == 200_000
        shaped.unblock(1, START + 400 * MS)
    assert [message for _, message in released(shaped)] == ([] if lost else ["long"])
    assert shaped.kept_bytes[1] == 0


def test_a_network_without_costs_lets_messages_pass_until_something_is_wrong_with_the_link() -> None:
    shaped = shaper(latency="0ms")
    assert shaped.open == {1}
    shaped.slow(1, 3 * MS)
    assert shaped.open == set()
    shaped.send(1, "slow", 10, START)
    shaped.slow(1, 0)
    assert shaped.open == set(), "what is under way must not be overtaken"
    shaped.send(1, "behind", 10, START + MS)
    assert released(shaped) == [(START + 3 * MS, "slow"), (START + 3 * MS, "behind")]
    assert shaped.open == {1}
    shaped.block(1)
    assert shaped.open == set()
    shaped.unblock(1, START)
    assert shaped.open == {1}
    shaped.disconnect(1, START)
    assert shaped.open == set()


def test_a_matrix_gives_each_direction_its_own_latency() -> None:
    table = {
        "engine": "raft",
        "network": {
            "matrix": {"name": "m", "regions": ["a", "b"], "rtt_ms": [[1, 10], [20, 1]]},
            "placement": ["a", "b", "a"],
            "bandwidth": "unlimited",
        },
    }
    profile = read_scenario(table, Place("test", Path())).network
    for one, other, expected in ((0, 1, 5 * MS), (1, 0, 10 * MS), (0, 2, MS // 2)):
        shaped = Shaper(profile, 1, one, [other])
        shaped.connect(other, START)
        shaped.send(other, "x", 10, START)
        assert released(shaped) == [(START + expected, "x")]


def test_a_blocked_link_keeps_what_is_sent_and_lets_it_flow_at_the_next_retransmission() -> None:
    shaped = shaper(latency="1ms", retransmit="200ms", user_timeout="5s")
    shaped.send(1, "under way", 10, START)
    shaped.block(1)
    shaped.send(1, "held", 10, START)
    shaped.send(1, "held too", 10, START + 10 * MS)
    assert released(shaped, START + SECOND) == [(START + MS, "under way")]
    assert shaped.links[1].blocked_messages == 2
    shaped.unblock(1, START + SECOND)
    # 200 + 400 + 800 ms after the first was held: the doubling timer of RFC 6298.
    expected = START + 1400 * MS + MS
    shaped.send(1, "new", 10, START + SECOND)
    assert released(shaped) == [(expected, "held"), (expected, "held too"), (expected, "new")]


def test_a_link_that_is_cut_for_longer_than_the_user_timeout_starves() -> None:
    shaped = shaper(latency="1ms", user_timeout="5s")
    shaped.block(1)
    assert shaped.next_ns() == NEVER
    shaped.send(1, "lost", 10, START)
    assert shaped.next_ns() == START + 5 * SECOND
    assert shaped.starving(START + 5 * SECOND - 1) == []
    assert shaped.starving(START + 5 * SECOND) == [1]
    shaped.disconnect(1, START + 5 * SECOND)
    assert shaped.starving(START + 9 * SECOND) == []
    shaped.unblock(1, START + 10 * SECOND)
    shaped.connect(1, START + 10 * SECOND)
    assert released(shaped) == [], "what was held for the old connection went with it"


def test_a_link_that_loses_the_same_for_longer_than_the_user_timeout_starves() -> None:
    shaped = shaper(latency="1ms", loss=0.99, retransmit="200ms", user_timeout="1s")
    shaped.send(1, "lost", 10, START)
    assert released(shaped, START + 100 * SECOND) == []
    assert shaped.next_ns() == START + SECOND
    assert shaped.starving(START + SECOND - 1) == []
    assert shaped.starving(START + SECOND) == [1]
    shaped.disconnect(1, START + SECOND)
    assert shaped.next_ns() == NEVER


def test_what_is_kept_for_a_peer_is_bounded() -> None:
    shaped = shaper(connected=False, latency="1ms")
    piece = HELD_LIMIT_BYTES // 4
    for number in range(4):
        shaped.send(1, number, piece, START)
    assert shaped.starving(START) == []
    shaped.send(1, 4, 1, START)
    assert shaped.starving(START) == [1]
    shaped.disconnect(1, START)
    assert shaped.starving(START) == []
    assert shaped.kept_bytes[1] == 0


def test_messages_wait_for_a_connection_and_are_lost_with_it() -> None:
    shaped = shaper(connected=False, latency="1ms")
    shaped.send(1, "early", 10, START)
    shaped.connect(1, START + SECOND)
    assert shaped.due(START + SECOND) == []
    assert shaped.due(START + SECOND + MS) == [(1, "early")]
    shaped.send(1, "under way", 10, START + 2 * SECOND)
    shaped.disconnect(1, START + 2 * SECOND)
    shaped.connect(1, START + 2 * SECOND)
    assert shaped.due(START + 9 * SECOND) == []
    assert shaped.kept_bytes[1] == 0


def test_unblocking_what_is_not_blocked_is_refused() -> None:
    with pytest.raises(ValueError, match="not blocked"):
        shaper().unblock(1, START)


async def _measured_delays(shaped: Shaper, count: int, gap_ns: int, loop: asyncio.AbstractEventLoop) -> list[int]:
    """How long each of so many messages is really held back, in the order of sending."""
    delays = [0] * count
    sent_ns = [0] * count
    state = {"next": 0, "left": count}
    done = asyncio.Event()

    def ring() -> None:
        now = time.monotonic_ns()
        while state["next"] < count and start + state["next"] * gap_ns <= now:
            sent_ns[state["next"]] = time.monotonic_ns()
            shaped.send(1, state["next"], 100, sent_ns[state["next"]])
            state["next"] += 1
        for _, message in shaped.due(time.monotonic_ns()):
            delays[message] = time.monotonic_ns() - sent_ns[message]
            state["left"] -= 1
        if not state["left"]:
            done.set()
        coming = start + state["next"] * gap_ns if state["next"] < count else NEVER
        alarm.set(min(coming, shaped.next_ns()))

    start = time.monotonic_ns()
    alarm = Alarm(loop, ring)
    ring()
    await asyncio.wait_for(done.wait(), 60)
    alarm.close()
    return delays


@pytest.mark.parametrize("fallback", [False, True], ids=["timerfd", "loop's own"])
def test_an_alarm_rings_once_at_the_time_that_it_was_last_set_to(fallback: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moved later, moved sooner, taken back: never early, and never for a time that was replaced."""
    if fallback:
        monkeypatch.setattr("sys.platform", "another")
    loop = new_loop("asyncio")
    rung: list[int] = []
    alarm = Alarm(loop, lambda: rung.append(time.monotonic_ns()))

    def after(*delays_ns: int) -> int:
        """Set the alarm again and again, and wait for longer than the last delay; returns the time it was last set to."""
        last_ns = 0
        for delay_ns in delays_ns:
            last_ns = NEVER if delay_ns == NEVER else time.monotonic_ns() + delay_ns
            alarm.set(last_ns)
        loop.run_until_complete(asyncio.sleep(0.08))
        return last_ns

    try:
        for delays_ns in ((5 * MS, 20 * MS), (40 * MS, 10 * MS), (10 * MS, NEVER, 30 * MS)):
            wanted_ns = after(*delays_ns)
            assert len(rung) == 1
            assert rung.pop() >= wanted_ns
        after(5 * MS, NEVER)
        assert not rung
        assert after(0) <= rung.pop()
    finally:
        alarm.close()
        loop.close()


@pytest.mark.parametrize("kind", ["uvloop", "asyncio"])
def test_messages_are_really_held_back_as_long_as_the_model_says(kind: str) -> None:
    """Real alarms, 10,000 messages: never early, 0.2 ms late at the median, and beside that distributed as requested.

    Timers that were rounded to milliseconds would be 0.5 ms late. The machine is not the test's alone: the quietest of ten
    stretches of 1000 messages counts, and for the distribution those messages for which the processor was to be had, within
    half a millisecond (whether it is does not depend on how long a message was to be held). D = 0.1 is what a shift by 0.13
    standard deviations would give.
    """
    parameters = {"distribution": "normal", "mean": "5ms", "stddev": "1ms"}
    profile = network(transport="datagram", latency=parameters)
    model = link_between(profile, 1, 0, 1)
    shaped = Shaper(profile, 1, 0, [1])
    shaped.connect(1, 0)
    delays, extras, medians = [], [], []
    loop = new_loop(kind)
    try:
        for _ in range(10):
            delays.append(np.array(loop.run_until_complete(_measured_delays(shaped, 1000, 100_000, loop))))
            extras.append(delays[-1] - np.array([model.carry(0, 100) for _ in range(1000)]))
            medians.append(np.median(extras[-1]))
    finally:
        loop.close()
    extra = np.concatenate(extras)
    assert extra.min() >= 0
    if min(medians) >= 0.2 * MS:
        pytest.skip(f"the machine is too busy to tell: {min(medians) / 1e6:.2f} ms late at the median of the quietest stretch")
    prompt = np.concatenate(delays)[extra < 0.5 * MS]
    assert len(prompt) > 500
    shift = np.median(extra[extra < 0.5 * MS])
    assert stats.kstest(prompt - shift, stats.norm(5 * MS, MS).cdf).statistic < 0.1
