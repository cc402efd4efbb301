"""Style and structure that are held by a test, not by memory: DESIGN section 1 and the house's limits."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ext", "engines", "bench")
TOP_LEVEL = {
    *("bench", "docs", "engines", "ext", "notebooks", "results", "tests"),
    *("README.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    "docs",
    *("Makefile", "setup.py", "pyproject.toml", "constraints.txt", ".ci", ".gitignore"),
}
FILE_LINES = 620
FUNCTION_LINES = 70

# Whom each part may import beside itself.
MODELS = {"distributions", "scenario", "workloads", "metrics", "checkers"}
MAY_IMPORT = {
    "ext": set(),
    "engines": {"ext"},
    "bench": {"ext", "engines"},
    "bench.distributions": set(),
    "bench.scenario": {"distributions"},
    "bench.workloads": MODELS,
    "bench.metrics": MODELS,
    "bench.checkers": MODELS,
    "bench.driver": MODELS,
    "bench.plots": MODELS,
    "bench.micro": {*MODELS, "driver"},
    "bench.exploration": {*MODELS, "driver"},
    "bench.calibration": {*MODELS, "driver"},
    "bench.cli": {*MODELS, "driver", "plots", "micro", "calibration", "exploration"},
}
# An engine is told the time and given its dice: nothing here can ask for either, or reach a socket or a disk.
ENGINES_MAY_IMPORT = {
    *("__future__", "collections", "collections.abc", "enum", "functools", "heapq", "itertools"),
    *("operator", "struct", "typing", "cython", "msgspec"),
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def sources(*folders: str) -> list[Path]:
    """The Python files below these folders of the project."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """The line and module of every import: of ``from a import b``, ``a.b`` where that is a module here."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield node.lineno, inner if inner in modules() else str(node.module)


@cache
def modules() -> frozenset[str]:
    return frozenset(module_of(path) for path in sources(*PACKAGES))


def ours(module: str) -> bool:
    return module.startswith(tuple(f"{package}." for package in PACKAGES)) or module in PACKAGES


def complaints(found: Iterator[str]) -> None:
    listed = list(found)
    assert not listed, "\n".join(["", *listed])


def test_packages_import_one_way() -> None:
    def wrong() -> Iterator[str]:
        for path in sources(*PACKAGES):
            package = module_of(path).split(".")[0]
            for line, name in imported(path):
                target = name.split(".")[0]
                if target in (*PACKAGES, "tests") and target != package and target not in MAY_IMPORT[package]:
                    yield f"{path}:{line}: {package} imports {name}"

    complaints(wrong())


def test_parts_of_bench_import_one_way() -> None:
    def wrong() -> Iterator[str]:
        for path in sources("bench"):
            part = ".".join(module_of(path).split(".")[:2])
            if part == "bench":
                continue
            for line, name in imported(path):
                target = name.split(".")[1] if name.startswith("bench.") else part.split(".")[1]
                if target != part.split(".")[1] and target not in MAY_IMPORT[part]:
                    yield f"{path}:{line}: {part} imports {name}"

    complaints(wrong())


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        module_of(path): {name for _, name in imported(path) if name in modules() and name != module_of(path)}
        for path in sources(*PACKAGES)
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_engines_ask_nobody() -> None:
    def wrong() -> Iterator[str]:
        for path in sources("engines"):
            for line, name in imported(path):
                if not ours(name) and name not in ENGINES_MAY_IMPORT:
                    yield f"{path}:{line}: an engine imports {name}"
            for node in ast.walk(tree(path)):
                called = (
                    node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
                )
                if called in ("open", "input", "exec", "eval", "__import__", "hash", "id"):
                    yield f"{path}:{node.lineno}: an engine calls {called}"

    complaints(wrong())


def test_importing_the_engines_loads_nothing_that_could_answer_them() -> None:
    """What the sources say, seen from outside: nothing that they import brings in a socket either."""
    names = [name for name in sorted(modules()) if name.startswith("engines.")]
    code = (
        f"import sys, importlib; before = set(sys.modules); [importlib.import_module(n) for n in {names}];"
        "print(sorted({'asyncio', 'socket', 'numpy', 'bench'} & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_functions_fit_a_screen() -> None:
    def wrong() -> Iterator[str]:
        for path in sources(*PACKAGES, "tests"):
            for node in ast.walk(tree(path)):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > FUNCTION_LINES:
                        yield f"{path}:{node.lineno}: {node.name} has {lines} lines"

    complaints(wrong())


def test_files_are_short() -> None:
    def wrong() -> Iterator[str]:
        for suffix in ("*.py", "*.pyx", "*.pxd"):
            for folder in (*PACKAGES, "tests"):
                for path in sorted((ROOT / folder).rglob(suffix)):
                    lines = len(path.read_text().splitlines())
                    if lines > FILE_LINES:
                        yield f"{path} has {lines} lines"

    complaints(wrong())


def test_every_contract_has_a_source() -> None:
    def wrong() -> Iterator[str]:
        for folder in PACKAGES:
            for contract in sorted((ROOT / folder).rglob("*.pxd")):
                sources = [contract.with_suffix(suffix) for suffix in (".py", ".pyx")]
                if contract.stem == "fields":  # declares to C the fields of the messages.py beside it
                    sources.append(contract.with_name("messages.py"))
                if not any(source.exists() for source in sources):
                    yield f"{contract} declares a module that is not there"

    complaints(wrong())


def test_contracts_declare_every_attribute() -> None:
    """What a class of a contract assigns to itself and does not declare fails only when that line runs compiled."""

    def wrong() -> Iterator[str]:
        contracts = [contract for folder in PACKAGES for contract in (ROOT / folder).rglob("*.pxd")]
        declared = set(re.findall(r"\w+", "".join(contract.read_text() for contract in contracts)))
        for contract in sorted(contracts):
            source, classes = contract.with_suffix(".py"), re.findall(r"cdef class (\w+)", contract.read_text())
            for node in ast.walk(tree(source)) if source.exists() else ():
                if isinstance(node, ast.ClassDef) and node.name in classes:
                    for name in sorted(assigned(node) - declared):
                        yield f"{contract}: class {node.name} lacks {name}"

    complaints(wrong())


def assigned(owner: ast.ClassDef) -> set[str]:
    """The names that a class's methods assign to ``self``."""
    return {
        node.attr
        for node in ast.walk(owner)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def test_only_the_command_line_prints() -> None:
    def wrong() -> Iterator[str]:
        for path in sources(*PACKAGES):
            if module_of(path).startswith(("bench.cli", "bench.micro")):
                continue
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                    yield f"{path}:{node.lineno}: prints"

    complaints(wrong())


def test_modules_messages_and_records_say_what_they_are() -> None:
    def wrong() -> Iterator[str]:
        for path in sources(*PACKAGES):
            if not ast.get_docstring(tree(path)):
                yield f"{path}:1: no docstring"
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.ClassDef) and not ast.get_docstring(node):
                    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                    if bases & {"Message", "Record", "Engine"}:
                        yield f"{path}:{node.lineno}: {node.name} has no docstring"

    complaints(wrong())


def test_the_top_level_is_the_agreed_one() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split("/")[0] for line in listed.splitlines()} <= TOP_LEVEL
