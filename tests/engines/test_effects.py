"""The lists of effects that calls return: whoever keeps one has it for good."""
import random

import pytest

from engines.core import Commit, Configuration, Persist, Send
from engines.unreplicated import Durable, Unreplicated


@pytest.fixture
def engine():
    made = Unreplicated(0, Configuration(voters=(0,)), random.Random(1))
    made.recover([], 0)
    return made


def test_a_list_that_is_kept_is_not_used_again(engine):
    kept = engine.propose([b"first"], 1)
    before = [*kept]
    engine.propose([b"second"], 2)
    engine.step(0, Durable(2), 3)
    assert kept == before
    assert [type(effect) for effect in kept] == [Persist]


def test_an_empty_list_that_is_kept_stays_empty(engine):
    kept = engine.tick(1)
    engine.propose([b"command"], 2)
    assert kept == []


def test_an_effect_that_is_kept_stays_as_it_is(engine):
    """Effects come from a free list: one that somebody holds is not on it."""
    kept = engine.propose([b"first"], 1)[0]
    for number in range(2_000):
        engine.propose([b"%d" % number], 2)
    assert kept.record.first == 1
    assert (kept.then.to, kept.then.message) == (0, Durable(1))
    commits = engine.step(0, Durable(2_001), 3)
    assert [effect.position for effect in commits] == list(range(1, 2_002))
    assert all(type(effect) is Commit for effect in commits)


def test_lists_do_not_mix_between_engines(engine):
    other = Unreplicated(0, Configuration(voters=(0, 1)), random.Random(1))
    other.recover([], 0)
    mine, theirs = engine.propose([b"mine"], 1), other.propose([b"theirs"], 1)
    assert mine is not theirs
    assert not any(isinstance(effect, Send) for effect in [*mine, *theirs])
    assert (len(mine), len(theirs)) == (1, 1)
