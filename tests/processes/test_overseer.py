"""What statuses add up to: counters over incarnations, leaders, and histories that must agree."""
from __future__ import annotations

from typing import Any

from bench.driver.overseer import Board


def status(**changed: Any) -> dict[str, Any]:
    said = {
        "incarnation": 1, "applied": 5, "digest": 55, "digests": [], "led": [], "fsyncs": 3, "client_requests": 2,
        "cpu_ns": 1000,
        "messages": {"Append": [4, 400], "Heartbeat": [7, 70]},
    }  # fmt: skip
    return said | changed


def test_counters_are_summed_over_incarnations_of_which_only_the_newest_word_counts() -> None:
    board = Board(frozenset({"Heartbeat"}))
    board.take(0, status(fsyncs=1))
    board.take(0, status(fsyncs=3))
    board.take(0, status(incarnation=2, fsyncs=10, applied=9, digest=99))
    board.take(1, status())
    totals = board.totals()
    assert totals["fsyncs"] == 3 + 10 + 3
    assert totals["commits"] == 9
    assert totals["cpu_ns"] == 3000
    assert (totals["messages"], totals["message_bytes"], totals["heartbeats"]) == (12, 1200, 21)
    assert totals["kind Append"] == 12


def test_equal_positions_with_other_digests_are_a_violation() -> None:
    board = Board(frozenset())
    board.take(0, status())
    board.take(1, status(applied=4, digest=44))
    assert board.agreement.violations == []
    board.take(1, status(digest=56))
    assert board.agreement.violations == ["agreement: replicas 0 and 1 have different histories up to position 5"]


def test_digests_on_the_way_are_compared_too() -> None:
    board = Board(frozenset())
    board.take(0, status(digests=[[1024, 7]], applied=1100, digest=1))
    board.take(1, status(digests=[[1024, 8]], applied=1200, digest=2))
    assert board.agreement.violations == ["agreement: replicas 0 and 1 have different histories up to position 1024"]


def test_two_leaders_of_a_term_are_a_violation() -> None:
    board = Board(frozenset())
    board.take(0, status(led=[[10, 1]]))
    board.take(0, status(led=[[10, 1], [20, 3]]))
    board.take(1, status(led=[[15, 2]]))
    assert board.leaders == {(0, 1): 10, (0, 3): 20, (1, 2): 15}
    assert board.agreement.violations == []
    board.take(1, status(led=[[15, 2], [21, 3]]))
    assert len(board.agreement.violations) == 1


def test_a_replica_that_goes_back_within_an_incarnation_is_a_violation() -> None:
    board = Board(frozenset())
    board.take(0, status())
    board.take(0, status(incarnation=2, applied=2, digest=22))
    assert board.agreement.violations == []
    board.take(0, status(incarnation=2, applied=1, digest=11))
    assert board.agreement.violations == ["monotone commit position: replica 0 went from 2 to 1"]
