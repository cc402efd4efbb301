"""A cell under random faults, over each engine: safety always, progress once they end (see schedule.py)."""

from __future__ import annotations

import pytest

from engines.core import Engine
from engines.paxos import Paxos
from engines.raft import Raft
from engines.zab import Zab
from tests.locks.schedule import schedule


@pytest.mark.parametrize("engine", [Paxos, Raft, Zab])
@pytest.mark.parametrize("seed", range(10))
def test_schedule(engine: type[Engine], seed: int) -> None:
    assert schedule(engine, seed).watch.grants > 10
