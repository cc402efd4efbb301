"""A rough calibration of this machine, and a run of both worlds that uses it, as a person does it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bench.cli import call
from bench.cli.calibrate import write_profile
from bench.metrics.result import load
from bench.scenario import load as load_scenario
from tests.processes.real import nothing_left

BOTH = """
engine = "raft"
world = "both"
initial_leader = 0
duration = "500ms"
warmup = "500ms"
cooldown = "0s"
network = { latency = "0ms", bandwidth = "unlimited" }
timeouts = { election = ["300ms", "600ms"], heartbeat = "50ms" }
workload = { mix = { write = 1.0 }, arrivals = { kind = "closed", clients = 8 } }
"""


def test_what_calibrate_measures_predicts_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile, scenario, out = tmp_path / "here.toml", tmp_path / "mine.toml", tmp_path / "out"
    write_profile(profile, quiet=False, effort=0.15)
    assert "measuring writes and syncs of the disk" in capsys.readouterr().err
    assert nothing_left(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"here.toml"}
    figures = tomllib.loads(profile.read_text())["measured"]
    assert all(value > 0 for value in figures["loopback_round_trip_us"].values())
    assert all(value > 0 for value in figures["sync_alone_us"].values())

    scenario.write_text(BOTH)
    assert call(["run", str(scenario), "--costs", str(profile), "--out", str(out), "--no-plots"]) == 0
    said = capsys.readouterr().out
    assert "raft: median error of the prediction at" in said
    result = load(out)
    assert list(result.points["world"]) == ["simulation", "processes"]
    assert result.points["throughput_ratio"].notna().tolist() == [True, False]
    assert result.scenario["costs"]["about"] == load_scenario(scenario, costs=str(profile)).costs.about
    assert nothing_left(tmp_path)
