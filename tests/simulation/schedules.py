"""Random schedules for the tests: those of the product (bench.exploration), with failures as exceptions."""

from __future__ import annotations

from bench.exploration import Outcome, draw, explore_one
from bench.scenario import Scenario, given_table


class Violation(AssertionError):  # noqa: N818 (a violation is what it is)
    """What must never happen did, or what must happen once the faults have ended did not."""


def random_scenario(engine: str, seed: int) -> Scenario:
    """The schedule of this seed."""
    return draw(engine, seed)


def play(engine: str, seed: int, scenario: str = "any") -> Outcome:
    """Play the schedule that exploring ``scenario`` draws of this seed; raises Violation with the line that replays it."""
    given, place = given_table(scenario, ())
    outcome = explore_one(engine, seed, given, place=place)
    if outcome.violations:
        line = f"replbench replay {scenario} --explored {engine}:{seed} --trace"
        raise Violation(f"Violation: {list(outcome.violations)}\nreplay: {line}")
    return outcome
