"""The command line, as a person meets it: help, lists, runs with a synthetic driver, wrong input, Ctrl-C."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.cli import call
from bench.cli.commands import replbench
from bench.cli.plot import KINDS as PLOTS
from bench.cli.run import Task, _suspects, fresh_folder, in_turns, tasks_of
from bench.cli.tables import MEASURES, print_points
from bench.metrics.trial import Trial
from bench.scenario import ENGINES, Scenario, load_suite, scenario_names
from tests.bench.trials import lock_trial, synthetic_trial

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
VERBS = (
    *("list", "run", "plot", "show", "compare", "replay", "explore", "check"),
    *("serve", "calibrate", "micro", "maelstrom"),
)
LAN = ["run", "lan-3", "--set", "duration=2s", "--set", "workload.arrivals.rate=2000", "--jobs", "1", "--no-plots"]


class Screen:
    """What a call printed, and its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> int:
        code = call(arguments)
        captured = self.capsys.readouterr()
        self.out, self.err = captured.out, captured.err
        return code


@pytest.fixture
def screen(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.chdir(tmp_path)
    return Screen(capsys)


Driver = Callable[[Callable[..., Trial]], None]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Replaces the driver by a function; the default one gives a valid trial."""

    def use(run_trial: Callable[..., Trial]) -> None:
        module = types.ModuleType("bench.driver.trials")
        module.run_trial = run_trial  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "bench.driver.trials", module)

    use(synthetic)
    return use


def synthetic(scenario: Scenario, engine: str, axes: dict[str, Any], seed: int, trial: int) -> Trial:
    rate = scenario.workload.arrivals.rate_per_s
    return synthetic_trial(engine, rate, seed=seed, axes=axes, trial=trial, replicas=scenario.replicas)


def test_each_verb_explains_itself_with_examples(screen: Screen) -> None:
    assert sorted(replbench.commands) == sorted(VERBS)
    for verb in VERBS:
        assert screen(verb, "--help") == 0
        assert f"replbench {verb}" in screen.out.partition("Usage")[2].partition("\n")[2], verb


def test_help_and_refusals_come_before_anything_heavy_is_imported() -> None:
    """What keeps it under 0.3 s: the time itself depends on the machine, the imports do not."""
    program = (
        "import sys; from bench.cli import call; call(['--help']); call(['run', '--help']);"
        "call(['plot', '.', '--kind', 'nonsense']); call(['replay', '.', '--trace', '--from', '3']);"
        "print(sorted({'numpy', 'pandas', 'matplotlib', 'scipy', 'rich', "
        "'asyncio', 'engines'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"


def test_list_names_what_can_be_run(screen: Screen) -> None:
    assert screen("list") == 0
    for name in (*ENGINES, *scenario_names(), "aws-2020", "ycsb-f"):
        assert name in screen.out
    assert screen("list", "engines", "--json") == 0
    assert set(json.loads(screen.out)["engines"]) == set(ENGINES)


def test_the_names_of_the_plots_are_those_of_the_plots() -> None:
    from bench.plots import KINDS

    assert set(PLOTS) == set(KINDS)


def test_a_run_ends_with_a_table_and_the_path_of_the_result(screen: Screen, driver: Driver) -> None:
    assert screen(*LAN, "--out", "made") == 0
    lines = screen.out.rstrip().splitlines()
    assert lines[-1] == "made"
    for engine in ("paxos", "raft", "zab", "unreplicated"):
        assert any(engine in line for line in lines)
    assert screen.err == "" or "pure Python" in screen.err
    document = json.loads(Path("made/result.json").read_bytes())
    assert document["incomplete"] is False
    assert document["scenarios"]["lan-3"]["workload"]["arrivals"]["rate"] == 2000
    assert not list(Path().glob(".made*"))


def test_without_out_a_fresh_folder_is_made_under_results_local(screen: Screen, driver: Driver) -> None:
    assert screen(*LAN, "--quiet", "--engine", "raft") == 0
    first = screen.out.strip()
    assert screen(*LAN, "--quiet", "--engine", "raft") == 0
    second = screen.out.strip()
    assert first != second
    assert Path(first).parent == Path("results/local") == Path(second).parent
    assert {Path(first), Path(second)} == set(Path("results/local").iterdir())


def test_a_fresh_folder_is_not_one_in_the_making(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "20240601-101500")
    assert fresh_folder("lan-3") == Path("results/local/lan-3-20240601-101500")
    Path("results/local/.lan-3-20240601-101500.abc").mkdir(parents=True)
    assert fresh_folder("lan-3") == Path("results/local/lan-3-20240601-101500-2")


def test_json_is_json_and_holds_the_path(screen: Screen, driver: Driver) -> None:
    assert screen(*LAN, "--json", "--engine", "raft,zab", "--trials", "2", "--out", "made") == 0
    printed = json.loads(screen.out)
    assert printed["result"] == "made"
    assert [(row["engine"], row["trial"], row["seed"]) for row in printed["points"]] == [
        ("raft", 0, 1), ("raft", 1, 2), ("zab", 0, 1), ("zab", 1, 2),
    ]  # fmt: skip


def test_nothing_is_overwritten(screen: Screen, driver: Driver) -> None:
    Path("made").mkdir()
    assert screen(*LAN, "--out", "made") == 2
    assert screen.err.count("\n") == 1
    assert "made" in screen.err
    assert list(Path("made").iterdir()) == []


def test_an_invalid_point_exits_3_and_says_why(screen: Screen, driver: Driver) -> None:
    def broken(*arguments: Any) -> Trial:
        return msgspec.structs.replace(synthetic(*arguments), violations=["agreement: position 7 differs"])

    driver(broken)
    assert screen(*LAN, "--engine", "raft", "--out", "made") == 3
    assert "position 7 differs" in screen.err
    assert screen.out.rstrip().endswith("made")


def interrupt_third(error: type[BaseException]) -> Callable[..., Trial]:
    calls: list[str] = []

    def run_trial(*arguments: Any) -> Trial:
        calls.append(arguments[1])
        if len(calls) == 3:
            raise error("the third")
        return synthetic(*arguments)

    return run_trial


def test_ctrl_c_keeps_what_is_finished_and_marks_it_incomplete(screen: Screen, driver: Driver) -> None:
    driver(interrupt_third(KeyboardInterrupt))
    assert screen(*LAN, "--out", "made") == 130
    document = json.loads(Path("made/result.json").read_bytes())
    assert document["incomplete"] is True
    assert [point["engine"] for point in document["points"]] == ["paxos", "raft"]
    assert [path.name for path in Path().iterdir()] == ["made"]
    assert screen.out.rstrip().endswith("made")
    assert screen("show", "made") == 0
    assert "incomplete" in screen.out


def test_ctrl_c_before_anything_is_finished_leaves_nothing(screen: Screen, driver: Driver) -> None:
    def interrupted(*_: Any) -> Trial:
        raise KeyboardInterrupt

    driver(interrupted)
    assert screen(*LAN, "--out", "made") == 130
    assert screen.err.splitlines()[0] == "replbench: interrupted; nothing was finished, and nothing written"
    assert "kept" not in screen.err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("place", ["bench.cli.commands", "click"])
def test_ctrl_c_while_importing_is_one_quiet_line(place: str) -> None:
    program = (
        "import sys, builtins; before = builtins.__import__\n"
        "def pressed(name, *rest, **more):\n"
        f"    if name == {place!r} or {place!r} == 'bench.cli.commands' and (rest[2:3] or [()])[0] == ('commands',):\n"
        "        raise KeyboardInterrupt\n"
        "    return before(name, *rest, **more)\n"
        "builtins.__import__ = pressed\n"
        "from bench.cli import main; main(['list'])"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "replbench: interrupted\n")


def test_ctrl_c_in_any_verb_is_one_quiet_line(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.cli.show.load_suite", pressed)
    assert screen("show", "lan-3") == 130
    assert (screen.out, screen.err) == ("", "replbench: interrupted\n")


COMMAND = [sys.executable, "-c", "from bench.cli import main; main()"]


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["show", "lan-3"], ["show", "lan-3", "--json"]])
def test_output_that_nobody_takes_is_no_error_and_a_full_device_is_one_line(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([*COMMAND, *arguments], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*COMMAND, *arguments], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count(b"\n") == 1
    assert b"No space left on device" in ended.stderr


def test_a_run_says_first_what_of_its_scenario_is_seldom_meant(screen: Screen, driver: Driver) -> None:
    driver(interrupt_third(ValueError))
    slow = {
        "network.bandwidth": "10Mbit/s", "workload.keys.count": "100", "workload.value_size": "64KiB", "raft.pre_vote": "false",
        "faults": '[{at = "1s", for = "1s", crash = 0}]',
    }  # fmt: skip
    settings = [part for key, value in slow.items() for part in ("--set", f"{key}={value}")]
    screen(*LAN, *settings, "--quiet", "--out", "made")
    assert screen.err.splitlines()[0].startswith("replbench: lan-3: a state of all keys takes 5.24 s at network.bandwidth")


def test_an_error_of_the_program_is_one_line_and_keeps_what_is_finished(
    screen: Screen, driver: Driver
) -> None:
    driver(interrupt_third(AssertionError))
    assert screen(*LAN, "--out", "made") == 3
    assert "zab" in screen.err
    assert "AssertionError: the third" in screen.err
    assert "Traceback" not in screen.err
    assert json.loads(Path("made/result.json").read_bytes())["incomplete"] is True


def test_what_an_engine_refuses_is_bad_input_and_nothing_is_written(screen: Screen, driver: Driver) -> None:
    driver(interrupt_third(ValueError))
    assert screen(*LAN, "--out", "made") == 2
    assert screen.err.count("\n") == 1
    assert list(Path().iterdir()) == []


WRONG = [
    (["rn"], "run"),
    (["run"], "SCENARIO"),
    (["run", "quikc"], 'did you mean "quick"?'),
    (["run", "lan-3", "--engine", "rafft"], 'did you mean "raft"?'),
    (["run", "lan-3", "--engine", "raft,raft"], "twice"),
    (["run", "lan-3", "--world", "reality"], "world"),
    (["run", "lan-3", "--seed", "-1"], "seed"),
    (["run", "lan-3", "--set", "duraton=1s"], 'did you mean "duration"?'),
    (["run", "lan-3", "--engine", "zab", "--set", "network.transport=datagram"], "FIFO"),
    (["run", "lan-3", "--jobs", "0"], "jobs"),
    (["run", "empty.toml"], "empty"),
    (["show", "lan-33"], 'did you mean "lan-3"?'),
    (["show", "nosuch"], "no folder nosuch of a result"),
    (["replay", "nosuch"], "no folder nosuch of a result"),
    (["run", "lan-3", "--out", ""], "empty"),
    (["plot", "a", "--out", ""], "empty"),
    (["plot", "a", "--kind", "cdf", "--out", "foo.gif"], "end it in .svg, .png, .pdf"),
    (["show", "."], "result.json"),
    (["plot", "nowhere"], "nowhere"),
    (["plot", "a", "--kind", "pie"], "pie"),
    (["plot", "a", "--out", "one.svg"], "one.svg"),
    (["compare", "nowhere", "nowhere"], "nowhere"),
    (["replay", "lan-3", "--point", "999"], "--point"),
    (["replay", ".", "--explored", "raft:3"], "leave --seed"),
    (["replay", "lan-3", "--explored", "raft"], "raft:17"),
    (["replay", "lan-3", "--explored", "unreplicated:3"], "raft:17"),
    (["replay", "lan-3", "--from", "1s"], "add --trace"),
    (["replay", "lan-3", "--trace", "--from", "soon"], "--from"),
    (["replay", "lan-3", "--trace", "--from", "2s", "--to", "1s"], "later"),
    (["explore", "any", "--seeds", "7:3"], "0:1000"),
    (["explore", "any", "--seeds", "x"], "0:1000"),
    (["explore", "nosuch", "--seeds", "1"], "nosuch"),
    (["explore", "quick", "--seeds", "1"], "suite"),
    (["explore", "any", "--seeds", "1", "--engine", "unreplicated"], "raft, paxos, zab"),
    (["explore", "any", "--seeds", "1", "--set", "replicas=1"], "replicas"),
    (["explore", "any", "--seeds", "1", "--set", "duration=1s"], "no phase of faults"),
    (["explore", "any", "--seeds", "1", "--set", "sweep.seed=[1, 2]"], "sweep"),
    (["replay", ".", "--seed", "3"], "leave --seed"),
    (["list", "engine"], "engines"),
]


@pytest.mark.parametrize(("arguments", "named"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_wrong_input_is_one_line_and_exit_2(screen: Screen, arguments: list[str], named: str) -> None:
    Path("empty.toml").touch()
    assert screen(*arguments) == 2
    assert screen.err.count("\n") == 1
    assert screen.err.startswith("replbench: ")
    assert named in screen.err
    assert screen.out == ""
    assert [path.name for path in Path().iterdir()] == ["empty.toml"]


def test_show_prints_a_scenario_that_can_be_run(screen: Screen) -> None:
    assert screen("show", "wan-5", "--set", "replicas=5", "--set", "seed=3") == 0
    Path("mine.toml").write_text(screen.out)
    shown = load_suite("mine.toml").parts[0]
    assert shown == load_suite("wan-5", seed=3).parts[0]
    assert screen("show", "quick", "--json") == 0
    assert set(json.loads(screen.out)) == {"quick-lan", "quick-wan"}


def test_show_tells_of_a_result_what_its_run_told(screen: Screen, driver: Driver) -> None:
    assert screen(*LAN, "--out", "made") == 0
    table = screen.out.rsplit("\n", 2)[0].strip()
    assert screen("show", "made") == 0
    assert table.splitlines()[-1].strip() in screen.out
    assert "compiled" in screen.out
    assert screen("show", "made", "--json") == 0
    assert len(json.loads(screen.out)["points"]) == 4


def test_replay_of_a_result_finds_it_the_same_or_says_what_is_not(screen: Screen, driver: Driver) -> None:
    assert screen(*LAN, "--out", "made") == 0
    assert screen("replay", "made", "--point", "1") == 0
    assert "the same as recorded" in screen.err
    assert "raft" in screen.out
    assert "--point names another" not in screen.err
    assert screen("replay", "made") == 0
    assert screen.err.startswith("replbench: made has 4 points, and this is point 0; --point names another\n")
    driver(lambda scenario, engine, axes, seed, trial: synthetic(scenario, engine, axes, seed + 1, trial))
    assert screen("replay", "made", "--point", "1") == 1
    assert "different: seed was 1, and is 2" in screen.err
    driver(synthetic)
    assert screen("replay", "lan-3", "--seed", "5", "--json") == 0
    assert json.loads(screen.out)["seed"] == 5


def test_plot_draws_into_the_result_or_elsewhere(screen: Screen, driver: Driver) -> None:
    assert screen(*LAN, "--out", "made", "--plots") == 0
    assert {path.name for path in Path("made/plots").iterdir()} == {
        f"{kind}.{form}" for kind in PLOTS if not kind.startswith("lock-") for form in ("svg", "png")
    }
    assert screen("plot", "made", "--kind", "cdf", "--out", "one.svg") == 0
    assert screen.out.strip() == "one.svg"
    assert Path("one.svg").read_text().startswith("<?xml")


def test_processes_run_engines_by_turns():
    """A machine that changes in the course of a run favours no engine."""
    settings = ['sweep={"workload.arrivals.rate"=[100, 200]}']
    tasks = tasks_of(load_suite("lan-3", settings, trials=2, engine=("raft", "zab"), world="processes"), Path("made"))
    turns = [(task.trial, task.axes["workload.arrivals.rate"], task.engine) for task in in_turns(tasks)]
    assert turns == [
        (trial, rate, engine) for trial in (0, 1) for rate in (100, 200) for engine in ("raft", "zab")
    ]


def test_tasks_are_numbered_by_part_engine_point_and_trial() -> None:
    tasks = tasks_of(load_suite("quick", trials=2), Path("made"))
    assert [task.index for task in tasks] == list(range(len(tasks)))
    order = [(task.part, task.engine, list(task.axes.values()), task.trial) for task in tasks]
    assert order[:3] == [
        ("quick-lan", "paxos", [1500], 0),
        ("quick-lan", "paxos", [1500], 1),
        ("quick-lan", "paxos", [4000], 0),
    ]  # fmt: skip
    assert {task.seed - task.trial for task in tasks} == {1}
    assert all(isinstance(task, Task) and task.weight > 0 for task in tasks)


def test_however_many_workers_the_result_is_the_same_bytes(screen: Screen) -> None:
    """The real driver: points are stored in their order, whichever was done first."""
    small = ["--set", "duration=300ms", "--set", "sweep.seed=[1,2]", "--set", "workload.arrivals.rate=500"]
    for jobs in ("1", "2"):
        assert (
            screen("run", "lan-3", "--engine", "zab,raft", *small, "--jobs", jobs, "--out", jobs, "--quiet", "--no-plots")
            == 0
        )
    files = sorted(path.name for path in Path("1").iterdir() if path.is_file())
    assert files == sorted(path.name for path in Path("2").iterdir() if path.is_file())
    assert "points.csv" in files
    for name in files:
        assert Path("1", name).read_bytes() == Path("2", name).read_bytes(), name


def test_a_replay_with_the_real_driver_is_the_same_and_can_be_traced(screen: Screen) -> None:
    small = ["--set", "duration=300ms", "--set", "workload.arrivals.rate=500", "--engine", "raft", "--quiet"]
    assert screen("run", "lan-3", *small, "--out", "made", "--no-plots") == 0
    assert screen("replay", "made") == 0
    assert "the same as recorded" in screen.err
    assert screen("replay", "made", "--trace") == 0
    assert any(" receive " in line and "AppendEntries(" in line for line in screen.out.splitlines())


def test_compare_says_what_is_worse_and_what_is_identical(screen: Screen, driver: Driver) -> None:
    """Against itself it is identical; against a server of half the speed, latency is higher: the answer is no."""
    assert screen(*LAN, "--engine", "raft", "--out", "before") == 0

    def slower(_: Scenario, engine: str, *rest: Any) -> Trial:
        return synthetic_trial(engine, 2000, capacity=3000, seed=rest[1])

    driver(slower)
    assert screen(*LAN, "--engine", "raft", "--out", "after") == 0
    assert screen("compare", "before", "before") == 0
    assert screen.out.splitlines()[-1].startswith("B is: 0 higher, 0 lower, 0 cannot tell, ")
    assert "in both: 1 point; in one only: none\n" in screen.out
    assert "other seeds" not in screen.out
    assert screen(*LAN, "--engine", "raft,zab", "--out", "more") == 0
    assert screen("compare", "more", "before") == 0
    assert "in both: 1 point; in one only: 1\nnot compared: lan-3: zab at rate = 2,000 ops/s is only in more\n" in screen.out
    assert screen("compare", "before", "after") == 1
    assert "other seeds may differ by more" in screen.out
    assert "0 higher" not in screen.out.splitlines()[-1]
    assert "latency_p50_ms" in screen.out
    assert "_ns" not in screen.out
    assert screen("compare", "after", "before", "--json") == 0
    assert {ratio["says"] for ratio in json.loads(screen.out)["ratios"]} >= {"lower"}


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_results_with_nothing_in_common_are_one_line_and_exit_2(
    screen: Screen, driver: Driver, form: list[str]
) -> None:
    both = ["run", "lan-3", "--jobs", "1", "--no-plots", "--engine", "raft", "--set", "duration=2s"]
    for name, rates in (("slow", [1000, 1500]), ("fast", [2000, 2500])):
        assert screen(*both, "--set", f'sweep={{"workload.arrivals.rate"={rates}}}', "--out", name) == 0
    assert screen("compare", "slow", "fast", *form) == 2
    assert screen.out == ""
    assert screen.err.count("\n") == 1
    assert "lan-3: raft at rate = 1,000 ops/s is only in slow" in screen.err


def test_the_table_numbers_the_points_and_says_which_are_suspect_and_where_figures_are(
    screen: Screen, driver: Driver
) -> None:
    def overloaded(_: Scenario, engine: str, *rest: Any) -> Trial:
        return synthetic_trial(engine, 2000, capacity=1000, seed=rest[1], axes=rest[0])

    driver(overloaded)
    assert screen(*LAN, "--engine", "raft,zab", "--out", "made", "--plots") == 0
    lines = screen.out.rstrip().splitlines()
    assert lines[-2:] == ["figures: made/plots", "made"]
    assert [line.split()[:2] for line in lines if "suspect" in line] == [["0", "raft"], ["1", "zab"]]
    grew = [line for line in screen.err.splitlines() if "a queue grew" in line]
    assert len(grew) == 1
    assert grew[0].startswith("suspect: 2 points, one of them: ")
    assert "`replbench show made`" in grew[0]
    assert screen("show", "made") == 0
    assert [line.split()[:2] for line in screen.out.splitlines() if line.rstrip().endswith("suspect")] == [
        ["0", "raft"],
        ["1", "zab"],
    ]


def test_a_point_with_several_reasons_of_a_kind_is_one_point() -> None:
    reasons = [f"The host of replica {id} was not ours" for id in range(3)]
    rows: Any = [types.SimpleNamespace(point=types.SimpleNamespace(verdict="suspect", reasons=reasons)) for _ in range(2)]
    assert _suspects(rows) == ["2 points, one of them: The host of replica 0 was not ours"]


@pytest.mark.parametrize("verb", ["show", "replay"])
def test_usage_names_all_that_a_verb_takes(screen: Screen, verb: str) -> None:
    assert screen(verb, "--help") == 0
    assert "RESULT|SCENARIO" in screen.out.splitlines()[0]


class FullError(OSError):
    """What a full disk says."""

    def __init__(self) -> None:
        super().__init__(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("refuses", ["bench.metrics.history.write", "numpy.savez", "zipfile.ZipFile._write_end_record"])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    screen: Screen, driver: Driver, monkeypatch: pytest.MonkeyPatch, refuses: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise FullError

    with monkeypatch.context() as patched:
        patched.setattr(refuses, refuse)
        assert screen(*LAN, "--engine", "raft", "--out", "made") == 2
    assert screen.err.count("\n") == 1
    assert "No space left on device" in screen.err
    assert "--out" in screen.err
    assert list(Path().iterdir()) == []


def test_a_figure_without_room_leaves_no_file(
    screen: Screen, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Any, path: Path, **__: Any) -> None:
        Path(path).touch()
        raise FullError

    assert screen(*LAN, "--engine", "raft", "--out", "made") == 0
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", refuse)
    for arguments in (["--kind", "cdf", "--out", "one.svg"], ["--out", "figures"]):
        assert screen("plot", "made", *arguments) == 2
        assert screen.err.count("\n") == 1
        assert "No space left on device" in screen.err
        assert [path.name for path in Path().iterdir()] == ["made"]
    assert screen(*LAN, "--engine", "raft", "--out", "second", "--plots") == 2
    assert "no figures" in screen.err
    assert screen.out.rstrip().endswith("second")


@pytest.mark.parametrize(
    ("column", "written"), [("sent", "xyz"), ("latency_p50_ns", "xyz"), ("ok", ""), ("verdict", ""), ("point", "x")]
)
@pytest.mark.parametrize("verb", ["show", "plot", "compare", "replay"])
def test_a_damaged_cell_is_named(screen: Screen, driver: Driver, verb: str, column: str, written: str) -> None:
    assert screen(*LAN, "--engine", "raft,zab", "--out", "made") == 0
    table = [line.split(",") for line in Path("made/points.csv").read_text().splitlines()]
    table[2][table[0].index(column)] = written
    Path("made/points.csv").write_text("".join(",".join(row) + "\n" for row in table))
    assert screen(verb, "made", *(["made"] if verb == "compare" else [])) == 2
    assert screen.err.count("\n") == 1
    for named in ("made/points.csv", "line 3", f"column {column} "):
        assert named in screen.err


def test_a_run_of_locks_ends_with_how_long_the_service_was_gone(screen: Screen, driver: Driver) -> None:
    def failing(_: Scenario, engine: str, *rest: Any) -> Trial:
        return lock_trial(engine, seed=rest[1], trial=rest[2])

    driver(failing)
    run = ("run", "lock-failover", "--engine", "raft,zab", "--trials", "2", "--jobs", "1", "--no-plots")
    assert screen(*run, "--out", "made") == 0
    *_, raft, zab, path = screen.out.rstrip().splitlines()
    for engine, line in (("raft", raft), ("zab", zab)):
        assert line.startswith(f"{engine}: the lock service was gone for 4.0")
        assert "median of 2 fail-overs" in line
        assert "no lock was held twice; writes of stale holders rejected: 0" in line
    assert path == "made"
    assert screen("show", "made") == 0
    assert {raft, zab} <= set(screen.out.splitlines())
    assert screen(*run, "--out", "second", "--json") == 0
    assert [outage["failovers"] for outage in json.loads(screen.out)["failovers"]] == [2, 2]


def test_a_table_is_in_parts_where_there_is_no_room_and_each_names_its_points(
    capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"point": place, "engine": engine, "verdict": "valid"} for place, engine in enumerate(("raft", "zab"))]
    rows = [row | {column: 1234567.0 for column, _ in MEASURES.values()} for row in rows]
    print_points(rows, [])
    whole = capsys.readouterr().out
    print_points(rows, [], room=60)
    parts = capsys.readouterr().out
    assert max(map(len, parts.splitlines())) <= 60 < max(map(len, whole.splitlines()))
    assert whole.count(" raft ") == 1
    assert parts.count(" raft ") == parts.count(" 0 ") == parts.count(" zab ") > 1
    assert parts.count("valid") == whole.count("valid") == 2
    assert sorted(word for word in parts.split() if "1234" in word.replace(",", "")) == sorted(
        word for word in whole.split() if "1234" in word.replace(",", "")
    )
    print_points(rows, [], room=1)
    assert capsys.readouterr().out.count(" raft ") == len(MEASURES), "one column each"


def test_a_figure_that_a_result_holds_nothing_of_is_refused_in_a_line(screen: Screen, driver: Driver) -> None:
    assert screen(*LAN, "--engine", "raft", "--out", "made") == 0
    assert screen("plot", "made", "--kind", "lock-holds") == 2
    assert screen.err.count("\n") == 1
    assert "made holds nothing of a lock service" in screen.err
