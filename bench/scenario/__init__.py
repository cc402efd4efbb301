"""What is to be run: reads and checks scenarios. ``load`` and ``load_suite`` are the way in."""

from bench.scenario.advice import advice
from bench.scenario.costs import Costs, costs_names
from bench.scenario.fields import Place, ScenarioError, nearest
from bench.scenario.files import Suite, given_table, load, load_suite, scenario_names
from bench.scenario.load import Arrivals, Fault, Keys, Mix, ValueSize, Workload
from bench.scenario.network import Loss, Matrix, Network, network_names
from bench.scenario.peers import Address, address_text, read_address, read_peers
from bench.scenario.scenario import (
    ENGINES,
    WORLDS,
    Batching,
    Checks,
    Cpu,
    Paxos,
    Quorum,
    Raft,
    Scenario,
    Storage,
    Timeouts,
    Zab,
    read_scenario,
)
from bench.scenario.toml import as_toml

__all__ = [
    "ENGINES",
    "WORLDS",
    "Address",
    "Arrivals",
    "Batching",
    "Checks",
    "Costs",
    "Cpu",
    "Fault",
    "Keys",
    "Loss",
    "Matrix",
    "Mix",
    "Network",
    "Paxos",
    "Place",
    "Quorum",
    "Raft",
    "Scenario",
    "ScenarioError",
    "Storage",
    "Suite",
    "Timeouts",
    "ValueSize",
    "Workload",
    "Zab",
    "address_text",
    "advice",
    "as_toml",
    "costs_names",
    "given_table",
    "load",
    "load_suite",
    "nearest",
    "network_names",
    "read_address",
    "read_peers",
    "read_scenario",
    "scenario_names",
]
