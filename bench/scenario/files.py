"""Finding and reading scenario files; settings and sweeps on top of them; suites."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from bench.scenario.costs import CostsKind
from bench.scenario.fields import Place, ScenarioError, nearest, read, write_table
from bench.scenario.scenario import Scenario, read_scenario
from bench.scenario.settings import parse_setting, release_axis, set_key
from bench.scenario.toml import read_toml

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """Scenarios that are run together into one result: ``suite = ["one", "another"]`` in a file, or a single
    scenario.
    """

    name: str
    about: str
    parts: tuple[Scenario, ...]

    def points(self) -> list[tuple[str, dict[str, Any], Scenario]]:
        """The points of every part in order: (name of the part, value of each axis, the scenario without a
        sweep).
        """
        return [(part.name, axes, point) for part in self.parts for axes, point in part.points()]


def scenario_names() -> list[str]:
    """The scenarios and suites that come with the program."""
    return sorted(path.stem for path in SCENARIOS.glob("*.toml"))


def _find(name: str, folder: Path) -> tuple[Path, str]:
    """The file of a built-in name or a path, and what messages call it."""
    if name in scenario_names():
        return SCENARIOS / f"{name}.toml", name
    path = folder / name
    if name.endswith(".toml") or "/" in name or path.exists():
        return path, name
    raise ScenarioError(
        f"{name}: unknown scenario; {nearest(name, scenario_names())} or give a path that ends in .toml"
    )


def load(name_or_path: str | Path, overrides: Iterable[str] = (), **fields: Any) -> Scenario:
    """One scenario, validated. ``overrides`` are "key=value" as for --set; ``fields`` replace top-level keys.

    ScenarioError in one line for whatever is wrong, a suite included (``load_suite`` reads those).
    """
    suite = load_suite(name_or_path, overrides, **fields)
    if len(suite.parts) != 1:
        raise ScenarioError(
            f"{name_or_path}: is a suite; name one of its parts: {', '.join(p.name for p in suite.parts)}"
        )
    return suite.parts[0]


def load_suite(name_or_path: str | Path, overrides: Iterable[str] = (), **fields: Any) -> Suite:
    """A suite, or one scenario as a suite of one; overrides and fields apply to every part."""
    overrides = list(overrides)
    path, source = _find(str(name_or_path), Path())
    table = read_toml(path, source)
    if "suite" not in table:
        part = _part(table, path, source, overrides, fields)
        return Suite(name=part.name, about=part.about, parts=(part,))
    place = Place(source, path.parent)
    names = table["suite"]
    for key in table:
        if key not in ("suite", "name", "about"):
            raise place.at(key).error("a suite takes only suite, name and about; set this in its parts")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise place.at("suite").error('is not a list of scenarios; write suite = ["lan-3", "wan-5"]')
    parts = []
    for name in names:
        part_path, part_source = _find(name, path.parent)
        part_table = read_toml(part_path, part_source)
        if "suite" in part_table:
            raise place.at("suite").error(f'"{name}" is itself a suite; name its parts')
        parts.append(_part(part_table, part_path, part_source, overrides, fields))
    if len({part.name for part in parts}) != len(parts):
        raise place.at("suite").error("two parts have the same name; give them different names")
    return Suite(
        name=str(table.get("name", path.stem)), about=str(table.get("about", "")), parts=tuple(parts)
    )


def given_table(
    name_or_path: str | Path, overrides: Iterable[str] = (), engine: tuple[str, ...] | None = None
) -> tuple[dict[str, Any], Place]:
    """What one scenario says itself, before defaults, and where; ScenarioError as ``load``, which is happy with it.

    ``engine``: it is asked of these, and need suit no others.
    """
    overrides = list(overrides)
    load(name_or_path, overrides, **({} if engine is None else {"engine": engine}))
    path, source = _find(str(name_or_path), Path())
    return _overridden(read_toml(path, source), path, source, overrides, {})


def _part(
    table: dict[str, Any], path: Path, source: str, overrides: list[str], fields: dict[str, Any]
) -> Scenario:
    return read_scenario(*_overridden({"name": path.stem} | table, path, source, overrides, fields))


def _overridden(
    table: dict[str, Any], path: Path, source: str, overrides: list[str], fields: dict[str, Any]
) -> tuple[dict[str, Any], Place]:
    place = Place(f"{source} with --set" if overrides else source, path.parent)
    costs = fields.get("costs", table.get("costs"))
    if isinstance(costs, str):  # a profile, of which --set may change a part
        table["costs"] = write_table(read(CostsKind(), costs, place.at("costs")))
        fields = {key: value for key, value in fields.items() if key != "costs"}
    for override in overrides:
        keys, value = parse_setting(override)
        release_axis(table, keys)
        set_key(table, keys, value, Place("--set", Path()))
    for key, value in fields.items():
        release_axis(table, [key])
        table[key] = value
    return table, place
