"""A state that takes longer than an election timeout: it shares its sender's interface with what goes to others."""

from __future__ import annotations

from typing import Any

import pytest

from bench.driver.trials import TrialRun
from bench.metrics.trial import Trial
from engines.raft import InstallSnapshot
from engines.raft.messages import PreVote
from tests.simulation.building import MS, REPLICATED, SECOND, free_world

pytestmark = pytest.mark.once
STATES = ("InstallSnapshot", "Snapshot", "Snap")


def behind(engine: str, **changes: Any) -> tuple[Trial, list[int]]:
    """Replica 2 of three comes back behind all logs, at 40 s. The state of some 5.7 MB takes five seconds at 10 Mbit/s, an
    election timeout one to two. The trial, and when a state was sent.
    """
    given: dict[str, Any] = {
        "replicas": 3,
        "warmup": "1s",
        "duration": "69s",
        "network": {"bandwidth": "10Mbit/s"},
        "storage": {"compact_after": "1MiB"},
        "timeouts": {"election": ["1s", "2s"], "heartbeat": "200ms", "request": "2s", "operation": "10s"},
        "workload": {
            "keys": {"distribution": "uniform", "count": 100},
            "value_size": "64KiB",
            "arrivals": {"kind": "closed", "clients": 2, "think": "150ms"},
        },
        "faults": [{"at": "30s", "for": "10s", "crash": 2}],
        "checks": {"level_within": "30s", "linearizability_steps": 0, "progress": [["40s", "42s"], ["42s", "44s"]]},
    }
    run = TrialRun(free_world(engine, **given | changes), engine, 3)
    sent = []

    def watch(what: str, _node: Any, detail: Any) -> None:
        if what == "send" and type(detail[1]).__name__ in STATES:
            sent.append(run.simulation.now)

    run.simulation.trace = watch
    run.perform()
    return run.trial({}, 0), sent


@pytest.mark.parametrize("engine", REPLICATED)
def test_nobody_else_misses_the_leader_that_sends_a_state(engine: str) -> None:
    """It leads on, and decides; who gets the state comes to hold what the others do, though more is compacted meanwhile."""
    trial, sent = behind(engine)
    assert trial.violations == []
    assert len(trial.leaders) == 1
    assert sent[0] < 41 * SECOND
    assert len(sent) == 2


def test_paxos_candidates_that_lack_much_do_not_fill_their_links_for_ever() -> None:
    """Whoever is sent the state stands, since nobody is asked before; so it asks, and is told more than a link carries."""
    trial, _ = behind("paxos", paxos={"inquire": False}, checks={"level_within": "60s", "linearizability_steps": 0})
    assert trial.violations == []


def test_a_long_message_lets_others_go_between_its_slices() -> None:
    """1 MB/s. A small message to another replica waits for one slice of 65.536 ms, one to the same for all of it; nothing is
    lost of the bandwidth.
    """
    run = TrialRun(free_world("raft", replicas=3, network={"latency": "0s", "bandwidth": "1MB/s"}), "raft", 1)
    simulation = run.simulation
    small, long = PreVote(0, 0, 0), InstallSnapshot(0, 0, 0, bytes(1_000_000))
    small_ns, long_ns = (simulation.kinds[type(each)].size(each) * 1000 for each in (small, long))
    arrived = []

    def watch(what: str, node: Any, detail: Any) -> None:
        if what == "step" and detail[1] in (small, long):
            arrived.append((node.id, detail[1] is long, simulation.now - SECOND))

    def send(_: int) -> None:
        host = simulation.nodes[0].host
        simulation.transmit(host, 1, long)
        simulation.transmit(host, 1, small)
        simulation.transmit(host, 2, small)

    simulation.trace = watch
    simulation.at(SECOND, send)
    simulation.at(SECOND + 100 * MS, lambda _: simulation.transmit(simulation.nodes[0].host, 2, small))
    perform_until(run, 3 * SECOND)
    slice_ns = 65_536 * 1000
    assert arrived == [
        (2, False, slice_ns + small_ns),
        (2, False, 2 * slice_ns + 2 * small_ns),
        (1, True, long_ns + 2 * small_ns),
        (1, False, long_ns + 3 * small_ns),
    ]


def test_what_a_crash_finds_unsent_is_lost() -> None:
    network, crash = {"latency": "0s", "bandwidth": "1MB/s"}, {"at": "1.5s", "for": "10ms", "crash": 0}
    run = TrialRun(free_world("raft", replicas=3, network=network, faults=[crash]), "raft", 1)
    simulation = run.simulation
    long = InstallSnapshot(0, 0, 0, bytes(1_000_000))
    arrived = []
    simulation.trace = lambda what, _, detail: arrived.append(detail[1]) if what == "step" and detail[1] == long else None
    simulation.at(SECOND, lambda _: simulation.transmit(simulation.nodes[0].host, 1, long))
    perform_until(run, 3 * SECOND)
    assert simulation.nodes[0].incarnation == 2
    assert arrived == []


def perform_until(run: TrialRun, until_ns: int) -> None:
    """Let the replicas live for so long, without load."""
    for node in run.simulation.nodes:
        run.simulation.boot(node.id)
    run.simulation.run(until_ns)
