"""The quorum core against definitions: a system is the set of its quorums, and all follows from that."""
import itertools
import random
from collections import ChainMap, defaultdict
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext import build

SIZES = [1, 2, 3, 5, 31, 32, 33, 63, 64, 65, 99]
FAR = 2**64 - 1
STRANGER = 1000
WORDS = st.sampled_from([2**31, 2**32, 2**63, 2**63 - 1])
IDS = st.one_of(st.integers(0, 12), st.integers(FAR - 12, FAR), WORDS)
INDICES = st.one_of(st.integers(0, 6), st.integers(FAR - 3, FAR))


def modules():
    """The forms of the core that are there: for properties, which take no fixture."""
    forms = [build.interpreted("ext.quorum")]
    if build.compiled():
        from ext import quorum as compiled

        forms.append(compiled)
    return forms


def ids(count, first=0, step=1):
    return [(first + step * at) % 2**64 for at in range(count)]


# The definitions, as predicates over sets of voters.


def majority(voters):
    return lambda members: not voters or 2 * len(set(voters) & members) > len(set(voters))


def flexible(voters, size):
    return lambda members: not voters or len(set(voters) & members) >= size


def joint(incoming, outgoing):
    return lambda members: majority(incoming)(members) and majority(outgoing)(members)


def weighted(weights):
    return lambda members: (
        not weights or 2 * sum(weights[it] for it in members if it in weights) > sum(weights.values())
    )


def grid(rows):
    rows = [set(row) for row in rows if row]
    return lambda members: (
        not rows or (any(row <= members for row in rows) and all(row & members for row in rows))
    )


@st.composite
def systems(draw):
    """(class name, arguments, predicate, voters)"""
    voters = st.lists(IDS, max_size=6)
    kind = draw(st.sampled_from(["majority", "flexible", "joint", "weighted", "grid"]))
    if kind == "majority":
        some = draw(voters)
        return "MajorityQuorum", (some,), majority(some), set(some)
    if kind == "flexible":
        some = draw(st.lists(IDS, min_size=1, max_size=6))
        size = draw(st.integers(1, len(set(some))))
        return "FlexibleQuorum", (some, size), flexible(some, size), set(some)
    if kind == "joint":
        incoming, outgoing = draw(voters), draw(voters)
        return "JointQuorum", (incoming, outgoing), joint(incoming, outgoing), set(incoming + outgoing)
    if kind == "weighted":
        some = st.dictionaries(IDS, st.integers(0, 4), max_size=6)
        weights = draw(some.filter(lambda it: not it or any(it.values())))
        return "WeightedQuorum", (weights,), weighted(weights), set(weights)
    rows = draw(st.lists(st.lists(IDS, max_size=3), max_size=3))
    return "GridQuorum", (rows,), grid(rows), {voter for row in rows for voter in row}


def committed_by_definition(predicate, voters, acked):
    if predicate(set()):
        return 2**64 - 1
    return max(
        index
        for index in [0, *acked.values()]
        if predicate({voter for voter in voters if acked.get(voter, 0) >= index})
    )


def vote_by_definition(predicate, voters, votes):
    granted = {voter for voter in voters if votes.get(voter) is True}
    missing = {voter for voter in voters if voter not in votes}
    if predicate(granted):
        return "won"
    return "pending" if predicate(granted | missing) else "lost"


@settings(max_examples=300)
@given(system=systems(), acked=st.dictionaries(IDS, INDICES), votes=st.dictionaries(IDS, st.booleans()))
def test_against_the_definition(system, acked, votes):
    name, arguments, predicate, voters = system
    for module in modules():
        quorum = getattr(module, name)(*arguments)
        assert set(quorum.voters) == voters and len(quorum.voters) == len(voters)
        assert quorum.committed_index(acked) == committed_by_definition(predicate, voters, acked)
        assert quorum.vote_result(votes) == vote_by_definition(predicate, voters, votes)


@settings(max_examples=200)
@given(
    system=systems(),
    steps=st.lists(st.tuples(IDS, INDICES), max_size=30),
    votes=st.lists(st.tuples(IDS, st.booleans()), max_size=12),
)
def test_trackers_against_the_definition(system, steps, votes):
    name, arguments, predicate, voters = system
    for module in modules():
        quorum = getattr(module, name)(*arguments)
        acks, acked = module.AckTracker(quorum), {}
        for voter, position in steps:
            before = acks.committed
            moved = acks.acknowledge(voter, position)
            if voter in voters:
                acked[voter] = max(position, acked.get(voter, 0))
            assert acks.committed == committed_by_definition(predicate, voters, acked)
            assert moved == (acks.committed != before)
            assert acks.position(voter) == acked.get(voter, 0)
        acks.reset()
        assert acks.committed == committed_by_definition(predicate, voters, {})
        assert all(acks.position(voter) == 0 for voter in voters)
        tracker, counted = module.VoteTracker(quorum), {}
        assert tracker.result == vote_by_definition(predicate, voters, {})
        for voter, granted in votes:
            if voter in voters:
                counted.setdefault(voter, granted)
            expected = vote_by_definition(predicate, voters, counted)
            assert tracker.record(voter, granted) == tracker.result == expected
            assert tracker.answered(voter) == (voter in voters)
        tracker.reset()
        assert tracker.result == vote_by_definition(predicate, voters, {})


@settings(max_examples=150)
@given(one=systems(), other=systems())
def test_intersection_against_all_subsets(one, other):
    """Flexible Paxos (Howard, Malkhi, Spiegelman 2016), section 4: every Q1 meets every Q2."""
    voters = sorted(one[3] | other[3])
    subsets = [set(some) for size in range(len(voters) + 1) for some in itertools.combinations(voters, size)]
    meet = not any(one[2](some) and other[2](set(voters) - some) for some in subsets)
    for module in modules():
        phase1 = getattr(module, one[0])(*one[1])
        phase2 = getattr(module, other[0])(*other[1])
        assert module.intersects(phase1, phase2) == module.intersects(phase2, phase1) == meet


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("first, step", [(0, 1), (FAR, -1), (2**63 - 20, 1), (5, 2**58 + 1)])
def test_majorities_of_any_number_and_any_ids(quorum, count, first, step):
    voters = ids(count, first, step)
    dice = random.Random(count)
    dice.shuffle(voters)
    system = quorum.MajorityQuorum(voters)
    acks, acked = quorum.AckTracker(system), {}
    for _ in range(5 * count):
        voter, position = dice.choice([*voters, STRANGER]), dice.randrange(10)
        acks.acknowledge(voter, position)
        if voter != STRANGER:
            acked[voter] = max(position, acked.get(voter, 0))
        expected = sorted((acked.get(voter, 0) for voter in voters), reverse=True)[count // 2]
        assert acks.committed == expected == system.committed_index(acked)
    votes = quorum.VoteTracker(system)
    needed = count // 2 + 1
    assert [votes.record(voter, True) for voter in voters[:needed]] == ["pending"] * (needed - 1) + ["won"]
    votes.reset()
    against = count - needed + 1
    answers = [votes.record(voter, False) for voter in voters[:against]]
    assert answers == ["pending"] * (against - 1) + ["lost"]


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("make", ["flexible", "joint", "weighted", "grid"])
def test_the_other_systems_at_the_sizes_of_machine_words(quorum, make, count):
    voters = ids(count, FAR, -1)
    half, rest = voters[:count // 2 + 1], voters[count // 3:]
    rows = [voters[at:at + 8] for at in range(0, count, 8)]
    weights = {voter: at % 3 + 1 for at, voter in enumerate(voters)}
    system, predicate = {
        "flexible": lambda: (quorum.FlexibleQuorum(voters, count // 3 + 1), flexible(voters, count // 3 + 1)),
        "joint": lambda: (quorum.JointQuorum(half, rest), joint(half, rest)),
        "weighted": lambda: (quorum.WeightedQuorum(weights), weighted(weights)),
        "grid": lambda: (quorum.GridQuorum(rows), grid(rows)),
    }[make]()
    dice = random.Random(count)
    for _ in range(10):
        acked = {voter: dice.randrange(8) for voter in voters if dice.random() < 0.9}
        votes = {voter: dice.random() < 0.6 for voter in voters if dice.random() < 0.9}
        assert system.committed_index(acked) == committed_by_definition(predicate, voters, acked)
        assert system.vote_result(votes) == vote_by_definition(predicate, voters, votes)


def test_three_replicas_commit(quorum):
    acks = quorum.AckTracker(quorum.MajorityQuorum([10, 20, 30]))
    assert not acks.acknowledge(10, 5)
    assert acks.acknowledge(20, 3) and acks.committed == 3
    assert not acks.acknowledge(20, 3), "a duplicate"
    assert not acks.acknowledge(20, 2), "an older acknowledgement, overtaken"
    assert acks.position(20) == 3
    assert not acks.acknowledge(40, 9), "no voter"
    assert acks.position(40) == 0
    assert acks.acknowledge(30, 9) and acks.committed == 5


def test_the_first_answer_of_a_voter_counts(quorum):
    votes = quorum.VoteTracker(quorum.MajorityQuorum([1, 2, 3]))
    assert votes.record(1, False) == "pending"
    assert votes.record(1, True) == "pending"
    assert votes.record(2, False) == "lost"
    assert votes.record(3, True) == "lost"


def test_no_voters_constrain_nothing(quorum):
    for system in (
        quorum.MajorityQuorum([]), quorum.FlexibleQuorum([], 0), quorum.FlexibleQuorum([], 1),
        quorum.JointQuorum([], []), quorum.WeightedQuorum({}),
        quorum.GridQuorum([]), quorum.GridQuorum([[], []]),
    ):
        assert system.voters == ()
        assert system.committed_index({1: 5}) == 2**64 - 1
        assert system.vote_result({1: False}) == "won"
        assert quorum.AckTracker(system).committed == 2**64 - 1
        assert not quorum.AckTracker(system).acknowledge(1, 1)
        assert quorum.VoteTracker(system).result == "won"
    assert quorum.JointQuorum([1], []).committed_index({1: 7}) == 7
    assert quorum.JointQuorum([], [1]).committed_index({1: 7}) == 7


def test_any_mapping_will_do(quorum):
    system = quorum.MajorityQuorum([1, 2, 3])
    acked = {1: 4, 2: 6}
    for mapping in (MappingProxyType(acked), ChainMap(acked), defaultdict(lambda: 99, acked)):
        assert system.committed_index(mapping) == 4
    votes = {1: True, 2: True}
    for mapping in (MappingProxyType(votes), ChainMap(votes), defaultdict(lambda: False, votes)):
        assert system.vote_result(mapping) == "won"


def test_voters_may_come_from_an_iterator(quorum):
    assert quorum.MajorityQuorum(iter([1, 2, 3, 3])).size == 2
    assert quorum.JointQuorum(iter([1, 2]), iter([2, 3])).voters == (1, 2, 3)


def test_what_cannot_be_a_quorum_system(quorum):
    for voters, size in [([1, 2], 0), ([1, 2], 3), ([1, 1], 2), ([1], -1), ([], 2)]:
        with pytest.raises(ValueError):
            quorum.FlexibleQuorum(voters, size)
    for weights in ({1: -1, 2: 3}, {1: 0}):
        with pytest.raises(ValueError):
            quorum.WeightedQuorum(weights)
    for voter in (-1, 2**64, "1", 1.0):
        with pytest.raises(ValueError):
            quorum.MajorityQuorum([voter])


def test_weights_may_be_as_large_as_they_like(quorum):
    system = quorum.WeightedQuorum({1: 2**63, 2: 2**63, 3: 1})
    assert system.committed_index({1: 5, 2: 4}) == 4
    assert system.committed_index({1: 5, 3: 4}) == 4
    assert system.committed_index({1: 5}) == 0


def test_a_grid_keeps_committing_without_all_but_one_row_and_a_cover(quorum):
    """Cheung, Ammar, Ahamad 1992: a write quorum is one whole line of the grid and one node of every line."""
    system = quorum.GridQuorum([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert system.vote_result(dict.fromkeys([1, 2, 3, 4, 7], True)) == "won"
    assert system.vote_result(dict.fromkeys([1, 2, 4, 5, 7, 8], True)) == "pending"
    assert system.vote_result(dict.fromkeys([1, 4, 7], False)) == "lost"
    assert system.vote_result(dict.fromkeys([1, 2, 3], False)) == "lost"
    assert quorum.intersects(system, system)


def test_flexible_paxos_allows_small_second_phases(quorum):
    """Flexible Paxos, section 5.2: simple quorums need only |Q1| + |Q2| > N."""
    voters = list(range(10))
    for size1 in range(1, 11):
        for size2 in range(1, 11):
            phase1, phase2 = quorum.FlexibleQuorum(voters, size1), quorum.FlexibleQuorum(voters, size2)
            assert quorum.intersects(phase1, phase2) == (size1 + size2 > 10)


def test_intersection_of_many_voters_is_proved_where_it_can_be(quorum):
    many, others = ids(99), ids(98)
    assert quorum.intersects(quorum.MajorityQuorum(many), quorum.MajorityQuorum(others))
    assert not quorum.intersects(quorum.MajorityQuorum(many), quorum.MajorityQuorum(ids(50)))
    assert quorum.intersects(quorum.JointQuorum(many, ids(50)), quorum.MajorityQuorum(others))
    assert quorum.intersects(quorum.MajorityQuorum(others), quorum.JointQuorum(ids(50), many))
    weights = {voter: voter + 1 for voter in many}
    assert quorum.intersects(quorum.WeightedQuorum(weights), quorum.WeightedQuorum(weights))
    rows = [ids(10, 10 * row) for row in range(9)]
    assert quorum.intersects(quorum.GridQuorum(rows), quorum.GridQuorum(rows[::-1]))
    assert not quorum.intersects(quorum.GridQuorum(rows), quorum.MajorityQuorum(many)), "not proved"
