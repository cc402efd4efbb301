"""Hundreds of random worlds an engine: safety always, progress once the faults have ended (see
``schedules``).
"""

from __future__ import annotations

import pytest

from bench.checkers.statements import CHEAP, of
from bench.checkers.verdict import verdict
from bench.driver.trials import TrialRun
from bench.metrics.summary import summarise
from tests.simulation.building import REPLICATED, free_world, trial_of
from tests.simulation.schedules import History, Violation, play, random_scenario, watching

SEEDS = 240
SHARE = 20


@pytest.mark.parametrize("first", range(0, SEEDS, SHARE))
@pytest.mark.parametrize("engine", REPLICATED)
def test_random_schedules(engine: str, first: int) -> None:
    """Agreement, one leader a term, no acknowledged command lost or applied twice, equal digests, Zab's
    primary order; and commands that are begun after the faults are decided.
    """
    for seed in range(first, first + SHARE):
        play(engine, seed)


@pytest.mark.parametrize("engine", REPLICATED)
def test_the_schedules_of_the_suite_contain_what_they_should(engine: str) -> None:
    """Every fault, transport and routing, two to seven replicas, and outcomes of every kind occur among the
    seeds.
    """
    scenarios = [random_scenario(engine, seed) for seed in range(SEEDS)]
    assert {scenario.replicas for scenario in scenarios} == {2, 3, 4, 5, 6, 7}
    assert {fault.kind for scenario in scenarios for fault in scenario.faults} == {
        "crash",
        "partition",
        "one_way",
        "slow_link",
        "slow_disk",
        "clock",
    }
    assert {scenario.network.transport for scenario in scenarios} == (
        {"tcp"} if engine == "zab" else {"tcp", "datagram"}
    )
    assert {scenario.workload.routing for scenario in scenarios} == {"leader", "round-robin", "nearest"}
    elections = [len(play(engine, seed).leaders) for seed in range(12)]
    assert max(elections) > 2


def test_a_failure_says_how_to_replay_it() -> None:
    """The one line that plays the schedule again, with its trace."""
    with pytest.raises(Violation, match=r"replay: python -m tests.simulation.schedules raft -1 --trace"):
        play("raft", -1)


def test_the_watchers_see_what_must_not_be() -> None:
    """Each watcher is shown a history that breaks its rule."""
    history = History()
    history.effective[7, 1] = 3
    command = b"\x07" + bytes(7) + b"\x01" + bytes(18)
    history.note_application(3, command)
    with pytest.raises(Violation, match="applied at 3 and 4"):
        history.note_application(4, command)
    history.decided = {1: b"a", 2: b"b"}
    history.epochs = {1: 2, 2: 1}
    history.proposed = {(2, 1): b"a", (1, 2): b"b"}
    with pytest.raises(Violation, match="comes after epoch 2"):
        history.check_primary_order()
    history.epochs = {1: 1, 2: 1}
    history.proposed = {(1, 1): b"b", (1, 2): b"a"}
    with pytest.raises(Violation, match="is not what epoch 1 proposed"):
        history.check_primary_order()


def test_watching_ends_with_its_block() -> None:
    """Later trials run the engines themselves."""
    from bench.driver import protocols

    before = protocols.Raft, protocols.KeyValue
    with watching("raft", History()):
        assert (protocols.Raft, protocols.KeyValue) != before
    assert (protocols.Raft, protocols.KeyValue) == before


@pytest.mark.parametrize("engine", REPLICATED)
def test_what_is_not_watched_makes_a_run_suspect(engine: str) -> None:
    """Every statement of the protocol is answered; a flag turns the dear ones off, and the verdict says so."""
    scenario = free_world(engine, duration="2s", warmup="1s")
    full = trial_of(engine, duration="2s", warmup="1s")
    assert {full.checks[statement.name] for statement in of(engine)} == {"passed"}
    run = TrialRun(scenario, engine, 1, CHEAP)
    run.perform()
    trial = run.trial({}, 0)
    assert trial.checks["durability"] == "turned off"
    said, reasons = verdict(trial, summarise(trial))
    assert said == "suspect"
    assert any(reason.startswith("Nobody watched: ") for reason in reasons)
