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
    """How many locks one schedule grants is a matter of its draws; ten of them grant several hundred."""
    grants = [schedule(engine, seed).watch.grants for seed in range(SEEDS)]
    assert min(grants) > 10
    assert sum(grants) > 40 * SEEDS
