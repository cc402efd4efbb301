"""TOML in and out: reading a file with errors that name it, writing a scenario with its documentation."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.scenario.fields import Field, Place, Sub, Table, fields, write_table


def reason(error: Exception) -> str:
    """Why a file cannot be read, without its path."""
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)


def read_toml(
    path: Path, source: str, remedy: str = "name a built-in, or a readable TOML file", example: str = 'engine = "raft"'
) -> dict[str, Any]:
    """The table in a TOML file; ScenarioError, ``source`` in front, where it is unreadable (with the remedy) or empty (with the
    example).
    """
    place = Place(source, path.parent)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise place.error(f"cannot be read ({reason(error)}); {remedy}") from None
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        said = str(error)
        twice = "Cannot overwrite a value" in said or "Cannot declare" in said
        mend = "a key or table stands there twice; remove one" if twice else "mend it there (names and units go in quotes)"
        raise place.error(f"is not TOML: {said}; {mend}") from None
    if not table:
        raise place.error(f"is empty; give at least one key, such as {example}")
    return table


def as_toml(table: Table) -> str:
    """The table as a file that reads back to an equal one: every field, with its meaning in a comment."""
    written = write_table(table)
    known = fields(type(table))
    plain = [name for name in known if not _stands_apart(known[name])]
    lines = _assignments(known, written, plain)
    for name in known:
        if name in plain:
            continue
        kind = known[name].kind
        if isinstance(kind, Sub):
            inner = fields(kind.table)
            lines += [
                "",
                f"[{name}]  # {known[name].about}",
                *_assignments(inner, written[name], list(inner)),
            ]
        elif name not in written:
            lines += ["", f"# [{name}] is not set: {known[name].about}"]
        elif isinstance(written[name], Mapping):
            lines += ["", f"[{name}]  # {known[name].about}"]
            lines += [f"{_key(key)} = {_value(each)}" for key, each in written[name].items()]
        elif not written[name]:
            lines += ["", f"# [[{name}]] is not set: {known[name].about}"]
        else:
            for element in written[name]:
                lines += ["", f"[[{name}]]  # {known[name].about}"]
                lines += [f"{_key(key)} = {_value(each)}" for key, each in element.items()]
    return "\n".join(lines) + "\n"


def brief_toml(table: Table) -> str:
    """The table as a file that reads back to an equal one: only what differs from the defaults."""
    written, usual = write_table(table), write_table(type(table)())
    differing = {name: value for name, value in written.items() if value != usual.get(name)}
    known = fields(type(table))
    lines = [f"{name} = {_value(value)}" for name, value in differing.items() if not _stands_apart(known[name])]
    for name, value in differing.items():
        if isinstance(known[name].kind, Sub):
            inner = {key: each for key, each in value.items() if each != usual[name].get(key)}
            lines += ["", f"[{name}]", *(f"{_key(key)} = {_value(each)}" for key, each in inner.items())]
        elif _stands_apart(known[name]):
            heading = f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
            for element in value if isinstance(value, list) else [value]:
                lines += ["", heading, *(f"{_key(key)} = {_value(each)}" for key, each in element.items())]
    return "\n".join(lines) + "\n"


def _stands_apart(field: Field) -> bool:
    """Whether it is written under a heading of its own; TOML wants these after the plain keys."""
    return isinstance(field.kind, Sub) or field.name in ("costs", "faults", "sweep")


def _assignments(known: Mapping[str, Field], written: Mapping[str, Any], names: list[str]) -> list[str]:
    pairs = [
        (
            f"{name} = {_value(written[name])}" if name in written else f"# {name} is not set",
            known[name].about,
        )
        for name in names
    ]
    width = max((len(text) for text, _ in pairs if len(text) <= 50), default=0)
    return [f"{text:<{width}}  # {about}" for text, about in pairs]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
            if value
            else "{}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    if isinstance(value, str):
        # A basic string of TOML takes JSON's escapes, and DEL is the one control character that JSON leaves
        # bare.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
