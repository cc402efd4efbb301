"""replbench show: a result, or a scenario as it would be run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench.cli.arguments import (
    json_option,
    reported_either,
    reported_results,
    result_or_scenario_argument,
    settings_option,
)
from bench.scenario import as_toml, load_suite


@click.command(short_help="Show a result, or a scenario in full.")
@result_or_scenario_argument
@settings_option
@json_option
def show(scenario: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Show a result (a folder), or a SCENARIO with every field, its value and its meaning.

    \b
    replbench show results/local/quick-20240601-101500
    replbench show wan-5
    replbench show lan-3 --set replicas=5 > mine.toml        a scenario file to start from

    In a terminal that is too narrow for it the table of a result comes in parts; in a pipe, such as into `less -S`, it is whole.
    """
    if Path(scenario).is_dir():
        if settings:
            raise click.ClickException(
                f"--set: {scenario} is a result, and has its settings; leave --set out"
            )
        _show_result(Path(scenario), as_json)
        return
    with reported_either(scenario):
        suite = load_suite(scenario, settings)
    if as_json:
        click.echo(
            json.dumps({part.name: part.resolved() for part in suite.parts}, indent=1, ensure_ascii=False)
        )
        return
    for part in suite.parts:
        if len(suite.parts) > 1:
            click.echo(f"# {part.name}, a part of the suite {suite.name}")
        click.echo(as_toml(part))


def _show_result(path: Path, as_json: bool) -> None:
    from bench.cli.tables import print_errors, print_locks, print_points
    from bench.metrics.outage import outages
    from bench.metrics.prediction import errors
    from bench.metrics.service import services

    with reported_results():
        from bench.metrics.result import load
        from bench.metrics.sweep import unequal_fairness

        result = load(path)
        unequal = [line for part in result.parts() for line in unequal_fairness([part])]
    rows: list[dict[str, Any]] = json.loads(result.points.to_json(orient="records"))
    if as_json:
        click.echo(
            json.dumps(
                {"points": rows, "environment": result.environment, "scenarios": result.scenarios}, indent=1
            )
        )
        return
    for name, about in result.scenarios.items():
        click.echo(f"{name}: {about.get('about', '')}")
    print_points(rows, result.axes)
    print_errors(errors(rows, result.axes))
    told = list(zip(rows, result.records.values(), strict=True))
    print_locks(services(told), outages(told))
    for index, record in result.records.items():
        for reason in record.reasons:
            click.echo(f"{record.verdict}: point {index}, {record.engine}: {reason}")
    for line in unequal:
        click.echo(f"not equal: {line}")
    for name, value in result.environment.items():
        click.echo(f"{name}: {value if isinstance(value, str | bool) else json.dumps(value)}")
    if result.incomplete:
        click.echo("incomplete: the run was interrupted, and points are missing")
