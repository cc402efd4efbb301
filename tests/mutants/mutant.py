"""A mutant: a few words of the product's source changed, in a process of its own, before anything has been imported.

The interpreted sources serve (REPLBENCH_PURE=1), so that every method can be changed, and nothing of it is in the product. The
words to be replaced must occur exactly once in the function that is named: a mutant cannot outlive its text.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import msgspec

ROOT = Path(__file__).resolve().parents[2]


class Edit(msgspec.Struct, frozen=True):
    """``old`` becomes ``new`` in the function ``where``, such as "engines.raft.replica:Raft.stand"."""

    where: str
    old: str
    new: str


class Mutant(msgspec.Struct, frozen=True):
    """A bug.

    engine      which engine it is shown on
    wrong       what is wrong, in a sentence
    checks      which checks may be the ones that catch it (see ``hunt.CHECKS``)
    by          who finds it: walks, the schedules of tests/engines and those of tests/simulation in turns where it is empty;
                "simulation" those alone, "locks" those of a lock service, "cell" those of tests/locks; else the module of tests,
                or the one test, that chance need not be asked for
    """

    name: str
    engine: str
    edits: tuple[Edit, ...]
    wrong: str
    checks: tuple[str, ...]
    by: str = ""


def bugs_of(engine: str, prefix: str) -> Callable[..., Mutant]:
    """A maker of mutants of one engine, whose functions are named without the ``prefix``.

    bug(name, function, old, new, wrong, *checks, by="", more=())
    """

    def bug(
        name: str, function: str, old: str, new: str, wrong: str, *checks: str, by: str = "", more: tuple[Edit, ...] = ()
    ) -> Mutant:
        return Mutant(name, engine, (Edit(prefix + function, old, new), *more), wrong, checks, by)

    return bug


def mutated(mutant: Mutant) -> dict[str, str]:
    """Module name -> source with the bug in it. AssertionError where the words are not there exactly once."""
    sources: dict[str, str] = {}
    for edit in mutant.edits:
        module, _, function = edit.where.partition(":")
        source = sources.get(module) or path_of(module).read_text()
        first, last = lines_of(source, function)
        lines = source.splitlines(keepends=True)
        body = "".join(lines[first:last])
        assert body.count(edit.old) == 1, f"{mutant.name}: {edit.old!r} occurs {body.count(edit.old)} times in {edit.where}"
        sources[module] = "".join([*lines[:first], body.replace(edit.old, edit.new), *lines[last:]])
    return sources


def path_of(module: str) -> Path:
    """Where a module's source is."""
    return ROOT / (module.replace(".", "/") + ".py")


def lines_of(source: str, function: str) -> tuple[int, int]:
    """The lines of a function, "Class.method" or "function", as a half-open range from 0."""
    node: ast.AST = ast.parse(source)
    for name in function.split("."):
        [node] = [child for child in ast.iter_child_nodes(node) if getattr(child, "name", None) == name]
    assert isinstance(node, ast.FunctionDef) and node.end_lineno is not None
    return node.lineno - 1, node.end_lineno


class _Loader(importlib.abc.SourceLoader):
    """Loads a source that is not what its file says; nothing is cached, or the product would find it."""

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002
        return str(self.path)

    def get_data(self, path: str | bytes) -> bytes:
        if path != str(self.path):
            raise OSError(f"{path!r} is not kept")
        return self.source.encode()


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, sources: dict[str, str]) -> None:
        self.sources = sources

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self.sources:
            return None
        file = path_of(name)
        return importlib.util.spec_from_loader(name, _Loader(file, self.sources[name]), origin=str(file))


def infect(mutant: Mutant) -> None:
    """From now on the product's modules have the bug, if none of them was imported before."""
    from ext import build

    assert build.pure(), "mutants are of the interpreted sources: set REPLBENCH_PURE=1"
    sources = mutated(mutant)
    assert not sources.keys() & sys.modules.keys(), "too late: the module was imported before"
    sys.meta_path.insert(0, _Finder(sources))
