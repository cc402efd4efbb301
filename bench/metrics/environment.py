"""Where a result was made: interpreter, machine, packages, code, and the state of the build."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ext import build

PACKAGES = ("cython", "matplotlib", "msgspec", "numpy", "pandas", "scipy", "uvloop")


def describe() -> dict[str, Any]:
    """The same on every call on one machine with one checkout: no clock, no names of users or hosts.

    ``commit`` and ``dirty`` (tracked files differ from the commit, results apart) are None outside a git
    checkout of the project.
    """
    commit = _git("rev-parse", "HEAD") if _git("rev-parse", "--show-toplevel") == str(build.ROOT) else None
    changed = None if commit is None else _git("status", "--porcelain", "--untracked-files=no", "--", ":!results")
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": commit,
        "dirty": None if commit is None else changed != "",
        "compiled": build.compiled(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """What git says of the project's folder, None where it says nothing."""
    try:
        done = subprocess.run(
            ["git", "-C", str(build.ROOT), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
