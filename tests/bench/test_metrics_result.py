"""Results as folders: whole or not there, the same bytes for the same trials, readable by pandas."""

import gzip
import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest

from bench.metrics import history
from bench.metrics.result import ResultError, ResultWriter, load, write_point
from bench.metrics.summary import COLUMNS
from bench.metrics.trial import CAS, FAILED, OK, OPERATION, PENDING, READ, UNKNOWN, WRITE
from tests.bench.trials import synthetic_trial

RATES = (1000, 3000, 12_000)


def written(target, order=(0, 1, 2), incomplete=False):
    with ResultWriter(target, "sweep", {"sweep": {"replicas": 3}}) as writer:
        for index in order:
            writer.add(write_point(writer.folder, index, synthetic_trial(rate=RATES[index]), "sweep"))
        writer.finish(incomplete)
    return target


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("results") / "sweep")


def test_a_result_has_the_published_files(folder):
    """DESIGN 6."""
    assert sorted(path.name for path in folder.iterdir()) == [
        "history-0.jsonl.gz", "history-1.jsonl.gz", "history-2.jsonl.gz",
        "latencies.npz", "plots", "points.csv", "result.json",
    ]  # fmt: skip
    assert [path.name for path in folder.parent.iterdir()] == ["sweep"]


def test_the_same_trials_give_the_same_bytes_in_whatever_order_they_came(folder, tmp_path):
    again = written(tmp_path / "again", order=(2, 0, 1))
    assert contents(again) == contents(folder)


def test_no_file_says_when_it_was_written(folder):
    packed = (folder / "history-0.jsonl.gz").read_bytes()
    assert packed[4:8] == bytes(4)  # RFC 1952: the modification time, 0 for none
    with zipfile.ZipFile(folder / "latencies.npz") as samples:
        assert {member.date_time for member in samples.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_points_are_a_row_each_with_the_axes_last(folder):
    header = (folder / "points.csv").read_text().splitlines()[0].split(",")
    assert header == [*COLUMNS, "scenario", "point", "workload.arrivals.rate"]
    points = load(folder).points
    assert points["workload.arrivals.rate"].tolist() == list(RATES)
    assert points["verdict"].tolist() == ["valid", "valid", "suspect"]
    assert np.isnan(points.loc[0, "latency_p999_ns"])
    assert "n/a" in (folder / "points.csv").read_text()


def test_operations_are_loaded_as_they_were(folder):
    trial = synthetic_trial(rate=RATES[2])
    table = load(folder).operations(2)
    assert table["intended_ns"].tolist() == trial.operations["intended_ns"].tolist()
    done = trial.operations["status"] == OK
    assert (
        table["completed_ns"].tolist() == np.where(done, trial.operations["completed_ns"], PENDING).tolist()
    )
    assert table["kind"].tolist() == [("read", "write", "cas")[kind] for kind in trial.operations["kind"]]
    assert set(table["status"]) <= {"ok", "failed", "unknown"}


def test_latencies_are_those_of_the_row(folder):
    result = load(folder)
    for point in result.points.index:
        latencies = result.latencies(point)
        assert isinstance(latencies, pd.Series)
        assert latencies.is_monotonic_increasing
        assert len(latencies) == result.points.loc[point, "sent"]
        assert latencies.iloc[-1] == result.points.loc[point, "latency_max_ns"]
        # Nearest rank, by pandas.
        wanted = latencies.quantile(0.99, interpolation="higher")
        assert result.points.loc[point, "latency_p99_ns"] == pytest.approx(wanted, rel=0.01)


def test_the_document_travels_with_the_numbers(folder):
    """DESIGN 7.8."""
    result = load(folder)
    assert result.scenario == {"replicas": 3}
    assert {"python", "processor", "packages", "commit", "compiled"} <= set(result.environment)
    assert result.checks[1] == {"agreement": "passed", "linearizability": "not run"}
    assert result.records[1].fairness["durability"] == "fsync"
    assert result.incomplete is False


def test_a_summary_is_small_enough_to_come_from_another_process(tmp_path):
    summary = write_point(tmp_path, 0, synthetic_trial(rate=20_000, capacity=40_000), "sweep")
    packed = pickle.dumps(summary)
    assert pickle.loads(packed) == summary
    assert len(packed) < 4096


def test_an_interrupted_run_keeps_what_it_finished(tmp_path):
    with ResultWriter(tmp_path / "cut", "sweep", {"sweep": {}}) as writer:
        # Point 0 was still running: its worker had written half of its history.
        (writer.folder / "history-0.jsonl.gz").write_bytes(b"half")
        writer.add(write_point(writer.folder, 1, synthetic_trial(), "sweep"))
        writer.finish(incomplete=True)
    result = load(tmp_path / "cut")
    assert result.incomplete
    assert list(result.points.index) == [1]
    assert len(result.latencies(1)) == result.points.loc[1, "sent"]
    assert not (tmp_path / "cut" / "history-0.jsonl.gz").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["cut"]


def test_a_run_that_finished_nothing_leaves_nothing(tmp_path):
    with ResultWriter(tmp_path / "none", "sweep", {"sweep": {}}) as writer:
        assert writer.finish(incomplete=True) is None
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_middle_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), ResultWriter(tmp_path / "half", "sweep", {"sweep": {}}) as writer:
        writer.add(write_point(writer.folder, 0, synthetic_trial(), "sweep"))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(folder, tmp_path):
    before = contents(folder)
    with pytest.raises(ResultError, match="exists already"):
        ResultWriter(folder, "sweep", {})
    with ResultWriter(tmp_path / "raced", "sweep", {"sweep": {}}) as writer:
        writer.add(write_point(writer.folder, 0, synthetic_trial(), "sweep"))
        (tmp_path / "raced").mkdir()
        with pytest.raises(ResultError, match="meanwhile"):
            writer.finish()
    assert list((tmp_path / "raced").iterdir()) == []
    assert contents(folder) == before


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot be made") as caught:
        ResultWriter(tmp_path / "file" / "result", "sweep", {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: (folder / "result.json").unlink(), "has no result.json"),
        (lambda folder: (folder / "result.json").write_text("{"), "result.json is damaged"),
        (lambda folder: (folder / "result.json").write_text('{"version": 1}'), "result.json is damaged"),
        (lambda folder: (folder / "result.json").write_text('{"version": 99}'), "has version 99"),
        (lambda folder: (folder / "points.csv").unlink(), "points.csv is missing"),
        (lambda folder: (folder / "points.csv").write_text(""), "points.csv is missing or damaged"),
        (lambda folder: (folder / "points.csv").write_text("point\n0\n"), "points.csv is damaged"),
        (lambda folder: (folder / "latencies.npz").unlink(), "latencies.npz was left out of this result, or lost"),
        (lambda folder: (folder / "latencies.npz").write_bytes(b"PK"), "latencies.npz is damaged"),
    ],
)
def test_a_damaged_result_is_named_in_one_line(tmp_path, damage, named):
    target = tmp_path / "hurt"
    with ResultWriter(target, "sweep", {"sweep": {}}) as writer:
        writer.add(write_point(writer.folder, 0, synthetic_trial(seconds=0.2), "sweep"))
        writer.finish()
    damage(target)
    with pytest.raises(ResultError, match=named) as caught:
        load(target).latencies(0)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_and_a_missing_point_are_named(folder, tmp_path):
    with pytest.raises(ResultError, match="nowhere is not a result"):
        load(tmp_path / "nowhere")
    with pytest.raises(ResultError, match="has no point 7"):
        load(folder).latencies(7)


def test_a_suite_is_taken_apart_by_scenario(tmp_path):
    with ResultWriter(
        tmp_path / "suite", "suite", {"lan": {"replicas": 3}, "wan": {"replicas": 5}}
    ) as writer:
        for index, scenario in enumerate(("lan", "lan", "wan")):
            writer.add(write_point(writer.folder, index, synthetic_trial(seconds=0.2, seed=index), scenario))
        writer.finish()
    result = load(tmp_path / "suite")
    with pytest.raises(ResultError, match="several scenarios"):
        _ = result.scenario
    lan, wan = result.parts()
    assert (list(lan.points.index), list(wan.points.index)) == ([0, 1], [2])
    assert (lan.scenario, wan.scenario) == ({"replicas": 3}, {"replicas": 5})
    assert wan.latencies(2).tolist() == result.latencies(2).tolist()


def test_a_history_says_what_is_known_of_each_operation(tmp_path):
    rows = [
        # kind, status, value, expected, returned, started, completed
        (WRITE, OK, 5, 0, 0, 10, 20),
        (READ, OK, 0, 0, 5, 30, 40),
        (READ, OK, 0, 0, 0, 31, 41),
        (CAS, OK, 7, 5, 1, 50, 60),
        (CAS, OK, 8, 0, 0, 51, 61),
        (WRITE, FAILED, 9, 0, 0, 70, 80),
        (WRITE, UNKNOWN, 10, 0, 0, 90, PENDING),
        (READ, UNKNOWN, 0, 0, 0, PENDING, PENDING),
        (READ, FAILED, 0, 0, 0, 5, 6),
    ]
    made = np.zeros(len(rows), dtype=OPERATION)
    for field, column in zip(
        ("kind", "status", "value", "expected", "returned", "started_ns", "completed_ns"),
        zip(*rows, strict=True),
        strict=True,
    ):
        made[field] = column
    made["key"], made["client"] = 17, 3
    history.write(tmp_path / "history.gz", made)
    lines = [
        json.loads(line) for line in gzip.decompress((tmp_path / "history.gz").read_bytes()).splitlines()
    ]
    assert {(line["client"], line["key"]) for line in lines} == {(3, "17")}
    assert list(lines[0]) == ["client", "op", "key", "arg", "ret", "call_ns", "return_ns", "ok"]
    said = [tuple(list(line.values())[1:2] + list(line.values())[3:]) for line in lines]
    assert said == [
        ("read", None, None, 5, 6, False),
        ("write", 5, None, 10, 20, True),
        ("read", None, 5, 30, 40, True),
        ("read", None, None, 31, 41, True),
        ("cas", [5, 7], True, 50, 60, True),
        ("cas", [0, 8], False, 51, 61, True),
        ("write", 9, None, 70, 80, False),
        ("write", 10, None, 90, None, None),
    ]


def test_a_long_history_is_written_in_chunks_without_loss(tmp_path):
    trial = synthetic_trial(rate=50_000, capacity=100_000, seconds=1.0)
    history.write(tmp_path / "history.gz", trial.operations)
    lines = gzip.decompress((tmp_path / "history.gz").read_bytes()).splitlines()
    assert len(lines) == len(trial.operations) > 2 * history.CHUNK
    calls = [json.loads(line)["call_ns"] for line in lines]
    assert calls == sorted(trial.operations["started_ns"].tolist())
