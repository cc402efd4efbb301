"""A fault is inject, witness, heal, witness: what cannot be seen did not happen."""

from __future__ import annotations

from typing import Any

import pytest

from bench.checkers.verdict import INVALID, verdict
from bench.driver.trials import TrialRun
from bench.metrics.summary import summarise
from bench.metrics.trial import Trial
from tests.simulation.building import MS, REPLICATED, SECOND, free_world, merged, perform

LIVELY: dict[str, Any] = {
    "replicas": 3,
    "warmup": "1s",
    "duration": "8s",
    "storage": {"fsync": "1ms"},
    "timeouts": {"election": ["200ms", "400ms"], "heartbeat": "50ms", "request": "300ms", "operation": "20s"},
    "workload": {"arrivals": {"kind": "closed", "clients": 4, "think": "5ms"}},
}
FAULTS: list[dict[str, Any]] = [
    {"crash": "leader"},
    {"crash": 1},
    {"crash": "random"},
    {"torn_write": "leader"},
    {"torn_write": 1},
    {"pause": "leader"},
    {"pause": 2},
    {"minority": "leader"},
    {"bridge": 1},
    {"deaf": "leader"},
    {"mute": "leader"},
    {"partition": "leader"},
    {"partition": [[0, 1], [2]]},
    {"one_way": {"from": "leader", "to": 2}},
    {"one_way": {"from": 2, "to": "leader"}},
    {"slow_link": {"from": 0, "to": 1, "extra": "30ms"}},
    {"slow_disk": {"replica": "leader", "factor": 20}},
    {"clock": {"replica": 1, "rate": 1.2}},
    {"clock": {"replica": "leader", "rate": 0.8}},
]


def struck(engine: str, *faults: dict[str, Any], **changes: Any) -> tuple[TrialRun, Trial]:
    """A lively world in which these faults happen, by default from 3 s to 5 s."""
    placed = [{"at": "3s", "for": "2s"} | fault for fault in faults]
    run = perform(free_world(engine, **merged(LIVELY, {"faults": placed} | changes)))
    return run, run.trial({}, 0)


@pytest.mark.parametrize("engine", REPLICATED)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: next(iter(fault)))
def test_every_fault_is_witnessed_and_so_is_its_end(engine: str, fault: dict[str, Any]) -> None:
    _, trial = struck(engine, fault)
    (record,) = trial.faults
    assert (record.kind, record.injected_ns, record.healed_ns) == (next(iter(fault)), 3 * SECOND, 5 * SECOND)
    assert record.witness
    assert record.heal_witness
    assert trial.violations == []
    served = trial.operations[trial.operations["started_ns"] > 6 * SECOND]
    assert (served["status"] == 0).any()


def test_a_partition_that_nobody_noticed_is_not_proven() -> None:
    """Bystanders of an unreplicated server say nothing to each other: the run is invalid."""
    _, trial = struck("unreplicated", {"partition": [[0, 1], [2]]})
    (record,) = trial.faults
    assert (record.witness, record.heal_witness) == ("", "")
    assert verdict(trial, summarise(trial))[0] == INVALID


def test_a_slow_disk_without_a_sync_is_not_proven() -> None:
    _, trial = struck("raft", {"slow_disk": {"replica": 1, "factor": 10}}, storage={"durability": "none"})
    assert trial.faults[0].witness == ""


def test_a_replica_that_is_down_cannot_crash() -> None:
    """The second crash has no witness, and does not start it early."""
    run, trial = struck("raft", {"crash": 1}, {"at": "3.5s", "for": "0.5s", "crash": 1})
    assert trial.faults[0].witness
    assert trial.faults[1].witness == ""
    assert run.simulation.nodes[1].incarnation == 2


def test_all_replicas_may_be_down_at_once() -> None:
    """Whoever is asked for then, leader or random, is some replica; all come back and go on."""
    crashes = [{"crash": replica} for replica in range(3)]
    late = [
        {"at": "4s", "for": "0.5s", "slow_disk": {"replica": whom, "factor": 2}}
        for whom in ("leader", "random")
    ]
    run, trial = struck("raft", *crashes, *late)
    assert all(record.witness and record.heal_witness for record in trial.faults[:3])
    assert len({node.host.machine.digest for node in run.simulation.nodes}) == 1
    assert trial.violations == []


def test_the_leader_is_the_newest_one() -> None:
    """A leader that is cut off still believes that it leads: the next fault strikes its successor."""
    run, trial = struck(
        "raft",
        {"partition": 0, "for": "4s"},
        {"at": "3.39s", "for": "0.1s", "slow_disk": {"replica": "leader", "factor": 2}},
        {"at": "4.5s", "for": "1s", "crash": "leader"},
        raft={"check_quorum": False},
    )
    successor = next(replica for time, replica, _ in run.simulation.leaders if time > 3 * SECOND)
    assert successor != 0
    assert trial.faults[2].target == f"replica {successor}"


def test_overlapping_cuts_end_one_by_one() -> None:
    """A link that two faults block is free when both have ended."""
    run = TrialRun(
        free_world(
            "raft",
            **merged(
                LIVELY,
                {
                    "faults": [
                        {"at": "3s", "for": "3s", "partition": 2},
                        {"at": "4s", "for": "1s", "one_way": {"from": 0, "to": 2}},
                    ]
                },
            ),
        ),
        "raft",
        1,
    )
    heard: list[int] = []

    def watch(what: str, node: Any, detail: Any) -> None:
        if what == "step" and node.id == 2 and detail[0] == 0:
            heard.append(run.simulation.now)

    run.simulation.trace = watch
    run.perform()
    assert not [now for now in heard if 3.1 * SECOND < now < 6 * SECOND]
    assert [now for now in heard if now > 6 * SECOND]


@pytest.mark.parametrize("kind", ["crash", "pause"])
def test_disks_keep_what_a_restart_may_read(kind: str) -> None:
    """Memory stays small where no replica starts again."""
    fault = {"at": "1s", kind: "leader", "for": "100ms"}
    run = TrialRun(free_world("raft", **merged(LIVELY, {"faults": [fault]})), "raft", 1)
    run.perform()
    assert {bool(node.stable) for node in run.simulation.nodes} == {kind == "crash"}


@pytest.mark.parametrize("engine", REPLICATED)
def test_a_crash_loses_what_was_not_synced(engine: str) -> None:
    """At least the last record under way is torn; whatever was promised is there again."""
    run = TrialRun(free_world(engine, **merged(LIVELY, {"storage": {"fsync": "20ms"}})), engine, 1)
    run.simulation.keeps_records = True
    lost: list[int] = []

    def crash(_: int) -> None:
        node = run.simulation.nodes[0]
        if node.host.writing:
            kept = len(node.stable)
            run.simulation.crash(0, len(node.host.writing) - 1)
            lost.append(len(node.stable) - kept)
            run.simulation.renew(0)
            run.simulation.boot(0)

    for number in range(40):
        run.simulation.at(2 * SECOND + number * 150 * MS, crash)
    run.perform()
    trial = run.trial({}, 0)
    assert len(lost) > 5
    assert trial.violations == []
    assert len({node.host.machine.digest for node in run.simulation.nodes}) == 1


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_a_clock_keeps_its_rate(rate: float) -> None:
    """After two seconds of virtual time a clock of rate r shows 2 r, and goes on from there at rate 1."""
    run, _ = struck("raft", {"clock": {"replica": 1, "rate": rate}})
    node = run.simulation.nodes[1]
    assert node.local(10 * SECOND) == pytest.approx((10 + 2 * (rate - 1)) * SECOND, abs=2)


def test_a_fast_clock_beats_faster() -> None:
    """Heartbeats of a leader whose clock runs at 1.25 come 1.25 times as often."""
    _, plain = struck("raft", {"clock": {"replica": 2, "rate": 1.25}, "at": "1s", "for": "8.5s"})
    _, fast = struck("raft", {"clock": {"replica": 0, "rate": 1.25}, "at": "1s", "for": "8.5s"})
    assert fast.counts["heartbeats"] / plain.counts["heartbeats"] == pytest.approx(1.25, rel=0.02)


def test_a_state_whose_way_is_long_is_sent_a_few_times() -> None:
    """600 KiB over 10 Mbit/s take half a second, and the election timeout is less: once it was sent again and again, and never
    took effect.
    """
    run = perform(free_world(
        "paxos", replicas=3, warmup="1s", duration="8s",
        network={"bandwidth": "10Mbit/s", "user_timeout": "20s"},
        storage={"compact_after": "256KiB"},
        timeouts={"election": ["150ms", "300ms"], "heartbeat": "50ms", "request": "300ms", "operation": "10s"},
        workload={"keys": {"count": 1000}, "value_size": "2KiB", "arrivals": {"clients": 4, "think": "20ms"}},
        faults=[{"at": "4s", "for": "3s", "crash": 2}],
    ))  # fmt: skip
    states = next(kind for kind in run.simulation.kinds.values() if kind.name == "Snapshot")
    assert states.bytes > states.count * 500_000
    assert states.count <= 4
    assert {node.host.machine.applied for node in run.simulation.nodes} == {run.simulation.agreement.highest}


def test_of_slow_disks_that_overlap_the_slowest_counts() -> None:
    """A sync that began under both would else take a thousand times as long, and outlast them by far."""
    factors: dict[float, float] = {}
    overlapping = [
        {"at": "3s", "for": "1s", "slow_disk": {"replica": 1, "factor": 30}},
        {"at": "3.5s", "for": "1s", "slow_disk": {"replica": 1, "factor": 40}},
    ]
    run = TrialRun(free_world("raft", **merged(LIVELY, {"faults": overlapping})), "raft", 1)
    for moment in (2.9, 3.2, 3.7, 4.2, 4.7):
        run.simulation.at(round(moment * SECOND), lambda _, at=moment: factors.update({at: run.simulation.nodes[1].fsync_factor}))
    run.perform()
    assert factors == {2.9: 1.0, 3.2: 30.0, 3.7: 40.0, 4.2: 40.0, 4.7: 1.0}
