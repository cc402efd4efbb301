"""Which modules are compiled, whether the build is fresh, and the switch that runs the pure sources instead.

A module is compiled when a ``.pxd`` stands beside its ``.py``. An extension shadows the ``.py`` beside it, so a build
that is older than its source would silently run yesterday's code: importing a stale extension raises ``StaleBuildError``.
``REPLBENCH_PURE=1`` runs the same sources interpreted.
"""
from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ext", "engines", "bench")
STAMP = ROOT / "build" / "stamp.json"


class StaleBuildError(ImportError):
    """An extension was built from another source than the one beside it."""


def sources() -> dict[str, Path]:
    """Module name -> source path (relative to the project root) of every compiled module."""
    found = {}
    for package in PACKAGES:
        for contract in sorted((ROOT / package).rglob("*.pxd")):
            for suffix in (".py", ".pyx"):
                source = contract.with_suffix(suffix)
                if source.exists() and source.stem != "__init__":
                    relative = source.relative_to(ROOT)
                    found[".".join(relative.with_suffix("").parts)] = relative
    return found


def _fingerprints() -> dict[str, str]:
    """Of each compiled module: its source and every contract, because a changed contract moves the fields of others."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.pxd"))
    contracts = b"".join(path.read_bytes() for path in paths)
    return {
        module: hashlib.sha256((ROOT / path).read_bytes() + contracts).hexdigest() for module, path in sources().items()
    }


def write_stamp() -> None:
    """Record the sources that the extensions were just built from; called by setup.py."""
    STAMP.parent.mkdir(exist_ok=True)
    STAMP.write_text(json.dumps(_fingerprints(), indent=1))


def fresh() -> bool:
    """Whether the extensions were built from the sources that are here now."""
    return STAMP.exists() and bool(json.loads(STAMP.read_text()) == _fingerprints())


def pure() -> bool:
    """True where this interpreter was asked to run the pure sources."""
    return os.environ.get("REPLBENCH_PURE", "") not in ("", "0")


def compiled() -> bool:
    """True where the cores that this interpreter runs are compiled."""
    log = sys.modules.get("ext.log") or importlib.import_module("ext.log")
    return not str(log.__file__).endswith(".py")


def interpreted(module: str) -> ModuleType:
    """The source of a compiled module, interpreted under another name, for tests and benchmarks."""
    name = f"interpreted.{module}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / sources()[module])
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the project's compiled modules: their sources when pure, their extensions only when fresh."""

    def __init__(self) -> None:
        self.sources = sources()
        self.fingerprints = _fingerprints()
        self.stamp: dict[str, str] = json.loads(STAMP.read_text()) if STAMP.exists() else {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        source = self.sources.get(name)
        if source is None:
            return None
        if pure():
            return importlib.util.spec_from_file_location(name, ROOT / source)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and not str(spec.origin).endswith(".py") and self.stamp.get(name) != self.fingerprints[name]:
            raise StaleBuildError(f"{source} is newer than its compiled extension: run `make build`")
        return spec


def install() -> None:
    """Put the finder first, once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
