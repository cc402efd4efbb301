"""Distributions of a duration: how long a message travels, a disk syncs, a client thinks.

Every kind is a frozen struct. Parameters that are durations are in nanoseconds and carry the name that a
scenario gives them; ``sigma``, ``alpha`` and ``weights`` are plain numbers. ``sample(generator, count)``
gives ``count`` int64 nanoseconds, none negative, and draws only from the numpy generator that it is handed.
``mean_ns()`` is exact for what ``sample`` draws, but for the rounding to whole nanoseconds. Parameters that
make no sense raise ValueError("parameter: why") at construction.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import msgspec

if (
    TYPE_CHECKING
):  # numpy is imported where it is used: a command line that only prints help should not wait for it
    import numpy as np
    from numpy.typing import NDArray

# A heavy tail may ask for more than an int64 holds; no simulated wait needs more than this (about 36 years).
LONGEST_NS = 1 << 60


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """What all kinds share; ``distribution`` is the name of the kind in a scenario."""

    distribution: ClassVar[str] = ""

    def sample(self, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        """``count`` durations in ns, int64, none negative."""
        raise NotImplementedError

    def mean_ns(self) -> float:
        """The mean of what ``sample`` draws, in ns."""
        raise NotImplementedError


class Constant(Distribution, frozen=True, kw_only=True):
    """Always ``value``."""

    distribution: ClassVar[str] = "constant"
    value: float

    def __post_init__(self) -> None:
        _not_negative(value=self.value)

    def sample(self, generator: np.random.Generator, count: int) -> NDArray[np.int64]:  # noqa: ARG002
        import numpy as np

        return np.full(count, round(self.value), dtype=np.int64)

    def mean_ns(self) -> float:
        return float(self.value)


class Uniform(Distribution, frozen=True, kw_only=True):
    """Evenly between ``low`` and ``high``."""

    distribution: ClassVar[str] = "uniform"
    low: float
    high: float

    def __post_init__(self) -> None:
        _not_negative(low=self.low, high=self.high)
        if self.low > self.high:
            raise ValueError("high: must not be below low; swap the two")

    def sample(self, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        return _whole(generator.uniform(self.low, self.high, count))

    def mean_ns(self) -> float:
        return (self.low + self.high) / 2


class Normal(Distribution, frozen=True, kw_only=True):
    """Normal, truncated at zero: a negative draw is drawn again; ``mean`` is that of the whole bell."""

    distribution: ClassVar[str] = "normal"
    mean: float
    stddev: float

    def __post_init__(self) -> None:
        _not_negative(mean=self.mean, stddev=self.stddev)

    def sample(self, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        values = generator.normal(self.mean, self.stddev, count)
        negative = (values < 0).nonzero()[0]
        while len(negative):
            values[negative] = generator.normal(self.mean, self.stddev, len(negative))
            negative = negative[values[negative] < 0]
        return _whole(values)

    def mean_ns(self) -> float:
        """mean + stddev * phi(a) / (1 - Phi(a)) with a = -mean / stddev: the mean of a normal truncated from
        below at 0.
        """
        if not self.stddev:
            return float(self.mean)
        a = -self.mean / self.stddev
        density = math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
        return self.mean + self.stddev * density / (math.erfc(a / math.sqrt(2)) / 2)


class Lognormal(Distribution, frozen=True, kw_only=True):
    """Half the draws lie below ``median``; ``sigma`` is the standard deviation of the logarithm."""

    distribution: ClassVar[str] = "lognormal"
    median: float
    sigma: float

    def __post_init__(self) -> None:
        _positive(median=self.median)
        _not_negative(sigma=self.sigma)
        if self.sigma > 5:
            raise ValueError("sigma: above 5 the mean lies 268 000 medians away; give a sigma of at most 5")

    @classmethod
    def of_mean(cls, mean: float, stddev: float) -> Lognormal:
        """The lognormal with this mean and standard deviation, in ns; its median is rounded to whole ns."""
        _positive(mean=mean)
        _not_negative(stddev=stddev)
        spread = 1 + (stddev / mean) ** 2
        return cls(median=max(1, round(mean / math.sqrt(spread))), sigma=math.sqrt(math.log(spread)))

    def sample(self, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        return _whole(generator.lognormal(math.log(self.median), self.sigma, count))

    def mean_ns(self) -> float:
        return self.median * math.exp(self.sigma**2 / 2)


class Exponential(Distribution, frozen=True, kw_only=True):
    """``minimum``, and then an exponential wait, so that the whole has the given ``mean``."""

    distribution: ClassVar[str] = "exponential"
    mean: float
    minimum: float = 0

    def __post_init__(self) -> None:
        _not_negative(mean=self.mean, minimum=self.minimum)
        if self.minimum > self.mean:
            raise ValueError("minimum: must not be above mean, which is the mean of the whole; lower it")

    def sample(self, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        return _whole(self.minimum + generator.exponential(self.mean - self.minimum, count))

    def mean_ns(self) -> float:
        return float(self.mean)


class Pareto(Distribution, frozen=True, kw_only=True):
    """At least ``minimum``; P(longer than x) = (minimum / x) ** alpha."""

    distribution: ClassVar[str] = "pareto"
    minimum: float
    alpha: float

    def __post_init__(self) -> None:
        _positive(minimum=self.minimum)
        if not 1 < self.alpha < math.inf:
            raise ValueError("alpha: must be above 1, because at 1 and below there is no mean; try 2.5")

    def sample(self, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        return _whole(self.minimum * (1 + generator.pareto(self.alpha, count)))

    def mean_ns(self) -> float:
        return self.minimum * self.alpha / (self.alpha - 1)


class Mixture(Distribution, frozen=True, kw_only=True):
    """Each draw comes from one of ``parts``, chosen with a probability in proportion to ``weights``."""

    distribution: ClassVar[str] = "mixture"
    weights: tuple[float, ...]
    parts: tuple[Distribution, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("parts: must not be empty; list at least one distribution")
        if len(self.weights) != len(self.parts):
            raise ValueError(
                f"weights: {len(self.weights)} weights for {len(self.parts)} parts; give one for each part"
            )
        if not all(0 <= weight < math.inf for weight in self.weights) or not 0 < sum(self.weights) < math.inf:
            raise ValueError("weights: must not be negative, and not all zero; give a positive weight")

    def sample(self, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        import numpy as np

        probabilities = np.array(self.weights, dtype=float)
        chosen = generator.choice(len(self.parts), size=count, p=probabilities / probabilities.sum())
        values = np.empty(count, dtype=np.int64)
        for index, part in enumerate(self.parts):
            mine = chosen == index
            values[mine] = part.sample(generator, int(mine.sum()))
        return values

    def mean_ns(self) -> float:
        total = sum(self.weights)
        return (
            sum(weight * part.mean_ns() for weight, part in zip(self.weights, self.parts, strict=True))
            / total
        )


class Empirical(Distribution, frozen=True, kw_only=True):
    """Each draw is one of the measured ``values``, each equally likely."""

    distribution: ClassVar[str] = "empirical"
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("values: must not be empty; list at least one measured duration")
        for value in self.values:
            _not_negative(values=value)

    def sample(self, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        import numpy as np

        measured = np.array(self.values, dtype=float)
        return _whole(measured[generator.integers(0, len(measured), count)])

    def mean_ns(self) -> float:
        return math.fsum(self.values) / len(self.values)


KINDS: dict[str, type[Distribution]] = {
    kind.distribution: kind
    for kind in (Constant, Uniform, Normal, Lognormal, Exponential, Pareto, Mixture, Empirical)
}


def _not_negative(**parameters: float) -> None:
    for name, value in parameters.items():
        if not 0 <= value < math.inf:  # also refuses nan
            raise ValueError(f"{name}: must be finite and not negative, not {value}; give zero or more")


def _positive(**parameters: float) -> None:
    for name, value in parameters.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}: must be finite and above zero, not {value}; give a positive one")


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    import numpy as np

    return np.rint(np.clip(values, 0, LONGEST_NS)).astype(np.int64)


ZERO = Constant(value=0)
