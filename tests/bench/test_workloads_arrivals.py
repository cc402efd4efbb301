"""Open-loop schedules: exact where the process is regular, within sampling error where it is random."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.scenario import Arrivals
from bench.workloads.arrivals import offered_ops_per_s, schedule

SECOND_NS = 1_000_000_000


def drawn(arrivals, stop_ns, seed=1):
    return schedule(arrivals, np.random.default_rng(seed), stop_ns)


def between(times, first_s, last_s):
    return int(np.count_nonzero((times >= first_s * SECOND_NS) & (times < last_s * SECOND_NS)))


def test_constant_is_evenly_spaced_from_zero():
    times = drawn(Arrivals(process="constant", rate_per_s=1000), 2 * SECOND_NS)
    assert times.tolist() == [place * 1_000_000 for place in range(2000)]
    assert times.dtype == np.int64


def test_a_constant_rate_is_not_quantised_to_whole_nanoseconds():
    # Steps of 333 ns instead of 333.33 would give 3003 arrivals in this millisecond.
    times = drawn(Arrivals(process="constant", rate_per_s=3_000_000), 1_000_000)
    assert len(times) == 3000
    assert times[-1] == round(2999 * 1e9 / 3e6)


def test_poisson_gaps_are_exponential():
    times = drawn(Arrivals(process="poisson", rate_per_s=5000), 20 * SECOND_NS)
    gaps = np.diff(times) / SECOND_NS
    # Mean and standard deviation of an exponential are both 1 / rate; within three standard errors.
    assert gaps.mean() == pytest.approx(1 / 5000, rel=3 / 100_000**0.5)
    assert gaps.std() == pytest.approx(1 / 5000, rel=3 * (2 / 100_000) ** 0.5)
    # Independence: counts of disjoint intervals have the variance of a Poisson count, its mean.
    counts = np.bincount(times // (SECOND_NS // 100), minlength=2000)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=3 * (2 / 2000) ** 0.5)


def test_a_burst_is_silent_while_it_is_off():
    burst = Arrivals(process="burst", rate_per_s=10_000, on_ns=SECOND_NS // 10, off_ns=SECOND_NS * 3 // 10)
    times = drawn(burst, 4 * SECOND_NS)
    assert (times % (SECOND_NS * 4 // 10) <= SECOND_NS // 10).all()
    assert len(times) == pytest.approx(10_000, abs=3 * 100)


def test_a_ramp_gains_its_rate_evenly():
    times = drawn(Arrivals(process="ramp", rate_per_s=0, to_per_s=20_000), 4 * SECOND_NS)
    # The integral of 5000 t a second over each second: 2500, 7500, 12500, 17500.
    for second, expected in enumerate((2500, 7500, 12_500, 17_500)):
        assert between(times, second, second + 1) == pytest.approx(expected, abs=4 * expected**0.5)


def test_the_last_step_holds_until_the_end():
    steps = Arrivals(process="steps", steps=((SECOND_NS, 1000.0), (SECOND_NS, 9000.0)))
    times = drawn(steps, 4 * SECOND_NS)
    for second, expected in enumerate((1000, 9000, 9000, 9000)):
        assert between(times, second, second + 1) == pytest.approx(expected, abs=4 * expected**0.5)


def test_a_step_of_rate_zero_is_silent():
    steps = Arrivals(process="steps", steps=((SECOND_NS, 1000.0), (SECOND_NS, 0.0), (SECOND_NS, 1000.0)))
    times = drawn(steps, 3 * SECOND_NS)
    assert between(times, 1, 2) == 0
    assert between(times, 2, 3) == pytest.approx(1000, abs=4 * 1000**0.5)


def test_a_longer_run_begins_like_a_shorter_one():
    arrivals = Arrivals(process="poisson", rate_per_s=1000)
    shorter, longer = drawn(arrivals, SECOND_NS), drawn(arrivals, 5 * SECOND_NS)
    assert longer[: len(shorter)].tolist() == shorter.tolist()


def test_a_closed_loop_has_no_schedule():
    closed = Arrivals(kind="closed")
    with pytest.raises(ValueError, match="only open arrivals"):
        drawn(closed, SECOND_NS)
    assert offered_ops_per_s(closed, (0, SECOND_NS), SECOND_NS) is None


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        (Arrivals(process="poisson", rate_per_s=1234.5), 1234.5),
        (Arrivals(process="burst", rate_per_s=1000, on_ns=SECOND_NS, off_ns=SECOND_NS), 500),
        (Arrivals(process="ramp", rate_per_s=0, to_per_s=4000), 2000),
        (Arrivals(process="steps", steps=((2 * SECOND_NS, 100.0), (SECOND_NS, 700.0))), 400),
    ],
)
def test_the_offered_rate_is_the_mean_inside_the_window(arrivals, expected):
    window = (SECOND_NS, 3 * SECOND_NS)
    assert offered_ops_per_s(arrivals, window, 4 * SECOND_NS) == pytest.approx(expected)


@given(
    process=st.sampled_from(["constant", "poisson", "burst", "ramp", "steps"]),
    rate=st.floats(0.1, 100_000),
    stop_ns=st.integers(1, SECOND_NS // 5),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_every_schedule_is_ascending_inside_the_run_and_repeatable(process, rate, stop_ns, seed):
    arrivals = Arrivals(
        process=process, rate_per_s=rate, to_per_s=rate / 2, on_ns=7_000_000, off_ns=1_000_000,
        steps=((5_000_000, rate), (0, 5.0), (1_000_000, rate / 3)),
    )  # fmt: skip
    times = drawn(arrivals, stop_ns, seed)
    assert (np.diff(times) >= 0).all()
    assert not len(times) or (times[0] >= 0 and times[-1] < stop_ns)
    assert times.tolist() == drawn(arrivals, stop_ns, seed).tolist()
