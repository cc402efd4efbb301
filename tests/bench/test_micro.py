"""The micro-benchmarks run, all of them, so that none rots; what they measure is nobody's promise."""
import json
import subprocess
import sys

import pytest

from bench import micro
from bench.driver.trials import TrialRun
from bench.metrics.recorder import CHUNK
from bench.micro import checker, cores, simulation

CASES = cores.cases()
CHECKER = checker.cases()


@pytest.mark.parametrize("case", [*CASES, *CHECKER], ids=lambda case: case.title)
def test_every_case_runs(case):
    assert case.seconds(1) > 0


def test_every_bar_names_a_case():
    titles = {(case.operation, case.rival) for case in CASES}
    assert len(titles) == len(CASES)
    assert {(bar.operation, bar.rival) for bar in cores.BARS} <= titles
    rivals = {(case.operation, case.rival) for case in CHECKER}
    assert {(bar.operation, bar.rival) for bar in checker.BARS} <= rivals


def test_an_unknown_group_is_refused(capsys):
    assert micro.main(["corse"]) == 2
    assert "cores" in capsys.readouterr().err


def test_a_worker_process_measures_the_case_it_is_asked_for(tmp_path):
    """What pyperf starts, however the command itself was started."""
    found = tmp_path / "found.json"
    worker = ["cores", "--smoke", "--worker", "--worker-task=3", "-o", str(found)]
    subprocess.run([sys.executable, "-m", "bench.micro", *worker], check=True, stdout=subprocess.PIPE)
    [benchmark] = json.loads(found.read_text())["benchmarks"]
    metadata = json.loads(found.read_text())["metadata"] | benchmark.get("metadata", {})
    assert metadata["name"] == CASES[3].title


def test_the_table_marks_what_was_wanted(capsys):
    ours, rival = [case for case in CASES if case.operation == cores.BARS[0].operation][:2]
    slow = [micro.Measured(ours, 10.0, 1.0), micro.Measured(rival, 20.0, 1.0)]
    fast = [micro.Measured(ours, 10.0, 1.0), micro.Measured(rival, 200.0, 1.0)]
    bar = micro.Bar(ours.operation, rival.rival, 10)
    assert micro._report(slow, [bar]) == 1
    assert "2.0   wanted 10: MISSED" in capsys.readouterr().out
    assert micro._report(fast, [bar]) == 0
    assert "20.0   wanted 10: met" in capsys.readouterr().out


def test_the_simulator_takes_turns_with_simpy():
    scenario = simulation.steady_state("raft", 0.02, warmup_s=0.02)
    rate, ratio = simulation.against_simpy(scenario, turns=2, rounds=10)
    assert rate > 0
    assert ratio > 0


def test_the_simulator_is_measured_interpreted_in_a_process_of_its_own():
    assert simulation.interpreted_rate("zab", 0.01) > 0


def test_the_same_simulation_is_measured_at_any_size():
    """More replicas send more messages for a command, in the window and not before it."""
    counted = {}
    for replicas in (3, 9):
        run = TrialRun(simulation.steady_state("paxos", 0.05, replicas, warmup_s=0.05), "paxos", 1)
        run.perform()
        counts = run.trial({}, 0).counts
        counted[replicas] = counts["messages"] / counts["commits"]
    assert counted[3] == pytest.approx(2 * 2, rel=0.1)
    assert counted[9] == pytest.approx(2 * 8, rel=0.1)


def test_an_operation_takes_the_recorder_64_bytes():
    assert round(simulation.recorded_bytes(CHUNK * 50)) <= simulation.RECORDED_BYTES


def test_a_missed_ratio_is_said(capsys):
    assert simulation._line("a", 1.0, 0.9, 100.0) == 1
    assert simulation._line("b", 1.0, 1.1, 7.0) == 1
    assert capsys.readouterr().out.count("MISSED") == 2
    assert simulation._line("c", 1.0, 1.1, 9.0) == 0
    assert "met" in capsys.readouterr().out


def test_the_simulation_takes_no_options_of_pyperf(capsys):
    assert micro.main(["simulation", "--fast"]) == 2
    assert "--smoke" in capsys.readouterr().err
