"""Random walks of every engine on every transport that it knows (see walk.py)."""

from __future__ import annotations

from typing import Any

import pytest

from engines.raft import RaftOptions
from tests.engines.schedule import engine_named
from tests.engines.walk import walk

WALKS = 60
BARE = RaftOptions(pre_vote=False, check_quorum=False)


@pytest.mark.parametrize(
    ("name", "transport", "options"),
    [
        ("paxos", "tcp", None),
        ("paxos", "datagram", None),
        ("raft", "tcp", None),
        ("raft", "datagram", BARE),
        ("zab", "tcp", None),
    ],
)
def test_walks(name: str, transport: str, options: Any) -> None:
    """Safety at every step, progress in the end; and the walks go somewhere: elections, crashes, decisions."""
    ends = [walk(engine_named(name), seed, transport, options) for seed in range(WALKS)]
    assert sum(len(end.leader_of_term) for end in ends) > WALKS
    assert sum(len(end.decided) for end in ends) > 3 * WALKS
    assert any(replica.incarnation > 2 for end in ends for replica in end.replicas.values())


def test_a_walk_is_determined_by_its_arguments() -> None:
    ends = [walk(engine_named("raft"), 7, "datagram") for _ in range(2)]
    assert ends[0].decided == ends[1].decided
    assert ends[0].now == ends[1].now
