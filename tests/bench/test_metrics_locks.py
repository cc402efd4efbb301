"""What is said of locks, on histories small enough to be read: one lock, or two, and who had it when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.metrics import locks, result
from bench.metrics.locks import Failover, held_twice, holds_of, jain, summarise
from bench.metrics.trial import (
    ACQUIRE,
    ACQUIRE_SHARED,
    FAILED,
    FAILED_OVER,
    MOMENT,
    OK,
    OPERATION,
    PENDING,
    READ,
    RELEASE,
    RELEASE_SHARED,
    TENANT,
    UNKNOWN,
    WRITE,
    FaultRecord,
    LockRecord,
    Trial,
)
from tests.bench.trials import synthetic_trial

END_NS = 1_000


def operations(*rows: tuple[int, int, int, int]) -> np.ndarray:
    """(client, kind, started, completed) on lock 0; PENDING is of unknown outcome."""
    made = np.zeros(len(rows), OPERATION)
    for row, (client, kind, started, completed) in zip(made, rows, strict=True):
        row["client"], row["kind"], row["completed_ns"] = client, kind, completed
        row["intended_ns"] = row["started_ns"] = started
        row["status"] = UNKNOWN if completed == PENDING else OK
    return made


def lost(*rows: tuple[int, int, int]) -> np.ndarray:
    """(client, since when, whether it died): releases by the master."""
    made = operations(*((client, RELEASE, since, PENDING) for client, since, _ in rows))
    made["returned"] = [died for _, _, died in rows]
    return made


def trial(done: np.ndarray, gone: np.ndarray | None = None, **changed: Any) -> Trial:
    """Of three clients, with a window from 0 to 1 us; ``changed`` replaces fields of the trial, or of its record of locks."""
    tenants = np.zeros(3, TENANT)
    tenants["client"], tenants["requests"], tenants["keep_alives"] = range(3), 10, (1, 2, 3)
    record = {"moments": np.zeros(0, MOMENT), "tenants": tenants, "lost": lost() if gone is None else gone}
    record |= {name: changed.pop(name) for name in list(changed) if name in record}
    given: dict[str, Any] = {"operations": done, "window_ns": (0, END_NS), "end_ns": END_NS} | changed
    return synthetic_trial(**given, locks=LockRecord(**record, acknowledged=np.zeros(0, np.uint64)))


def summary_of(each: Trial) -> dict[str, Any]:
    assert each.locks is not None
    return summarise(each, holds_of(each.operations, each.locks.lost, each.end_ns), locks.failovers(each))


TAKEN_IN_TURNS = operations(
    (0, ACQUIRE, 0, 10), (1, ACQUIRE, 5, 120), (0, RELEASE, 100, 115), (1, RELEASE, 200, 210), (2, ACQUIRE, 400, 410)
)


def test_a_hold_lasts_from_the_grant_to_the_call_of_the_release() -> None:
    holds = holds_of(TAKEN_IN_TURNS, lost(), END_NS)
    assert holds[["client", "asked_ns", "granted_ns", "released_ns"]].tolist() == [
        (0, 0, 10, 100), (1, 5, 120, 200), (2, 400, 410, END_NS)
    ]  # fmt: skip
    assert [locks.ENDS[end] for end in holds["end"]] == ["released", "released", "held"]
    assert holds["after"].tolist() == [locks.NOBODY, 0, locks.NOBODY], "who came when the lock was free waited for nobody"
    assert not len(held_twice(holds))


def test_a_release_that_nobody_waits_for_ends_the_hold_before_it_however_late_its_answer() -> None:
    rows = operations((0, ACQUIRE, 0, 10), (0, RELEASE, 100, 700), (0, ACQUIRE, 100, 300), (0, RELEASE, 400, 410))
    holds = holds_of(rows, lost(), END_NS)
    assert holds[["granted_ns", "released_ns"]].tolist() == [(10, 100), (300, 400)]


def test_who_waited_was_handed_the_lock_by_the_call_of_a_release() -> None:
    row = summary_of(trial(TAKEN_IN_TURNS))
    assert set(row) == set(locks.COLUMNS)
    assert row["contended_share"] == pytest.approx(1 / 3)
    assert row["lock_pairs_per_s"] == pytest.approx(2 / (END_NS / 1e9))
    assert row["hand_off_p50_ns"] is None, "a percentile needs ten samples beyond it"
    often = np.concatenate([TAKEN_IN_TURNS] * 30)
    often["key"] = np.repeat(np.arange(30), len(TAKEN_IN_TURNS))
    often["client"] += 3 * often["key"]
    tenants = np.zeros(90, TENANT)
    tenants["client"] = range(90)
    row = summary_of(trial(often, tenants=tenants))
    assert (row["hand_off_p50_ns"], row["acquire_contended_p50_ns"], row["acquire_uncontended_p50_ns"]) == (20, 115, 10)


def test_fairness_is_jains_index_of_grants_and_of_waits() -> None:
    row = summary_of(trial(TAKEN_IN_TURNS))
    assert row["jain_grants"] == pytest.approx(1.0)
    assert row["jain_waits"] == pytest.approx((10 + 115 + 10) ** 2 / (3 * (100 + 115**2 + 100)))
    assert jain(np.array([5, 0, 0, 0])) == pytest.approx(0.25)
    assert jain(np.array([0, 0])) is None


def test_who_shares_a_lock_is_in_the_way_of_exclusive_holders_only() -> None:
    shared = operations(
        (0, ACQUIRE_SHARED, 0, 10), (1, ACQUIRE_SHARED, 5, 15), (0, RELEASE_SHARED, 50, 60), (2, ACQUIRE, 20, 110),
        (1, RELEASE_SHARED, 100, 105), (2, RELEASE, 130, 140), (0, ACQUIRE_SHARED, 70, 150),
    )  # fmt: skip
    holds = holds_of(shared, lost(), END_NS)
    assert holds["after"].tolist() == [locks.NOBODY, locks.NOBODY, 1, 2]
    assert not len(held_twice(holds))


@pytest.mark.parametrize(
    ("first", "second", "twice"), [(ACQUIRE, ACQUIRE, 1), (ACQUIRE, ACQUIRE_SHARED, 1), (ACQUIRE_SHARED, ACQUIRE_SHARED, 0)]
)
def test_two_who_believe_to_hold_a_lock_at_once_are_found(first: int, second: int, twice: int) -> None:
    ends = {ACQUIRE: RELEASE, ACQUIRE_SHARED: RELEASE_SHARED}
    rows = operations((0, first, 0, 10), (1, second, 5, 99), (0, ends[first], 100, 115), (1, ends[second], 200, 210))
    assert len(held_twice(holds_of(rows, lost(), END_NS))) == twice
    assert summary_of(trial(rows))["held_twice"] == twice


def test_a_grant_that_came_when_the_lease_was_over_was_never_believed_in() -> None:
    rows = operations((0, ACQUIRE, 0, 300), (1, ACQUIRE, 5, 200), (1, RELEASE, 400, 410))
    gone = lost((0, 100, 0))
    assert len(held_twice(holds_of(rows, lost(), END_NS))) == 1
    gone["intended_ns"] = 300
    holds = holds_of(rows, gone, END_NS)
    assert holds[["client", "released_ns"]].tolist() == [(1, 400), (0, 100)]
    assert not len(held_twice(holds))


def test_a_lock_is_idle_from_the_death_of_its_holder_to_the_next_grant() -> None:
    rows = operations((0, ACQUIRE, 0, 10), (1, ACQUIRE, 5, 500), (2, ACQUIRE, 6, 900), (0, ACQUIRE, 300, PENDING))
    gone = lost((0, 100, 1), (1, 600, 0))
    assert [locks.ENDS[end] for end in holds_of(rows, gone, END_NS)["end"]] == ["died", "lost", "held"]
    row = summary_of(trial(rows, gone))
    assert row["holds_lost"] == 2
    assert row["idle_after_loss_mean_ns"] == (400 + 300) / 2
    rows = operations((0, ACQUIRE, 0, 10), (1, ACQUIRE, 200, 500))
    rows["expected"] = 0, 1
    assert summary_of(trial(rows, lost((0, 100, 1))))["idle_after_loss_mean_ns"] == 400, "who came later had to wait, too"


def test_keep_alives_are_counted_per_client_and_among_all_requests() -> None:
    row = summary_of(trial(TAKEN_IN_TURNS))
    assert row["keep_alive_share"] == pytest.approx(6 / 30)
    assert row["keep_alives_per_client_per_s"] == pytest.approx(2 / (END_NS / 1e9))


def test_reads_of_a_cache_and_refused_writes_are_counted() -> None:
    rows = operations((0, READ, 0, 0), (0, READ, 10, 30), (1, WRITE, 0, 20), (1, WRITE, 30, 40))
    rows["status"][3] = FAILED
    tenants = np.zeros(3, TENANT)
    tenants["client"], tenants["cache_hits"] = range(3), (1, 0, 0)
    row = summary_of(trial(rows, tenants=tenants))
    assert (row["cache_hit_share"], row["stale_writes_rejected"]) == (0.5, 1)


CRASH = [FaultRecord(kind="crash", target="replica 0", injected_ns=100)]


def test_a_failover_has_four_phases_each_counted_from_the_fault() -> None:
    rows = operations((0, ACQUIRE, 0, 10), (1, ACQUIRE, 20, 700), (2, ACQUIRE, 30, 450), (0, RELEASE, 50, 720))
    rows["returned"] = 3, 9, 4, 0
    moments = np.array([(90, 2, FAILED_OVER, 2), (600, 1, FAILED_OVER, 7), (650, 0, FAILED_OVER, 7)], MOMENT)
    noticed = [(40, 1), (250, 0), (300, 2), (310, 1)]
    each = trial(rows, moments=moments, faults=CRASH, leaders=[(1, 0, 1), (400, 2, 2)], noticed=noticed)
    assert locks.failovers(each) == [
        Failover(fault=0, injected_ns=100, detected_ns=300, elected_ns=400, kept_alive_ns=600, granted_ns=700)
    ]
    row = summary_of(each)
    assert [row[f"failover_{name}_ns"] for name in ("detected", "elected", "kept_alive", "granted")] == [200, 300, 500, 600]
    seen = locks.seen_by_clients(each, locks.failovers(each))
    assert seen[["client", "kept_alive_ns", "granted_ns"]].tolist() == [(0, 650, -1), (1, 600, 700), (2, -1, -1)]


def test_a_fault_that_nobody_was_elected_after_is_no_failover() -> None:
    assert locks.failovers(trial(TAKEN_IN_TURNS, faults=CRASH, leaders=[(1, 0, 1)])) == []


def test_a_result_keeps_what_there_is_to_say_of_locks(tmp_path: Path) -> None:
    """Two histories, one of locks and one of files; holds and clients in a file; columns of their own."""
    rows = np.concatenate([TAKEN_IN_TURNS, operations((2, READ, 420, 430))])
    each = trial(rows, lost((2, 500, 1)), faults=CRASH, leaders=[(1, 0, 1), (400, 2, 2)])
    with result.ResultWriter(tmp_path / "locks", "locks", {"locks": {"name": "locks"}}) as writer:
        writer.add(result.write_point(writer.folder, 0, each, "locks"))
        writer.finish()
    loaded = result.load(tmp_path / "locks")
    assert set(locks.COLUMNS) <= set(loaded.points.columns)
    found = loaded.locks(0)
    assert found["holds"]["end"].tolist() == ["released", "released", "died"]
    assert found["clients"]["grants"].tolist() == [1, 1, 1]
    record = loaded.records[0].locks
    assert isinstance(record, result.LockPoint)
    assert record.failovers[0].elected_ns == 400
    assert {path.name for path in loaded.path.glob("history*")} == {"history-0.jsonl.gz", "history-files-0.jsonl.gz"}
