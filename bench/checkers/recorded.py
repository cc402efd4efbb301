"""The linearizability of a trial, from the operations that were recorded: without the detour through a
history's lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np

from bench.checkers.linearizability import NOTHING, UNSEEN, Budget, Columns, Task, Verdict, check_tasks
from bench.metrics.trial import ACQUIRE, CAS, FAILED, OK, READ, RELEASE, UNKNOWN, WRITE
from ext import timeline

KEY_BITS = 32  # of a key, and of a token, in the name of a value
NOBODYS = np.uint64((1 << KEY_BITS) - 1)  # what a cas expects whose client knew of no value: it is refused
KINDS = np.zeros(3, dtype=np.int64)
KINDS[[READ, WRITE, CAS]] = timeline.READ, timeline.WRITE, timeline.CAS


def check(operations: np.ndarray, budget: Budget) -> Verdict:
    """Check a trial's operations (of dtype OPERATION); the key of the verdict is the number of the key."""
    sent = operations[operations["started_ns"] >= 0]
    unknown = sent["status"] == UNKNOWN
    told = sent[(sent["status"] != FAILED) & ~(unknown & (sent["kind"] == READ))]
    told = told[np.lexsort((told["started_ns"], told["key"]))]
    locks = told["kind"] > CAS
    if not locks.any():
        return check_tasks(_tasks(told[~_in_turn(told)]), len(sent), budget)
    files, mutexes = told[~locks], told[np.isin(told["kind"], (ACQUIRE, RELEASE))]
    return check_tasks(chain(_mutexes(mutexes), _tasks(files[~_in_turn(files)])), len(sent), budget)


def _in_turn(told: np.ndarray) -> np.ndarray:
    """Which operations are of keys whose operations came one after the other, and agree: most keys, in most runs.

    There is one order then, and no need to search for it. ``told`` is sorted by key and start.
    """
    if not len(told):
        return np.zeros(0, dtype=bool)
    kind, done = told["kind"], told["status"] == OK
    refused = (kind == CAS) & done & (told["returned"] == 0)
    first = np.ones(len(told), dtype=bool)
    first[1:] = told["key"][1:] != told["key"][:-1]
    sets = (kind != READ) & ~refused
    places = np.arange(len(told))
    last_set = np.maximum.accumulate(np.where(sets, places, -1))
    before = np.concatenate(([-1], last_set[:-1]))
    starts = np.maximum.accumulate(np.where(first, places, 0))
    value = np.where(before >= starts, told["value"][before], 0)
    agrees = np.select(
        [kind == READ, kind == WRITE, refused],
        [told["returned"] == value, True, _expected(told) != value],
        _expected(told) == value,
    )
    waits = np.ones(len(told), dtype=bool)
    waits[1:] = first[1:] | (told["started_ns"][1:] > told["completed_ns"][:-1])
    keys = np.logical_and.reduceat(agrees & waits & done, np.flatnonzero(first))
    return np.asarray(keys[np.cumsum(first) - 1])


def _expected(told: np.ndarray) -> np.ndarray:
    """The token that each cas expects."""
    return np.where(told["expected"] == 0, NOBODYS, told["expected"])


def _mutexes(told: np.ndarray) -> Iterator[Task]:
    """One for each lock, a cas register of its holder, as in bench.checkers.linearizability; ``told`` is sorted by key.

    Who shared the lock is left out: that nobody had it exclusively meanwhile is for bench.metrics.locks to say.
    """
    holder = told["client"].astype(np.int64) + UNSEEN + 1
    acquires = told["kind"] == ACQUIRE
    kinds = np.full(len(told), timeline.CAS)
    first, second = np.where(acquires, NOTHING, holder), np.where(acquires, holder, NOTHING)
    yield from _tasks_of(told, kinds, first, second, np.ones(len(told), dtype=bool))


def _tasks(told: np.ndarray) -> Iterator[Task]:
    """One for each key that somebody observed; ``told`` is sorted by key."""
    if len(told):
        first, second, kinds = _numbers(told)
        observed = (told["kind"] != WRITE) & (told["status"] == OK)
        yield from _tasks_of(told, kinds, first, second, observed)


def _tasks_of(
    told: np.ndarray, kinds: np.ndarray, first: np.ndarray, second: np.ndarray, observed: np.ndarray
) -> Iterator[Task]:
    """One for each key of which an operation is ``observed``; ``told`` is sorted by key."""
    calls = told["started_ns"].tolist()
    returns = told["completed_ns"].astype(object)
    returns[told["status"] == UNKNOWN] = None
    columns = (kinds.tolist(), first.tolist(), second.tolist(), calls, returns.tolist())
    keys, starts = np.unique(told["key"], return_index=True)
    stops = [*starts[1:].tolist(), len(told)]
    matter = np.logical_or.reduceat(observed, starts).tolist()
    for key, start, stop, matters in zip(keys.tolist(), starts.tolist(), stops, matter, strict=True):
        if matters:
            yield Task(key, Columns(*(column[start:stop] for column in columns)))


def _numbers(told: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and second values, numbered within their key as the search wants them, and the kinds."""
    kind = told["kind"]
    assert told["value"].max() < NOBODYS, "a token has more than 32 bits"
    one = np.select([kind == READ, kind == WRITE], [told["returned"], told["value"]], _expected(told))
    names = told["key"].astype(np.uint64) << np.uint64(KEY_BITS)
    seen = np.unique((names + one)[(kind != WRITE) & (one != 0)])

    def numbered(values: np.ndarray) -> np.ndarray:
        place = np.searchsorted(seen, names + values)
        found = np.zeros(len(values), dtype=bool)
        inside = place < len(seen)
        found[inside] = seen[place[inside]] == (names + values)[inside]
        number = np.where(found, place - np.searchsorted(seen, names) + UNSEEN + 1, UNSEEN)
        return np.where(values == 0, NOTHING, number)

    kinds = KINDS[kind]
    kinds[(kind == CAS) & (told["status"] == OK) & (told["returned"] == 0)] = timeline.REFUSED
    second = np.where(kind == CAS, numbered(told["value"]), NOTHING)
    return numbered(one), second, kinds
