"""Prints what pyproject.toml asks for, runtime and development, and what building it asks for: one requirement a line."""
import tomllib
from pathlib import Path

table = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
wanted = [*table["build-system"]["requires"], *table["project"]["dependencies"]]
print("\n".join(wanted + [each for group in table["project"]["optional-dependencies"].values() for each in group]))
