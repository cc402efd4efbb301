"""The checker as a whole: what operations mean, key by key, within a budget, and why it fails."""

import random
import time

import numpy as np
import pytest

from bench.checkers import history, linearizability, recorded
from bench.checkers.counterexample import closed, explain, fails
from bench.checkers.linearizability import Budget, check, matters
from bench.metrics import history as written
from bench.metrics.trial import FAILED, KINDS, OK, OPERATION, PENDING
from bench.metrics.trial import UNKNOWN as UNKNOWN_STATUS
from bench.micro.wing_gong import linearizable
from ext import build
from tests.bench.histories import honest, line, operation, parsed

LINEARIZABLE, NOT, UNKNOWN = "linearizable", "not linearizable", "unknown"


def answer(*operations):
    return check({"x": list(operations)}).answer


def of(*lines, model="key-value"):
    return check(parsed(*lines, model=model)).answer


# What operations mean.


def test_a_read_finds_what_was_written_and_nothing_before_that():
    assert answer(operation(1, "read", 0, 1, ret=None)) == LINEARIZABLE
    assert answer(operation(1, "read", 0, 1, ret=0)) == NOT
    assert answer(operation(1, "write", 0, 1, arg="a"), operation(2, "read", 2, 3, ret="a")) == LINEARIZABLE
    assert answer(operation(1, "put", 0, 1, arg="a"), operation(2, "get", 2, 3, ret=None)) == NOT


def test_a_value_may_be_written_back_to_none():
    writes = operation(1, "write", 0, 1, arg=5), operation(1, "write", 2, 3, arg=None)
    assert answer(*writes, operation(1, "read", 4, 5, ret=None)) == LINEARIZABLE
    assert answer(*writes, operation(1, "read", 4, 5, ret=5)) == NOT


@pytest.mark.parametrize(
    ("written", "read", "expected"),
    [
        (1, True, NOT), (0, False, NOT), ("1", 1, NOT), (1.0, 1, LINEARIZABLE), (1.5, 1.5, LINEARIZABLE),
        ([1, 2], [1, 2], LINEARIZABLE), ([1, 2], [2, 1], NOT), ({"a": 1, "b": 2}, {"b": 2, "a": 1},
        LINEARIZABLE), ([True], [1], NOT), ("", None, NOT),
    ],
)  # fmt: skip
def test_values_are_equal_where_json_says_so(written, read, expected):
    assert answer(operation(1, "write", 0, 1, arg=written), operation(1, "read", 2, 3, ret=read)) == expected


def test_a_cas_applies_where_it_finds_the_old_value():
    write = operation(1, "write", 0, 1, arg=1)
    assert answer(write, operation(1, "cas", 2, 3, arg=[1, 2], ret=True), operation(1, "read", 4, 5, ret=2)) == LINEARIZABLE
    assert answer(write, operation(1, "cas", 2, 3, arg=[7, 2], ret=True)) == NOT
    assert answer(operation(1, "cas", 2, 3, arg=[None, 2], ret=True)) == LINEARIZABLE


def test_a_cas_that_was_refused_reveals_that_the_value_was_another():
    write = operation(1, "write", 0, 1, arg=1)
    assert answer(write, operation(1, "cas", 2, 3, arg=[7, 2], ret=False)) == LINEARIZABLE
    assert answer(write, operation(1, "cas", 2, 3, arg=[1, 2], ret=False)) == NOT
    sets_nothing = operation(1, "cas", 2, 3, arg=[7, 2], ret=False), operation(1, "read", 4, 5, ret=2)
    assert answer(write, *sets_nothing) == NOT


def test_an_append_adds_to_the_end_and_to_none_as_to_an_empty_string():
    a, b = operation(1, "append", 0, 1, arg="a"), operation(2, "append", 0, 1, arg="b")
    for found, expected in (
        ("ab", LINEARIZABLE),
        ("ba", LINEARIZABLE),
        ("a", NOT),
        ("aab", NOT),
        (None, NOT),
    ):
        assert answer(a, b, operation(3, "get", 2, 3, ret=found)) == expected
    put = operation(3, "put", 2, 3, arg="c")
    assert answer(a, b, put, operation(1, "append", 4, 5, arg="d"), operation(1, "get", 6, 7, ret="cd")) == LINEARIZABLE


def test_a_mutex_is_held_by_one_client_and_released_by_that_one():
    acquire, release = operation(1, "acquire", 0, 1), operation(1, "release", 2, 3)
    assert answer(acquire, release, operation(2, "acquire", 4, 5)) == LINEARIZABLE
    assert answer(acquire, operation(2, "acquire", 4, 5)) == NOT
    assert answer(acquire, operation(1, "acquire", 4, 5)) == NOT
    assert answer(acquire, operation(2, "release", 4, 5)) == NOT
    assert answer(operation(1, "release", 2, 3)) == NOT
    overlapping = operation(1, "release", 2, 10), operation(2, "acquire", 3, 9)
    assert answer(acquire, *overlapping) == LINEARIZABLE
    assert answer(acquire, operation(1, "release", 2, None), operation(2, "acquire", 400, 500)) == LINEARIZABLE


def test_what_certainly_failed_did_not_happen():
    failed = operation(1, "write", 0, 1, arg=1, ok=False)
    assert answer(failed, operation(1, "read", 2, 3, ret=None)) == LINEARIZABLE
    assert answer(failed, operation(1, "read", 2, 3, ret=1)) == NOT


def test_what_is_unknown_may_happen_at_any_later_time_or_never_but_not_before_its_call():
    unknown = operation(1, "write", 10, None, arg=1)
    for moment, found, expected in (
        (20, 1, LINEARIZABLE),
        (99_999, 1, LINEARIZABLE),
        (20, None, LINEARIZABLE),
        (5, 1, NOT),
    ):
        assert answer(unknown, operation(2, "read", moment, moment + 1, ret=found)) == expected
    once = [
        operation(2, "read", 20, 21, ret=1),
        operation(2, "write", 30, 31, arg=2),
        operation(2, "read", 40, 41, ret=1),
    ]
    assert answer(unknown, *once) == NOT
    assert answer(unknown, operation(2, "cas", 20, 21, arg=[1, 3], ret=True)) == LINEARIZABLE


def test_an_unknown_read_says_nothing_and_an_unknown_cas_may_set():
    assert answer(operation(1, "read", 0, None)) == LINEARIZABLE
    cas = operation(1, "cas", 0, None, arg=[None, 4])
    assert answer(cas, operation(2, "read", 9, 10, ret=4)) == LINEARIZABLE
    assert (
        answer(
            operation(1, "write", 0, 1, arg=3),
            operation(1, "cas", 2, None, arg=[None, 4]),
            operation(2, "read", 9, 10, ret=4),
        )
        == NOT
    )


def test_times_may_be_equal_and_intervals_are_closed():
    assert answer(operation(1, "write", 0, 5, arg=1), operation(2, "read", 5, 6, ret=None)) == LINEARIZABLE
    assert answer(operation(1, "write", 0, 5, arg=1), operation(2, "read", 6, 6, ret=None)) == NOT


def test_each_key_is_a_register_of_its_own():
    write = line(key="a", arg=1)
    assert of(write, line(key="b", op="read", arg=None, ret=None, call_ns=7, return_ns=8)) == LINEARIZABLE
    verdict = check(parsed(write, line(key="b", op="read", arg=None, ret=1, call_ns=7, return_ns=8)))
    assert (verdict.answer, verdict.key, verdict.operations) == (NOT, "b", 2)


# Against a plain search, and by construction.


def plain_strings(operations):
    """The same question of strings, for the plain search."""

    def step(kind, text, _, value):
        value = None if value == 0 else value
        if kind == "append":
            return (value or "") + text
        if kind == "put":
            return text
        return None if (value or "nothing") != (text or "nothing") else value or 0

    return linearizable([(one.op, one.arg or one.ret, 0, one.call_ns, one.return_ns) for one in operations], step)


@pytest.mark.parametrize("seed", range(20))
def test_strings_against_a_plain_search(seed):
    answers = set()
    for number in range(60):
        dice = random.Random(seed * 1000 + number)
        operations, value, moment, width = [], None, 0, dice.choice([1, 4, 10])
        for client in range(dice.randrange(1, 9)):
            moment += dice.randrange(1, 4)
            op = dice.choice(["get", "get", "append", "append", "put"])
            never = op != "get" and dice.random() < 0.2
            span = moment - dice.randrange(width), None if never else moment + dice.randrange(width)
            text = dice.choice("abc") * dice.choice([1, 1, 2])
            if op == "get":
                operations.append(operation(client, op, *span, ret=value))
                continue
            operations.append(operation(client, op, *span, arg=text))
            if not never or dice.random() < 0.5:
                value = (value or "") + text if op == "append" else text
        reads = [one for one in operations if one.op == "get"]
        if reads and dice.random() < 0.6:
            found = dice.choice(reads)
            found.ret = dice.choice([None, (found.ret or "") + "a", (found.ret or "b")[::-1], "c"])
        expected = plain_strings(operations)
        answers.add(expected)
        assert (answer(*operations) == LINEARIZABLE) == expected, operations
    assert answers == {True, False}


REGIMES = [
    {"values": 0}, {"values": 3}, {"values": 0, "mix": (0.4, 0.3, 0.3)},
    {"values": 5, "mix": (0.5, 0.25, 0.25)},
    {"values": 0, "clients": 60}, {"values": 4, "unknown": 0.2}, {"values": 6, "mix": (0.5, 0.0, 0.5)},
]  # fmt: skip


@pytest.mark.parametrize("regime", REGIMES, ids=str)
def test_long_histories_that_are_linearizable_by_construction(regime):
    assert answer(*honest(1, 300 if build.pure() else 3000, **regime)) == LINEARIZABLE


@pytest.mark.parametrize("seed", range(5))
def test_and_broken_by_one_changed_return_value(seed):
    """The value of a read is changed to one that was overwritten long before."""
    operations = honest(seed, 1000, values=0, unknown=0.05)
    assert answer(*operations) == LINEARIZABLE
    reads = [one for one in operations if one.op == "read" and one.ok]
    late = reads[-random.Random(seed).randrange(1, 50)]
    late.ret = reads[len(reads) // 2].ret
    assert answer(*operations) == NOT


def test_one_read_of_what_nobody_wrote_among_many_of_few_values():
    operations = honest(3, 1000, values=3, unknown=0.03)
    next(one for one in reversed(operations) if one.op == "read" and one.ok).ret = 99
    assert answer(*operations) == NOT


@pytest.mark.skipif(build.pure(), reason="of the compiled search")
@pytest.mark.parametrize("values", [0, 2, 5])
def test_thirty_unknown_operations_among_five_thousand_do_not_explode(values):
    """Each of them may or may not have happened: 2**30 subsets, were they tried."""
    operations = honest(5, 5000, values=values, unknown=0.0)
    for one in random.Random(1).sample([one for one in operations if one.op == "write"], 30):
        one.return_ns = one.ok = None
    verdict = check({None: operations}, Budget(steps=1_000_000_000))
    assert verdict.answer == LINEARIZABLE
    next(one for one in reversed(operations) if one.op == "read").ret = 99_999
    assert check({None: operations}, Budget(steps=1_000_000_000)).answer == NOT


# Budgets.


def endless(key="hard", count=26):
    """More writes of two values at once than can be told apart, and reads that contradict each other."""
    found = [operation(at, "write", 0, 1000, arg=at % 13, key=key) for at in range(count)]
    found += [operation(90 + at, "read", 2000 + 2 * at, 2001 + 2 * at, ret=at, key=key) for at in range(2)]
    for at in range(13):
        found.append(operation(100, "write", 3000 + 4 * at, 3001 + 4 * at, arg=at, key=key))
        found.append(operation(100, "read", 3002 + 4 * at, 3003 + 4 * at, ret=at, key=key))
    return found


def test_a_budget_of_steps_ends_in_unknown_at_the_same_place_every_time():
    found = [check({"hard": endless()}, Budget(steps=100_000)) for _ in range(2)]
    assert [verdict.answer for verdict in found] == [UNKNOWN] * 2
    assert (found[0].reason, found[0].key) == ("steps", "hard")
    assert found[0].steps == found[1].steps and found[0].configurations == found[1].configurations
    assert found[0].steps < 120_000


def test_a_budget_of_time_ends_in_unknown(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(linearizability, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(linearizability, "SLICE", 10_000)
    monkeypatch.setattr(linearizability, "LONGEST_SLICE", 10_000)
    verdict = check({"hard": endless()}, Budget(seconds=5))
    assert (verdict.answer, verdict.reason) == (UNKNOWN, "time")


def test_a_budget_of_memory_ends_in_unknown():
    verdict = check({"hard": endless()}, Budget(nbytes=100_000))
    assert (verdict.answer, verdict.reason) == (UNKNOWN, "memory")
    assert verdict.nbytes < 500_000


def test_a_key_that_takes_too_long_hides_neither_a_failure_nor_an_answer_elsewhere():
    histories = {"hard": endless(), "easy": [operation(1, "read", 0, 1, ret=1)]}
    verdict = check(histories, Budget(nbytes=100_000))
    assert (verdict.answer, verdict.key) == (NOT, "easy")
    histories["easy"][0].ret = None
    assert check(histories, Budget(nbytes=100_000)).answer == UNKNOWN


def test_no_key_is_left_out_for_want_of_steps():
    many = {key: [operation(1, "write", 0, 1, arg=1)] for key in range(100)}
    assert check(many, Budget(steps=10)).answer == UNKNOWN
    assert check(many, Budget(steps=10_000)).answer == LINEARIZABLE


# Why not.


def test_the_smallest_part_that_fails_keeps_the_write_that_a_read_found():
    operations = honest(2, 600, values=0, unknown=0.05)
    reads = [one for one in operations if one.op == "read" and one.ok]
    reads[-5].ret = reads[len(reads) // 2].ret
    found = explain("x", operations, seconds=60.0)
    assert found.minimal and fails(found.operations)
    assert len(found.operations) <= 5 and found.of == 600
    assert any(one.op == "write" and one.arg == reads[-5].ret for one in found.operations)
    assert reads[-5].line in [one.line for one in found.operations]


def test_the_part_is_a_stale_read_as_one_would_tell_it():
    one, other = operation(1, "write", 0, 10, arg=1), operation(2, "write", 20, 40, arg=2)
    new, old = operation(3, "read", 22, 30, ret=2), operation(1, "read", 35, 50, ret=1)
    noise = [operation(4, "write", 60, 70, arg=3), operation(5, "read", 1, 2, ret=None)]
    found = explain("x", [one, other, new, old, *noise], seconds=60.0)
    assert [found.operations, found.order, found.stuck] == [[one, other, new, old], [one, other, new], old]


def test_an_append_fits_and_what_observes_another_string_does_not():
    one, other = operation(1, "append", 1, 5, arg="a"), operation(2, "append", 2, 5, arg="b")
    wrong = operation(1, "get", 6, 9, ret="bb")
    found = explain("x", [one, other, wrong], seconds=60.0)
    assert (found.operations, found.stuck) == ([one, other, wrong], wrong)
    assert len(found.order) == 2


def test_the_part_is_cut_by_time_and_what_had_not_returned_is_unknown_in_it():
    wrong, open_ = operation(1, "read", 5, 6, ret=1), operation(2, "write", 7, 100, arg=1)
    slow = operation(3, "cas", 0, 50, arg=[None, 4], ret=True)
    found = explain(None, [slow, wrong, open_], seconds=60.0)
    assert found.operations == [wrong] and found.stuck == wrong


def test_pairs_of_a_mutex_are_left_out_together():
    turns = [
        operation(at % 3, op, 100 * at + wait, 100 * at + wait + 9)
        for at in range(20)
        for op, wait in (("acquire", 0), ("release", 50))
    ]
    double = operation(7, "acquire", 1005, 1030)
    found = explain("lock", [*turns, double], seconds=60.0)
    assert found.operations == [turns[20], double] and found.stuck is double


@pytest.mark.parametrize("seed", range(12))
def test_no_part_of_a_linearizable_history_fails(seed):
    """That a part is closed is what makes it proof; here each of many parts is searched."""
    dice = random.Random(seed)
    mix = dice.choice([(0.5, 0.5, 0.0), (0.4, 0.3, 0.3), (0.3, 0.1, 0.6)])
    operations = honest(seed, 60, clients=dice.choice([2, 5, 10]), values=dice.choice([0, 2, 4]), unknown=0.1, mix=mix)
    operations = [one for one in operations if matters(one)]
    closure = closed(operations)
    for _ in range(100):
        share = dice.random()
        places = closure(place for place in range(len(operations)) if dice.random() < share)
        assert not fails([operations[place] for place in sorted(places)])


def test_an_explanation_stops_when_its_time_is_over():
    operations = honest(2, 300, values=0)
    next(one for one in reversed(operations) if one.op == "read" and one.ok).ret = 99_999
    started = time.monotonic()
    found = explain("x", operations, seconds=0.0)
    assert not found.minimal and fails(found.operations)
    assert time.monotonic() - started < 30  # and not until it is minimal, however slow the machine


# From a trial's own records.


def recorded_operations(histories):
    """Histories of registers, as a trial records them: an array of dtype OPERATION, keys numbered."""
    rows = []
    for key, operations in enumerate(histories):
        for one in operations:
            row = np.zeros((), dtype=OPERATION)
            row["key"], row["client"], row["started_ns"] = key, one.client, one.call_ns
            row["completed_ns"] = PENDING if one.return_ns is None else one.return_ns
            row["status"] = UNKNOWN_STATUS if one.ok is None else OK if one.ok else FAILED
            row["kind"] = KINDS.index(one.op)
            if one.op == "read":
                row["returned"] = one.ret or 0
            elif one.op == "write":
                row["value"] = one.arg
            else:
                row["expected"], row["value"], row["returned"] = one.arg[0] or 10**6, one.arg[1], bool(one.ret)
            rows.append(row)
    random.Random(1).shuffle(rows)
    return np.array(rows, dtype=OPERATION)


@pytest.mark.parametrize("seed", range(30))
def test_a_trials_records_give_the_same_answer_as_its_history(seed, tmp_path):
    dice = random.Random(seed)
    histories = []
    for key in range(6):
        mix = dice.choice([(0.5, 0.5, 0.0), (0.4, 0.3, 0.3)])
        made = honest(100 * seed + key, dice.randrange(1, 40), clients=dice.choice([1, 1, 3]), mix=mix)
        histories.append(made)
    reads = [one for made in histories for one in made if one.op == "read" and one.ok]
    if seed % 2 and len(reads) > 1:
        dice.choice(reads).ret = dice.choice(reads).ret
    failed = operation(99, "write", 5, 6, arg=77, ok=False)
    operations = recorded_operations([*histories, [failed]])
    written.write(tmp_path / "h.jsonl.gz", operations)
    expected = check(history.read(str(tmp_path / "h.jsonl.gz"), "cas-register"))
    found = recorded.check(operations, Budget())
    assert (found.answer, found.operations) == (expected.answer, len(operations))
    if found.answer == NOT:
        assert check({"x": histories[found.key]}).answer == NOT


def test_both_answers_come_from_records():
    answers = set()
    for wrong in (None, 12):
        operations = [operation(1, "write", 0, 1, arg=11), operation(1, "read", 2, 3, ret=wrong or 11)]
        answers.add(recorded.check(recorded_operations([operations]), Budget()).answer)
    assert answers == {LINEARIZABLE, NOT}
    assert recorded.check(recorded_operations([[operation(1, "write", 0, 1, arg=1, ok=False)]]), Budget()).answer == LINEARIZABLE


def test_a_trial_is_checked_and_a_stale_read_makes_it_invalid(monkeypatch):
    """The clients of this run misreport one read; nothing else is wrong with it."""
    from bench.checkers.verdict import verdict
    from bench.driver import population, trials
    from bench.metrics.summary import summarise
    from bench.scenario import load

    scenario = load("lan-3", ("duration=1s", "warmup=1s", 'workload.mix="ycsb-a"', "workload.keys.count=10"))
    trial = trials.run_trial(scenario, "raft")
    assert trial.checks["linearizability"] == "passed"
    off = load("lan-3", ("duration=1s", "warmup=1s", "checks.linearizability_steps=0"))
    assert trials.run_trial(off, "raft").checks["linearizability"] == "not run"
    few = load("lan-3", ("duration=1s", "warmup=1s", "workload.keys.count=10", "checks.linearizability_steps=1"))
    assert trials.run_trial(few, "raft").checks["linearizability"] == "unknown"

    honestly = population.Recorder.operations

    def misreport(recorder):
        operations = honestly(recorder).copy()
        reads = np.flatnonzero((operations["kind"] == 0) & (operations["returned"] > 0))
        operations["returned"][reads[-1]] = operations["returned"][reads[0]]
        operations["key"][reads[-1]] = operations["key"][reads[0]]
        return operations

    monkeypatch.setattr(population, "Recorder", type("Recorder", (population.Recorder,), {"operations": misreport}))
    trial = trials.run_trial(scenario, "raft")
    assert trial.checks["linearizability"] == "failed"
    judged, reasons = verdict(trial, summarise(trial))
    assert judged == "invalid" and any("linearizability" in reason for reason in reasons)
