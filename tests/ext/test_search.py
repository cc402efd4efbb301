"""The search for a linearization against its definition (every small history) and against a plain search.

An operation here is (kind, first, second); a history is operations and when each was called and returned.
"""

import itertools
import random

import pytest

from bench.micro.wing_gong import apply, linearizable
from ext import build, configurations, timeline
from ext.timeline import APPEND, CAS, READ, REFUSED, WRITE
from tests.ext.conftest import core

GIB = 1 << 30


def answer(search, operations, **options):
    """The answer for (kind, first, second, called, returned) operations."""
    return search.Search(*columns(operations), **options).run(1 << 60, GIB)


def columns(operations):
    return zip(*operations, strict=True) if operations else ([], [], [], [], [])


# Every small history.


def shapes(count, at_once=3):
    """All ways in which so many operations can overlap: (called, returned) of each, None for unknown.

    Operations are numbered as they are called. Times are the places of calls and returns; unknown ones stay
    open.
    """
    found = []

    def go_on(spans, open_, moment):
        if len(spans) == count and not open_:
            found.append(tuple(spans))
            return
        if len(spans) < count and sum(returned is None for _, returned in spans) < at_once:
            go_on([*spans, (moment, None)], [*open_, len(spans)], moment + 1)
        for operation in open_:
            rest = [other for other in open_ if other != operation]
            returned = [*spans]
            returned[operation] = (spans[operation][0], moment)
            go_on(returned, rest, moment + 1)
        if len(spans) == count and open_:
            found.append(tuple(spans))  # whatever is open stays unknown

    go_on([], [], 0)
    return sorted(set(found), key=repr)


def orders(shape):
    """The definition: all orders of all completed operations and any unknown ones, in which none comes before
    one that had returned when it was called."""
    unknown = [at for at, (_, returned) in enumerate(shape) if returned is None]
    for count in range(len(unknown) + 1):
        for left_out in itertools.combinations(unknown, count):
            chosen = [at for at in range(len(shape)) if at not in left_out]
            for order in itertools.permutations(chosen):
                if all(
                    shape[after][1] is None or shape[after][1] >= shape[before][0]
                    for place, before in enumerate(order)
                    for after in order[place + 1 :]
                ):
                    yield order


def explained(order, contents):
    """Whether the operations, one after the other, do what they say."""
    value = 0
    for at in order:
        value = apply(*contents[at], value)
        if value is None:
            return False
    return True


REGISTER = [(READ, 0, 0), (READ, 2, 0), (READ, 3, 0), (WRITE, 2, 0), (WRITE, 3, 0)]
WITH_CAS = [
    *REGISTER, *((CAS, old, new) for old in (0, 2, 3) for new in (2, 3)),
    *((REFUSED, old, 0) for old in (0, 2, 3)),
]  # fmt: skip


def check_all(search, count, alphabet, every=1):
    """Compare all histories of this size; how many were, and how many of them were linearizable."""
    compared = found = 0
    for shape in shapes(count):
        unknown = [at for at, (_, returned) in enumerate(shape) if returned is None]
        ways = list(orders(shape))
        for number, contents in enumerate(itertools.product(alphabet, repeat=count)):
            if number % every or any(contents[at][0] in (READ, REFUSED) for at in unknown):
                continue
            history = [(*content, *span) for content, span in zip(contents, shape, strict=True)]
            expected = any(explained(order, contents) for order in ways)
            assert (answer(search, known(history)) == "linearizable") == expected, history
            compared += 1
            found += expected
    return compared, found


def known(history):
    """The same with 1, nobody's value, for what no operation observes."""
    seen = {0, *(first for kind, first, *_ in history if kind != WRITE)}
    return [
        (
            kind, first if kind != WRITE or first in seen else 1,
            second if kind != CAS or second in seen else 1, called, returned,
        )
        for kind, first, second, called, returned in history
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_small_history_of_a_cas_register(search, count):
    every = 1 if count < 3 or not search.__file__.endswith(".py") else 41
    compared, found = check_all(search, count, WITH_CAS, every)
    assert 0 < found < compared


def test_every_history_of_four_operations_on_a_register(search):
    compared, found = check_all(search, 4, REGISTER, 37 if search.__file__.endswith(".py") else 1)
    assert 0 < found < compared


def test_many_histories_of_four_operations_on_a_cas_register(search):
    compared, found = check_all(search, 4, WITH_CAS, 4999 if search.__file__.endswith(".py") else 211)
    assert 0 < found < compared


# Random ones.


def anything(dice, count, values, kinds, unknown, span):
    """Operations with no regard for one another."""
    operations = []
    for _ in range(count):
        kind, called = dice.choice(kinds), dice.randrange(span)
        never = kind in (WRITE, CAS) and dice.random() < unknown
        returned = None if never else called + dice.randrange(span // 2 + 1)
        first, second = (dice.choice([0, *range(2, values + 2)]) for _ in range(2))
        operations.append((kind, first, second if kind == CAS else 0, called, returned))
    return operations


def explainable(dice, count, values, kinds, unknown, width):
    """Operations that took effect one after the other, each called before that moment and returning after
    it.
    """
    operations, value, moment = [], 0, 0
    for _ in range(count):
        moment += dice.randrange(1, 4)
        kind, never = dice.choice(kinds), dice.random() < unknown
        called, returned = moment - dice.randrange(width), moment + dice.randrange(width)
        first, second = (dice.randrange(2, values + 2) for _ in range(2))
        if kind in (CAS, REFUSED):
            first = value if dice.random() < 0.6 else first
            kind = CAS if never or first == value else REFUSED
        if kind == READ:
            operations.append((READ, value, 0, called, returned))
            continue
        if kind != REFUSED and not (never and dice.random() < 0.5) and (kind == WRITE or first == value):
            value = first if kind == WRITE else second
        operations.append(
            (
                kind,
                first,
                second if kind == CAS else 0,
                called,
                None if never and kind != REFUSED else returned,
            )
        )
    return operations


KINDS = (
    [READ, WRITE],
    [READ, WRITE, CAS],
    [READ, WRITE, CAS, REFUSED],
    [READ, CAS, REFUSED],
    [READ, WRITE, REFUSED],
)


@pytest.mark.parametrize("seed", range(40))
def test_random_histories_against_a_plain_search(search, seed):
    answers = set()
    for number in range(10 if search.__file__.endswith(".py") else 100):
        dice = random.Random(1000 * seed + number)
        sizes = dice.randrange(1, 14), dice.choice([2, 3, 8]), dice.choice(KINDS), dice.choice([0, 0.1, 0.4])
        if number % 2:
            operations = anything(dice, *sizes, dice.choice([4, 10, 30]))
        else:
            operations = explainable(dice, *sizes, dice.choice([2, 6, 15]))
            assert linearizable(operations)
        if number % 4 == 2:
            at = dice.randrange(len(operations))
            kind, _, *rest = operations[at]
            operations[at] = (kind, dice.randrange(2, 10), *rest)
        expected = linearizable(operations)
        answers.add(expected)
        assert (answer(search, known(operations)) == "linearizable") == expected, operations
    assert answers == {True, False}


@pytest.mark.parametrize("clients", [63, 64, 65, 200])
def test_more_operations_at_once_than_a_word_has_bits(search, clients):
    """All of them write at once; then as many read at once, and each may find another value."""
    writes = [(WRITE, 2 + client, 0, 0, 100 + client) for client in range(clients)]
    reads = [(READ, 2 + client, 0, 50, 90 + client) for client in range(clients)]
    assert answer(search, writes + reads) == "linearizable"
    late = [(READ, 2, 0, 1000, 1001), (READ, 3, 0, 1002, 1003)]
    assert answer(search, writes + reads + late[:1]) == "linearizable"
    assert answer(search, writes + reads + late) == "not linearizable"


# What a caller is told.


def test_nothing_is_linearizable(search):
    assert answer(search, []) == "linearizable"


def test_intervals_are_closed_one_returns_when_another_is_called(search):
    read_first = [(READ, 2, 0, 5, 7), (WRITE, 2, 0, 7, 9)]
    assert answer(search, read_first) == "linearizable"
    assert answer(search, [read_first[0], (WRITE, 2, 0, 8, 9)]) == "not linearizable"


def test_a_moment_and_a_negative_one(search):
    assert answer(search, [(WRITE, 2, 0, -5, -5), (READ, 2, 0, -5, -5)]) == "linearizable"
    assert answer(search, [(WRITE, 2, 0, -5, -5), (READ, 0, 0, -4, -4)]) == "not linearizable"


def test_an_operation_cannot_return_before_its_call(search):
    with pytest.raises(AssertionError, match="before its call"):
        answer(search, [(WRITE, 2, 0, 5, 4)])


def test_an_unknown_read_is_refused_as_it_says_nothing(search):
    with pytest.raises(AssertionError, match="says nothing"):
        answer(search, [(READ, 2, 0, 5, None)])


def test_what_fits_nowhere_and_the_order_up_to_it(search):
    operations = [(WRITE, 2, 0, 0, 1), (WRITE, 3, 0, 2, 9), (READ, 3, 0, 3, 4), (READ, 2, 0, 5, 6)]
    found = search.Search(*columns(operations), explain=True)
    assert found.run(1 << 60, GIB) == "not linearizable"
    assert (found.prefix, found.stuck) == ([0, 1, 2], 3)
    whole = search.Search(*columns(operations[:3]), explain=True)
    assert whole.run(1 << 60, GIB) == "linearizable"
    assert (whole.prefix, whole.stuck) == ([0, 1, 2], None)


def hard(values=7):
    """Each value is written twice at once, then two are read, which is one too many; later each comes once
    more, so that nothing can be said of any write in advance."""
    at_once = [(WRITE, 2 + at % values, 0, 0, 1000) for at in range(2 * values)]
    wrong = [(READ, 2 + at, 0, 2000 + 2 * at, 2001 + 2 * at) for at in range(2)]
    again = [(WRITE, 2 + at, 0, 3000 + 4 * at, 3001 + 4 * at) for at in range(values)]
    seen = [(READ, 2 + at, 0, 3002 + 4 * at, 3003 + 4 * at) for at in range(values)]
    return [*at_once, *wrong, *again, *seen]


def test_a_search_that_is_suspended_goes_on_where_it_was(search):
    whole = search.Search(*columns(hard(4)))
    expected = whole.run(1 << 60, GIB)
    pieces = search.Search(*columns(hard(4)))
    turns = 0
    while pieces.run(50, GIB) == "running":
        turns += 1
    assert turns > 1
    assert (pieces.run(50, GIB), pieces.steps, pieces.configurations) == (
        expected,
        whole.steps,
        whole.configurations,
    )


def test_a_search_that_holds_too_much_says_so(search):
    found = search.Search(*columns(hard()))
    assert found.run(1 << 60, 20_000) == "too large"
    assert found.bytes_held() < 100_000


def test_both_forms_walk_the_same_way():
    """The number of steps decides results of simulations, so it must not depend on the build."""
    if not build.compiled():
        pytest.skip("the cores are not compiled here")
    dice = random.Random(7)
    for _ in range(30):
        operations = known(explainable(dice, 60, 3, [READ, WRITE, CAS], 0.1, 12))
        taken = []
        for form in ("compiled", "interpreted"):
            found = core("ext.search", form).Search(*columns(operations))
            taken.append((found.run(1 << 60, GIB), found.steps, found.configurations, found.bytes_held()))
        assert taken[0] == taken[1]


@pytest.mark.parametrize("seed", range(10))
def test_a_boundless_search_never_denies_what_is_so(search, seed):
    answers = set()
    for number in range(25 if search.__file__.endswith(".py") else 50):
        dice = random.Random(seed * 1000 + number)
        operations = anything(dice, dice.randrange(3, 12), 2, dice.choice(KINDS), 0.4, dice.choice([4, 10, 30]))
        found = [answer(search, known(operations), boundless=boundless) for boundless in (False, True)]
        answers.add(tuple(found))
        assert found != ["linearizable", "not linearizable"]
        if all(operation[4] is not None for operation in operations):
            assert found[0] == found[1]
    assert len(answers) > 1


def test_a_boundless_search_lets_an_unknown_write_happen_twice(search):
    write, between = (WRITE, 2, 0, 0, None), (WRITE, 3, 0, 4, 5)
    operations = [write, (READ, 2, 0, 2, 3), between, (READ, 3, 0, 6, 7), (READ, 2, 0, 8, 9)]
    assert answer(search, operations) == "not linearizable"
    assert answer(search, operations, boundless=True) == "linearizable"
    assert answer(search, [*operations, (READ, 4, 0, 10, 11)], boundless=True) == "not linearizable"


def test_appends_need_strings(search):
    with pytest.raises(AssertionError, match="strings"):
        answer(search, [(APPEND, 0, 0, 1, 2)])


def test_the_modules_of_the_search_are_compiled_together():
    suffixes = {module.__file__.endswith(".py") for module in (configurations, timeline)}
    assert suffixes == {not build.compiled()}
