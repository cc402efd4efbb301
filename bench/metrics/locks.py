"""What a trial of a lock service says about locks: who held which, when, after whom, and how long all were without a master.

All is made of the operations that clients recorded and of what they tell beside them (LockRecord), in the same way for both
worlds. A hold lasts, in its client's eyes, from the answer of the acquire to the call of the release. Where the client lost its
session meanwhile it lasts to the end of its lease, and where the client died to that moment; then the master ends it later.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from bench.metrics.summary import PERCENTILES, percentile
from bench.metrics.trial import (
    ACQUIRE,
    ACQUIRE_SHARED,
    BY_DEATH,
    DIED,
    ENDED,
    FAILED,
    FAILED_OVER,
    HELD_ON,
    IN_JEOPARDY,
    LOST,
    OK,
    READ,
    RELEASE,
    RELEASE_SHARED,
    WRITE,
    LockRecord,
    Trial,
)

SECOND_NS = 1_000_000_000
NOBODY = -1
ENDS = ("lost", "died", "held", "released")  # what LOST, BY_DEATH and HELD_ON mean for a hold, and that it was released
RELEASED = 3

HOLD = np.dtype(
    [
        ("client", "<u4"),
        ("lock", "<u4"),
        ("generation", "<u8"),  # of the lock
        ("asked_ns", "<i8"),  # call of the acquire
        ("granted_ns", "<i8"),  # its answer
        ("released_ns", "<i8"),  # call of the release; lost: end of the lease; died: that moment; held: end of the run
        ("after", "<i8"),  # index of the hold that had to end first, of those in the way the last; NOBODY: none was in the way
        ("shared", "u1"),
        ("end", "u1"),  # index into ENDS
    ]
)
# How a client saw a fail-over: when it first heard of the new master, and when it was first granted a lock after that; -1: never.
SEEN = np.dtype([("failover", "<u4"), ("client", "<u4"), ("kept_alive_ns", "<i8"), ("granted_ns", "<i8")])

COLUMNS = (
    "lock_pairs_per_s", "acquire_p50_ns", "acquire_p99_ns", "acquire_uncontended_p50_ns", "acquire_uncontended_p99_ns",
    "acquire_contended_p50_ns", "acquire_contended_p99_ns", "contended_share", "hand_off_p50_ns", "hand_off_p99_ns",
    "jain_grants", "jain_waits", "keep_alives_per_client_per_s", "keep_alive_share", "cache_hit_share",
    "stale_writes_rejected", "clients_died", "sessions_lost", "jeopardies", "holds_lost", "idle_after_loss_mean_ns", "held_twice",
    "failover_detected_ns", "failover_elected_ns", "failover_kept_alive_ns", "failover_granted_ns",
)  # fmt: skip


class Failover(msgspec.Struct, frozen=True, kw_only=True):
    """A change of masters that a fault brought about.

    Times are of the run: when the fault struck, when another replica first missed its leader, when one was elected, when it first
    answered a client's KeepAlive, and when it first granted a lock.
    """

    fault: int
    injected_ns: int
    detected_ns: int | None
    elected_ns: int
    kept_alive_ns: int | None
    granted_ns: int | None


def holds_of(operations: np.ndarray, lost: np.ndarray, end_ns: int) -> np.ndarray:
    """Every hold (dtype HOLD), by lock and grant. What its client begins to give up next ends it."""
    kinds = np.isin(operations["kind"], (ACQUIRE, ACQUIRE_SHARED, RELEASE, RELEASE_SHARED))
    rows = np.concatenate([operations[kinds], lost])
    ended_by = np.concatenate([np.full(np.count_nonzero(kinds), RELEASED), lost["returned"]])
    acquires = np.isin(rows["kind"], (ACQUIRE, ACQUIRE_SHARED))
    counts_from = np.where(acquires, np.maximum(rows["intended_ns"], rows["completed_ns"]), rows["intended_ns"])
    order = np.lexsort((counts_from, rows["client"]))
    rows, ended_by, acquires = rows[order], ended_by[order], acquires[order]
    granted = np.flatnonzero(acquires & (rows["status"] == OK))
    following = np.minimum(granted + 1, len(rows) - 1)
    then, mine = rows[following], rows[granted]
    ends = (following > granted) & (then["client"] == mine["client"]) & np.isin(then["kind"], (RELEASE, RELEASE_SHARED))
    holds = np.zeros(len(granted), HOLD)
    for ours, theirs in (("client", "client"), ("lock", "key"), ("generation", "returned")):
        holds[ours] = mine[theirs]
    holds["asked_ns"], holds["granted_ns"] = mine["started_ns"], mine["completed_ns"]
    holds["released_ns"] = np.where(ends, then["started_ns"], end_ns)
    holds["shared"] = mine["kind"] == ACQUIRE_SHARED
    holds["end"] = np.where(ends, ended_by[following], HELD_ON)
    order = np.lexsort((holds["granted_ns"], holds["lock"]))
    holds, waited = holds[order], mine["expected"][order] > 0
    latest = _latest_in_the_way(holds)
    # A holder that was lost may be in the way of who asks long after.
    waited |= (latest != NOBODY) & (holds["released_ns"][latest] > holds["asked_ns"])
    holds["after"] = np.where(waited, latest, NOBODY)
    return holds


def _latest_in_the_way(holds: np.ndarray) -> np.ndarray:
    """Of each hold, the index of the one, among those granted before it that exclude it, that ended last; NOBODY: none."""
    every = _running_latest(holds, np.ones(len(holds), dtype=bool))
    exclusive = _running_latest(holds, holds["shared"] == 0)
    return np.where(holds["shared"], exclusive, every)


def _running_latest(holds: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Before each hold, the index of the one of its lock that ended last, among those that are ``counted``."""
    count = len(holds)
    by_end = np.argsort(holds["released_ns"], kind="stable")
    rank = np.empty(count, dtype=np.int64)
    rank[by_end] = np.arange(count)
    first = np.ones(count, dtype=bool)
    first[1:] = holds["lock"][1:] != holds["lock"][:-1]
    # Ranks of a lock lie above those of all locks before it, so that one running maximum serves them all.
    floor = np.cumsum(first) * (count + 1)
    so_far = np.maximum.accumulate(np.where(counted, floor + rank + 1, floor))
    before = np.concatenate(([0], so_far[:-1])) - floor
    return np.where(before > 0, by_end[np.maximum(before - 1, 0)], NOBODY)


def held_twice(holds: np.ndarray) -> np.ndarray:
    """The indices of holds that began, in their client's eyes, while another client held the lock in its own.

    Who heard of a grant when the lease was over already did not believe in it.
    """
    latest = _latest_in_the_way(holds)
    believed = holds["released_ns"] > holds["granted_ns"]
    return np.flatnonzero(believed & (latest != NOBODY) & (holds["released_ns"][latest] > holds["granted_ns"]))


def failovers(trial: Trial) -> list[Failover]:
    """Each fault that was followed by the election of a leader before the next fault."""
    record = trial.locks
    assert record is not None
    granted, heard = _grants(trial), record.moments[record.moments["what"] == FAILED_OVER]
    struck = sorted((fault.injected_ns, index) for index, fault in enumerate(trial.faults))
    found = []
    for place, (injected_ns, index) in enumerate(struck):
        until_ns = struck[place + 1][0] if place + 1 < len(struck) else trial.end_ns
        elected = [moment_ns for moment_ns, _, _ in trial.leaders if injected_ns < moment_ns <= until_ns]
        if not elected:
            continue
        led = [replica for moment_ns, replica, _ in trial.leaders if moment_ns <= injected_ns]
        missed = [moment for moment, replica in trial.noticed if moment > injected_ns and replica not in led[-1:]]
        found.append(
            Failover(
                fault=index,
                injected_ns=injected_ns,
                detected_ns=min((moment for moment in missed if moment <= min(elected)), default=None),
                elected_ns=min(elected),
                kept_alive_ns=_first(heard["time_ns"], min(elected), until_ns),
                granted_ns=_first(granted["completed_ns"][_by_another(granted, heard, min(elected))], min(elected), until_ns),
            )
        )
    return found


def seen_by_clients(trial: Trial, found: list[Failover]) -> np.ndarray:
    """How each client saw each fail-over (dtype SEEN)."""
    record = trial.locks
    assert record is not None
    granted, clients = _grants(trial), record.tenants["client"]
    heard = record.moments[record.moments["what"] == FAILED_OVER]
    seen = np.zeros(len(found) * len(clients), SEEN)
    for number, failover in enumerate(found):
        rows = seen[number * len(clients) : (number + 1) * len(clients)]
        until_ns = next((each.injected_ns for each in found[number + 1 :]), trial.end_ns)
        rows["failover"], rows["client"] = number, clients
        rows["kept_alive_ns"] = _firsts(heard["time_ns"], heard["client"], clients, failover.elected_ns, until_ns)
        by_it = granted[_by_another(granted, heard, failover.elected_ns)]
        rows["granted_ns"] = _firsts(by_it["completed_ns"], by_it["client"], clients, failover.elected_ns, until_ns)
    return seen


def _grants(trial: Trial) -> np.ndarray:
    """The acquires that were answered."""
    kinds = np.isin(trial.operations["kind"], (ACQUIRE, ACQUIRE_SHARED))
    return np.asarray(trial.operations[kinds & (trial.operations["status"] == OK)])


def _by_another(granted: np.ndarray, heard: np.ndarray, elected_ns: int) -> np.ndarray:
    """Which locks were granted by the master elected then: an answer of its predecessor may still have been under way. Positions
    of the log tell them apart, since the master's epoch is one, and so is the generation of a lock.
    """
    epoch = heard["epoch"][heard["time_ns"] > elected_ns].min(initial=np.iinfo(np.uint64).max)
    return np.asarray(granted["returned"] > epoch)


def _first(times: np.ndarray, after_ns: int, until_ns: int) -> int | None:
    inside = times[(times > after_ns) & (times <= until_ns)]
    return int(inside.min()) if len(inside) else None


def _firsts(times: np.ndarray, whose: np.ndarray, clients: np.ndarray, after_ns: int, until_ns: int) -> np.ndarray:
    """As _first, for each client; -1 for none."""
    inside = (times > after_ns) & (times <= until_ns)
    times, whose = times[inside], whose[inside]
    order = np.lexsort((times, whose))
    names, places = np.unique(whose[order], return_index=True)
    first = dict(zip(names.tolist(), times[order][places].tolist(), strict=True))
    return np.array([first.get(client, -1) for client in clients.tolist()], dtype=np.int64)


def jain(shares: np.ndarray) -> float | None:
    """Jain's fairness index (Jain, Chiu, Hawe 1984): 1 where all have the same, 1/n where one has everything."""
    squares = len(shares) * float(np.square(shares, dtype=float).sum())
    return float(shares.sum()) ** 2 / squares if squares else None


def waits_of(holds: np.ndarray, tenants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each client: how many locks it was granted, and how long it waited for them, in all."""
    place = np.searchsorted(tenants["client"], holds["client"])
    grants = np.bincount(place, minlength=len(tenants))
    return grants, np.bincount(place, weights=holds["granted_ns"] - holds["asked_ns"], minlength=len(tenants))


def summarise(trial: Trial, holds: np.ndarray, found: list[Failover]) -> dict[str, Any]:
    """COLUMNS; None where a number would say nothing. What counts was granted, or happened, within the window."""
    record = trial.locks
    assert record is not None
    first, last = trial.window_ns
    window_s = (last - first) / SECOND_NS
    done = trial.operations[trial.operations["status"] == OK]
    released = done["completed_ns"][np.isin(done["kind"], (RELEASE, RELEASE_SHARED))]
    counted = holds[(holds["granted_ns"] >= first) & (holds["granted_ns"] < last)]
    return (
        {"lock_pairs_per_s": np.count_nonzero((released >= first) & (released < last)) / window_s}
        | _latencies(counted, holds)
        | _fairness(counted, record)
        | _load(record, window_s)
        | _losses(trial, record, counted, holds)
        | _phases(found)
    )


def _latencies(counted: np.ndarray, holds: np.ndarray) -> dict[str, Any]:
    waited = counted["granted_ns"] - counted["asked_ns"]
    contended = counted["after"] != NOBODY
    before = holds[counted["after"]]
    handed = contended & (before["end"] == RELEASED)
    found: dict[str, Any] = {}
    for name, sample in (
        ("acquire", waited),
        ("acquire_uncontended", waited[~contended]),
        ("acquire_contended", waited[contended]),
        ("hand_off", (counted["granted_ns"] - before["released_ns"])[handed]),
    ):
        ascending = np.sort(sample)
        for rank in ("p50", "p99"):
            found[f"{name}_{rank}_ns"] = percentile(ascending, PERCENTILES[rank])
    return found | {"contended_share": float(contended.mean()) if len(counted) else None}


def _fairness(counted: np.ndarray, record: LockRecord) -> dict[str, Any]:
    grants, waits = waits_of(counted, record.tenants)
    served = grants > 0
    return {"jain_grants": jain(grants), "jain_waits": jain(waits[served] / grants[served])}


def _load(record: LockRecord, window_s: float) -> dict[str, Any]:
    tenants = record.tenants
    keep_alives, requests = int(tenants["keep_alives"].sum()), int(tenants["requests"].sum())
    return {
        "keep_alives_per_client_per_s": keep_alives / len(tenants) / window_s,
        "keep_alive_share": keep_alives / requests if requests else None,
    }


def _losses(trial: Trial, record: LockRecord, counted: np.ndarray, holds: np.ndarray) -> dict[str, Any]:
    first, last = trial.window_ns
    operations, moments = trial.operations, record.moments
    inside = operations[(operations["started_ns"] >= first) & (operations["started_ns"] < last)]
    happened = moments["what"][(moments["time_ns"] >= first) & (moments["time_ns"] < last)]
    reads = np.count_nonzero(inside["kind"] == READ)
    before = holds[counted["after"]]
    idle = (counted["granted_ns"] - before["released_ns"])[
        (counted["after"] != NOBODY) & np.isin(before["end"], (LOST, BY_DEATH))
    ]
    lost = record.lost["started_ns"][record.lost["returned"] != HELD_ON]
    return {
        "cache_hit_share": int(record.tenants["cache_hits"].sum()) / reads if reads else None,
        "stale_writes_rejected": int(np.count_nonzero((inside["kind"] == WRITE) & (inside["status"] == FAILED))),
        "clients_died": int(np.count_nonzero(happened == DIED)),
        "sessions_lost": int(np.count_nonzero(happened == ENDED)),
        "jeopardies": int(np.count_nonzero(happened == IN_JEOPARDY)),
        "holds_lost": int(np.count_nonzero((lost >= first) & (lost < last))),
        "idle_after_loss_mean_ns": float(idle.mean()) if len(idle) else None,
        "held_twice": len(held_twice(holds)),
    }


def _phases(found: list[Failover]) -> dict[str, Any]:
    """Of the first fail-over, since the fault."""
    names = ("detected_ns", "elected_ns", "kept_alive_ns", "granted_ns")
    times = {name: getattr(found[0], name) if found else None for name in names}
    return {
        f"failover_{name}": None if moment is None else moment - found[0].injected_ns for name, moment in times.items()
    }
