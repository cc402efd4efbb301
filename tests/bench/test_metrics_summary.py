"""From operations to numbers: what counts, how long it took, and when to say nothing."""

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.summary import COLUMNS, outstanding_ns, percentile, summarise
from bench.metrics.trial import FAILED, OK, OPERATION, PENDING, UNKNOWN
from tests.bench.trials import SECOND_NS, synthetic_trial

MS = 1_000_000


def operations(*rows):
    """Rows of (intended, started, completed, status) in ms; completed None where no answer came."""
    made = np.zeros(len(rows), dtype=OPERATION)
    for place, (intended, started, completed, status) in enumerate(rows):
        made[place]["intended_ns"] = intended * MS
        made[place]["started_ns"] = started * MS
        made[place]["completed_ns"] = PENDING if completed is None else completed * MS
        made[place]["status"] = status
    return made


def row_of(*rows, window=(100, 200), end=1000):
    """The summary of a run whose window and end are in ms."""
    trial = synthetic_trial(
        operations=operations(*rows),
        window_ns=(window[0] * MS, window[1] * MS),
        end_ns=end * MS,
        outstanding_ns=0,
    )
    return summarise(trial)


def test_latency_is_from_the_intended_start_and_service_from_the_first_sending():
    """DESIGN 7.1: a client that was late does not hide how long its user waited."""
    row = row_of((110, 150, 160, OK))
    assert row["latency_max_ns"] == 50 * MS
    assert row["latency_mean_ns"] == 50 * MS
    twenty = row_of(*[(110, 150, 160, OK)] * 20)
    assert (twenty["latency_p50_ns"], twenty["service_p50_ns"]) == (50 * MS, 10 * MS)


def test_what_was_intended_in_the_window_counts_whenever_it_completed():
    row = row_of((99, 99, 150, OK), (100, 100, 101, OK), (199, 199, 900, OK), (200, 200, 201, OK))
    assert (row["sent"], row["ok"]) == (2, 2)
    assert row["latency_max_ns"] == 701 * MS


def test_throughput_counts_completions_inside_the_window_whenever_they_were_intended():
    row = row_of((10, 10, 100, OK), (150, 150, 199, OK), (150, 150, 200, OK), (150, 150, 160, FAILED))
    assert row["throughput_ops_per_s"] == 2 / 0.1


def test_what_never_completed_counts_until_the_end():
    """DESIGN 7.1: at least the end minus the intended start; a quick refusal is no quick answer."""
    row = row_of((110, 110, None, UNKNOWN), (120, 120, 121, FAILED), (130, 130, 131, OK))
    assert (row["sent"], row["ok"], row["failed"], row["unknown"]) == (3, 1, 1, 1)
    assert row["latency_max_ns"] == 890 * MS
    assert row["latency_mean_ns"] == pytest.approx((890 + 880 + 1) / 3 * MS)


def test_an_operation_that_was_never_sent_counts_from_its_intended_start():
    never = operations((110, 0, None, UNKNOWN))
    never["started_ns"] = PENDING
    trial = synthetic_trial(
        operations=np.repeat(never, 20), window_ns=(0, 200 * MS), end_ns=1000 * MS, outstanding_ns=0
    )
    assert summarise(trial)["service_p50_ns"] == 890 * MS


def test_a_run_without_operations_has_nothing_to_say():
    row = row_of()
    assert (row["sent"], row["throughput_ops_per_s"]) == (0, 0)
    assert row["latency_p50_ns"] is row["latency_mean_ns"] is row["latency_max_ns"] is None


def test_costs_are_per_commit_and_nothing_where_nothing_was_committed():
    counts = {
        "commits": 10,
        "messages": 45,
        "heartbeats": 8,
        "message_bytes": 700,
        "fsyncs": 5,
        "client_requests": 9,
    }
    row = summarise(synthetic_trial(seconds=0.5, counts=counts))
    assert [row[f"{cost}_per_commit"] for cost in ("messages", "bytes", "fsyncs")] == [4.5, 70, 0.5]
    assert row["heartbeats_per_s"] == pytest.approx(8 / 0.4)
    none = summarise(synthetic_trial(seconds=0.5, counts=counts | {"commits": 0}))
    assert none["messages_per_commit"] is None
    assert row["cpu_ns_per_commit"] is None, "a simulation takes no processor"
    row = summarise(synthetic_trial(seconds=0.5, counts=counts | {"cpu_ns": 5000}))
    assert row["cpu_ns_per_commit"] == 5000 / counts["commits"]


def test_the_row_has_the_published_columns_and_the_axes():
    row = summarise(synthetic_trial(seconds=0.1, axes={"workload.arrivals.rate": 7, "replicas": 3}))
    assert set(row) == set(COLUMNS) - {"verdict"} | {"workload.arrivals.rate", "replicas"}


@pytest.mark.parametrize(("thousandths", "needed"), [(500, 20), (900, 100), (990, 1000), (999, 10_000)])
def test_a_percentile_needs_ten_samples_beyond_it(thousandths, needed):
    """DESIGN 7.2."""
    assert percentile(range(needed - 1), thousandths) is None
    assert percentile(range(needed), thousandths) == needed - 11


def test_percentiles_match_hdrhistogram():
    """Nearest rank is what HdrHistogram computes, so they differ by its three significant digits only.

    The Python HdrHistogram rounds the rank to the nearest, ours rounds it up: here ranks are whole.
    """
    samples = np.sort(np.random.default_rng(4).lognormal(14, 1.5, 100_000).astype(np.int64))
    histogram = HdrHistogram(1, int(samples[-1]) + 1, 3)
    for sample in samples.tolist():
        histogram.record_value(sample)
    for thousandths in (500, 900, 990, 999):
        assert percentile(samples, thousandths) == pytest.approx(
            histogram.get_value_at_percentile(thousandths / 10), rel=1e-3
        )


@given(st.lists(st.integers(0, 1000), min_size=20, max_size=400), st.sampled_from([500, 900, 990, 999]))
@settings(max_examples=100, deadline=None)
def test_a_percentile_is_the_smallest_sample_that_covers_its_share(samples, thousandths):
    found = percentile(sorted(samples), thousandths)
    if found is not None:
        assert sum(sample <= found for sample in samples) * 1000 >= len(samples) * thousandths
        assert sum(sample < found for sample in samples) * 1000 < len(samples) * thousandths


@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 100), st.integers(0, 200), st.booleans()), max_size=30
    )
)
@settings(max_examples=60, deadline=None)
def test_outstanding_time_is_what_counting_every_millisecond_gives(drawn):
    rows = [
        (intended, intended + wait, intended + wait + work if answered else None, OK if answered else UNKNOWN)
        for intended, wait, work, answered in drawn
    ]
    trial = synthetic_trial(
        operations=operations(*rows), window_ns=(100 * MS, 200 * MS), end_ns=700 * MS, outstanding_ns=0
    )
    counted = sum(
        intended <= moment < (700 if completed is None else completed)
        for moment in range(100, 200)
        for intended, _, completed, _ in rows
    )
    assert outstanding_ns(trial) == counted * MS


def test_littles_law_holds_for_a_queue():
    """Outstanding operations on average = arrival rate times mean latency (Little 1961)."""
    trial = synthetic_trial(rate=5000, capacity=10_000, seconds=4.0)
    row = summarise(trial)
    window_s = (trial.window_ns[1] - trial.window_ns[0]) / SECOND_NS
    mean_outstanding = outstanding_ns(trial) / SECOND_NS / window_s
    assert mean_outstanding == pytest.approx(
        row["sent"] / window_s * row["latency_mean_ns"] / SECOND_NS, rel=0.005
    )


def test_the_longest_gap_is_the_longest_time_without_a_success():
    """Edges of the window count; what failed or came outside does not end a gap."""
    row = row_of((100, 100, 150, OK), (120, 120, 400, FAILED), (130, 130, 450, OK), (140, 140, 950, OK), window=(100, 900))
    first, last = 100, 900
    assert row["longest_gap_ns"] == max(150 - first, 450 - 150, last - 450) * MS
