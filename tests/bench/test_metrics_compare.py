"""Comparisons say what is different, and say so when they cannot tell."""

import numpy as np
import pytest

from bench.metrics.compare import compare
from bench.metrics.result import ResultWriter, load, write_point
from tests.bench.trials import synthetic_trial

pytestmark = pytest.mark.once


def stored(target, trials, scenario="lan", settings=None):
    with ResultWriter(target, scenario, {scenario: settings or {}}) as writer:
        for index, trial in enumerate(trials):
            writer.add(write_point(writer.folder, index, trial, scenario))
        writer.finish()
    return load(target)


def said(comparison, metric):
    return [ratio.says for ratio in comparison.ratios if ratio.metric == metric]


def repeated(seeds, **fields):
    return [synthetic_trial(seed=seed, trial=place, **fields) for place, seed in enumerate(seeds)]


@pytest.mark.parametrize("trials", [1, 5])
def test_equal_systems_cannot_be_told_apart(tmp_path, trials):
    first = stored(tmp_path / "a", repeated(range(10, 10 + trials)))
    second = stored(tmp_path / "b", repeated(range(30, 30 + trials)))
    comparison = compare(first, second)
    timed = [ratio for ratio in comparison.ratios if not ratio.metric.endswith("_per_commit")]
    assert {ratio.metric for ratio in timed} >= {"throughput_ops_per_s", "latency_mean_ns", "latency_p99_ns"}
    assert {ratio.says for ratio in timed} == {"cannot tell"}
    assert all(ratio.low <= ratio.ratio <= ratio.high for ratio in timed)


@pytest.mark.parametrize("trials", [1, 5])
def test_a_slower_system_is_told_apart(tmp_path, trials):
    first = stored(tmp_path / "a", repeated(range(10, 10 + trials)))
    second = stored(tmp_path / "b", repeated(range(30, 30 + trials), capacity=4000))
    comparison = compare(first, second)
    for metric in ("latency_p50_ns", "latency_p90_ns", "latency_p99_ns", "latency_mean_ns"):
        assert said(comparison, metric) == ["higher"]
    assert set(said(compare(second, first), "latency_p50_ns")) == {"lower"}
    assert said(comparison, "throughput_ops_per_s") == ["cannot tell"]


def test_the_interval_has_the_width_that_theory_gives(tmp_path):
    """Counts of Poisson arrivals: the ratio of two has a relative deviation of sqrt(1/n + 1/m)."""
    first = stored(tmp_path / "a", [synthetic_trial(seed=1, rate=5000, seconds=10.0)])
    second = stored(tmp_path / "b", [synthetic_trial(seed=2, rate=5000, seconds=10.0)])
    ratio = next(ratio for ratio in compare(first, second).ratios if ratio.metric == "throughput_ops_per_s")
    expected = 2 * 1.96 * (2 / 40_000) ** 0.5
    assert ratio.high - ratio.low == pytest.approx(expected, rel=0.35)


def test_percentiles_of_resamples_lie_around_the_percentile(tmp_path):
    """The interval of a median of n independent samples reaches about 1.96 sqrt(n) / 2 ranks to each side."""
    results = []
    for seed in (8, 9):
        trial = synthetic_trial(rate=2000, capacity=1_000_000, seconds=10.0)
        noise = np.random.default_rng(seed).integers(1_000_000, 2_000_000, len(trial.operations))
        trial.operations["completed_ns"] = trial.operations["intended_ns"] + noise
        results.append(stored(tmp_path / str(seed), [trial]))
    ratio = next(ratio for ratio in compare(*results).ratios if ratio.metric == "latency_p50_ns")
    # Uniform from 1 to 2 ms: a rank is worth 1 ms / n; two independent medians of 1.5 ms are divided.
    expected = 2 * 1.96 * 2**0.5 * 0.5 / 16_000**0.5 / 1.5
    assert ratio.high - ratio.low == pytest.approx(expected, rel=0.35)


def test_costs_have_an_interval_only_where_runs_were_repeated(tmp_path):
    one = stored(tmp_path / "one", repeated([1]))
    zab = stored(tmp_path / "zab", repeated([1], engine="zab"))
    once = [ratio for ratio in compare(one, zab).ratios if ratio.metric == "messages_per_commit"]
    assert [(ratio.ratio, ratio.says) for ratio in once] == [(1.5, "no interval")]
    many = stored(tmp_path / "many", repeated(range(4)))
    other = stored(tmp_path / "other", repeated(range(4), engine="zab"))
    assert said(compare(many, other), "messages_per_commit") == ["higher"]


@pytest.mark.parametrize(("trials", "others", "repeated_enough"), [(1, 1, False), (3, 2, False), (3, 3, True)])
def test_a_ratio_says_whether_it_rests_on_repeated_runs(tmp_path, trials, others, repeated_enough):
    first = stored(tmp_path / "a", repeated(range(trials)))
    second = stored(tmp_path / "b", repeated(range(10, 10 + others)))
    assert {ratio.repeated for ratio in compare(first, second).ratios} == {repeated_enough}


def test_points_are_matched_by_what_varies(tmp_path):
    axis = "workload.arrivals.rate"
    first = stored(tmp_path / "a", [synthetic_trial("raft", rate, seconds=0.5) for rate in (1000, 2000)])
    second = stored(tmp_path / "b", [synthetic_trial("zab", rate, seconds=0.5) for rate in (2000, 3000)])
    comparison = compare(first, second)
    assert {ratio.axes[axis] for ratio in comparison.ratios} == {2000}
    assert comparison.unmatched == [
        f"lan: raft at rate = 1,000 ops/s is only in {tmp_path / 'a'}",
        f"lan: zab at rate = 3,000 ops/s is only in {tmp_path / 'b'}",
    ]


def test_what_is_not_swept_is_found_where_it_is_set(tmp_path):
    """A sweep over the rate has one point in common with a run at a single rate."""
    swept = stored(tmp_path / "a", [synthetic_trial("raft", rate, seconds=0.5) for rate in (1000, 2000)])
    fixed = synthetic_trial("raft", 2000, seconds=0.5, axes={})
    settings = {"workload": {"arrivals": {"rate": 2000.0}}}
    comparison = compare(swept, stored(tmp_path / "b", [fixed], "mine", settings))
    assert {ratio.axes["workload.arrivals.rate"] for ratio in comparison.ratios} == {2000}
    assert comparison.unmatched == [f"lan: raft at rate = 1,000 ops/s is only in {tmp_path / 'a'}"]
    settings = {"workload": {"arrivals": {"rate": 500.0}}}
    comparison = compare(swept, stored(tmp_path / "c", [fixed], "mine", settings))
    assert comparison.ratios == []
    assert comparison.unmatched[-1] == f"mine: raft is only in {tmp_path / 'c'}"


def test_the_same_operations_are_identical(tmp_path):
    one = stored(tmp_path / "a", repeated([1]))
    again = stored(tmp_path / "b", repeated([1]))
    costlier = repeated([1])
    costlier[0].counts["fsyncs"] += 1
    assert {ratio.says for ratio in compare(one, again).ratios} == {"identical"}
    assert "identical" not in {ratio.says for ratio in compare(one, stored(tmp_path / "c", costlier)).ratios}


def test_scenarios_of_one_part_match_whatever_they_are_called(tmp_path):
    first = stored(tmp_path / "a", repeated([1]), "lan")
    second = stored(tmp_path / "b", repeated([2]), "wan")
    assert compare(first, second).ratios
    assert compare(first, second).unmatched == []
    assert compare(first, second).unfair == ["scenario: a lan, b wan"]


def test_what_is_not_fair_is_listed(tmp_path):
    fairness = {"durability": "none", "batching": 64, "reply_point": "applied", "clients": 16}
    first = stored(tmp_path / "a", repeated([1]))
    second = stored(tmp_path / "b", repeated([1], fairness=fairness))
    assert compare(first, second).unfair == ["durability: a fsync, b none"]
    assert compare(first, first).unfair == []


def test_an_invalid_run_is_not_compared_silently(tmp_path):
    first = stored(tmp_path / "a", repeated([1]))
    second = stored(tmp_path / "b", repeated([1], violations=["two leaders"]))
    assert {ratio.says for ratio in compare(first, second).ratios} == {"invalid"}


def test_the_same_results_give_the_same_intervals(tmp_path):
    first, second = stored(tmp_path / "a", repeated([1])), stored(tmp_path / "b", repeated([2]))
    assert compare(first, second) == compare(first, second)
