"""Points of a sweep: which points of a result, or of several, are to be compared with one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.metrics.result import Result

UNITS = {"workload.arrivals.rate": "ops/s", "workload.arrivals.to": "ops/s"}  # durations and sizes say theirs
OWN_FIELD = "options"  # of the fairness record: what only this engine has
Setting = tuple[tuple[str, Any], ...]  # a point of a sweep: (axis, value) pairs


def settings(results: Sequence[Result]) -> list[Setting]:
    """The points of the sweep, each once, in the order in which they were asked for."""
    return list(dict.fromkeys(setting(result, point) for result in results for point in result.points.index))


def setting(result: Result, point: int) -> Setting:
    """The point of the sweep to which a point of the result belongs."""
    return tuple((axis, hashable(value)) for axis, value in result.records[point].axes.items())


def at(results: Sequence[Result], wanted: Setting) -> list[tuple[str, Result, int]]:
    """(label, result, point) of every point at a point of the sweep; a label names only what differs."""
    return [
        (str(result.points.loc[point, "engine"]) + in_world(result, point) + of(result, results), result, int(point))
        for result in results
        for point in result.points.index
        if setting(result, point) == wanted
    ]


def describe(wanted: Setting) -> str:
    """A point of a sweep in words: rate = 1,000 ops/s."""
    return ", ".join(
        f"{axis.rpartition('.')[2]} = {in_words(value)}{f' {UNITS[axis]}' if axis in UNITS else ''}"
        for axis, value in wanted
    )


def unequal_fairness(results: Sequence[Result]) -> list[str]:
    """Where the fairness records of points differ that are compared with one another: a line for each field.

    Points are compared that agree in the sweep. What stays the same through the whole sweep of everyone is
    compared even where no two points of the sweep agree: the curves still stand in one figure. The options of
    an engine are its own: they are compared between results, not between engines.
    """
    groups = [at(results, wanted) for wanted in settings(results)]
    everyone = [entry for group in groups for entry in group]
    records = _fields(everyone).values()
    swept = {field for values in records for field, said in values.items() if len(said) > 1}
    found: dict[str, None] = {}
    for group, of_sweep in [(everyone, False), *((group, True) for group in groups)]:
        by_label = _fields(group)
        homes = {label: name(result, results) for label, result, _ in group}
        # A prediction has no event loop, and nothing else that only processes have.
        predicted = {label for label, result, point in group if "simulation" in in_world(result, point)}
        for field in sorted({field for values in by_label.values() for field in values}):
            if (field in swept) == of_sweep:
                for labels in _peers(list(by_label), field):
                    values = {
                        label: by_label[label].get(field, {"not recorded"})
                        for label in labels
                        if field in by_label[label] or label not in predicted
                    }
                    if len({frozenset(value) for value in values.values()}) > 1:
                        found[f"{field}: {_unequal(values, homes)}"] = None
    return list(found)


def _fields(entries: Sequence[tuple[str, Result, int]]) -> dict[str, dict[str, set[str]]]:
    """Label -> field of the fairness record, nested ones dotted -> its values in words."""
    found: dict[str, dict[str, set[str]]] = {}
    for label, result, point in entries:
        fields = found.setdefault(label, {})
        for field, value in _flat(result.records[point].fairness):
            fields.setdefault(field, set()).add(in_words(value))
    return found


def _flat(record: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for field, value in record.items():
        found += _flat(value, f"{prefix}{field}.") if isinstance(value, dict) else [(prefix + field, value)]
    return found


def _unequal(values: dict[str, set[str]], homes: dict[str, str]) -> str:
    """Who has which value; a result stands for its engines where they agree."""
    said = {label: " and ".join(sorted(value)) for label, value in values.items()}
    by_home: dict[str, set[str]] = {}
    for label, value in said.items():
        by_home.setdefault(homes[label], set()).add(value)
    if len(by_home) > 1 and all(len(each) == 1 for each in by_home.values()):
        said = {home: next(iter(each)) for home, each in by_home.items()}
    return ", ".join(f"{who} {value}" for who, value in said.items())


def _peers(labels: list[str], field: str) -> list[list[str]]:
    """The labels that must agree on a field."""
    if field.partition(".")[0] != OWN_FIELD:
        return [labels]
    engines = dict.fromkeys(label.partition(" (")[0] for label in labels)
    return [[label for label in labels if label.partition(" (")[0] == engine] for engine in engines]


def of(result: Result, results: Sequence[Result]) -> str:
    """What tells a result from the others, for a label; nothing where it is the only one."""
    return f" ({name(result, results)})" if len(results) > 1 else ""


def in_world(result: Result, point: int) -> str:
    """What tells a prediction from a measurement, for a label; nothing where the result holds one world."""
    worlds = result.points["world"]
    return f" ({worlds[point]})" if worlds.nunique() > 1 else ""


def name(result: Result, results: Sequence[Result]) -> str:
    """A result among others: its folder's name, or its path where several folders share a name."""
    names = [other.path.name for other in results]
    return result.path.name if len(set(names)) == len(names) else str(result.path)


def in_words(value: Any) -> str:
    """A value of an axis or of a fairness record: thousands separated, without a unit; switches as scenarios have them."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,.6g}"


def hashable(value: Any) -> Any:
    """The value of an axis, lists as tuples, so that points can be looked up by it."""
    if isinstance(value, (list, tuple)):
        return tuple(hashable(each) for each in value)
    if isinstance(value, dict):
        return tuple(sorted((key, hashable(each)) for key, each in value.items()))
    return value
