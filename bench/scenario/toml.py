"""TOML in and out: reading a file with errors that name it, writing a scenario with its documentation."""
from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from bench.scenario.fields import Place


def reason(error: Exception) -> str:
    """Why a file cannot be read, without its path."""
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)


def read_toml(path: Path, source: str) -> dict[str, Any]:
    """The table in a TOML file; ScenarioError with ``source`` in front where it cannot be read or is empty."""
    place = Place(source, path.parent)
    try:
        text = path.read_bytes().decode()
    except (OSError, ValueError) as error:
        raise place.error(f"cannot be read ({reason(error)}); name a built-in, or a readable TOML file") from None
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise place.error(f"is not TOML: {error}; mend it there (names and units go in quotes)") from None
    if not table:
        raise place.error('is empty; give at least one key, such as engine = "raft"')
    return table
