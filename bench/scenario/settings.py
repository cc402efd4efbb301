"""Settings on top of a file: --set key=value, and the axes of a sweep."""

from __future__ import annotations

import copy
import tomllib
from typing import Any

from bench.scenario.fields import Place, ScenarioError


def parse_setting(setting: str) -> tuple[list[str], Any]:
    """(["workload", "arrivals", "rate"], 500) of "workload.arrivals.rate=500": the value as TOML, or else as
    a text.
    """
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise ScenarioError(f'--set: "{setting}" is not key=value; write --set workload.arrivals.rate=500')
    text = text.strip()
    try:
        parsed = tomllib.loads(f"value = {text}")
        value = parsed["value"] if list(parsed) == ["value"] else text
    except tomllib.TOMLDecodeError:
        value = text
    return axis_keys(key.strip()), value


def axis_keys(name: str) -> list[str]:
    """The steps of a dotted key; quotes keep a dot: sweep."workload.arrivals.rate"."""
    try:
        table: Any = tomllib.loads(f"{name} = 0")
    except tomllib.TOMLDecodeError:
        return name.split(".")
    keys = []
    while isinstance(table, dict):
        key, table = next(iter(table.items()))
        keys.append(key)
    return keys


def release_axis(table: dict[str, Any], keys: list[str]) -> None:
    """Setting what is swept, or a table that holds it, ends that axis: the given value is meant."""
    sweep = table.get("sweep")
    if isinstance(sweep, dict):
        name = ".".join(keys)
        table["sweep"] = {
            axis: values for axis, values in sweep.items() if axis != name and not axis.startswith(name + ".")
        }


def set_key(table: dict[str, Any], keys: list[str], value: Any, place: Place) -> None:
    """Set a dotted key in a nested table (a number is a list's index); whether the key exists shows when it
    is read.
    """
    here: Any = table
    for depth in range(len(keys)):
        slot = _slot(here, keys, depth, place)
        if depth == len(keys) - 1:
            here[slot] = value
            return
        if isinstance(here, dict):
            here.setdefault(slot, {})
        # Copied on the way down: a part of the table may be shared with another point.
        here[slot] = copy.copy(here[slot])
        here = here[slot]


def _slot(here: Any, keys: list[str], depth: int, place: Place) -> str | int:
    """The key or the index within ``here``, which must be a table or a list that has it."""
    if isinstance(here, dict):
        return keys[depth]
    above = ".".join(keys[:depth])
    if not isinstance(here, list):
        raise place.error(f"{above}: is not a table here; set {above} as a whole")
    if not keys[depth].isdigit() or int(keys[depth]) >= len(here):
        raise place.error(f"{above}.{keys[depth]}: is not in the list; give a number below {len(here)}")
    return int(keys[depth])
