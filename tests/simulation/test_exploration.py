"""A planted bug is found within few seeds, shrunk, and fails by itself; calm phases demand progress; faults have their shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.checkers.statements import LOCK_DELAYS
from bench.checkers.verdict import INVALID, verdict
from bench.driver import protocols
from bench.driver.protocols import Parts
from bench.driver.shapes import cut_links
from bench.driver.trials import run_trial
from bench.exploration import Outcome, draw, explore_one, play
from bench.exploration.shrinking import shrink
from bench.metrics.summary import summarise
from bench.scenario import Fault, Scenario, load
from bench.scenario.toml import brief_toml
from engines.core import Effect, Persist, Send
from engines.lock_service import LockTree
from engines.raft import Raft
from ext import build
from tests.simulation.building import free_world
from tests.simulation.planted import HALF_QUORUM, HalfQuorum, plant


class Reluctant(Raft):
    """Asks nobody for votes once it has seen a leader: whoever loses that one waits for ever."""

    def tick(self, now: int) -> list[Effect]:
        led, effects = self.leading, super().tick(now)
        return effects if led or self.log.last == 0 else [effect for effect in effects if not isinstance(effect, Send)]


class Stuck(Raft):
    """Forgets to move its timer."""

    def tick(self, now: int) -> list[Effect]:
        return super().tick(now) if self.log.last == 0 else []


class Hasty(Raft):
    """Promises before anything is on disk."""

    def step(self, sender: int, message: Any, now: int) -> list[Effect]:
        found: list[Effect] = []
        for effect in super().step(sender, message, now):
            if isinstance(effect, Persist) and effect.then is not None and effect.then.to != self.id:
                found += [effect.then, Persist(effect.record, None)] if effect.record is not None else [effect.then]
            else:
                found.append(effect)
        return found


def first_failure(parts: Parts, seeds: int = 10) -> Outcome:
    """Of a planted Raft; a failed assertion where no seed finds the bug."""
    for seed in range(seeds):
        outcome = explore_one("raft", seed, parts=parts)
        if outcome.violations:
            return outcome
    raise AssertionError(f"nothing was found within {seeds} seeds")


def test_a_wrong_quorum_is_found_shrunk_and_fails_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deciding with n/2 of n; the shrunk file passes where the bug is not."""
    outcome = first_failure(HALF_QUORUM)

    def fails(scenario: Scenario) -> bool:
        found = play(scenario, "raft", scenario.seed, parts=HALF_QUORUM).violations
        return any(each.startswith(f"{outcome.rule}:") for each in found)

    small = shrink(draw("raft", outcome.seed), fails)
    assert len(small.faults) <= 1
    assert small.replicas in (2, 4)
    assert small.end_ns < 3_000_000_000
    (tmp_path / "small.toml").write_text(brief_toml(small))
    alone = load(tmp_path / "small.toml")
    assert alone == small
    sound = run_trial(alone, "raft")
    assert verdict(sound, summarise(sound))[0] != INVALID
    plant(monkeypatch, HalfQuorum)
    broken = run_trial(alone, "raft")
    assert verdict(broken, summarise(broken))[0] == INVALID


class Unforgiving(LockTree):
    """Hands the lock of a holder that failed on at once, whatever its lock-delay."""

    def let_go(self, node: Any, handle: int, owed_ns: int) -> None:  # noqa: ARG002
        super().let_go(node, handle, 0)


def test_a_bug_in_a_lock_service_is_found_shrunk_and_fails_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of such a schedule it is a file that is left, and passes where the bug is not. (Shrinking stops after a few tries.)"""
    sound = protocols.LockTree
    monkeypatch.setattr(protocols, "LockTree", Unforgiving)
    given = {"workload": {"kind": "locks"}, "replicas": 2, "locks": {"lock_delay": "0.3s", "errands": "0s"}}
    rule = f"{LOCK_DELAYS}:"

    def fails(scenario: Scenario) -> bool:
        return any(each.startswith(rule) for each in play(scenario, "raft", scenario.seed).violations)

    found = next(each for each in (draw("raft", seed, given) for seed in range(20)) if fails(each))
    tries = iter(range(25 if build.compiled() else 8))
    small = shrink(found, lambda scenario: next(tries, None) is not None and fails(scenario))
    assert 1 <= len(small.faults) < len(found.faults)
    (tmp_path / "small.toml").write_text(brief_toml(small))
    alone = load(tmp_path / "small.toml")
    assert alone == small
    assert run_trial(alone, "raft").checks[LOCK_DELAYS] == "failed"
    monkeypatch.setattr(protocols, "LockTree", sound)
    assert run_trial(alone, "raft").violations == []


def test_promises_before_the_disk_are_found() -> None:
    assert first_failure(Parts(engine=Hasty)).rule == "durability"


def test_a_cluster_that_does_not_recover_breaks_the_demand_for_progress() -> None:
    outcome = first_failure(Parts(engine=Reluctant))
    assert any(each.startswith("progress: no operation that began after") for each in outcome.violations)


def test_what_the_program_raises_is_a_broken_rule() -> None:
    class Broken(Raft):
        def compact(self, *_: Any) -> list[Effect]:
            raise KeyError(7)

    outcome = first_failure(Parts(engine=Broken))
    assert outcome.rule == "error"
    assert "KeyError: 7 at " in outcome.violations[0]


def test_a_timer_that_does_not_move_ends_the_run() -> None:
    outcome = first_failure(Parts(engine=Stuck))
    assert outcome.rule == "assertions"
    assert "does not move its timer" in outcome.violations[0]


def test_the_same_seed_gives_the_same_outcome() -> None:
    assert explore_one("zab", 5) == explore_one("zab", 5)
    assert explore_one("zab", 5) != explore_one("zab", 6)


def test_a_schedule_is_an_ordinary_scenario(tmp_path: Path) -> None:
    """As a file it reads back to the same, and runs to the same end."""
    drawn = draw("paxos", 12)
    (tmp_path / "drawn.toml").write_text(brief_toml(drawn))
    assert load(tmp_path / "drawn.toml") == drawn
    trial = run_trial(load(tmp_path / "drawn.toml"), "paxos")
    assert trial.violations == []
    assert trial.end_ns == explore_one("paxos", 12).simulated_ns


@pytest.mark.parametrize(
    ("kind", "replicas", "links"),
    [
        ("partition", 3, {(0, 1), (0, 2), (1, 0), (2, 0)}),
        ("minority", 3, {(0, 1), (0, 2), (1, 0), (2, 0)}),
        ("minority", 5, {(a, b) for a in range(5) for b in range(5) if (a < 2) != (b < 2)}),
        ("minority", 4, {(a, b) for a in range(4) for b in range(4) if (a < 2) != (b < 2)}),
        ("bridge", 5, {(a, b) for a in range(1, 5) for b in range(1, 5) if (a < 3) != (b < 3)}),
        ("deaf", 3, {(1, 0), (2, 0)}),
        ("mute", 3, {(0, 1), (0, 2)}),
    ],
)
def test_faults_of_the_network_have_their_shape(kind: str, replicas: int, links: set[tuple[int, int]]) -> None:
    _, cut = cut_links(Fault(at_ns=0, kind=kind, replica=0), replicas, 0)
    assert set(cut) == links
    assert len(cut) == len(links)


def test_a_pause_holds_everything_up_and_loses_nothing() -> None:
    """The leader sleeps for less than an election timeout: its clients wait, and nobody else is elected."""
    scenario = free_world(
        "raft",
        replicas=3,
        warmup="1s",
        duration="3s",
        storage={"fsync": "1ms"},
        timeouts={"election": ["2s", "3s"], "heartbeat": "50ms"},
        workload={"arrivals": {"kind": "closed", "clients": 1, "think": "10ms"}},
        faults=[{"at": "2s", "for": "500ms", "pause": "leader"}],
    )
    trial = run_trial(scenario, "raft")
    assert len(trial.leaders) == 1
    assert trial.violations == []
    assert (trial.operations["status"] == 0).all()
    waited = trial.operations["completed_ns"] - trial.operations["started_ns"]
    assert 480_000_000 < waited.max() < 520_000_000
    assert (waited > 20_000_000).sum() == 1


def test_a_torn_write_keeps_a_part_of_its_group() -> None:
    """With many writers a sync covers several records; some of them survive, and not all."""
    scenario = free_world(
        "raft",
        replicas=3,
        warmup="1s",
        duration="3s",
        storage={"fsync": "5ms"},
        timeouts={"election": ["200ms", "300ms"], "heartbeat": "50ms", "request": "300ms", "operation": "20s"},
        workload={"arrivals": {"kind": "closed", "clients": 20, "think": "1ms"}},
        faults=[{"at": "2s", "for": "500ms", "torn_write": 0}],
    )
    (fault,) = run_trial(scenario, "raft").faults
    survivors, _, records = fault.witness.split(" records")[0].partition(" of ")
    assert 0 < int(survivors) < int(records)
