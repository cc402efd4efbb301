"""What goes wrong on the command line is said with its place and a remedy, before anything is run; what can be done is done."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.metrics.trial import Trial
from tests.bench.test_cli import LAN, Driver, Screen, driver, interrupt_third, screen  # noqa: F401  (fixtures)
from tests.bench.trials import synthetic_trial

pytestmark = pytest.mark.once

REMEDIES = [
    (["run"], "`replbench run --help`"),
    (["explore", "any"], "`replbench explore --help`"),
    (["run", "lan-3", "--trace"], "did you mean `replbench replay --trace` or"),
    (["run", "lan-3", "--colour", "3"], "`replbench run --help`"),
    (["rnu"], 'did you mean "run"?'),
    (["run", "lan-3", "--seed", "x"], "give one that is, such as 1"),
    (["run", "lan-3", "--trials", "0"], "from 1 to 1000"),
    (["run", "lan-3", "--world", "simulatoin"], 'did you mean "simulation"?'),
    (["plot", "made", "--kind", "timelin"], 'did you mean "timeline"?'),
    (["check", "file", "--model", "mutx"], 'did you mean "mutex"?'),
    (["check", "nofile", "--model", "mutex"], "history-0.jsonl.gz of a result"),
    (["maelstrom", "--engine", "raff"], 'did you mean "raft"?'),
    (["micro", "core"], 'replbench: micro: there is no group "core"; did you mean "cores"?'),
    (["plot", "."], "such as made"),
    (["plot", "made/points.csv"], "give the folder made"),
    (["show", "made/points.csv"], "or the folder made"),
    (["replay", "file"], "neither a result, which is a folder, nor a scenario"),
    (["run", "lan-3", "--out", "file/sub"], "file is a file; name another folder"),
    (["run", "lan-3", "--out", "/proc/none/sub"], "name another folder"),
    (["explore", "any", "--seeds", "0", "--out", "file/sub"], "--no-shrink"),
    (["replay", "lan-3", "--plot", "none/x"], "none is no folder; make it"),
    (["replay", "lan-3", "--plot", "x.gif"], "end it in .svg or .png"),
]


@pytest.mark.parametrize(("arguments", "remedy"), REMEDIES, ids=[" ".join(arguments) for arguments, _ in REMEDIES])
def test_wrong_input_is_one_line_with_a_remedy_and_nothing_is_run(
    screen: Screen, driver: Driver, arguments: list[str], remedy: str  # noqa: F811
) -> None:
    def never(*_: Any) -> Trial:
        raise AssertionError("it was run")

    Path("made").mkdir()
    for name in ("file", "made/result.json", "made/points.csv"):
        Path(name).touch()
    before = sorted(Path().rglob("*"))
    driver(never)
    assert screen(*arguments) == 2
    assert screen.err.count("\n") == 1
    assert screen.err.startswith("replbench: ")
    assert remedy in screen.err
    assert sorted(Path().rglob("*")) == before


def test_what_a_result_was_kept_without_is_named_and_the_rest_is_drawn(screen: Screen, driver: Driver) -> None:  # noqa: F811
    assert screen(*LAN, "--engine", "raft", "--out", "made") == 0
    Path("made/latencies.npz").unlink()
    assert screen("plot", "made", "--out", "all") == 0
    assert {path.stem for path in Path("all").iterdir()} == {"latency-throughput", "costs"}
    assert screen.err.count("\n") == 1
    assert "cdf (latencies.npz), timeline (latencies.npz); `replbench run` makes another" in screen.err
    assert screen("plot", "made", "--kind", "cdf") == 2
    assert "made/latencies.npz was left out of this result, or lost; `replbench run lan-3` makes another" in screen.err
    Path("made/latencies.npz").write_bytes(b"torn")
    assert screen("plot", "made", "--out", "again") == 2
    assert "is damaged" in screen.err


def test_after_ctrl_c_it_is_said_how_what_is_finished_is_drawn(screen: Screen, driver: Driver) -> None:  # noqa: F811
    driver(interrupt_third(KeyboardInterrupt))
    assert screen(*LAN[:-1], "--out", "made") == 130
    assert "finished points are kept, and `replbench plot made` draws their figures" in screen.err


def test_one_of_a_thing_is_said_as_one(screen: Screen) -> None:  # noqa: F811
    Path("history").write_text('{"client":1,"op":"acquire","key":"1","arg":null,"ret":null,"call_ns":1,"return_ns":2,"ok":true}\n')
    assert screen("check", "history", "--model", "mutex") == 0
    assert "1 operation on 1 key, " in screen.out


def test_comparing_ends_with_where_the_second_is_worse(screen: Screen, driver: Driver) -> None:  # noqa: F811
    assert screen(*LAN, "--engine", "raft", "--out", "before") == 0

    assert screen("compare", "before", "before") == 0
    assert screen.out.rstrip().endswith("; worse in none of them")
    driver(lambda _, engine, *rest: synthetic_trial(engine, 2000, capacity=3000, seed=rest[1]))
    assert screen(*LAN, "--engine", "raft", "--out", "after") == 0
    assert screen("compare", "before", "after") == 1
    assert re.search(r"; worse in \d+ of \d+: raft latency_\w+_ms \(\d+\.\d\d times\), ", screen.out.splitlines()[-1])


def test_a_replayed_trial_of_locks_has_the_same_history_and_the_same_last_lines(screen: Screen) -> None:  # noqa: F811
    """The real driver, with a fail-over of the master."""
    small = ["--set", "warmup=200ms", "--set", "duration=2s", "--set", "cooldown=0s", "--set", "locks.master_lease=100ms"]
    small += ["--set", 'timeouts.election=["100ms", "200ms"]', "--set", "timeouts.heartbeat=20ms"]
    small += ["--set", 'faults=[{at="400ms", for="200ms", crash="leader"}]', "--set", "workload.arrivals.clients=4"]
    run = ["run", "lock-failover", *small, "--engine", "raft", "--trials", "2", "--jobs", "1", "--no-plots"]
    assert screen(*run, "--out", "made") == 0
    assert screen("replay", "made", "--point", "1") == 0
    assert "the same as recorded" in screen.err
    (last,) = [line for line in screen.out.splitlines() if "the lock service was gone for" in line]
    assert last.startswith("raft: ")
    history = Path("made/history-1.jsonl.gz")
    lines = gzip.decompress(history.read_bytes()).splitlines()
    history.write_bytes(gzip.compress(b"\n".join([*lines[:-2], lines[-1], lines[-2]]) + b"\n"))
    assert screen("replay", "made", "--point", "1") == 1
    assert "different: history-1.jsonl.gz" in screen.err


def test_a_result_without_points_has_nothing_to_replay(screen: Screen, driver: Driver) -> None:  # noqa: F811
    """No run leaves one, but whoever edits a result may."""
    assert screen(*LAN, "--out", "made") == 0
    document = json.loads(Path("made/result.json").read_bytes())
    Path("made/result.json").write_text(json.dumps(document | {"points": []}))
    Path("made/points.csv").write_text(Path("made/points.csv").read_text().splitlines()[0] + "\n")
    assert screen("replay", "made") == 2
    assert screen.err == "replbench: made has no points; name a result that has some\n"
