"""The engines by name, built from a scenario."""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.driver.host import DURABILITY, Host, HostOptions
from engines.core import Configuration, Dice, Engine
from engines.lock_service import LockTree, Master
from engines.machine import KeyValue
from engines.paxos import Paxos, PaxosOptions
from engines.raft import Raft, RaftOptions
from engines.unreplicated import Unreplicated
from engines.zab import Zab, ZabOptions

if TYPE_CHECKING:
    from bench.driver.host import World
    from bench.scenario import Scenario


def _paxos(id: int, configuration: Configuration, dice: Dice, scenario: Scenario) -> Engine:
    options = PaxosOptions(
        phase1=scenario.paxos.phase1_quorum.system(scenario.replicas),
        phase2=scenario.paxos.phase2_quorum.system(scenario.replicas),
    )
    return Paxos(id, configuration, dice, options)


def _raft(id: int, configuration: Configuration, dice: Dice, scenario: Scenario) -> Engine:
    options = RaftOptions(pre_vote=scenario.raft.pre_vote, check_quorum=scenario.raft.check_quorum)
    return Raft(id, configuration, dice, options)


def _zab(id: int, configuration: Configuration, dice: Dice, scenario: Scenario) -> Engine:
    options = ZabOptions(init_limit=scenario.zab.init_limit, sync_limit=scenario.zab.sync_limit)
    return Zab(id, configuration, dice, options)


def _unreplicated(id: int, configuration: Configuration, dice: Dice, scenario: Scenario) -> Engine:  # noqa: ARG001
    return Unreplicated(id, configuration, dice)


PROTOCOLS: dict[str, tuple[type[Engine], Callable[[int, Configuration, Dice, Scenario], Engine]]] = {
    "paxos": (Paxos, _paxos),
    "raft": (Raft, _raft),
    "zab": (Zab, _zab),
    "unreplicated": (Unreplicated, _unreplicated),
}


def configuration(scenario: Scenario) -> Configuration:
    """What every replica's engine is told."""
    return Configuration(
        voters=tuple(range(scenario.replicas)),
        election_timeout_ns=scenario.timeouts.election_ns,
        heartbeat_ns=scenario.timeouts.heartbeat_ns,
        initial_leader=scenario.initial_leader,
    )


def build(name: str, id: int, scenario: Scenario, dice: Dice) -> Engine:
    """The engine called ``name`` for replica ``id``."""
    return PROTOCOLS[name][1](id, configuration(scenario), dice, scenario)


def new_host(world: World, name: str, id: int, incarnation: int, scenario: Scenario, seed: int) -> Host:
    """A fresh incarnation of replica ``id``, the same in both worlds: engine, state machine, and the host's options."""
    options = HostOptions(
        durability=DURABILITY[scenario.storage.durability],
        interval_ns=scenario.storage.interval_ns,
        group=scenario.storage.group,
        max_commands=scenario.batching.max_commands,
        max_delay_ns=scenario.batching.max_delay_ns,
        pipeline=scenario.batching.pipeline,
        forward=scenario.workload.routing != "leader",
        compact_after_bytes=scenario.storage.compact_after_bytes,
    )
    engine = build(name, id, scenario, random.Random(f"{seed}/engine/{id}/{incarnation}"))
    if scenario.workload.kind == "locks":
        tree = LockTree()
        master = Master(id, tree, scenario.locks.options(scenario.timeouts.request_ns))
        return Host(world, engine, tree, options, master)
    return Host(world, engine, KeyValue(), options)
