"""What a scenario may say, though it is seldom meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.scenario import Place, advice, read_scenario

SLOW: dict[str, Any] = {
    "network": {"bandwidth": "10Mbit/s"},
    "workload": {"keys": {"count": 100}, "value_size": "64KiB"},
    "faults": [{"at": "3s", "for": "1s", "crash": 0}],
}


def said(**changes: Any) -> list[str]:
    return advice(read_scenario(SLOW | changes, Place("test", Path())))


@pytest.mark.parametrize(
    ("engine", "options", "words"),
    [
        ("raft", {"pre_vote": False}, "a state of all keys takes 5.24 s at network.bandwidth"),
        ("raft", {"pre_vote": False}, "leave pre_vote on"),
        ("paxos", {"inquire": False}, "leave inquire on"),
        ("zab", {"init_limit": 10, "sync_limit": 5}, "gives up after 10 ticks, again and again; give zab.init_limit = 52"),
    ],
)
def test_an_option_that_a_long_state_makes_harmful(engine: str, options: dict[str, Any], words: str) -> None:
    (line,) = said(**{engine: options})
    assert words in line


def test_nothing_is_said_where_no_state_is_long_or_sent() -> None:
    harmful = {"raft": {"pre_vote": False}, "paxos": {"inquire": False}, "zab": {"init_limit": 10}}
    assert len(said(**harmful)) == 3
    assert said() == []
    assert said(**harmful, faults=[]) == []
    assert said(**harmful, network={"bandwidth": "unlimited"}) == []
    assert said(**harmful, network={"bandwidth": "1Gbit/s"}) == []
    assert said(**harmful, engine=["unreplicated"]) == []


def test_encryption_is_for_processes() -> None:
    files = dict.fromkeys(("ca", "certificate", "key"), __file__)
    (line,) = said(tls=files)
    assert line == 'tls has no effect in the simulation; give world = "processes", or leave it out'
    assert said(tls=files, world="processes") == []
