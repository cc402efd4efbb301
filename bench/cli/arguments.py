"""Arguments that several verbs take, how they complete, and how errors of input become click's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from bench.scenario import ENGINES, ScenarioError, nearest, scenario_names

GOOD, NO, BAD_INPUT, INVALID, INTERRUPTED = 0, 1, 2, 3, 130

Verb = TypeVar("Verb", bound=Callable[..., Any])


def _complete_scenario(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return [CompletionItem(name) for name in scenario_names() if name.startswith(incomplete)] + [
        CompletionItem(incomplete, type="file")
    ]


class Engines(click.ParamType[tuple[str, ...]]):
    """Names of engines, separated by commas."""

    name = "engines"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in str(value).split(","))
        for name in names:
            if name not in ENGINES:
                self.fail(f'unknown engine "{name}"; {nearest(name, ENGINES)}', parameter, context)
        if len(set(names)) != len(names):
            self.fail(f'"{value}" names an engine twice; name each once', parameter, context)
        return names

    def shell_complete(
        self,
        context: click.Context,  # noqa: ARG002  (click names the arguments)
        parameter: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + name) for name in ENGINES if name.startswith(last)]


class OneOf(click.Choice[str]):
    """One of a few words."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if value not in self.choices:
            self.fail(f'"{value}" is unknown; {nearest(value, self.choices)}', parameter, context)
        return super().convert(value, parameter, context)


class Whole(click.IntRange):
    """A whole number within bounds."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        try:
            return super().convert(value, parameter, context)
        except click.BadParameter:
            bounds = f"from {self.min} {'on' if self.max is None else f'to {self.max}'}"
            self.fail(f'"{value}" is no whole number {bounds}; give one that is, such as 1', parameter, context)


class Out(click.Path):
    """Where something is to be made."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if value == "":
            self.fail("the name is empty (an unset variable?); name what is to be made", parameter, context)
        return super().convert(value, parameter, context)


def result_or_scenario_argument(verb: Verb) -> Verb:
    """RESULT or SCENARIO: a folder, a built-in name or a TOML file."""
    return click.argument("scenario", metavar="RESULT|SCENARIO", shell_complete=_complete_scenario)(verb)


def scenario_argument(verb: Verb) -> Verb:
    """SCENARIO: a built-in name or a TOML file."""
    return click.argument("scenario", shell_complete=_complete_scenario)(verb)


def settings_option(verb: Verb) -> Verb:
    """--set key=value, any number of times."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set a field, e.g. workload.arrivals.rate=500.",
    )(verb)


def json_option(verb: Verb) -> Verb:
    """--json: for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")(verb)


def refuse(message: str) -> int:
    """Say in one line what the user got wrong, and give the exit code of that."""
    click.echo(f"replbench: {' '.join(message.split())}", err=True)
    return BAD_INPUT


@contextmanager
def reported() -> Iterator[None]:
    """Errors of input inside the block become one line and exit 2."""
    try:
        yield
    except ScenarioError as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def reported_values() -> Iterator[None]:
    """As ``reported``, for whatever else says with a ValueError of one line what the user got wrong."""
    try:
        yield
    except ValueError as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def reported_results() -> Iterator[None]:
    """As ``reported``, for results too; apart because results bring numpy with them."""
    from bench.metrics.result import ResultError

    try:
        with reported():
            yield
    except ResultError as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def reported_either(name: str) -> Iterator[None]:
    """As ``reported``, where ``name`` may have been meant as a result."""
    try:
        yield
    except ScenarioError as error:
        path = Path(name)
        if path.is_file() and path.suffix != ".toml":
            given = f", or the folder {path.parent}" if (path.parent / "result.json").is_file() else ""
            said = f"{name} is neither a result, which is a folder, nor a scenario, a .toml file; give one of these{given}"
            raise click.ClickException(said) from None
        known = name in scenario_names() or path.suffix == ".toml"
        neither = "" if known or path.exists() else f"; there is no folder {name} of a result either"
        raise click.ClickException(f"{error}{neither}") from None


def unwritable(path: Path) -> str:
    """Why nothing can be made at this path, or nothing; leaves no trace."""
    nearest_there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if nearest_there != path and not nearest_there.is_dir():
        return f"{nearest_there} is a file"
    try:
        with tempfile.TemporaryFile(dir=nearest_there if nearest_there.is_dir() else nearest_there.parent):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def require_writable(option: str, path: Path, remedy: str) -> None:
    """Before a run, not after it, it is said that what it is to make cannot be made."""
    why = unwritable(path)
    if why:
        raise click.ClickException(f"{option}: {path} cannot be made: {why}; {remedy}")
