"""Links: loss by its formulas, what tcp promises, what datagrams do not, and the life of a connection."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict, deque
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.distributions import ZERO, Constant, Distribution, Exponential
from bench.driver.network import LOST, Chances, Durations, Link, LossModel, generator
from bench.driver.node import Node
from bench.driver.trials import TrialRun
from bench.scenario import Loss
from engines.core import NEVER
from tests.simulation.building import (
    MS,
    REPLICATED,
    SECOND,
    free_world,
    latencies_ns,
    perform,
    standard_error,
    trial_of,
)
from tests.simulation.schedules import random_scenario

DRAWS = 200_000
RETRY_NS = 50 * MS
ONE_MS = Constant(value=MS)
SEGMENT_BYTES = 1448  # a packet of 1500 bytes less the headers of IP and of TCP with timestamps


def independent(probability: float) -> Loss:
    return Loss(model="independent", probability=probability)


def link(
    seed: int,
    loss: Loss,
    transport: str = "tcp",
    latency: Distribution = ONE_MS,
    **options: float,
) -> Link:
    """A link with its own dice; a lost packet is sent again after RETRY_NS over tcp."""
    chances = Chances(generator(seed, 1))
    drawn, still = Durations(latency, generator(seed, 2)), Durations(ZERO, generator(seed, 3))
    return Link(0, drawn, still, LossModel(loss, chances), chances, transport == "tcp", RETRY_NS, **options)


def fates(loss: Loss, seed: int = 1) -> np.ndarray:
    """Of DRAWS packets: which are lost."""
    model = LossModel(loss, Chances(generator(seed)))
    return np.array([model.lost() for _ in range(DRAWS)])


def runs_of(lost: np.ndarray) -> np.ndarray:
    """The lengths of the runs of lost packets."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    return edges[1::2] - edges[::2]


# -- loss ----------------------------------------------------------------------------------------------------


def test_independent_loss() -> None:
    """A share p is lost, in runs of 1 / (1 - p) on average."""
    lost = fates(independent(0.2))
    assert lost.mean() == pytest.approx(0.2, rel=0.02)
    assert runs_of(lost).mean() == pytest.approx(1 / 0.8, rel=0.02)


@pytest.mark.parametrize(
    ("p", "r", "h", "k"), [(0.02, 0.25, 0.0, 1.0), (0.05, 0.2, 0.3, 0.99), (0.5, 0.5, 0.5, 1.0)]
)
def test_gilbert_elliott_loss(p: float, r: float, h: float, k: float) -> None:
    """Stationary loss (p (1 - h) + r (1 - k)) / (p + r) (Elliott 1963)."""
    lost = fates(Loss(model="gilbert-elliott", p=p, r=r, h=h, k=k))
    assert lost.mean() == pytest.approx((p * (1 - h) + r * (1 - k)) / (p + r), rel=0.04)


@pytest.mark.parametrize("r", [0.1, 0.25, 0.5])
def test_gilbert_bursts(r: float) -> None:
    """With h = 0 and k = 1 a burst lasts as long as the bad state, on average 1 / r packets (Gilbert)."""
    lost = fates(Loss(model="gilbert-elliott", p=0.02, r=r, h=0.0, k=1.0))
    assert runs_of(lost).mean() == pytest.approx(1 / r, rel=0.05)


def retries(p: float, rounds: int, followers: int) -> np.ndarray:
    """How often each of these followers is asked again until message and answer both get through, in each
    round.
    """
    counts = np.zeros((rounds, followers), dtype=int)
    for follower in range(followers):
        there, back = (link(10 * follower + way, independent(p), "datagram") for way in (1, 2))
        for number in range(rounds):
            while there.carry(0, 100) == LOST or back.carry(0, 100) == LOST:
                counts[number, follower] += 1
    return counts


@pytest.mark.parametrize("p", [0.01, 0.1, 0.3])
def test_a_lossy_round_costs_its_retries(p: float) -> None:
    """Extra delay tau (1 / (1 - p)^2 - 1) of a follower's round, asked again every tau, where message and
    answer may be lost.
    """
    counts = retries(p, 20_000, 1)[:, 0]
    assert abs(counts.mean() - (1 / (1 - p) ** 2 - 1)) < 3 * standard_error(counts)


@pytest.mark.parametrize("replicas", [3, 5, 7])
def test_a_quorum_masks_the_loss_of_the_few(replicas: int) -> None:
    """Extra delay tau sum over g of P(fewer than k of m followers done after g retries): Binomial(m, 1 -
    q^(g+1)), q = 1 - (1-p)^2.
    """
    p, m, k = 0.2, replicas - 1, replicas // 2
    q = 1 - (1 - p) ** 2
    counts = np.sort(retries(p, 8_000, m), axis=1)[:, k - 1]
    expected = math.fsum(
        math.comb(m, done) * (1 - q ** (g + 1)) ** done * q ** ((g + 1) * (m - done))
        for g in range(60)
        for done in range(k)
    )
    assert expected < 0.8 * (1 / (1 - p) ** 2 - 1)
    assert abs(counts.mean() - expected) < 3 * standard_error(counts)


def test_paxos_asks_again_after_a_heartbeat_interval() -> None:
    """The same at the level of an engine: two replicas over datagrams, one command at a time, sent e after a
    heartbeat.

    A lost Accept is sent again after tau, the heartbeat interval. A lost Accepted is made good by the answer
    to the heartbeat before that, with s = (1 - p)^2, or else by the Accept sent again. So with A and B the
    mean delays once an Accept, or only its answer, is lost: B = (tau - s e) / (1 - (1-s)^2), A = (tau + p
    (1-p) B) / (1 - p), extra = p A + (1-p) p B. No engine has one fixed retry time for both, for which this
    would be tau (1 / (1-p)^2 - 1).
    """
    p, tau, e = 0.1, 100 * MS, 1 * MS
    trial = trial_of(
        "paxos",
        replicas=2,
        duration="4000s",
        warmup="10s",
        network={"transport": "datagram", "latency": "1ms", "client_latency": "3ms", "loss": p},
        timeouts={"heartbeat": "100ms"},
        workload={"arrivals": {"kind": "open", "process": "constant", "rate": 0.5, "think": None}},
    )
    assert trial.leaders == [(2 * MS, 0, trial.leaders[0][2])], (
        "the heartbeats begin 1 ms before a command arrives"
    )
    extra = latencies_ns(trial) - (6 + 2) * MS
    s = (1 - p) ** 2
    only_answer_lost = (tau - s * e) / (1 - (1 - s) ** 2)
    lost = (tau + p * (1 - p) * only_answer_lost) / (1 - p)
    expected = p * lost + (1 - p) * p * only_answer_lost
    assert (extra >= 0).all()
    assert abs(extra.mean() - expected) < 3 * standard_error(extra)


# -- tcp -----------------------------------------------------------------------------------------------------


def test_tcp_loses_nothing_and_keeps_order() -> None:
    """Arrivals are those of the packets one by one, held up behind the latest before them."""
    lossy, alone = (link(5, independent(0.1), latency=Exponential(mean=4 * MS)) for _ in range(2))
    departs = list(range(0, 2_000 * MS, MS))
    arrivals = [lossy.carry(depart, 100) for depart in departs]
    assert LOST not in arrivals
    assert arrivals == sorted(arrivals)
    # The same packets, each sent so much later that nobody is in its way.
    shifts = [number * 10**6 * SECOND for number in range(len(departs))]
    unhindered = [
        alone.carry(depart + shift, 100) - shift for depart, shift in zip(departs, shifts, strict=True)
    ]
    assert arrivals == list(itertools.accumulate(unhindered, max))


def test_a_lost_packet_delays_those_behind_it() -> None:
    """Where one is sent again after RETRY_NS, what left in the meantime arrives with it."""
    lossy = link(1, independent(0.002))
    arrivals = [lossy.carry(number * MS, 100) for number in range(4000)]
    late = next(number for number in range(4000) if arrivals[number] > (number + 1) * MS)
    assert arrivals[late] == (late + 1) * MS + RETRY_NS
    assert arrivals[late + 1 : late + 11] == [arrivals[late]] * 10


@pytest.mark.parametrize("p", [0.05, 0.2])
def test_the_retransmission_timeout_doubles(p: float) -> None:
    """Mean delay of a packet: tau sum of p^j 2^(j-1) = tau p / (1 - 2p), RFC 6298, 5.5."""
    lossy = link(3, independent(p))
    delays = np.array([lossy.carry(n * 10**4 * SECOND, 100) - n * 10**4 * SECOND - MS for n in range(40_000)])
    assert delays.mean() == pytest.approx(RETRY_NS * p / (1 - 2 * p), rel=0.06)
    assert set(delays[:2000].tolist()) <= {RETRY_NS * (2**losses - 1) for losses in range(12)}


def test_only_the_lost_segments_of_a_message_are_sent_again() -> None:
    """Mean delay of n segments: tau sum of 2^(j-1) (1 - (1 - p^j)^n), the segments being lost one by one."""
    p, n = 0.1, 100
    lossy = link(4, independent(p))
    size = n * SEGMENT_BYTES
    delays = np.array([lossy.carry(m * 10**5 * SECOND, size) - m * 10**5 * SECOND - MS for m in range(3000)])
    expected = math.fsum(2 ** (j - 1) * (1 - (1 - p**j) ** n) for j in range(1, 30))
    assert delays.mean() == pytest.approx(RETRY_NS * expected, rel=0.05)


def test_what_is_lost_for_longer_than_the_user_timeout_is_given_up_with_all_behind_it() -> None:
    """RFC 9293, 3.8.3: the connection breaks the user timeout after the first that does not get through."""
    patient, hasty = (link(2, independent(0.3), user_timeout_ns=timeout) for timeout in (10**6 * SECOND, 300 * MS))
    departs = [number * MS for number in range(2000)]
    delays = [patient.carry(depart, 100) - depart - MS for depart in departs]
    late = next(number for number, delay in enumerate(delays) if delay >= 300 * MS)
    assert [hasty.carry(depart, 100) for depart in departs[:late]] == [
        depart + delay + MS for depart, delay in zip(departs, delays[:late], strict=False)
    ]
    assert hasty.gives_up_ns() == NEVER
    assert hasty.carry(departs[late], 100) == LOST
    assert hasty.gives_up_ns() == departs[late] + 300 * MS
    behind = [hasty.carry(depart, 100) for depart in departs[late + 1 : late + 50]]
    assert all(arrival == LOST or arrival > hasty.gives_up_ns() for arrival in behind)
    hasty.reset(hasty.gives_up_ns())
    assert hasty.gives_up_ns() == NEVER
    assert hasty.carry(10 * SECOND, 100) < 10 * SECOND + 300 * MS + MS


def test_a_connection_that_loses_for_longer_than_the_user_timeout_breaks() -> None:
    """Nothing arrives later than that, and both ends are told."""
    sent: dict[int, int] = {}
    waited: list[int] = []
    told: set[tuple[int, int]] = set()

    def watch(what: str, node: Node, detail: Any) -> None:
        now = run.simulation.now
        if what == "send":
            sent.setdefault(id(detail[1]), now)
            kept.append(detail[1])
        elif what == "step":
            waited.append(now - sent[id(detail[1])])
        elif what == "disconnect":
            told.add((node.id, detail))

    kept: list[Any] = []
    scenario = free_world(
        "raft",
        replicas=3,
        warmup="1s",
        duration="10s",
        network={"loss": 0.2, "retransmit": "20ms", "user_timeout": "100ms"},
        timeouts={"election": ["200ms", "400ms"], "heartbeat": "20ms", "request": "1s", "operation": "20s"},
    )
    run = TrialRun(scenario, "raft", 1)
    run.simulation.trace = watch
    run.perform()
    assert run.simulation.agreement.violations == []
    assert max(waited) < 2 * 100 * MS, "a message behind another waits for that, too"
    assert {(0, 1), (1, 0), (0, 2), (2, 0)} <= told, "the leader speaks with all"


@pytest.mark.parametrize("engine", REPLICATED)
def test_engines_see_no_loss_over_tcp(engine: str) -> None:
    """Messages are as many as without loss, and nothing is asked twice: only time is lost."""
    lossy = trial_of(engine, network={"loss": 0.05, "retransmit": "200ms"}, duration="300s")
    clean = trial_of(engine, duration="300s")
    rounds = 3 if engine == "zab" else 2
    assert abs(lossy.counts["messages"] - rounds * 2 * lossy.counts["commits"]) <= rounds * 2
    assert latencies_ns(lossy).mean() > latencies_ns(clean).mean()
    assert (latencies_ns(clean) == 2 * MS).all()


class Wire:
    """Watches each direction of each connection: what arrives is what was sent, from the first on, until it
    breaks.
    """

    def __init__(self, run: TrialRun) -> None:
        self.run = run
        self.under_way: dict[tuple[int, int], deque[Any]] = defaultdict(deque)
        self.arrived = 0
        self.broken = 0
        run.simulation.trace = self.watch

    def watch(self, what: str, node: Node, detail: Any) -> None:
        if what == "send":
            to, message = detail
            self.under_way[node.id, to].append(message)
        elif what == "step":
            sender, message = detail
            assert self.under_way[sender, node.id].popleft() is message, "overtaken, or lost in the middle"
            self.arrived += 1
        elif what == "disconnect":
            self.under_way[node.id, detail].clear()
            self.broken += 1
        elif what == "boot":
            for sender, to in self.under_way:
                if sender == node.id:
                    self.under_way[sender, to].clear()


@pytest.mark.parametrize("engine", REPLICATED)
def test_tcp_connections_are_fifo_until_an_end_sees_them_break(engine: str) -> None:
    """Among partitions, crashes and loss: what was sent after a disconnect arrives in order and without a
    gap, up to the next.
    """
    arrived = broken = 0
    for seed in range(40):
        scenario = random_scenario(engine, seed)
        if (
            scenario.network.transport == "tcp"
            and scenario.workload.routing == "leader"
            and not scenario.cpu.per_byte_ns
        ):
            wire = Wire(run := TrialRun(scenario, engine, seed))
            run.perform()
            arrived, broken = arrived + wire.arrived, broken + wire.broken
    assert arrived > 1000
    assert broken > 10


def disconnects(user_timeout: str, fault: dict[str, Any]) -> list[tuple[int, int, int]]:
    """(time, replica, peer) of each broken connection that a replica of Raft is told of."""
    run = TrialRun(
        free_world(
            "raft",
            network={"user_timeout": user_timeout},
            timeouts={"heartbeat": "100ms"},
            warmup="1s",
            duration="10s",
            faults=[{"at": "2s", "for": "5s"} | fault],
        ),
        "raft",
        1,
    )
    told: list[tuple[int, int, int]] = []

    def watch(what: str, node: Node, detail: Any) -> None:
        if what == "disconnect":
            told.append((run.simulation.now, node.id, detail))

    run.simulation.trace = watch
    run.perform()
    assert run.simulation.agreement.violations == []
    return told


def test_a_short_partition_breaks_no_connection() -> None:
    assert disconnects("6s", {"partition": 2}) == []


def test_a_partition_beyond_the_user_timeout_breaks_connections() -> None:
    """Both ends see it, the user timeout after the first segment without acknowledgement (RFC 9293, 3.8.3);
    then whoever tries to connect is told, after each further user timeout, that it was in vain.
    """
    told = disconnects("1s", {"partition": 2})
    first = {(replica, peer) for _, replica, peer in told[:2]}
    assert first == {(0, 2), (2, 0)}
    assert 3 * SECOND < told[0][0] == told[1][0] < 3.2 * SECOND
    again = [time for time, replica, peer in told if (replica, peer) == (0, 2)]
    assert len(again) == 4
    assert all(SECOND <= later - earlier < 1.2 * SECOND for earlier, later in itertools.pairwise(again))
    assert not any(replica != 2 and peer != 2 for _, replica, peer in told)


def test_a_one_way_block_breaks_the_connection_both_ways() -> None:
    """Without acknowledgements there is no connection either."""
    told = disconnects("1s", {"one_way": {"from": 0, "to": 2}})
    assert {(replica, peer) for _, replica, peer in told[:2]} == {(0, 2), (2, 0)}


def test_a_crash_is_seen_at_the_restart_or_after_the_user_timeout() -> None:
    """A replica that starts again answers its peers' segments with a reset; one that stays down times out."""
    quick = disconnects("20s", {"crash": 2})
    assert {(time, replica, peer) for time, replica, peer in quick} == {
        (7 * SECOND, 0, 2),
        (7 * SECOND, 1, 2),
    }
    slow = disconnects("1s", {"crash": 2})
    assert {(3 * SECOND, 0, 2), (3 * SECOND, 1, 2)} <= set(slow)


# -- datagrams -----------------------------------------------------------------------------------------------


def test_datagrams_are_lost_doubled_and_overtaken() -> None:
    """Each with its own probability; a datagram that is overtaken takes up to four times as long."""
    loose = link(1, independent(0.1), "datagram", reorder=0.2)
    arrivals = [loose.carry(number * MS // 4, 100) for number in range(20_000)]
    assert sum(arrival == LOST for arrival in arrivals) == pytest.approx(2000, rel=0.1)
    taken = np.array(
        [arrival - number * MS // 4 for number, arrival in enumerate(arrivals) if arrival != LOST]
    )
    assert (taken > MS).mean() == pytest.approx(0.2, rel=0.05)
    assert taken.min() == MS
    assert taken.max() <= 4 * MS + 1
    delivered = [arrival for arrival in arrivals if arrival != LOST]
    assert delivered != sorted(delivered)


def test_a_datagram_is_lost_with_any_of_its_fragments() -> None:
    """1 - (1 - p)^n for n fragments."""
    loose = link(2, independent(0.05), "datagram")
    lost = np.mean([loose.carry(0, 4 * SEGMENT_BYTES) == LOST for _ in range(20_000)])
    assert lost == pytest.approx(1 - 0.95**4, rel=0.05)


@pytest.mark.parametrize("engine", ["paxos", "raft"])
def test_who_lacks_much_catches_up_over_datagrams_that_are_lost(engine: str) -> None:
    """No datagram is larger than there are any: what is cut into hundreds of packets would never arrive whole."""
    scenario = free_world(
        engine,
        replicas=3,
        warmup="0.5s",
        duration="1s",
        cooldown="0.5s",
        network={"transport": "datagram", "loss": 0.05},
        timeouts={"election": ["100ms", "200ms"], "heartbeat": "10ms", "request": "100ms", "operation": "1s"},
        workload={
            "mix": {"write": 1.0},
            "value_size": "8KiB",
            "arrivals": {"kind": "closed", "clients": 8, "think": "10ms"},
        },
        faults=[{"at": "0.6s", "for": "600ms", "crash": 2}],
        checks={"level_within": "10s", "linearizability_steps": 0},
    )
    run = TrialRun(scenario, engine, 1)
    largest = [0]

    def watch(what: str, _node: Node, detail: Any) -> None:
        if what == "send":
            largest.append(run.simulation.kinds[type(detail[1])].size(detail[1]))

    run.simulation.trace = watch
    run.perform()
    assert run.trial({}, 0).checks["level"] == "passed"
    assert 40_000 < max(largest) <= 65_507


@pytest.mark.parametrize("engine", ["paxos", "raft"])
def test_doubled_datagrams_arrive_twice(engine: str) -> None:
    """duplicate = 1: each message is stepped twice, sent once."""
    run = TrialRun(free_world(engine, network={"transport": "datagram", "duplicate": 1.0}), engine, 1)
    seen: dict[str, int] = defaultdict(int)

    def watch(what: str, _node: Node, _detail: Any) -> None:
        seen[what] += 1

    run.simulation.trace = watch
    run.perform()
    assert seen["step"] == 2 * seen["send"] > 0


# -- latency and bandwidth -----------------------------------------------------------------------------------


def test_jitter_is_added_evenly() -> None:
    """A client's round trip and a follower's: 2 l and four uniform draws from [0, j], mean 2 l + 2 j."""
    samples = latencies_ns(trial_of("raft", replicas=2, network={"jitter": "2ms"}, duration="3000s"))
    assert abs(samples.mean() - 6 * MS) < 3 * standard_error(samples)
    assert 2 * MS <= samples.min() < samples.max() <= 10 * MS


def test_a_message_leaves_when_its_last_byte_has() -> None:
    """Latency = transmission of the request's answer and of the replication messages, and two latencies: no
    byte for free.
    """
    run = perform(free_world("raft", replicas=2, network={"latency": "1ms", "bandwidth": "1MB/s"}))
    trial = run.trial({}, 0)
    per_commit = trial.counts["message_bytes"] / trial.counts["commits"]
    answer_bytes = 23
    expected_ns = 2 * MS + (per_commit + answer_bytes) * 1000
    assert latencies_ns(trial).mean() == pytest.approx(expected_ns, abs=3000)


def test_equal_scenarios_are_equal_bytes_in_both_transports_without_loss() -> None:
    """Where nothing is lost and latency is constant, transports differ in nothing."""
    trials = [trial_of("paxos", network={"transport": transport}) for transport in ("tcp", "datagram")]
    assert trials[0].operations.tobytes() == trials[1].operations.tobytes()
    assert msgspec.json.encode(trials[0].counts) == msgspec.json.encode(trials[1].counts)
