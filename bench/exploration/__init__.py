"""Random schedules over the simulator: drawn from a seed, watched, counted; and what fails, shrunk.

    schedule    a seed becomes a scenario
    observer    what must never happen, and what happened, seen from outside
    coverage    what is worth having happened
    explore     one schedule played: ``explore_one(engine, seed) -> Outcome``
    shrinking   a failing schedule, made small
"""

from bench.exploration.explore import Outcome, explore_one, play
from bench.exploration.schedule import draw

__all__ = ["Outcome", "draw", "explore_one", "play"]
