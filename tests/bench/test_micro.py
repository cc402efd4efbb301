"""The micro-benchmarks run, all of them, so that none rots; what they measure is nobody's promise."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import micro
from bench.driver.trials import run_trial
from bench.metrics.recorder import CHUNK
from bench.micro import checker, clients, cores, floor, simulation
from bench.scenario import read_scenario
from bench.scenario.fields import Place

pytestmark = pytest.mark.once

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


BRIEF = {"warmup": "0.02s", "duration": "0.02s"}


def test_both_rates_are_measured_in_a_process_of_their_own():
    rates = simulation.measured(simulation.steady_state("raft", 0.02) | BRIEF)
    assert rates.messages > 0
    assert rates.timeouts > 0


def test_the_simulator_is_measured_interpreted_too():
    assert simulation.measured(simulation.steady_state("zab", 0.02) | BRIEF, pure=True).messages > 0


def test_what_is_measured_are_the_protocols_messages(monkeypatch):
    """A clock that counts its readings, two of them, makes the rate the number of messages in the window."""
    readings = iter(range(10))
    monkeypatch.setattr(simulation.time, "thread_time", lambda: next(readings))
    fields = simulation.steady_state("paxos", 0.1, replicas=5) | {"warmup": "0.1s"}
    messages = simulation.message_rate(fields)
    monkeypatch.undo()
    scenario = read_scenario(fields, Place("test", Path()))
    counts = run_trial(scenario, "paxos").counts
    assert messages == counts["messages"] + counts["heartbeats"]
    assert counts["messages"] == pytest.approx(2 * 4 * counts["commits"], rel=0.05)


def test_the_clients_are_measured_in_processes_of_their_own():
    found = clients.measured(8, 2, 0.1)
    assert found.ops_per_s > 0
    assert found.cpu_ns_per_operation > 0
    assert found.loop_lag_max_ns >= 0


def test_the_floor_of_a_commit_is_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert floor.compare(smoke=True) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert not list(tmp_path.iterdir())


def test_an_operation_takes_the_recorder_64_bytes():
    assert round(simulation.recorded_bytes(CHUNK * 50)) <= simulation.RECORDED_BYTES


def test_a_missed_ratio_is_said(capsys, monkeypatch):
    def rates(messages, timeouts, interpreted):
        found = {False: simulation.Rates(messages, timeouts), True: simulation.Rates(interpreted, timeouts)}
        monkeypatch.setattr(simulation, "measured", lambda _, pure=False: found[pure])

    fields = simulation.steady_state("raft", 1.0)
    rates(messages=9.0, timeouts=10.0, interpreted=1.0)
    assert simulation._against_rivals("slower than SimPy", fields, 1) == 1
    rates(messages=11.0, timeouts=10.0, interpreted=2.0)
    assert simulation._against_rivals("not much faster than interpreted", fields, 1) == 1
    assert capsys.readouterr().out.count("MISSED") == 2
    rates(messages=11.0, timeouts=10.0, interpreted=1.0)
    assert simulation._against_rivals("fast", fields, 1) == 0
    assert simulation._flat("flat", fields, fields, 3) == 0
    assert "MISSED" not in capsys.readouterr().out


def test_the_simulation_takes_no_options_of_pyperf(capsys):
    assert micro.main(["simulation", "--fast"]) == 2
    assert "--smoke" in capsys.readouterr().err
