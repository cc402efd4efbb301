"""Random schedules for the tests: those of the product (bench.exploration), with failures as exceptions."""

from __future__ import annotations

from bench.exploration import Outcome, draw, explore_one
from bench.scenario import Scenario


class Violation(AssertionError):  # noqa: N818 (a violation is what it is)
    """What must never happen did, or what must happen once the faults have ended did not."""


def random_scenario(engine: str, seed: int) -> Scenario:
    """The schedule of this seed."""
    return draw(engine, seed)


def play(engine: str, seed: int) -> Outcome:
    """Play the schedule of this seed; raises Violation with the line that replays it."""
    outcome = explore_one(engine, seed)
    if outcome.violations:
        line = f"replbench replay any --explored {engine}:{seed} --trace"
        raise Violation(f"Violation: {list(outcome.violations)}\nreplay: {line}")
    return outcome
