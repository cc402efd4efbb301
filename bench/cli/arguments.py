"""Arguments that several verbs take, how they complete, and how errors of input become click's."""

from __future__ import annotations

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
        known = name in scenario_names() or name.endswith(".toml")
        neither = "" if known or Path(name).exists() else f"; there is no folder {name} of a result either"
        raise click.ClickException(f"{error}{neither}") from None


def is_result(name: str) -> bool:
    """Whether it is a folder with a result in it, or was meant to be one."""
    return Path(name).is_dir()
