"""Notebooks run from top to bottom, from wherever they are started, and define nothing."""

import ast
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from bench.metrics.result import ResultWriter, write_point
from tests.bench.trials import synthetic_trial

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REFERENCE = ROOT / "results" / "quick-reference"


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A small result of two scenarios, one of them a sweep."""
    target = tmp_path_factory.mktemp("results") / "suite"
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
    assert [path.name for path in NOTEBOOKS] == ["01-latency-throughput.ipynb"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_reproduces_the_figures_of_any_result(notebook, suite, monkeypatch, tmp_path):
    document = executed(notebook, ROOT, monkeypatch, tmp_path, suite)
    assert len(figures(document)) == 4 * 2  # kinds, scenarios


@pytest.mark.skipif(not REFERENCE.exists(), reason="there is no reference result")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_reads_the_reference_result_from_its_own_folder(notebook, monkeypatch, tmp_path):
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
