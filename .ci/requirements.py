"""Prints what pyproject.toml asks for, one requirement a line: to build, run and develop, or with "build" to build alone."""
import itertools
import sys
import tomllib
from pathlib import Path

table = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
wanted = table["build-system"]["requires"]
if "build" not in sys.argv:
    groups = table["project"]["dependencies"], *table["project"]["optional-dependencies"].values()
    wanted = [*wanted, *itertools.chain(*groups)]
print("\n".join(wanted))
