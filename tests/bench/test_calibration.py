"""From measurements to costs: what made the measurements comes out again. Profiles as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.calibration import disk, loopback, turns
from bench.calibration.profile import Measured, as_file, costs
from bench.checkers.verdict import verdict
from bench.cli import call
from bench.driver.trials import run_trial
from bench.metrics.summary import summarise
from bench.scenario import Place, ScenarioError, as_toml, costs_names, load, read_scenario

pytestmark = pytest.mark.once

TRUE = {
    "per_turn_ns": 30_000.0, "per_frame_ns": 7_000.0, "per_message_ns": 400.0, "per_byte_ns": 0.25, "per_command_ns": 1_500.0,
    "per_sync_ns": 50_000.0, "per_new_block_ns": 60_000.0, "client_per_turn_ns": 45_000.0, "client_per_message_ns": 600.0,
}  # fmt: skip
WAIT_NS, BLOCK_WAIT_NS, BYTE_NS, CONTENTION = 140_000, 40_000, 0.9, 0.8


def a_round(clients: int, value_bytes: int, follower: bool = False, synced: bool = True) -> turns.Round:
    """What it takes by the true costs."""
    size = turns.command_bytes(value_bytes)
    common = TRUE["per_turn_ns"] + 2 * TRUE["per_frame_ns"]
    common += synced * (TRUE["per_sync_ns"] + (clients > 1) * TRUE["per_new_block_ns"])
    command = TRUE["per_command_ns"] + (1 + synced) * size * TRUE["per_byte_ns"] + (0 if follower else 2 * TRUE["per_message_ns"])
    client = TRUE["client_per_turn_ns"] + 2 * TRUE["per_frame_ns"]
    client += clients * (2 * TRUE["client_per_message_ns"] + size * TRUE["per_byte_ns"])
    wait = synced * (WAIT_NS + (clients > 1) * BLOCK_WAIT_NS + (clients - 1) * size * BYTE_NS)
    latency = client + common + clients * command + wait
    return turns.Round(clients, value_bytes, client, common + clients * command, 1e6, (latency,) * 9, 0.02, 1000.0)


def measured() -> Measured:
    alone = {size: [200_000 + size] * 9 for size in disk.SIZES}
    # A third of the work done alone, a third in company of another, a third of two others.
    together = {
        size: [tuple(round(values[0] / 3 * (1 + CONTENTION * others)) for others in range(3))] * 9
        for size, values in alone.items()
    }
    frames = 2 * TRUE["per_frame_ns"]
    return Measured(
        round_trips=[
            loopback.RoundTrips(64, [40_000], 15_000, frames),
            loopback.RoundTrips(1024, [42_000], 16_000, 1.1 * frames),
        ],
        syncs=disk.Syncs(alone, dict.fromkeys(disk.SIZES, 60_000.0), together),
        codec={"encode_ns": 40.0},
        lone_unsynced=a_round(1, turns.VALUE_BYTES, synced=False),
        lone_one=a_round(1, turns.VALUE_BYTES),
        lone_some=a_round(16, turns.VALUE_BYTES),
        lone_many=a_round(64, turns.VALUE_BYTES),
        lone_large=a_round(64, turns.LARGE_BYTES),
        following_some=a_round(16, turns.VALUE_BYTES, follower=True),
        following_many=a_round(64, turns.VALUE_BYTES, follower=True),
    )


def test_the_costs_that_made_the_measurements_are_found(tmp_path: Path) -> None:
    found = costs(measured(), "here", tmp_path)
    for name, value in TRUE.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-3, abs=0.02), name
    assert found.wake_up.mean_ns() == 40_000 / 2 - 15_000
    assert np.unique(found.fsync.values) == pytest.approx(WAIT_NS, rel=1e-3)
    assert found.fsync_new_block_ns == pytest.approx(BLOCK_WAIT_NS, rel=1e-3)
    assert found.fsync_per_byte_ns == pytest.approx(BYTE_NS, rel=1e-2)
    assert found.contention == pytest.approx(CONTENTION, abs=0.01)


def test_company_is_counted_by_how_many_are_under_way() -> None:
    assert disk.company([(0, 10), (4, 12), (20, 21)]) == [(4, 6, 0), (2, 6, 0), (1, 0, 0)]


def test_a_profile_is_a_file_that_scenarios_take_by_its_path_and_write_whole(tmp_path: Path) -> None:
    found = costs(measured(), "here", tmp_path)
    (tmp_path / "here.toml").write_text(as_file(found, measured()))
    (tmp_path / "mine.toml").write_text('engine = "raft"\ncosts = "here.toml"\n')
    scenario = load(tmp_path / "mine.toml")
    assert scenario.costs == found
    assert read_scenario(scenario.resolved(), Place("again", Path("/nowhere"))) == scenario
    (tmp_path / "whole.toml").write_text(as_toml(scenario))
    assert load(tmp_path / "whole.toml") == scenario


def test_a_part_of_a_profile_can_be_set(tmp_path: Path) -> None:
    profile = tmp_path / "here.toml"
    profile.write_text(as_file(costs(measured(), "here", tmp_path), measured()))
    scenario = load("lan-3", ["costs.cores=16"], costs=str(profile))
    assert scenario.costs is not None
    assert scenario.costs.cores == 16
    assert scenario.costs.per_turn_ns == pytest.approx(TRUE["per_turn_ns"], rel=1e-3)


def test_predictions_with_the_costs_of_a_disturbed_machine_are_suspect(tmp_path: Path) -> None:
    noisy = msgspec.structs.replace(a_round(16, turns.VALUE_BYTES), foreign_share=0.4)
    disturbed = msgspec.structs.replace(measured(), lone_some=noisy)
    profile = tmp_path / "here.toml"
    profile.write_text(as_file(costs(disturbed, "here", tmp_path), disturbed))
    short = ["warmup=0s", "duration=100ms", "cooldown=0s", "workload.arrivals.rate=5000"]
    said = {}
    for share, more in (("quiet", ["costs.others_share_of_machine=0"]), ("disturbed", [])):
        trial = run_trial(load("lan-3", [*short, *more], costs=str(profile)), "raft")
        said[share] = " ".join(verdict(trial, summarise(trial))[1])
    assert "of which others took 40%" in said["disturbed"]
    assert "others took" not in said["quiet"]


def test_the_profile_that_comes_with_the_program_says_how_disturbed_its_machine_was() -> None:
    """Where runs read it, and not among the figures that no run uses."""
    shipped = load("lan-3", costs="virtual-2").costs
    assert shipped is not None
    assert shipped.others_share_of_machine == 0.56


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ("elsewhere", 'costs: unknown cost profile "elsewhere"'),
        ("gone.toml", "gone.toml: cannot be read"),
        ({}, "costs: cores is missing"),
        ({"cores": 2, "contention": 11}, "costs.contention: 11 is not from 0 to 10"),
        ({"cores": 2, "per_turns": "1us"}, 'costs.per_turns: unknown key; did you mean "per_turn"?'),
        (7, "costs: 7 is no cost profile"),
    ],
)
def test_a_wrong_profile_is_refused_with_its_place(costs: Any, said: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        read_scenario({"engine": "raft", "costs": costs}, Place("mine", Path()))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("out", "said"),
    [("profile", "no name of a cost profile"), ("folder.toml", "is a folder"), ("file/costs.toml", "cannot be written")],
)
def test_calibrate_refuses_what_it_cannot_write_before_it_measures(
    out: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "file").write_text("")
    assert call(["calibrate", "--out", str(tmp_path / out)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("name", costs_names())
def test_a_profile_that_comes_with_the_program_is_taken_by_its_name(name: str) -> None:
    scenario = load("real-3", [f'costs="{name}"'])
    assert scenario.costs is not None
    assert scenario.costs.name == name
    assert scenario.costs.fsync.mean_ns() > 10_000
