"""Ratios of predicted by measured, and the errors made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.metrics.prediction import Error, errors, ratios
from bench.metrics.result import ResultWriter, load, write_point
from bench.metrics.sweep import unequal_fairness
from bench.plots import render
from tests.bench.trials import synthetic_trial

AXIS = "workload.arrivals.clients"


def row(world: str, clients: int, ops: float, p50: float | None, engine: str = "raft", **others: Any) -> dict[str, Any]:
    return {
        "scenario": "both", "engine": engine, "world": world, "trial": 0, AXIS: clients,
        "throughput_ops_per_s": ops, "latency_p50_ns": p50, "latency_p99_ns": None,
    } | others  # fmt: skip


ROWS = [
    row("simulation", 1, 90.0, 11.0), row("processes", 1, 100.0, 10.0),
    row("simulation", 8, 600.0, 30.0), row("processes", 8, 500.0, 20.0),
    row("simulation", 64, 1100.0, 99.0), row("processes", 64, 1000.0, 30.0),
]  # fmt: skip


def test_a_ratio_stands_at_the_prediction_that_has_a_measurement() -> None:
    found = ratios([*ROWS, row("simulation", 128, 7.0, 7.0)], [AXIS])
    assert [each.get("throughput_ratio") for each in found] == [0.9, None, 1.2, None, 1.1, None, None]
    assert found[0]["latency_p50_ratio"] == pytest.approx(1.1)
    assert found[0]["latency_p99_ratio"] is None
    assert found[1] == found[-1] == {}


def test_the_error_is_the_median_over_the_points_below_saturation_and_saturation_is_apart() -> None:
    (error,) = errors(ROWS, [AXIS])
    assert error == Error("raft", 2, pytest.approx(0.15), pytest.approx(0.3), None, 1.1)


def test_a_number_that_a_loaded_table_lacks_is_no_number() -> None:
    (error,) = errors([row("simulation", 4, 1.0, float("nan")), row("processes", 4, 1.0, 2.0), *ROWS], [AXIS])
    assert error.p50 == pytest.approx(0.3)


def test_trials_and_engines_are_not_mixed() -> None:
    rows = [row("simulation", 1, 5.0, 1.0), row("processes", 1, 1.0, 1.0, trial=1), row("processes", 1, 1.0, 1.0, engine="zab")]
    assert ratios(rows, [AXIS]) == [{}, {}, {}]
    assert errors(rows, [AXIS]) == []


def test_a_result_of_both_worlds_carries_the_ratios_and_draws_both(tmp_path: Path) -> None:
    with ResultWriter(tmp_path / "both", "both", {"both": {}}) as writer:
        for index, (world, capacity) in enumerate((("simulation", 10_000), ("processes", 8_000))):
            trial = synthetic_trial("raft", capacity=capacity, seconds=1.0, world=world)
            trial.fairness |= {"loop": "uvloop"} if world == "processes" else {}
            writer.add(write_point(writer.folder, index, trial, "both"))
        writer.finish()
    result = load(tmp_path / "both")
    assert result.points["throughput_ratio"].notna().tolist() == [True, False]
    expected = result.points["latency_p50_ns"][0] / result.points["latency_p50_ns"][1]
    assert result.points["latency_p50_ratio"][0] == pytest.approx(expected)
    assert unequal_fairness([result]) == []
    (figure,) = (path for path in render([result], "latency-throughput", tmp_path) if path.suffix == ".svg")
    assert "raft (processes)" in figure.read_text()
    assert "raft (simulation)" in figure.read_text()


def test_a_result_of_one_world_has_no_such_columns(tmp_path: Path) -> None:
    with ResultWriter(tmp_path / "one", "one", {"one": {}}) as writer:
        writer.add(write_point(writer.folder, 0, synthetic_trial("raft", seconds=0.5), "one"))
        writer.finish()
    assert "ratio" not in (tmp_path / "one" / "points.csv").read_text()
