"""One trial: a scenario point and an engine become a simulation, and the simulation a Trial."""
from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bench.checkers.invariants import ASSERTIONS, STATEMENTS
from bench.checkers.linearizability import LINEARIZABLE, NOT_LINEARIZABLE, Budget
from bench.checkers.recorded import check as check_linearizability
from bench.distributions import ZERO, Distribution, Uniform
from bench.driver.clients import ROUTING, Clients, Session
from bench.driver.faults import Faults
from bench.driver.host import DURABILITY, Forward, ForwardAnswer, Host, HostOptions
from bench.driver.network import Chances, Durations, Link, LossModel, generator
from bench.driver.protocols import PROTOCOLS, build
from bench.driver.simulation import Node, Simulation
from bench.driver.wire import Kind
from bench.metrics.recorder import Recorder
from bench.metrics.trial import Trial
from bench.scenario import Loss
from bench.workloads.arrivals import offered_ops_per_s, schedule
from bench.workloads.key_value import Operations
from engines.machine import KeyValue

if TYPE_CHECKING:
    import numpy as np

    from bench.scenario import Scenario

LATENCY, LOSS, CPU, DISK, CLIENT, WORKLOAD, ARRIVALS, THINK = range(8)
DRAIN_NS = 5_000_000_000
STEP_NS = 10_000_000
RELIABLE = Loss()
SECOND_NS = 1_000_000_000
LINEARIZABILITY = "linearizability"


def run_trial(
    scenario: Scenario,
    engine: str,
    axes: dict[str, Any] | None = None,
    seed: int | None = None,
    trial: int = 0,
    trace: Callable[[str, Node, Any], None] | None = None,
) -> Trial:
    """Run one engine at one point; ``seed`` defaults to the scenario's. ``trace`` is told every event of every replica."""
    run = TrialRun(scenario, engine, scenario.seed if seed is None else seed)
    run.simulation.trace = trace
    run.perform()
    return run.trial(axes or {}, trial)


@contextmanager
def no_cycle_collection() -> Iterator[None]:
    """A simulation makes no cycles of references, but a collector that does not know it looks at all logs time and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class TrialRun:
    """A simulation built from a scenario, and the clients and faults in it."""

    def __init__(self, scenario: Scenario, engine: str, seed: int) -> None:
        self.scenario = scenario
        self.engine = engine
        self.seed = seed
        self.window = (scenario.warmup_ns, scenario.warmup_ns + scenario.duration_ns)
        self.load_end_ns = scenario.end_ns
        self.marks: list[dict[str, int]] = []
        self.simulation = self._simulation()
        self.clients = self._clients()
        self.simulation.clients = self.clients
        self.faults = Faults(self.simulation, scenario.faults, seed)

    def _durations(self, distribution: Distribution, *path: int) -> Durations:
        return Durations(distribution, generator(self.seed, *path))

    def _simulation(self) -> Simulation:
        scenario, network = self.scenario, self.scenario.network
        count = scenario.replicas
        nodes = [
            Node(
                id,
                self._durations(scenario.storage.fsync, DISK, id),
                self._durations(scenario.cpu.per_message, CPU, id),
            )
            for id in range(count)
        ]
        for node in nodes:
            node.links = [None if node.id == to else self._link(node.id, to) for to in range(count)]
        engine_class = PROTOCOLS[self.engine][0]
        messages: list[type] = [*engine_class.HANDLERS, Forward, ForwardAnswer]
        kinds = {message: Kind(message, message in engine_class.HEARTBEATS) for message in messages}
        bandwidth = network.bandwidth_bytes_per_s
        simulation = Simulation(
            nodes,
            self._new_host,
            kinds,
            scenario.cpu.per_byte_ns,
            SECOND_NS / bandwidth if bandwidth else 0.0,
            scenario.storage.per_byte_ns,
        )
        simulation.user_timeout_ns = network.user_timeout_ns
        return simulation

    def _link(self, one: int, other: int) -> Link:
        network = self.scenario.network
        base_ns, latency = self._latency(one, other)
        jitter = Uniform(low=0, high=network.jitter_ns) if network.jitter_ns else ZERO
        chances = Chances(generator(self.seed, LOSS, one, other))
        return Link(
            base_ns,
            self._durations(latency, LATENCY, one, other),
            self._durations(jitter, LATENCY, one, other, 1),
            LossModel(network.loss, chances),
            chances,
            network.transport == "tcp",
            network.retransmit_ns,
            network.duplicate,
            network.reorder,
        )

    def _latency(self, one: int, other: int) -> tuple[int, Distribution]:
        network = self.scenario.network
        if network.matrix is not None:
            return network.matrix.one_way_ns(network.placement[one], network.placement[other]), ZERO
        assert network.latency is not None
        return 0, network.latency

    def _new_host(self, simulation: Simulation, id: int, incarnation: int) -> Host:
        scenario = self.scenario
        dice = random.Random(f"{self.seed}/engine/{id}/{incarnation}")
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
        return Host(simulation, build(self.engine, id, scenario, dice), KeyValue(), options)

    def _clients(self) -> Clients:
        scenario, workload = self.scenario, self.scenario.workload
        arrivals = workload.arrivals
        planned = None
        if arrivals.kind == "open":
            planned = schedule(arrivals, generator(self.seed, ARRIVALS), self.load_end_ns)
        return Clients(
            self.simulation.queue,
            self._sessions(),
            Operations(workload, generator(self.seed, WORKLOAD)),
            workload.mix,
            Recorder(*self.window),
            planned,
            self._durations(arrivals.think, THINK),
            ROUTING[workload.routing],
            scenario.timeouts.request_ns,
            scenario.timeouts.operation_ns,
            self.load_end_ns,
            workload.routing == "leader" or not scenario.network.duplicate,
        )

    def _sessions(self) -> list[Session]:
        """Clients take the regions in turn; each pair of region and replica has one stream of latencies each way."""
        scenario, regions = self.scenario, self.scenario.client_regions
        replicas = range(scenario.replicas)
        places = list(range(max(1, len(regions))))
        streams = {
            (place, replica, way): self._client_latency(place, replica, way)
            for place in places for replica in replicas for way in (0, 1)
        }  # fmt: skip
        sessions = []
        for client in range(scenario.workload.arrivals.clients):
            place = client % len(places)
            to, back = (
                [self._client_link(*streams[place, replica, way]) for replica in replicas] for way in (0, 1)
            )
            sessions.append(Session(client, self._first_target(client, place, streams), to, back))
        return sessions

    def _client_latency(self, place: int, replica: int, way: int) -> tuple[int, Durations, Durations]:
        network = self.scenario.network
        base_ns, latency = 0, network.client_latency or network.latency or ZERO
        if network.matrix is not None and network.client_latency is None:
            ends = self.scenario.client_regions[place], network.placement[replica]
            base_ns, latency = network.matrix.one_way_ns(*(ends if way == 0 else ends[::-1])), ZERO
        jitter = Uniform(low=0, high=network.jitter_ns) if network.jitter_ns else ZERO
        path = (CLIENT, place, replica, way)
        return base_ns, self._durations(latency, *path), self._durations(jitter, *path, 1)

    def _client_link(self, base_ns: int, latency: Durations, jitter: Durations) -> Link:
        """Clients' own links lose nothing and keep order: what is studied is between the replicas."""
        chances = Chances(generator(self.seed, CLIENT))
        return Link(base_ns, latency, jitter, LossModel(RELIABLE, chances), chances, True, 0)

    def _first_target(self, client: int, place: int, streams: dict[Any, Any]) -> int:
        scenario = self.scenario
        if scenario.workload.routing == "leader":
            return scenario.initial_leader or 0
        if scenario.workload.routing == "nearest" and scenario.client_regions:
            return min(range(scenario.replicas), key=lambda replica: streams[place, replica, 0][0])
        return client % scenario.replicas

    def perform(self) -> None:
        """Run to the end; an assertion of an engine or the host that fails ends the run, and makes it invalid."""
        agreement = self.simulation.agreement
        try:
            self._live()
        except AssertionError as error:
            agreement.violated(f"{ASSERTIONS}: {str(error) or 'failed'} at {self.simulation.now / SECOND_NS:.6f} s")
        while len(self.marks) < len(self.window):
            self.marks.append(self._totals())
        self.clients.finish()
        self.clients.recorder.advance(self.simulation.now)

    def _live(self) -> None:
        """Warm-up, window and cool-down under load; then whatever is under way may finish, and replicas catch up."""
        simulation = self.simulation
        for moment in self.window:
            simulation.at(moment, lambda _: self.marks.append(self._totals()))
        for node in simulation.nodes:
            simulation.boot(node.id)
        self.clients.start()
        with no_cycle_collection():
            simulation.run(self.load_end_ns)
            self._run_until(self._drained, DRAIN_NS)
            self._run_until(self._level, 2 * self.scenario.timeouts.election_ns[1])
        simulation.agreement.finish({node.id: node.host.machine.applied for node in simulation.nodes if node.up})

    def _run_until(self, condition: Callable[[], bool], limit_ns: int) -> None:
        stop_ns = self.simulation.now + limit_ns
        while self.simulation.now < stop_ns and not condition():
            self.simulation.run(min(stop_ns, self.simulation.now + STEP_NS))

    def _drained(self) -> bool:
        return self.clients.recorder.outstanding == 0

    def _level(self) -> bool:
        """Every replica is up and has applied the same."""
        nodes = self.simulation.nodes
        if self.engine == "unreplicated":
            nodes = nodes[:1]
        return all(node.up and node.host.machine.applied == self.simulation.agreement.highest for node in nodes)

    def _totals(self) -> dict[str, int]:
        simulation = self.simulation
        totals = {
            "commits": simulation.agreement.commands,
            "messages": 0,
            "heartbeats": 0,
            "message_bytes": 0,
            "fsyncs": sum(node.fsyncs for node in simulation.nodes),
            "client_requests": simulation.requests,
        }
        for kind in simulation.kinds.values():
            totals["heartbeats" if kind.heartbeat else "messages"] += kind.count
            totals["message_bytes"] += 0 if kind.heartbeat else kind.bytes
            totals[f"kind {kind.name}"] = kind.count
        return totals

    def trial(self, axes: dict[str, Any], trial: int) -> Trial:
        """The outcome; call it once, after ``perform``."""
        simulation, recorder = self.simulation, self.clients.recorder
        first, last = self.marks
        counts = {name: last[name] - first[name] for name in last}
        violations = list(simulation.agreement.violations)
        operations = recorder.operations()
        checks = {name: _answer(name, violations) for name in STATEMENTS}
        checks[LINEARIZABILITY] = self._linearizable(operations, violations)
        arrivals = self.scenario.workload.arrivals
        return Trial(
            engine=self.engine,
            world="simulation",
            replicas=self.scenario.replicas,
            seed=self.seed,
            trial=trial,
            axes=axes,
            window_ns=self.window,
            end_ns=simulation.now,
            offered_ops_per_s=offered_ops_per_s(arrivals, self.window, self.load_end_ns),
            outstanding_ns=recorder.outstanding_ns,
            operations=operations,
            counts={name: count for name, count in counts.items() if not name.startswith("kind ")},
            messages_by_kind={name[5:]: count for name, count in counts.items() if name.startswith("kind ") and count},
            leaders=list(simulation.leaders),
            faults=self.faults.records,
            violations=violations,
            checks=checks,
            fairness=self._fairness(),
        )

    def _linearizable(self, operations: np.ndarray, violations: list[str]) -> str:
        """What the check says; steps limit it, because time is not the same in every run."""
        steps = self.scenario.checks.linearizability_steps
        if not steps:
            return "not run"
        verdict = check_linearizability(operations, Budget(steps=steps))
        if verdict.answer == NOT_LINEARIZABLE:
            violations.append(f"{LINEARIZABILITY}: no order explains the operations on key {verdict.key}")
            return "failed"
        return "passed" if verdict.answer == LINEARIZABLE else "unknown"

    def _fairness(self) -> dict[str, Any]:
        """What must be equal for a comparison of engines to be fair (DESIGN 7.6)."""
        resolved = self.scenario.resolved()
        return {
            "durability": resolved["storage"]["durability"],
            "batching": resolved["batching"],
            "timeouts": resolved["timeouts"],
            "transport": resolved["network"]["transport"],
            "clients": resolved["workload"]["arrivals"]["clients"],
            "routing": resolved["workload"]["routing"],
            "reads": "through the log",
            "reply_point": "leader, after applying",
            "options": resolved.get(self.engine, {}),
        }


def _answer(name: str, violations: list[str]) -> str:
    return "failed" if any(violation.startswith(name) for violation in violations) else "passed"
