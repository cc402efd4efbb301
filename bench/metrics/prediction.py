"""What the simulation predicted against what processes then did, point by point, where a result holds both worlds.

A ratio is predicted by measured: 1 is right, 2 twice as much as was found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import msgspec

RATIOS = {
    "throughput_ratio": "throughput_ops_per_s",
    "latency_p50_ratio": "latency_p50_ns",
    "latency_p99_ratio": "latency_p99_ns",
}
# A point is below saturation where processes did less than this share of the most that the engine did at any point.
SATURATED = 0.9
PREDICTED, MEASURED = "simulation", "processes"
Row = Mapping[str, Any]


class Error(msgspec.Struct, frozen=True):
    """Of one engine: the median of |ratio - 1| over the points below saturation (None without any), how many these are, and
    the ratio of the most throughput in each world.
    """

    engine: str
    points: int
    throughput: float | None
    p50: float | None
    p99: float | None
    saturation: float


def ratios(rows: Sequence[Row], axes: Sequence[str]) -> list[dict[str, float | None]]:
    """For each row of points.csv the RATIOS: of a prediction with a measurement of the same point; nothing in the others.

    None where a side has no number.
    """
    measured = {_place(row, axes): row for row in rows if row["world"] == MEASURED}
    found: list[dict[str, float | None]] = []
    for row in rows:
        other = measured.get(_place(row, axes)) if row["world"] == PREDICTED else None
        found.append({} if other is None else {name: _ratio(row[column], other[column]) for name, column in RATIOS.items()})
    return found


def errors(rows: Sequence[Row], axes: Sequence[str]) -> list[Error]:
    """For each engine with points in both worlds, in the order of the rows."""
    paired = ratios(rows, axes)
    measured = {_place(row, axes): row["throughput_ops_per_s"] for row in rows if row["world"] == MEASURED}
    found = []
    for engine in dict.fromkeys(row["engine"] for row in rows):
        own = [(row, each) for row, each in zip(rows, paired, strict=True) if row["engine"] == engine and each]
        if not own:
            continue
        most = max(measured[_place(row, axes)] for row, _ in own)
        below = [each for row, each in own if measured[_place(row, axes)] < SATURATED * most]
        predicted = max(row["throughput_ops_per_s"] for row, _ in own)
        throughput, p50, p99 = (_typical([each[name] for each in below]) for name in RATIOS)
        found.append(Error(engine, len(below), throughput, p50, p99, predicted / most if most else 0.0))
    return found


def _place(row: Row, axes: Sequence[str]) -> tuple[Any, ...]:
    return (row.get("scenario"), row["engine"], row["trial"], *(str(row.get(axis)) for axis in axes))


def _ratio(predicted: Any, measured: Any) -> float | None:
    known = all(isinstance(value, int | float) and math.isfinite(value) for value in (predicted, measured))
    return predicted / measured if known and measured else None


def _typical(values: list[float | None]) -> float | None:
    known = [abs(value - 1) for value in values if value is not None]
    return median(known) if known else None
