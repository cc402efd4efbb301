"""Key popularity against its formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.scenario import Keys
from bench.workloads import keys

DRAWS = 200_000


def drawn(wanted, count=DRAWS, seed=3, inserted=None):
    before = np.zeros(count, dtype=np.int64) if inserted is None else inserted
    return keys.draw(wanted, np.random.default_rng(seed), before)


def zipf(count, theta):
    shares = 1 / np.arange(1, count + 1) ** theta
    return shares / shares.sum()


def fits(observed, expected):
    """A chi-square test at one in ten thousand: the seeds are fixed, so this passes always or never."""
    return stats.chisquare(observed, expected).pvalue > 1e-4


def test_uniform_keys_are_equally_likely():
    counts = np.bincount(drawn(Keys(distribution="uniform", count=100)), minlength=100)
    assert len(counts) == 100
    assert fits(counts, np.full(100, DRAWS / 100))


@pytest.mark.parametrize("theta", [0.0, 0.5, 0.99, 1.0, 1.5])
def test_zipfian_frequencies_follow_the_formula_for_every_theta(theta):
    counts = np.bincount(drawn(Keys(distribution="zipfian", count=50, theta=theta)), minlength=50)
    assert len(counts) == 50
    assert fits(counts, zipf(50, theta) * DRAWS)


def test_zipfian_reaches_the_largest_key_space():
    chosen = drawn(Keys(distribution="zipfian", count=10_000_000, theta=0.99), count=20_000)
    assert chosen.dtype == np.uint32
    assert 5_000_000 < chosen.max() < 10_000_000
    # The share of the most popular key is 1 / sum(1 / k ** theta).
    expected = zipf(10_000_000, 0.99)[0] * 20_000
    assert np.count_nonzero(chosen == 0) == pytest.approx(expected, abs=4 * expected**0.5)


def test_hot_keys_get_their_probability_and_share_it_evenly():
    chosen = drawn(Keys(distribution="hotspot", count=100, fraction=0.2, probability=0.8))
    counts = np.bincount(chosen, minlength=100)
    assert fits(counts, [DRAWS * 0.8 / 20] * 20 + [DRAWS * 0.2 / 80] * 80)


@pytest.mark.parametrize("fraction", [0.0, 1.0])
@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_hotspots_at_their_limits(fraction, probability):
    chosen = drawn(Keys(distribution="hotspot", count=10, fraction=fraction, probability=probability), 5000)
    hot = 1 if fraction == 0 else 10
    cold = range(10) if fraction == 1 else range(1, 10)
    expected = set(range(hot) if probability == 1 else cold)
    assert set(chosen.tolist()) == expected


def test_latest_prefers_the_newest_of_what_was_inserted_by_then():
    inserted = np.repeat([0, 5], DRAWS // 2)
    chosen = drawn(Keys(distribution="latest", count=50, theta=0.99), inserted=inserted)
    for half, newest in ((chosen[: DRAWS // 2], 49), (chosen[DRAWS // 2 :], 54)):
        counts = np.bincount(newest - half.astype(np.int64), minlength=50)
        assert len(counts) == 50
        assert fits(counts, zipf(50, 0.99) * DRAWS / 2)


@given(
    distribution=st.sampled_from(["uniform", "zipfian", "hotspot", "latest"]),
    count=st.integers(1, 300),
    theta=st.floats(0, 3),
    cut=st.integers(0, 200),
)
@settings(max_examples=60, deadline=None)
def test_keys_exist_and_do_not_depend_on_how_the_stream_is_cut(distribution, count, theta, cut):
    wanted = Keys(distribution=distribution, count=count, theta=theta)
    whole = drawn(wanted, 200)
    assert (whole < count).all()
    generator = np.random.default_rng(3)
    parts = [keys.draw(wanted, generator, np.zeros(size)) for size in (cut, 200 - cut)]
    assert np.concatenate(parts).tolist() == whole.tolist()
