"""The engines by name, built from a scenario."""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.driver.host import DURABILITY, Host, HostOptions
from bench.metrics.trial import NAME_BITS
from engines.core import NOBODY, Configuration, Dice, Engine
from engines.lock_service import LockTree, Master
from engines.machine import KeyValue, Machine, client_of, sequence_of
from engines.paxos import Paxos, PaxosOptions
from engines.raft import Raft, RaftOptions
from engines.unreplicated import Unreplicated
from engines.zab import Zab, ZabOptions

if TYPE_CHECKING:
    from bench.driver.host import World
    from bench.driver.simulation import Simulation
    from bench.scenario import Scenario

DATAGRAM_BYTES = 65_000  # of entries: UDP carries 65,507 bytes (RFC 768), of which some are the rest of a message


class Parts(NamedTuple):
    """Classes in place of the usual ones, such as a watched, or a deliberately broken one; None: the usual one."""

    engine: type[Engine] | None = None
    machine: type[Machine] | None = None
    host: type[Host] | None = None
    simulation: type[Simulation] | None = None


USUAL = Parts()


def _paxos(scenario: Scenario) -> PaxosOptions:
    return PaxosOptions(
        phase1=scenario.paxos.phase1_quorum.system(scenario.replicas),
        phase2=scenario.paxos.phase2_quorum.system(scenario.replicas),
        inquire=scenario.paxos.inquire,
    )


def _raft(scenario: Scenario) -> RaftOptions:
    raft = scenario.raft
    return RaftOptions(pre_vote=raft.pre_vote, check_quorum=raft.check_quorum, empty_probes=raft.empty_probes)


def _zab(scenario: Scenario) -> ZabOptions:
    return ZabOptions(init_limit=scenario.zab.init_limit, sync_limit=scenario.zab.sync_limit)


# The class of an engine, and what of a scenario it is told beside its configuration.
PROTOCOLS: dict[str, tuple[type[Engine], Callable[[Scenario], Any] | None]] = {
    "paxos": (Paxos, _paxos),
    "raft": (Raft, _raft),
    "zab": (Zab, _zab),
    "unreplicated": (Unreplicated, None),
}


def configuration(scenario: Scenario) -> Configuration:
    """What every replica's engine is told."""
    message_bytes = scenario.batching.message_bytes
    if scenario.network.transport == "datagram":
        message_bytes = min(message_bytes, DATAGRAM_BYTES)
    return Configuration(
        voters=tuple(range(scenario.replicas)),
        election_timeout_ns=scenario.timeouts.election_ns,
        heartbeat_ns=scenario.timeouts.heartbeat_ns,
        initial_leader=scenario.initial_leader,
        inflight_messages=scenario.batching.inflight_messages,
        message_bytes=message_bytes,
    )


def build(name: str, id: int, scenario: Scenario, dice: Dice, parts: Parts = USUAL) -> Engine:
    """The engine called ``name`` for replica ``id``."""
    usual, options_of = PROTOCOLS[name]
    engine_class = parts.engine or usual
    if options_of is None:
        return engine_class(id, configuration(scenario), dice)
    return engine_class(id, configuration(scenario), dice, options_of(scenario))  # type: ignore[call-arg]


def new_host(
    world: World, name: str, id: int, incarnation: int, scenario: Scenario, seed: int, parts: Parts = USUAL
) -> Host:
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
    engine = build(name, id, scenario, random.Random(f"{seed}/engine/{id}/{incarnation}"), parts)
    host_class = parts.host or Host
    machine = new_machine(scenario, parts)
    service = None
    if isinstance(machine, LockTree):
        service = Master(id, machine, scenario.locks.options(scenario.timeouts.request_ns))
    return host_class(world, engine, machine, options, service)


def new_machine(scenario: Scenario, parts: Parts = USUAL) -> Machine:
    """The state machine of a workload, empty."""
    usual = {"key-value": KeyValue, "locks": LockTree}[scenario.workload.kind]
    return (parts.machine or usual)()


def name_of(scenario: Scenario, command: bytes) -> int:
    """The number by which clients say which command was acknowledged (LockRecord), and which differs from all others of a run; 0
    for a command that no client sent.
    """
    client, sequence = client_of(command), sequence_of(command)
    if client == NOBODY:
        return 0
    return sequence if scenario.workload.kind == "key-value" else client << NAME_BITS | sequence
