"""What is to be run: reads and checks scenarios. ``load`` and ``load_suite`` are the way in."""
from bench.scenario.fields import ScenarioError
from bench.scenario.files import Suite, load, load_suite, scenario_names
from bench.scenario.load import Arrivals, Fault, Keys, Mix, ValueSize, Workload
from bench.scenario.network import Loss, Matrix, Network, network_names
from bench.scenario.scenario import (
    ENGINES,
    Batching,
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

__all__ = [
    "ENGINES",
    "Arrivals",
    "Batching",
    "Cpu",
    "Fault",
    "Keys",
    "Loss",
    "Matrix",
    "Mix",
    "Network",
    "Paxos",
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
    "load",
    "load_suite",
    "network_names",
    "read_scenario",
    "scenario_names",
]
