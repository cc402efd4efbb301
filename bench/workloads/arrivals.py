"""When operations are wanted: the open-loop schedule, fixed before the run.

Every process is an intensity, a list of pieces over which the rate moves linearly. Its integral over time,
the expected number of arrivals, turns a stream of unit rate into the schedule (the time change theorem for
Poisson processes): ``constant`` maps the evenly spaced stream, every other process maps a Poisson stream of
unit rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from bench.scenario import Arrivals

SECOND_NS = 1_000_000_000


class Intensity(NamedTuple):
    """Pieces: boundaries, rates per ns at both ends, arrivals expected before each boundary."""

    bounds_ns: np.ndarray
    first_rate: np.ndarray
    last_rate: np.ndarray
    expected: np.ndarray


def schedule(arrivals: Arrivals, generator: np.random.Generator, stop_ns: int) -> np.ndarray:
    """Intended start times in [0, stop_ns), ascending, int64 ns, of an open loop.

    A schedule to a later stop begins with the schedule to an earlier one, but for ``ramp``, whose slope
    depends on the stop. ValueError for a closed loop, which has no schedule: its clients start when they are
    answered and have thought.
    """
    intensity = _intensity(arrivals, stop_ns)
    total = float(intensity.expected[-1])
    if arrivals.process == "constant":
        stream = np.arange(int(np.ceil(total)), dtype=np.float64)
    else:
        stream = _unit_poisson(generator, total)
    times: np.ndarray = np.rint(_invert(intensity, stream)).astype(np.int64)
    return np.asarray(times[times < stop_ns])


def offered_ops_per_s(arrivals: Arrivals, window_ns: tuple[int, int], stop_ns: int) -> float | None:
    """The mean rate that is asked for inside the window until ``stop_ns``; None for a closed loop."""
    if arrivals.kind == "closed":
        return None
    first, last = window_ns
    before, after = _expected_before(_intensity(arrivals, stop_ns), np.array([first, last], dtype=np.float64))
    # Twelve digits are exact enough, and hide that 5000 a second is no binary fraction a nanosecond.
    return float(f"{(after - before) / (last - first) * SECOND_NS:.12g}")


def _intensity(arrivals: Arrivals, stop_ns: int) -> Intensity:
    if arrivals.kind != "open":
        raise ValueError(f"only open arrivals have a schedule, not {arrivals.kind!r}")
    if stop_ns <= 0:
        raise ValueError(f"a schedule needs a positive stop, not {stop_ns} ns")
    pieces = _PIECES[arrivals.process](arrivals, stop_ns)
    lengths = np.array([length for length, _, _ in pieces], dtype=np.float64)
    first_rate = np.array([first for _, first, _ in pieces], dtype=np.float64) / SECOND_NS
    last_rate = np.array([last for _, _, last in pieces], dtype=np.float64) / SECOND_NS
    bounds = np.concatenate([[0.0], np.cumsum(lengths)])
    expected = np.concatenate([[0.0], np.cumsum(lengths * (first_rate + last_rate) / 2)])
    return Intensity(bounds, first_rate, last_rate, expected)


def _steady(arrivals: Arrivals, stop_ns: int) -> list[tuple[int, float, float]]:
    return [(stop_ns, arrivals.rate_per_s, arrivals.rate_per_s)]


def _burst(arrivals: Arrivals, stop_ns: int) -> list[tuple[int, float, float]]:
    """At the rate for ``on_ns``, silent for ``off_ns``, and so on, beginning with a burst."""
    assert arrivals.on_ns and arrivals.off_ns is not None, "a burst has its durations"
    cycle = [(arrivals.on_ns, arrivals.rate_per_s, arrivals.rate_per_s), (arrivals.off_ns, 0.0, 0.0)]
    pieces = cycle * (stop_ns // (arrivals.on_ns + arrivals.off_ns) + 1)
    return _cut(pieces, stop_ns)


def _ramp(arrivals: Arrivals, stop_ns: int) -> list[tuple[int, float, float]]:
    assert arrivals.to_per_s is not None, "a ramp has its end"
    return [(stop_ns, arrivals.rate_per_s, arrivals.to_per_s)]


def _steps(arrivals: Arrivals, stop_ns: int) -> list[tuple[int, float, float]]:
    """The steps from the start of the run on; the last one holds until the end."""
    pieces = [(length, rate, rate) for length, rate in arrivals.steps]
    return _cut([*pieces, (stop_ns, pieces[-1][1], pieces[-1][1])], stop_ns)


_PIECES = {"constant": _steady, "poisson": _steady, "burst": _burst, "ramp": _ramp, "steps": _steps}


def _cut(pieces: list[tuple[int, float, float]], stop_ns: int) -> list[tuple[int, float, float]]:
    """The level pieces up to ``stop_ns``."""
    kept = []
    left = stop_ns
    for length, first, last in pieces:
        if min(length, left) > 0:
            kept.append((min(length, left), first, last))
            left -= kept[-1][0]
    return kept


def _expected_before(intensity: Intensity, times: np.ndarray) -> np.ndarray:
    """The integral of the intensity from 0 to each time."""
    piece = np.clip(
        np.searchsorted(intensity.bounds_ns, times, side="right") - 1, 0, len(intensity.first_rate) - 1
    )
    length = intensity.bounds_ns[piece + 1] - intensity.bounds_ns[piece]
    into = times - intensity.bounds_ns[piece]
    slope = (intensity.last_rate[piece] - intensity.first_rate[piece]) / length
    return np.asarray(intensity.expected[piece] + into * (intensity.first_rate[piece] + slope * into / 2))


def _invert(intensity: Intensity, stream: np.ndarray) -> np.ndarray:
    """The time at which the integral of the intensity reaches each value of an ascending stream."""
    piece = np.clip(
        np.searchsorted(intensity.expected, stream, side="right") - 1, 0, len(intensity.first_rate) - 1
    )
    length = intensity.bounds_ns[piece + 1] - intensity.bounds_ns[piece]
    slope = (intensity.last_rate[piece] - intensity.first_rate[piece]) / length
    rate = intensity.first_rate[piece]
    wanted = stream - intensity.expected[piece]
    # The root of slope/2 t^2 + rate t = wanted, in the form that is exact where the slope is 0.
    root = np.sqrt(np.maximum(rate * rate + 2 * slope * wanted, 0.0))
    return np.asarray(
        intensity.bounds_ns[piece] + 2 * wanted / np.maximum(rate + root, np.finfo(np.float64).tiny)
    )


def _unit_poisson(generator: np.random.Generator, total: float) -> np.ndarray:
    """Arrival times of a Poisson process of rate 1 in [0, total)."""
    parts = []
    reached = 0.0
    while reached < total:
        gaps = generator.standard_exponential(int(total - reached + 4 * np.sqrt(total - reached)) + 16)
        gaps[0] += reached
        parts.append(np.cumsum(gaps))
        reached = float(parts[-1][-1])
    stream = np.concatenate(parts) if parts else np.zeros(0)
    return np.asarray(stream[stream < total])
