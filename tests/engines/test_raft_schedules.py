"""Raft under random faults on both transports: safety always, progress once they end (see schedule.py)."""
from __future__ import annotations

import pytest

from engines.raft import Raft, RaftOptions
from tests.engines.schedule import schedule


@pytest.mark.parametrize("transport", ["tcp", "datagram"])
@pytest.mark.parametrize("seed", range(24))
def test_schedule(seed: int, transport: str) -> None:
    schedule(Raft, seed, transport)


@pytest.mark.parametrize("transport", ["tcp", "datagram"])
@pytest.mark.parametrize("seed", range(1000, 1003))
@pytest.mark.parametrize(("pre_vote", "check_quorum"), [(False, True), (True, False), (False, False)])
def test_schedule_without_options(seed: int, transport: str, pre_vote: bool, check_quorum: bool) -> None:
    """What pre-vote and check-quorum protect is availability: safety must not depend on them (4.2.3, 9.6)."""
    schedule(Raft, seed, transport, options=RaftOptions(pre_vote, check_quorum))


@pytest.mark.parametrize("transport", ["tcp", "datagram"])
@pytest.mark.parametrize("seed", range(2000, 2006))
def test_schedule_with_empty_probes(seed: int, transport: str) -> None:
    schedule(Raft, seed, transport, options=RaftOptions(empty_probes=True))
