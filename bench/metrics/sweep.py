"""Points of a sweep: which points of a result, or of several, are to be compared with one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.metrics.result import Result

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
        (str(result.points.loc[point, "engine"]) + of(result, results), result, int(point))
        for result in results
        for point in result.points.index
        if setting(result, point) == wanted
    ]


def describe(wanted: Setting) -> str:
    """A point of a sweep in words: rate = 1,000."""
    return ", ".join(f"{axis.rpartition('.')[2]} = {_value(value)}" for axis, value in wanted)


def unequal_fairness(results: Sequence[Result]) -> list[str]:
    """Where the fairness records of points differ that are compared with one another: a line for each field.

    The options of an engine are its own: they are compared between results, not between engines.
    """
    found: dict[str, None] = {}
    for wanted in settings(results):
        records = {label: result.records[point].fairness for label, result, point in at(results, wanted)}
        for field in sorted({field for record in records.values() for field in record}):
            for labels in _peers(list(records), field):
                values = {label: _value(records[label].get(field, "not recorded")) for label in labels}
                if len(set(values.values())) > 1:
                    said = ", ".join(f"{label} {value}" for label, value in values.items())
                    found[f"{field}: {said}"] = None
    return list(found)


def _peers(labels: list[str], field: str) -> list[list[str]]:
    """The labels that must agree on a field."""
    if field != OWN_FIELD:
        return [labels]
    engines = dict.fromkeys(label.partition(" (")[0] for label in labels)
    return [[label for label in labels if label.partition(" (")[0] == engine] for engine in engines]


def of(result: Result, results: Sequence[Result]) -> str:
    """What tells a result from the others, for a label; nothing where it is the only one."""
    if len(results) == 1:
        return ""
    names = [other.path.name for other in results]
    return f" ({result.path.name if len(set(names)) == len(names) else result.path})"


def _value(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,.6g}"


def hashable(value: Any) -> Any:
    """The value of an axis, lists as tuples, so that points can be looked up by it."""
    if isinstance(value, (list, tuple)):
        return tuple(hashable(each) for each in value)
    if isinstance(value, dict):
        return tuple(sorted((key, hashable(each)) for key, each in value.items()))
    return value
