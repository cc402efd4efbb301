"""Distributions: what they draw is what their mean says, whole nanoseconds, never negative, and the same for
a seed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.distributions import (
    KINDS,
    LONGEST_NS,
    Constant,
    Distribution,
    Empirical,
    Exponential,
    Lognormal,
    Mixture,
    Normal,
    Pareto,
    Uniform,
)

EACH: dict[str, Distribution] = {
    "constant": Constant(value=1_000),
    "uniform": Uniform(low=1_000, high=9_000),
    "normal": Normal(mean=427_000, stddev=47_600),
    "lognormal": Lognormal(median=100_000, sigma=0.5),
    "exponential": Exponential(mean=50_000, minimum=20_000),
    "pareto": Pareto(minimum=10_000, alpha=3.5),
    "mixture": Mixture(weights=(3, 1), parts=(Constant(value=1_000), Uniform(low=50_000, high=70_000))),
    "empirical": Empirical(values=(1_000, 5_000, 9_000)),
}


def draw(distribution: Distribution, count: int = 100_000, seed: int = 1) -> np.ndarray:
    return distribution.sample(np.random.default_rng(seed), count)


def test_every_kind_is_tested() -> None:
    assert set(EACH) == set(KINDS)


@pytest.mark.parametrize("kind", EACH)
def test_the_mean_of_what_is_drawn_is_the_mean_it_names(kind: str) -> None:
    values = draw(EACH[kind])
    standard_error = max(values.std() / math.sqrt(len(values)), 0.5)  # half a nanosecond of rounding
    assert abs(values.mean() - EACH[kind].mean_ns()) < 4 * standard_error
    assert values.dtype == np.int64
    assert values.min() >= 0


@pytest.mark.parametrize("kind", EACH)
def test_the_same_seed_draws_the_same_and_another_seed_another(kind: str) -> None:
    assert (draw(EACH[kind], 1000) == draw(EACH[kind], 1000)).all()
    if kind != "constant":
        assert (draw(EACH[kind], 1000) != draw(EACH[kind], 1000, seed=2)).any()
    assert len(draw(EACH[kind], 0)) == 0


def test_a_normal_is_truncated_at_zero_and_its_mean_is_that_of_the_truncated_bell() -> None:
    """Mean of a half normal: stddev * sqrt(2 / pi)."""
    half = Normal(mean=0, stddev=1_000_000)
    assert half.mean_ns() == pytest.approx(1_000_000 * math.sqrt(2 / math.pi))
    values = draw(half)
    assert (values > 0).mean() > 0.99  # redrawn, not clamped: clamping would leave half of them at zero
    assert abs(values.mean() - half.mean_ns()) < 4 * values.std() / math.sqrt(len(values))


def test_an_exponential_keeps_its_minimum_and_a_pareto_too() -> None:
    assert draw(EACH["exponential"]).min() >= 20_000
    assert draw(EACH["pareto"]).min() >= 10_000


def test_the_shape_of_each_tail() -> None:
    """P(X > x): exponential exp(-(x - m) / (mean - m)); pareto (m / x) ** alpha; lognormal 1/2 at the median."""
    assert (draw(EACH["exponential"]) > 50_000).mean() == pytest.approx(math.exp(-1), abs=0.006)
    assert (draw(EACH["pareto"]) > 20_000).mean() == pytest.approx(0.5**3.5, abs=0.004)
    assert (draw(EACH["lognormal"]) > 100_000).mean() == pytest.approx(0.5, abs=0.006)
    assert (draw(EACH["mixture"]) == 1_000).mean() == pytest.approx(0.75, abs=0.006)


def test_a_lognormal_by_mean_and_stddev_has_them() -> None:
    wanted = Lognormal.of_mean(427_000, 100_000)
    values = draw(wanted)
    assert wanted.mean_ns() == pytest.approx(427_000, abs=2)
    assert values.std() == pytest.approx(100_000, rel=0.02)


def test_a_heavy_tail_stays_within_an_int64() -> None:
    values = draw(Pareto(minimum=LONGEST_NS / 2, alpha=1.01), 1000)
    assert values.max() == LONGEST_NS


@pytest.mark.parametrize(
    ("kind", "parameters", "field"),
    [
        (Constant, {"value": -1}, "value"),
        (Constant, {"value": math.nan}, "value"),
        (Uniform, {"low": 2, "high": 1}, "high"),
        (Normal, {"mean": 1, "stddev": math.inf}, "stddev"),
        (Lognormal, {"median": 0, "sigma": 1}, "median"),
        (Lognormal, {"median": 1, "sigma": 9}, "sigma"),
        (Exponential, {"mean": 1, "minimum": 2}, "minimum"),
        (Pareto, {"minimum": 1, "alpha": 1}, "alpha"),
        (Mixture, {"weights": (1,), "parts": ()}, "parts"),
        (Mixture, {"weights": (1, 2), "parts": (Constant(value=1),)}, "weights"),
        (Mixture, {"weights": (0,), "parts": (Constant(value=1),)}, "weights"),
        (Empirical, {"values": ()}, "values"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_by_name(
    kind: type[Distribution], parameters: dict[str, object], field: str
) -> None:
    with pytest.raises(ValueError, match=f"^{field}: .*; "):
        kind(**parameters)
