"""A cell under random faults, over each engine: safety always, progress once they end (see schedule.py)."""

from __future__ import annotations

import pytest

from engines.core import Engine
from engines.paxos import Paxos
from engines.raft import Raft
from engines.zab import Zab
from tests.locks.schedule import schedule

SEEDS = 10


@pytest.mark.parametrize("engine", [Paxos, Raft, Zab])
def test_schedules(engine: type[Engine]) -> None:
    """Each demands locks for all who live once its faults have ended; before that it is a matter of draws, of which ten grant
    several hundred.
    """
    grants = [schedule(engine, seed).watch.grants for seed in range(SEEDS)]
    assert sum(grants) > 40 * SEEDS
