"""How a table of a scenario is read and written: each field of a struct names its kind, and the kind knows
its unit.

A field is ``name: Annotated[type, kind, "what it means"] = default``. Its name in a file is the attribute
without the unit (``jitter_ns`` is ``jitter = "0.5ms"``). A struct whose fields depend on a choice says which
in ``CHOICES``. Structs check themselves in ``__post_init__`` with ValueError("field: problem; remedy");
reading adds file and table.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from bench.scenario import units


class ScenarioError(ValueError):
    """What the user got wrong, in one line: file, field, problem; remedy."""


class Place(msgspec.Struct, frozen=True):
    """Where in a scenario a value stands: for messages, and for paths that are relative to the file."""

    source: str
    folder: Path
    path: str = ""

    def at(self, name: str | int) -> Place:
        """The place of a field or of a list's element within this one."""
        step = f"[{name}]" if isinstance(name, int) else f".{name}" if self.path else name
        return Place(self.source, self.folder, self.path + step)

    def error(self, message: str) -> ScenarioError:
        """The error of this place, on one line whatever the values in it."""
        return ScenarioError(
            " ".join(f"{self.source}: {self.path + ': ' if self.path else ''}{message}".split())
        )


def nearest(word: object, words: Iterable[str]) -> str:
    """The remedy for an unknown word: the nearest right one where one is near, else all of them."""
    known = [str(each) for each in words]
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    return f'did you mean "{near[0]}"?' if near else f"choose from: {', '.join(known) or 'none'}"


class Kind:
    """Reads a value of a file into what the program uses, and writes it back. Errors are ValueError without
    the place.
    """

    def read(self, value: Any, place: Place) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> Any:
        return value


class Converted(Kind):
    """A quantity with a unit, or whatever else one function reads and another writes."""

    def __init__(self, reads: Callable[[Any], Any], writes: Callable[[Any], Any]) -> None:
        self.reads = reads
        self.writes = writes

    def read(self, value: Any, place: Place) -> Any:  # noqa: ARG002
        return self.reads(value)

    def write(self, value: Any) -> Any:
        return self.writes(value)


DURATION = Converted(units.duration_ns, units.duration_text)
COST = Converted(lambda value: float(units.duration_fine_ns(value)), units.duration_text)
SIZE = Converted(units.size_bytes, units.size_text)
BANDWIDTH = Converted(units.rate_bytes_per_s, units.rate_text)


class Integer(Kind):
    """A whole number within bounds, both included."""

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def read(self, value: Any, place: Place) -> int:  # noqa: ARG002
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            what = f"between {self.low} and {self.high}" if type(value) is int else "a whole number"
            raise ValueError(f"{shown(value)} is not {what}; give a whole number from {self.low} to {self.high}")
        return value


class Number(Kind):
    """A finite number within bounds, both included."""

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high

    def read(self, value: Any, place: Place) -> float:  # noqa: ARG002
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(
                f"{shown(value)} is not a number; give one from {self.low:.15g} to {self.high:.15g}"
            )
        if math.isfinite(self.low) and value < self.low <= 0:
            raise ValueError(f"{value} is negative; give a number from {self.low:.15g} to {self.high:.15g}")
        if not self.low <= value <= self.high:  # also refuses nan
            raise ValueError(
                f"{value} is not from {self.low:.15g} to {self.high:.15g}; give a number in that range"
            )
        return float(value)

    def write(self, value: float) -> float:
        return int(value) if value == int(value) and abs(value) >= 10 else value


PROBABILITY = Number(0, 1)


class Switch(Kind):
    """true or false."""

    def read(self, value: Any, place: Place) -> bool:  # noqa: ARG002
        if not isinstance(value, bool):
            raise ValueError(f"{shown(value)} is not true or false; write one of the two, without quotes")
        return value


class Text(Kind):
    """Any text, on one line or many."""

    def read(self, value: Any, place: Place) -> str:  # noqa: ARG002
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} is not a text; write it in quotes")
        return value


class Choice(Kind):
    """One of a few words."""

    def __init__(self, noun: str, *words: str) -> None:
        self.noun = noun
        self.words = words

    def read(self, value: Any, place: Place) -> str:  # noqa: ARG002
        if value not in self.words:
            raise ValueError(f"unknown {self.noun} {shown(value)}; {nearest(value, self.words)}")
        return str(value)


class Several(Kind):
    """A list of one kind; a single value stands for a list of it where ``alone``."""

    def __init__(self, kind: Kind, alone: bool = False) -> None:
        self.kind = kind
        self.alone = alone

    def read(self, value: Any, place: Place) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            if not self.alone:
                raise ValueError(f"{shown(value)} is not a list; write it in [ ]")
            value = [value]
        return tuple(read(self.kind, each, place.at(index)) for index, each in enumerate(value))

    def write(self, value: tuple[Any, ...]) -> list[Any]:
        return [self.kind.write(each) for each in value]


class Row(Kind):
    """A list of a fixed length, each element of its own kind."""

    def __init__(self, noun: str, *kinds: Kind) -> None:
        self.noun = noun
        self.kinds = kinds

    def read(self, value: Any, place: Place) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or len(value) != len(self.kinds):
            raise ValueError(f"{shown(value)} is not {self.noun}; write a list of {len(self.kinds)}")
        return tuple(
            read(kind, each, place.at(index))
            for index, (kind, each) in enumerate(zip(self.kinds, value, strict=True))
        )

    def write(self, value: tuple[Any, ...]) -> list[Any]:
        return [kind.write(each) for kind, each in zip(self.kinds, value, strict=True)]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of a scenario.

    ``CHOICES``: for a field that chooses, the fields that each of its words takes beside the common ones; of
    those, one whose default is None or () must be given unless ``OPTIONAL`` names it. ``NAMES``: attributes
    that a file calls otherwise.
    """

    CHOICES: ClassVar[dict[str, dict[str, tuple[str, ...]]]] = {}
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    NAMES: ClassVar[dict[str, str]] = {}

    @classmethod
    def expand(cls, value: Any) -> Any:
        """The table that a shorthand stands for; anything else unchanged."""
        return value


AnyTable = TypeVar("AnyTable", bound=Table)


class Sub(Kind):
    """A table within a table."""

    def __init__(self, table: type[Table]) -> None:
        self.table = table

    def read(self, value: Any, place: Place) -> Table:
        return read_table(self.table, value, place)

    def write(self, value: Table) -> dict[str, Any]:
        return write_table(value)


class Field(msgspec.Struct, frozen=True):
    """A field of a table: its name in a file, its attribute, how it is read, and what it means."""

    name: str
    attribute: str
    kind: Kind
    about: str
    default: Any  # msgspec.NODEFAULT where the field must be given


_UNITS = ("_bytes_per_s", "_per_s", "_bytes", "_ns")


@cache
def fields(table: type[Table]) -> dict[str, Field]:
    """The fields of a table by their name in a file, in order."""
    hints = get_type_hints(table, include_extras=True)
    found = {}
    for field in msgspec.structs.fields(table):
        assert get_origin(hints[field.name]) is Annotated, f"{table.__name__}.{field.name} names no kind"
        _, kind, about = get_args(hints[field.name])
        unit = next((unit for unit in _UNITS if field.name.endswith(unit)), "")
        name = table.NAMES.get(field.name, field.name.removesuffix(unit))
        factory = field.default_factory
        default = field.default if factory is msgspec.NODEFAULT else factory()
        found[name] = Field(name, field.name, kind, about, default)
    return found


def read(kind: Kind, value: Any, place: Place) -> Any:
    """Read one value; every ValueError becomes a ScenarioError that names the place."""
    try:
        return kind.read(value, place)
    except ScenarioError:
        raise
    except ValueError as error:
        raise place.error(str(error)) from None


def read_table(table: type[AnyTable], value: Any, place: Place) -> AnyTable:
    """Unknown keys are refused; what is not given takes its default; then come the struct's own checks."""
    try:
        value = table.expand(value)
    except ValueError as error:
        raise place.error(str(error)) from None
    if not isinstance(value, Mapping):
        raise place.error(
            f"{shown(value)} is not a table; write it in {{ }}, or under a [{place.path}] heading"
        )
    known = fields(table)
    allowed = _allowed(table, value, place)
    for name in value:
        if name not in allowed:
            raise place.at(name).error(_unknown(table, name, allowed, value))
    given = {}
    for name in allowed:
        field = known[name]
        if name in value:
            given[field.attribute] = read(field.kind, value[name], place.at(name))
        elif field.default is msgspec.NODEFAULT or _must_be_given(table, name):
            raise place.error(f"{name} is missing; add {name} = ... ({field.about})")
    try:
        return table(**given)
    except ScenarioError:
        raise
    except ValueError as error:
        name, _, message = str(error).partition(": ")
        raise place.at(name).error(message) from None


def _must_be_given(table: type[Table], name: str) -> bool:
    """A parameter that only some choices take has a struct default for the others; None and () are no values
    to run with.
    """
    special = any(name in taken for words in table.CHOICES.values() for taken in words.values())
    return special and name not in table.OPTIONAL and fields(table)[name].default in (None, ())


def _applying(table: type[Table], word_of: Callable[[Field], str]) -> list[str]:
    """The fields that apply, given the word of each field that chooses."""
    known = fields(table)
    excluded: set[str] = set()
    for choice, words in table.CHOICES.items():
        taken = () if choice in excluded else words[word_of(known[choice])]
        excluded.update(name for names in words.values() for name in names if name not in taken)
    return [name for name in known if name not in excluded]


def _allowed(table: type[Table], value: Mapping[str, Any], place: Place) -> list[str]:
    def word_of(choice: Field) -> str:
        return str(read(choice.kind, value.get(choice.name, choice.default), place.at(choice.name)))

    return _applying(table, word_of)


def _unknown(table: type[Table], name: str, allowed: list[str], value: Mapping[str, Any]) -> str:
    if name not in fields(table):
        return f"unknown key; {nearest(name, allowed)}"
    chosen = [
        f"{choice} {shown(value.get(choice, fields(table)[choice].default))}"
        for choice in table.CHOICES
        if choice in allowed
    ]
    return f"{' and '.join(chosen)} takes no {name}; remove it, or choose another {next(iter(table.CHOICES))}"


def write_table(table: Table) -> dict[str, Any]:
    """The table as it would stand in a file: every field that applies and has a value, units printed back."""
    known = fields(type(table))
    values = {name: getattr(table, known[name].attribute) for name in known}
    applying = _applying(type(table), lambda choice: str(values[choice.name]))
    return {name: known[name].kind.write(values[name]) for name in applying if values[name] is not None}


def shown(value: Any) -> str:
    """A value in a message: quoted as in a file, cut where it is long."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
