"""The clients of a scenario, built alike for both worlds: sessions, their links to the replicas, their stream of operations."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.distributions import ZERO, Distribution, Uniform
from bench.driver.clients import ROUTING, Clients, Population, Session
from bench.driver.lock_clients import Habits, LockClients
from bench.driver.network import ARRIVALS, CLIENT, HOLD, THINK, WORKLOAD, Branch, Chances, Durations, Link, LossModel, generator
from bench.driver.struck_clients import StruckClients
from bench.metrics.recorder import Recorder
from bench.scenario import Loss
from bench.scenario.load import OF_CLIENTS
from bench.workloads import keys
from bench.workloads.arrivals import schedule
from bench.workloads.key_value import Operations

if TYPE_CHECKING:
    from bench.scenario import Scenario
    from ext.events import EventQueue

RELIABLE = Loss()
DRAWN = 4096  # locks at a time


def durations(distribution: Distribution, seed: int, *path: int) -> Durations:
    """The draws of a distribution, from the branch ``path`` of the seed's tree."""
    return Durations(distribution, Branch(seed, *path))


def window_of(scenario: Scenario) -> tuple[int, int]:
    """What is measured, in ns since the start of the run."""
    return scenario.warmup_ns, scenario.warmup_ns + scenario.duration_ns


def build_population(scenario: Scenario, seed: int, queue: EventQueue, share: tuple[int, int] = (0, 1)) -> Population:
    """All clients of one run, of whatever kind of workload; their schedule is computed here, before anything runs.

    ``share`` is (which, of how many) parts of them: clients and arrivals are dealt out in turn, and all parts together have
    those of the whole. What they ask for is drawn by each part for itself.
    """
    kinds: dict[str, Callable[[Scenario, int, EventQueue, tuple[int, int]], Population]] = {
        "key-value": build_clients, "locks": build_lock_clients
    }  # fmt: skip
    return kinds[scenario.workload.kind](scenario, seed, queue, share)


def seed_of(seed: int, part: int) -> int:
    """Of what a part of the clients draws for itself."""
    return int(generator(seed, CLIENT, part).integers(2**63)) if part else seed


def build_lock_clients(scenario: Scenario, seed: int, queue: EventQueue, share: tuple[int, int] = (0, 1)) -> LockClients:
    """All clients of a lock service, or a part of them."""
    part, parts = share
    own_seed = seed_of(seed, part)
    workload, asked, dice = scenario.workload, scenario.locks, generator(own_seed, WORKLOAD)
    locks = np.zeros(DRAWN, dtype=np.int64)
    struck = asked.errands_ns > 0 or any(fault.kind in OF_CLIENTS for fault in scenario.faults)
    clients = (StruckClients if struck else LockClients)(
        queue,
        _sessions(scenario, own_seed)[part::parts],
        Recorder(*window_of(scenario)),
        asked.options(scenario.timeouts.request_ns),
        Habits(
            draw=None if asked.own else lambda: keys.draw(workload.keys, dice, locks).tolist()[::-1],
            think=durations(workload.arrivals.think, own_seed, THINK),
            hold=durations(asked.hold, own_seed, HOLD),
            dead_for=durations(asked.dead_for, own_seed, HOLD, 1),
            chances=Chances(Branch(own_seed, WORKLOAD, 1)),
            exclusive=asked.exclusive,
            read=asked.read,
            write=asked.write,
            dies=asked.dies,
            lock_delay_ns=asked.lock_delay_ns,
            contents_bytes=asked.contents_bytes,
            await_release=asked.await_release,
            window_ns=window_of(scenario),
            stop_ns=scenario.end_ns,
        ),
        share,
    )
    if isinstance(clients, StruckClients) and asked.errands_ns:
        clients.begin_errands(asked.errands_ns, own_seed)
    return clients


def build_clients(scenario: Scenario, seed: int, queue: EventQueue, share: tuple[int, int] = (0, 1)) -> Clients:
    """All clients of a key-value store, or a part of them."""
    part, parts = share
    own_seed = seed_of(seed, part)
    workload, arrivals = scenario.workload, scenario.workload.arrivals
    planned = None
    if arrivals.kind == "open":
        planned = schedule(arrivals, generator(seed, ARRIVALS), scenario.end_ns)[part::parts]
    return Clients(
        queue,
        _sessions(scenario, own_seed)[part::parts],
        Operations(workload, generator(own_seed, WORKLOAD)),
        workload.mix,
        Recorder(*window_of(scenario)),
        planned,
        durations(arrivals.think, own_seed, THINK),
        ROUTING[workload.routing],
        scenario.timeouts.request_ns,
        scenario.timeouts.operation_ns,
        scenario.end_ns,
        workload.routing == "leader" or not scenario.network.duplicate,
        share,
    )


def _sessions(scenario: Scenario, seed: int) -> list[Session]:
    """Clients take the regions in turn; each pair of region and replica has one stream of latencies each way."""
    regions, replicas = scenario.client_regions, range(scenario.replicas)
    places = list(range(max(1, len(regions))))
    streams = {
        (place, replica, way): _latency(scenario, seed, place, replica, way)
        for place in places for replica in replicas for way in (0, 1)
    }  # fmt: skip
    sessions = []
    for client in range(scenario.workload.arrivals.clients):
        place = client % len(places)
        to, back = ([_link(seed, *streams[place, replica, way]) for replica in replicas] for way in (0, 1))
        sessions.append(Session(client, _first_target(scenario, client, place, streams), to, back))
    return sessions


def _latency(scenario: Scenario, seed: int, place: int, replica: int, way: int) -> tuple[int, Durations, Durations]:
    network = scenario.network
    base_ns, latency = 0, network.client_latency or network.latency or ZERO
    if network.matrix is not None and network.client_latency is None:
        ends = scenario.client_regions[place], network.placement[replica]
        base_ns, latency = network.matrix.one_way_ns(*(ends if way == 0 else ends[::-1])), ZERO
    path = (CLIENT, place, replica, way)
    jitter = Uniform(low=0, high=network.jitter_ns) if network.jitter_ns else ZERO
    return base_ns, durations(latency, seed, *path), durations(jitter, seed, *path, 1)


def _link(seed: int, base_ns: int, latency: Durations, jitter: Durations) -> Link:
    """Clients' own links lose nothing and keep order: what is studied is between the replicas."""
    chances = Chances(Branch(seed, CLIENT))
    return Link(base_ns, latency, jitter, LossModel(RELIABLE, chances), chances, True, 0)


def _first_target(scenario: Scenario, client: int, place: int, streams: dict[Any, Any]) -> int:
    if scenario.workload.routing == "leader":
        return scenario.initial_leader or 0
    if scenario.workload.routing == "nearest" and scenario.client_regions:
        return min(range(scenario.replicas), key=lambda replica: streams[place, replica, 0][0])
    return client % scenario.replicas
