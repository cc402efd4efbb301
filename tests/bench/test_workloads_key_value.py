"""Mixes of operations: shares, chains, inserts and sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.metrics.trial import CAS, READ, WRITE
from bench.scenario import Keys, ValueSize, Workload
from bench.scenario.load import YCSB, Mix
from bench.workloads.key_value import Operations

DRAWS = 100_000


def stream(workload, seed=5):
    return Operations(workload, np.random.default_rng(seed))


def workload(mix, **fields):
    if mix == "ycsb-d":
        fields.setdefault("keys", Keys(distribution="latest", count=100))
    return Workload(mix=YCSB[mix] if isinstance(mix, str) else mix, **fields)


@pytest.mark.parametrize(
    ("mix", "reads", "writes", "chained"),
    [
        ("ycsb-a", 0.5, 0.5, 0.0),
        ("ycsb-b", 0.95, 0.05, 0.0),
        ("ycsb-c", 1.0, 0.0, 0.0),
        ("ycsb-d", 0.95, 0.05, 0.0),
        ("ycsb-f", 1.0, 0.0, 0.5),
    ],
)
def test_shares_of_the_core_workloads(mix, reads, writes, chained):
    """Cooper et al., SoCC 2010, table 2."""
    drawn = stream(workload(mix)).draw(DRAWS)
    for observed, share in (
        (drawn["kind"] == READ, reads),
        (drawn["kind"] == WRITE, writes),
        (drawn["kind"] == CAS, 0.0),
        (drawn["chained"], chained),
    ):
        assert observed.mean() == pytest.approx(share, abs=3.5 * (share * (1 - share) / DRAWS) ** 0.5)


def test_free_ratios():
    drawn = stream(workload(Mix(read=0.5, write=0.3, cas=0.2))).draw(DRAWS)
    observed = np.bincount(drawn["kind"], minlength=3)
    assert stats.chisquare(observed, np.array([0.5, 0.3, 0.2]) * DRAWS).pvalue > 1e-4


def test_only_reads_are_chained_and_only_what_writes_has_a_size():
    drawn = stream(workload("ycsb-f", value_size=ValueSize(low_bytes=7, high_bytes=7))).draw(10_000)
    assert (drawn["kind"][drawn["chained"]] == READ).all()
    assert (drawn["size_bytes"] == np.where(drawn["chained"], 7, 0)).all()


def test_inserts_take_the_next_key_and_reads_follow_them():
    drawn = stream(workload("ycsb-d")).draw(DRAWS)
    inserts = drawn["kind"] == WRITE
    assert drawn["key"][inserts].tolist() == list(range(100, 100 + np.count_nonzero(inserts)))
    newest = 99 + np.cumsum(inserts)
    behind = (newest - drawn["key"])[~inserts]
    assert behind.min() == 0
    assert behind.max() < 100
    # The newest key is the most popular one: 1 of sum(1 / k ** 0.99).
    share = 1 / (1 / np.arange(1, 101) ** 0.99).sum()
    assert (behind == 0).mean() == pytest.approx(share, abs=4 * (share / DRAWS) ** 0.5)


def test_uniform_sizes_reach_both_ends_evenly():
    sizes = ValueSize(kind="uniform", low_bytes=10, high_bytes=19)
    drawn = stream(workload(Mix(write=1.0), value_size=sizes)).draw(DRAWS)
    counts = np.bincount(drawn["size_bytes"], minlength=20)
    assert counts[:10].sum() == 0
    assert len(counts) == 20
    assert stats.chisquare(counts[10:]).pvalue > 1e-4


def test_weighted_sizes():
    sizes = ValueSize(kind="weighted", choices=((10, 9.0), (1000, 1.0)), low_bytes=10, high_bytes=1000)
    drawn = stream(workload(Mix(write=1.0), value_size=sizes)).draw(DRAWS)
    assert set(drawn["size_bytes"].tolist()) == {10, 1000}
    assert (drawn["size_bytes"] == 10).mean() == pytest.approx(0.9, abs=0.004)


@given(
    mix=st.sampled_from(sorted(YCSB)), cuts=st.lists(st.integers(0, 50), max_size=6), seed=st.integers(0, 99)
)
@settings(max_examples=40, deadline=None)
def test_a_stream_does_not_depend_on_how_it_is_cut(mix, cuts, seed):
    whole = stream(workload(mix), seed).draw(sum(cuts))
    cut = stream(workload(mix), seed)
    parts = [cut.draw(count) for count in cuts]
    assert [row for part in parts for row in part.tolist()] == whole.tolist()
