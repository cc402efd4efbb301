"""Figures of a lock service: what is drawn is what was recorded, and what happened only once is not lost among the rest."""

import msgspec
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from bench import plots
from bench.metrics.outage import in_words, outages
from bench.metrics.service import in_words as describe_service
from bench.metrics.service import services
from bench.plots import lock_failover, lock_fairness, lock_holds, lock_keepalives, lock_latency
from tests.bench.test_plots import drawn, legend, stored, words
from tests.bench.test_plots import trial as key_value_trial
from tests.bench.trials import SECOND_NS, lock_trial


def spans(panel, color=None):
    """(row, left, right) of each bar of a panel, of one colour where it is given."""
    found = set()
    for bars in panel.collections:
        if isinstance(bars, PolyCollection) and (color is None or color in colors_of(bars)):
            for path in bars.get_paths():
                box = path.get_extents()
                found.add((round((box.y0 + box.y1) / 2), round(box.x0, 6), round(box.x1, 6)))
    return found


def colors_of(bars):
    return {to_hex(color) for color in bars.get_facecolor()}


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    trials = [lock_trial(engine, seed=seed, trial=seed) for engine in ("raft", "zab") for seed in range(3)]
    return stored(tmp_path_factory.mktemp("locks") / "cell", [("locks", each) for each in trials], ("locks",))


@pytest.fixture(scope="module")
def lossy(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("locks") / "lossy", [lock_trial(lost=True, faults=[], leaders=[(0, 0, 1)])])


def test_each_phase_of_a_failover_is_a_panel_beside_the_papers_example(cell):
    panels = drawn(lock_failover.draw, [cell], 4)
    for panel, (phase, _) in zip(panels, lock_failover.PHASES, strict=True):
        lines = {line.get_label(): line.get_xydata() for line in panel.get_lines()}
        for engine, points in cell.points.groupby("engine"):
            seconds, share = lines[engine].T
            assert seconds[1:].tolist() == sorted(points[f"failover_{phase}"] / 1e9)
            assert share.tolist() == [0, *(100 * (each + 1) / 3 for each in range(3))]
        assert "median (s): raft" in panel.get_title(loc="left")
    assert any("14 s" in label and "Burrows 2006" in label for label in legend(panels[-1]))
    assert "3 fail-overs each" in legend(panels[-1])


def test_a_master_that_never_came_leaves_its_line_below_the_top(tmp_path):
    trials = [lock_trial(seed=seed, trial=seed, unfinished=seed == 2) for seed in range(3)]
    result = stored(tmp_path / "late", trials)
    panel = drawn(lock_failover.draw, [result], 4)[-1]
    line = next(line for line in panel.get_lines() if line.get_label() == "raft")
    assert line.get_ydata()[-1] == pytest.approx(200 / 3)
    rows = result.points.to_dict("records")
    (outage,) = outages(zip(rows, result.records.values(), strict=True))
    assert (outage.failovers, outage.unfinished, outage.held_twice) == (3, 1, 0)
    assert outage.worst_ns == 13 * SECOND_NS, "until the end of the run"
    said = in_words(outage)
    assert f"gone for {outage.median_ns / 1e9:.2f} s (median of 3 fail-overs; at worst at least 13.00 s" in said
    assert "no lock was held twice;" in said
    beyond = msgspec.structs.replace(outage, held_twice=2, clocks_in_bound=False)
    assert "locks were held twice 2 times, with clocks beyond locks.skew;" in in_words(beyond)
    alone = msgspec.structs.replace(outage, engine="unreplicated", failovers=1)
    assert "median of 1 restart of its only replica, as there is none to fail over to;" in in_words(alone)


def test_a_leader_that_is_missed_at_once_leaves_room_for_the_rest(tmp_path):
    trial = lock_trial(noticed=[(8 * SECOND_NS + 500_000, 1)])
    missed, *_ = drawn(lock_failover.draw, [stored(tmp_path / "killed", [trial])], 4)
    assert "raft below 0.01" in missed.get_title(loc="left")
    assert missed.get_xlim()[0] == 0.1
    assert missed.get_xlabel().endswith("less than 0.1 as that")


def test_a_service_whose_master_lived_has_a_closing_line_with_the_lowest_and_the_highest(cell):
    rows = cell.points.to_dict("records")
    told = list(zip(rows, cell.records.values(), strict=True))
    assert services(told) == [], "their masters failed over"
    lived = [
        (row, msgspec.structs.replace(point, locks=msgspec.structs.replace(point.locks, failovers=[]))) for row, point in told
    ]
    changed = {"lock_pairs_per_s": 1234.0, "acquire_uncontended_p50_ns": float("nan"), "held_twice": 2}
    lived.append((rows[0] | changed, lived[0][1]))
    found = {each.engine: each for each in services(lived)}
    said = describe_service(found["raft"])
    raft = [row for row in rows if row["engine"] == "raft"]
    low = min(row["lock_pairs_per_s"] for row in raft)
    assert f"{low:,.0f} to 1,234 pairs of acquire and release a second; locks were held twice 2 times" in said
    took = sorted(row["acquire_uncontended_p50_ns"] / 1e6 for row in raft)
    assert said.startswith(f"a lock that nobody held took {took[0]:.2f} to {took[-1]:.2f} ms (median), ")
    assert describe_service(found["zab"]).endswith("; no lock was held twice")


def test_holds_are_in_the_row_of_their_client_and_in_that_of_everybody(cell):
    panel, last = drawn(lock_holds.draw, [cell], 2)
    said = [tick.get_text() for tick in panel.get_yticklabels()]
    assert said[0] == "anybody"
    holds = cell.locks(0)["holds"]
    lock = int(panel.get_title(loc="left").split("lock ")[1].split(";")[0])
    left, right = panel.get_xlim()
    mine = holds[holds["lock"] == lock]
    starts, ends = ((mine[column] - 8 * SECOND_NS) / 1e9 for column in ("granted_ns", "released_ns"))
    shown = {(round(start, 6), round(end, 6)) for start, end in zip(starts, ends, strict=True) if end > left and start < right}
    bars = spans(panel)
    assert shown <= {(start, end) for row, start, end in bars if row == 0}
    assert {(start, end) for row, start, end in bars if row > 0} == {(start, end) for row, start, end in bars if row == 0}
    assert "held twice: 0" in panel.get_title(loc="left")
    assert "held twice" not in legend(last)


def test_a_lock_that_was_held_twice_is_shown_though_it_was_in_one_trial_of_many(tmp_path):
    bad = lock_trial(seed=2, trial=1, violations=["mutual exclusion: client 1 and client 2"])
    held = bad.operations
    releases = np.flatnonzero((held["kind"] == 4) & (held["key"] == 2))
    held["started_ns"][releases[5]] += SECOND_NS // 2
    held["completed_ns"][releases[5]] += SECOND_NS // 2
    result = stored(tmp_path / "twice", [lock_trial(), bad])
    assert result.points["held_twice"].tolist()[0] == 0
    assert result.points["held_twice"].tolist()[1] > 0
    panel = drawn(lock_holds.draw, [result], 1)[0]
    assert "lock 2;" in panel.get_title(loc="left")
    assert spans(panel, lock_holds.TWICE)
    assert "held twice" in legend(panel)
    assert "1 of 2 INVALID" in words(panel)


def test_what_a_loss_costs_is_between_its_cross_and_the_next_grant(lossy):
    panel = drawn(lock_holds.draw, [lossy], 1)[0]
    holds = lossy.locks(0)["holds"]
    loss = holds[holds["end"] == "died"].iloc[0]
    following = holds[holds["after"] == loss.name].iloc[0]
    width = (following["granted_ns"] - loss["released_ns"]) / 1e9
    withheld = spans(panel, lock_holds.WITHHELD["facecolor"])
    assert any(end - start == pytest.approx(width, abs=1e-4) for _, start, end in withheld)
    assert any("lock-delay" in label for label in legend(panel))


def test_latencies_of_locks_are_those_of_the_table(cell):
    assert [name for name, _ in lock_latency.panels([cell])] == ["acquire_uncontended", "acquire_contended", "hand_off"]
    panels = drawn(lock_latency.draw, [cell], 3)
    for panel, (name, _) in zip(panels, lock_latency.PANELS, strict=True):
        medians = {value for line in panel.get_lines() if line.get_marker() in ("s", "^") for value in line.get_ydata()}
        assert set(cell.points[f"{name}_p50_ns"] / 1e6) <= medians


def test_waits_are_by_client_with_jains_index(cell):
    panel = drawn(lock_fairness.draw, [cell], 1)[0]
    line = next(line for line in panel.get_lines() if line.get_label() == "raft")
    holds = cell.locks(0)["holds"]
    first, last = cell.records[0].window_ns
    counted = holds[(holds["granted_ns"] >= first) & (holds["granted_ns"] < last)]
    waits = (counted["granted_ns"] - counted["asked_ns"]).groupby(counted["client"]).mean() / 1e6
    assert line.get_ydata().tolist() == pytest.approx(sorted(waits))
    row = cell.points.loc[0]
    assert f"raft: {row['jain_waits']:.3f}, {row['jain_grants']:.3f}" in panel.get_title(loc="left")


def test_a_figure_of_the_first_trial_says_so_and_names_no_other_seed(tmp_path):
    trials = [lock_trial(seed=seed, trial=place) for place, seed in enumerate((7, 8, 9, 10))]
    result = stored(tmp_path / "four", trials)
    titles = [plots.compose([result], kind, "cell").get_suptitle() for kind in ("lock-fairness", "lock-latency")]
    assert [" ".join(title.split()) for title in titles] == [
        "cell: 3 replicas, simulation, seed 7, the first of 4 trials", "cell: 3 replicas, simulation, seeds 7 to 10",
    ]  # fmt: skip


def test_keep_alives_stand_beside_those_of_the_paper(cell):
    panels = drawn(lock_keepalives.draw, [cell], 2)
    for panel, (column, _) in zip(panels, lock_keepalives.PANELS, strict=True):
        heights = {round(patch.get_height(), 9) for patch in panel.patches if isinstance(patch, Rectangle)}
        assert {round(value, 9) for value in cell.points.groupby("engine")[column].mean()} <= heights
    assert sum("Burrows 2006" in label for label in legend(panels[-1])) == 2


def test_figures_of_locks_are_drawn_of_locks_only(cell, lossy, tmp_path):
    plain = stored(tmp_path / "plain", [key_value_trial()])
    of_locks = {kind for kind in plots.KINDS if kind.startswith("lock-")}
    assert set(plots.fitting([plain])) == set(plots.KINDS) - of_locks
    assert set(plots.fitting([cell])) == set(plots.KINDS)
    assert set(plots.fitting([lossy])) == set(plots.KINDS) - {"lock-failover"}
    with pytest.raises(ValueError, match="nothing of a fail-over of a lock service"):
        plots.render([lossy], "lock-failover", tmp_path)
