"""Notebooks run from top to bottom, from wherever they are started, and define nothing."""

import ast
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from bench.metrics.result import ResultWriter, write_point
from bench.scenario import Costs
from bench.scenario.fields import write_table
from tests.bench.trials import synthetic_trial

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What each reads where nothing else is named, and how many figures it makes of the small result here.
REFERENCES = {
    "01-latency-throughput": ("quick-reference", 4 * 2),  # kinds, scenarios
    "02-simulation-and-reality": ("both-reference", 2),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A small result for each notebook."""
    folder = tmp_path_factory.mktemp("results")
    return {"01-latency-throughput": suite(folder / "suite"), "02-simulation-and-reality": both(folder / "both")}


def both(target):
    """Two engines at two points, predicted and measured."""
    costs = Costs(name="here", about="a machine", cores=2)
    trials = [
        synthetic_trial(engine, rate, capacity=capacity, seconds=0.4, world=world)
        for engine in ("raft", "zab")
        for rate in (1000, 9000)
        for world, capacity in (("simulation", 10_000), ("processes", 8_000))
    ]
    with ResultWriter(target, "both", {"both": {"costs": write_table(costs)}}) as writer:
        for index, trial in enumerate(trials):
            writer.add(write_point(writer.folder, index, trial, "both"))
        writer.finish()
    return target


def suite(target):
    """Two scenarios, one of them a sweep."""
    trials = [
        ("lan", synthetic_trial(engine, rate, seconds=0.4))
        for engine in ("raft", "zab")
        for rate in (1000, 9000)
    ]
    trials += [("wan", synthetic_trial("raft", 2000, seconds=0.4, axes={}))]
    with ResultWriter(target, "suite", {"lan": {}, "wan": {}}) as writer:
        for index, (scenario, trial) in enumerate(trials):
            writer.add(write_point(writer.folder, index, trial, scenario))
        writer.finish()
    return target


def executed(notebook, folder, monkeypatch, tmp_path, result=None):
    """The notebook after a run that was started in ``folder``, with a home of its own."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("REPLBENCH_RESULT", str(result)) if result else monkeypatch.delenv(
        "REPLBENCH_RESULT", False
    )
    document = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        document, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    return client.execute(env=dict(os.environ))


def figures(document):
    return [
        output
        for cell in document.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == list(REFERENCES)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_reproduces_the_figures_of_any_result(notebook, results, monkeypatch, tmp_path):
    document = executed(notebook, ROOT, monkeypatch, tmp_path, results[notebook.stem])
    assert len(figures(document)) == REFERENCES[notebook.stem][1]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_reads_the_reference_result_from_its_own_folder(notebook, monkeypatch, tmp_path):
    reference = ROOT / "results" / REFERENCES[notebook.stem][0]
    if not reference.exists():
        pytest.skip(f"there is no {reference}")
    assert figures(executed(notebook, ROOT / "notebooks", monkeypatch, tmp_path))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_defines_no_function_and_carries_no_output(notebook):
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            plain = "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))
            defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
            assert not [node for node in ast.walk(ast.parse(plain)) if isinstance(node, defined)]
