"""replbench list: what can be run."""

from __future__ import annotations

import json

import click

from bench.cli.arguments import OneOf, json_option
from bench.scenario import ENGINES, costs_names, load_suite, network_names, scenario_names
from bench.scenario.costs import CostsKind
from bench.scenario.fields import Place
from bench.scenario.load import YCSB, MixKind
from bench.scenario.network import MatrixKind

GROUPS = ("engines", "scenarios", "networks", "costs", "workloads")

ABOUT_ENGINES = {
    "paxos": "Multi-Paxos with a stable leader",
    "raft": "Raft with PreVote and check-quorum",
    "zab": "ZooKeeper's atomic broadcast; tcp only",
    "unreplicated": "one server and no replication: the baseline",
}
assert set(ABOUT_ENGINES) == set(ENGINES)


def _engines() -> dict[str, str]:
    return ABOUT_ENGINES


def _scenarios() -> dict[str, str]:
    return {name: load_suite(name).about for name in scenario_names()}


def _networks() -> dict[str, str]:
    from pathlib import Path

    matrices = {name: MatrixKind().read(name, Place(name, Path())) for name in network_names()}
    return {name: ", ".join(matrix.regions) for name, matrix in matrices.items()}


def _costs() -> dict[str, str]:
    from pathlib import Path

    return {name: CostsKind().read(name, Place(name, Path())).about for name in costs_names()}


def _workloads() -> dict[str, str]:
    written = {name: MixKind.shares(mix) for name, mix in YCSB.items()}
    return {
        name: ", ".join(f"{share:g} {kind}" for kind, share in shares.items())
        for name, shares in written.items()
    }


@click.command("list", short_help="List what can be run.")
@click.argument("group", type=OneOf(GROUPS), required=False)
@json_option
def list_known(group: str | None, as_json: bool) -> None:
    """List what can be run: engines, scenarios, networks, workloads; all of them where none is named.

    \b
    replbench list
    replbench list scenarios
    """
    from bench.cli.tables import print_table

    known = {
        "engines": _engines, "scenarios": _scenarios, "networks": _networks, "costs": _costs, "workloads": _workloads
    }  # fmt: skip
    found = {name: known[name]() for name in ([group] if group else GROUPS)}
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for name, entries in found.items():
        print_table([name, "about"], entries.items())
