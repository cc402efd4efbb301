"""The micro-benchmarks run, all of them, so that none rots; what they measure is nobody's promise."""
import json
import subprocess
import sys

import pytest

from bench import micro
from bench.micro import checker, cores

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
