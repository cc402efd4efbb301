"""Figures: what is drawn is what was measured, nothing is clipped, the same result gives the same bytes."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench import plots
from bench.metrics.result import ResultWriter, load, write_point
from bench.metrics.sweep import unequal_fairness
from bench.metrics.trial import FaultRecord
from bench.plots import cdf, costs, latency_throughput, style, timeline
from tests.bench.trials import SECOND_NS, synthetic_trial

pytestmark = pytest.mark.once

ENGINES = {"paxos": 11_000, "raft": 10_000, "zab": 8000, "unreplicated": 20_000}
RATE = "workload.arrivals.rate"


def said_below(figure):
    """The notes under a figure, but for the one that says how this very test runs."""
    return [line for line in figure.get_supxlabel().splitlines() if line != "The cores ran as pure Python."]


def stored(target, trials, scenarios=("lan",)):
    """A result of (scenario, trial) pairs, or of trials of one scenario."""
    pairs = [trial if isinstance(trial, tuple) else (scenarios[0], trial) for trial in trials]
    with ResultWriter(target, target.name, {name: {} for name in scenarios}) as writer:
        for index, (scenario, trial) in enumerate(pairs):
            writer.add(write_point(writer.folder, index, trial, scenario))
        writer.finish()
    return load(target)


def trial(engine="raft", rate=2000, **changed):
    changed.setdefault("seconds", 0.6)
    return synthetic_trial(engine, rate, capacity=ENGINES[engine], **changed)


def drawn(draw, results, count):
    figure = Figure(figsize=(12, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(np.atleast_1d(figure.subplots(1, count)))
    draw(results, axes)
    figure.canvas.draw()
    return axes


def words(axes):
    return [text.get_text() for text in axes.texts]


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    rates = (1000, 4000, 7000, 9000, 12_000)
    trials = [trial(engine, rate) for engine in ENGINES for rate in rates]
    return stored(tmp_path_factory.mktemp("plots") / "sweep", trials)


@pytest.fixture(scope="module")
def crash(tmp_path_factory):
    fault = FaultRecord(
        kind="crash",
        target="replica 0",
        injected_ns=SECOND_NS,
        healed_ns=2 * SECOND_NS,
        witness="w",
        heal_witness="h",
    )
    leaders = [(0, 0, 1), (SECOND_NS * 3 // 2, 1, 2)]
    run = trial(
        seconds=3.0, silent_ns=(SECOND_NS, SECOND_NS * 3 // 2), faults=[fault], leaders=leaders, axes={}
    )
    return stored(tmp_path_factory.mktemp("plots") / "crash", [run])


def test_latency_is_drawn_against_the_throughput_that_was_achieved(sweep):
    median, tail = drawn(latency_throughput.draw, [sweep], 2)
    for panel, column in ((median, "latency_p50_ns"), (tail, "latency_p99_ns")):
        points = {tuple(line.get_xydata()[0]) for line in panel.get_lines() if len(line.get_xydata()) == 1}
        rows = sweep.points.dropna(subset=[column])
        expected = {(row["throughput_ops_per_s"], row[column] / 1e6) for _, row in rows.iterrows()}
        assert expected <= points
    assert "ms" in median.get_ylabel()
    assert "ops/s" in median.get_xlabel()
    assert legend(tail)[:4] == list(ENGINES)


def test_an_engine_looks_the_same_in_every_figure(sweep, crash):
    colours = {label: look.color for label, look, _, _ in style.at([sweep], ((RATE, 1000),))}
    assert len(set(colours.values())) == len(ENGINES)
    assert colours["raft"] == style.at([crash], ())[0][1].color == style.look("raft").color
    assert style.look("some engine of tomorrow") == style.look("some engine of tomorrow")


def test_an_invalid_point_is_hollow_under_a_watermark(tmp_path):
    result = stored(tmp_path / "wrong", [trial(rate=1000), trial(rate=3000, violations=["two leaders"])])
    panel = drawn(latency_throughput.draw, [result], 2)[0]
    markers = {
        line.get_ydata()[0]: line.get_markerfacecolor()
        for line in panel.get_lines()
        if line.get_marker() == style.look("raft").marker and len(line.get_ydata()) == 1
    }
    latency = result.points["latency_p50_ns"] / 1e6
    assert (markers[latency[0]], markers[latency[1]]) == (style.look("raft").color, "none")
    assert "1 of 2 INVALID" in words(panel)
    for draw, count in ((cdf.draw, 2), (timeline.draw, 2), (costs.draw, 3)):
        panels = drawn(draw, [result], count)
        assert any("INVALID" in said for panel in panels for said in words(panel)), draw


def test_a_valid_result_has_no_watermark(sweep, crash):
    for draw, result, count in (
        (latency_throughput.draw, sweep, 2),
        (cdf.draw, crash, 1),
        (timeline.draw, crash, 2),
    ):
        assert not any("INVALID" in said for panel in drawn(draw, [result], count) for said in words(panel))


def test_a_suspect_point_is_half_filled(tmp_path):
    result = stored(tmp_path / "thin", [trial(rate=500)])
    assert result.points["verdict"].tolist() == ["suspect"]
    panels = drawn(latency_throughput.draw, [result], 2)
    assert "left" in {line.get_fillstyle() for line in panels[0].get_lines()}
    assert "suspect" in legend(panels[1])
    assert "n/a: too few operations" in words(panels[1])
    assert "suspect: raft" in drawn(cdf.draw, [result], 1)[0].get_title(loc="left")


def test_the_cdf_reaches_every_percentile_at_its_latency(sweep):
    panel = drawn(cdf.draw, [sweep], 1)[0]
    middle = style.chosen([sweep], 1)[0]
    rows = sweep.points[sweep.points[RATE] == dict(middle)[RATE]]
    lines = {line.get_label(): line.get_xydata() for line in panel.get_lines()}
    for _, row in rows.iterrows():
        latency, depth = lines[row["engine"]].T
        # Depth 10 is the 90th percentile.
        assert np.interp(10, depth, latency) == pytest.approx(row["latency_p90_ns"] / 1e6, rel=0.02)
    labels = [tick.get_text() for tick in panel.get_yticklabels()]
    assert labels[:5] == ["0 %", "50 %", "75 %", "90 %", "99 %"]


def test_the_timeline_shows_the_outage_the_fault_and_the_new_leader(crash):
    upper, lower = drawn(timeline.draw, [crash], 2)
    seconds, rate = next(line for line in upper.get_lines() if line.get_label() == "raft").get_xydata().T
    assert (rate[(seconds > 1.05) & (seconds < 1.45)] == 0).all()
    assert rate[(seconds > 0.2) & (seconds < 0.9)].mean() == pytest.approx(2000, rel=0.1)
    _, median = lower.get_lines()[0].get_xydata().T
    assert np.nanmax(median) == pytest.approx(500, rel=0.1)
    bands = [patch for patch in upper.patches if isinstance(patch, Rectangle)]
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in bands]
    assert (1.0, 2.0) in spans
    assert words(lower) == ["crash replica 0"]
    triangles = next(line for line in upper.get_lines() if line.get_marker() == "v")
    assert triangles.get_xdata().tolist() == [0, 1.5]


def test_costs_are_bars_of_the_table(sweep):
    panels = drawn(costs.draw, [sweep], 3)
    assert {panel.get_xlabel() for panel in panels} == {"workload.arrivals.rate (ops/s)"}
    for panel, (column, _) in zip(panels, costs.PANELS, strict=True):
        heights = sorted(patch.get_height() for patch in panel.patches if patch.get_height())
        assert heights == pytest.approx(sorted(sweep.points[column]))


def test_costs_of_processes_have_a_panel_for_processor_time(tmp_path):
    counts = trial().counts | {"cpu_ns": 7_000_000}
    result = stored(tmp_path / "real", [trial(counts=counts)])
    assert plots.KINDS["costs"].panels([result]) == (1, 4)
    panel = drawn(costs.draw, [result], 4)[3]
    assert [patch.get_height() for patch in panel.patches if patch.get_height()] == [7_000_000 / counts["commits"]]


def test_points_that_differ_in_more_than_load_are_separate_curves(tmp_path):
    axes = [{"batching.max_commands": batch, RATE: rate} for batch in (1, 64) for rate in (2000, 1000)]
    result = stored(tmp_path / "two", [trial(axes=each, rate=each[RATE]) for each in axes])
    found = style.curves([result])
    assert [curve.label for curve in found] == ["raft, max_commands = 1", "raft, max_commands = 64"]
    assert [curve.points[RATE].tolist() for curve in found] == [[1000, 2000], [1000, 2000]]
    assert len({str(curve.look.linestyle) for curve in found}) == 2


def test_repeated_trials_share_a_curve(tmp_path):
    trials = [trial(rate=rate, seed=seed, trial=seed) for rate in (1000, 2000) for seed in range(3)]
    result = stored(tmp_path / "repeated", trials)
    panel = drawn(latency_throughput.draw, [result], 2)[0]
    lines = [line.get_xydata() for line in panel.get_lines() if len(line.get_xydata()) > 1]
    assert len(lines) == 1
    # The curve goes through the middle trial of each rate.
    for rate, point in zip((1000, 2000), lines[0], strict=True):
        medians = result.points.loc[result.points[RATE] == rate, "latency_p50_ns"] / 1e6
        assert point[1] == medians.median()


def test_two_results_are_told_apart_by_their_folders(tmp_path):
    before, after = stored(tmp_path / "before", [trial()]), stored(tmp_path / "after", [trial(seed=2)])
    panels = drawn(latency_throughput.draw, [before, after], 2)
    assert legend(panels[1])[:2] == ["raft (before)", "raft (after)"]


def test_unequal_fairness_is_printed_under_the_figure(tmp_path):
    """DESIGN 7.6."""
    fairness = {
        "durability": "none",
        "batching": 64,
        "reply_point": "applied",
        "clients": 16,
        "options": {"x": 1},
    }
    result = stored(tmp_path / "unfair", [trial(), trial("zab", fairness=fairness)])
    figure = plots.compose([result], "costs", "lan")
    assert said_below(figure) == ["Not equal: durability: raft fsync, zab none."]


@pytest.mark.parametrize("kind", plots.KINDS)
def test_a_figure_is_the_same_bytes_again(kind, crash, tmp_path):
    once, again = (plots.render([crash], kind, tmp_path / folder) for folder in ("once", "again"))
    assert [path.name for path in once] == [f"{kind}.svg", f"{kind}.png"]
    assert [path.read_bytes() for path in once] == [path.read_bytes() for path in again]


@pytest.mark.parametrize("kind", plots.KINDS)
def test_nothing_is_clipped(kind, sweep, crash):
    for result in (sweep, crash):
        figure = plots.compose([result], kind, "lan")
        figure.canvas.draw()
        everything = figure.get_tightbbox()
        assert everything.x0 > 0
        assert everything.y0 > 0
        assert everything.x1 < figure.get_figwidth()
        assert everything.y1 < figure.get_figheight()


def test_a_suite_gives_a_figure_for_each_scenario(tmp_path):
    pairs = [("lan", trial()), ("wan", trial(seed=2))]
    result = stored(tmp_path / "suite", pairs, ("lan", "wan"))
    made = plots.render([result], "cdf", tmp_path / "out")
    assert [path.name for path in made] == ["cdf-lan.svg", "cdf-lan.png", "cdf-wan.svg", "cdf-wan.png"]
    one = plots.render([result], "cdf", tmp_path / "figure.pdf")
    assert [path.name for path in one] == ["figure-lan.pdf", "figure-wan.pdf"]


def test_what_cannot_be_drawn_is_refused(crash, tmp_path):
    with pytest.raises(ValueError, match="unknown kind"):
        plots.render([crash], "pie", tmp_path)
    with pytest.raises(ValueError, match="ends in"):
        plots.render([crash], "cdf", tmp_path / "figure.doc")
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_single_operation_is_drawn_empty(tmp_path):
    empty = trial(rate=1, seconds=0.5)
    assert len(empty.operations) == 0
    result = stored(tmp_path / "empty", [empty])
    for kind in plots.KINDS:
        assert plots.render([result], kind, tmp_path / "out")


def test_each_engine_has_its_own_victim(tmp_path):
    runs = [
        trial(engine, axes={}, faults=[FaultRecord(kind="crash", target=target, injected_ns=SECOND_NS // 5)])
        for engine, target in (("paxos", "replica 3"), ("raft", "replica 3"), ("zab", "replica 4"))
    ]
    lower = drawn(timeline.draw, [stored(tmp_path / "victims", runs)], 2)[1]
    assert words(lower)[-1] == "crash (paxos, raft: replica 3; zab: replica 4)"


def test_a_fault_is_named_where_nothing_is_drawn(crash):
    lower = drawn(timeline.draw, [crash], 2)[1]
    named = lower.texts[0].get_window_extent()
    assert named.y0 >= lower.get_window_extent().y1


def test_faults_at_one_time_are_named_in_rows(tmp_path):
    faults = [
        FaultRecord(kind="partition", target=f"replica {each}", injected_ns=SECOND_NS // 2)
        for each in range(3)
    ]
    lower = drawn(timeline.draw, [stored(tmp_path / "many", [trial(axes={}, faults=faults)])], 2)[1]
    named = sorted(text.get_window_extent().y0 for text in lower.texts if "partition" in text.get_text())
    assert len(named) == 3
    assert min(np.diff(named)) > 5


def test_the_legend_explains_what_is_no_line_of_an_engine(sweep, crash):
    said = legend(drawn(timeline.draw, [crash], 2)[-1])
    assert said[1:] == [
        "latency: median", "latency: slowest", "a replica begins to lead",
        "warm-up, cool-down:\nnot measured", "fault",
    ]  # fmt: skip
    assert any("too few" in label for label in legend(drawn(cdf.draw, [sweep], 1)[0]))


def test_triangles_stand_whole_inside_the_panel(crash):
    upper = drawn(timeline.draw, [crash], 2)[0]
    triangles = next(line for line in upper.get_lines() if line.get_marker() == "v")
    inside, drawn_at = upper.get_window_extent(), triangles.get_window_extent()
    assert inside.x0 < drawn_at.x0
    assert drawn_at.y1 < inside.y1


def test_results_that_differ_are_captioned_and_compared_though_their_sweeps_differ(tmp_path):
    fairness = {"durability": "fsync", "timeouts": {"request": "0.25s", "heartbeat": "0.2s"}}
    slower = fairness | {"timeouts": {"request": "1s", "heartbeat": "0.2s"}}
    engines = ("raft", "zab")
    three = stored(tmp_path / "three", [trial(each, 1000, fairness=fairness) for each in engines])
    five = stored(tmp_path / "five", [trial(each, 2000, fairness=slower, replicas=5) for each in engines])
    figure = plots.compose([three, five], "latency-throughput", "lan")
    assert figure.get_suptitle() == "lan: 3 replicas (three) and 5 replicas (five), simulation, seed 1"
    assert said_below(figure) == ["Not equal: timeouts.request: three 0.25s, five 1s."]


def test_what_a_sweep_changes_is_not_called_unequal(tmp_path):
    runs = [
        trial(engine, axes={"batching.max_commands": batch}, fairness={"batching": {"max_commands": batch}})
        for engine in ("raft", "zab")
        for batch in (1, 64)
    ]
    assert unequal_fairness([stored(tmp_path / "swept", runs)]) == []


def test_panels_of_a_figure_have_one_kind_of_axis(sweep):
    panels = drawn(cdf.draw, [sweep], 3)
    assert {panel.get_xscale() for panel in panels} == {"log"}
    assert panels[0].get_title(loc="left").startswith("rate = 1,000 ops/s")


@pytest.mark.parametrize("values", [(2.0, 3.0), (1.7, 1752.0), (150.0, 237.0), (0.9, 12.0), (3.0, 90_000.0)])
def test_an_axis_of_latencies_has_labels_around_all_values(values):
    panel = Figure().subplots()
    style.milliseconds(panel.yaxis, values, logarithmic=style.wide(values))
    bottom, top = panel.get_ylim()
    labels = [tick for tick in panel.get_yticks() if bottom <= tick <= top * 1.0001]
    assert min(labels) <= values[0]
    assert max(labels) >= values[1]
    assert panel.get_yscale() == ("log" if values[1] >= 10 * values[0] else "linear")
    assert bottom == 0 or panel.get_yscale() == "log"
