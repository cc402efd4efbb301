"""Prints what pyproject.toml asks for, to build, to run and to develop: one requirement a line."""
import tomllib
from pathlib import Path

table = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
wanted = [*table["build-system"]["requires"], *table["project"]["dependencies"]]
for group in table["project"]["optional-dependencies"].values():
    wanted += group
print("\n".join(wanted))
