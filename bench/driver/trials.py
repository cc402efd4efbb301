"""One trial: a scenario point and an engine become a simulation, and the simulation a Trial."""
from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from bench.checkers.beliefs import LockWatcher
from bench.checkers.statements import ASSERTIONS, CHEAP, MOMENTS, RECORDS, STATUSES
from bench.checkers.watchers import watchers
from bench.driver.faults import Faults
from bench.driver.host import Forward, ForwardAnswer, Host
from bench.driver.judgement import FSYNC, LEVEL, checks, fairness
from bench.driver.network import CPU, DISK, link_between
from bench.driver.node import Node
from bench.driver.population import build_population, durations, window_of
from bench.driver.protocols import PROTOCOLS, USUAL, Parts, new_host
from bench.driver.shared_machine import SharedMachine
from bench.driver.simulation import Simulation
from bench.driver.wire import Kind
from bench.metrics.trial import Trial
from bench.workloads.arrivals import offered_ops_per_s

if TYPE_CHECKING:

    from bench.scenario import Scenario

DRAIN_NS = 5_000_000_000
STEP_NS = 10_000_000
ENDS_A_REPLICA = ("crash", "torn_write")
MMAP_THRESHOLD, LARGE_BLOCK_BYTES = -3, 128 * 1024  # M_MMAP_THRESHOLD of mallopt(3)
SECOND_NS = 1_000_000_000


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


def remap_large_blocks() -> None:
    """Let a large block that grows be remapped and not copied: as logs do (mallopt(3); glibc has it)."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


class TrialRun:
    """A simulation built from a scenario, and the clients and faults in it."""

    def __init__(
        self, scenario: Scenario, engine: str, seed: int, invariants: str = "", parts: Parts = USUAL
    ) -> None:
        """``invariants`` is a level of bench.checkers.statements; by default that of the scenario. ``parts`` are classes in
        place of the usual ones.
        """
        self.scenario = scenario
        self.parts = parts
        self.engine = engine
        self.seed = seed
        self.window = window_of(scenario)
        self.load_end_ns = scenario.end_ns
        self.marks: list[dict[str, int]] = []
        self.loaded = 0  # positions that were decided when the load was over
        self.invariants = invariants or scenario.checks.invariants
        self.simulation = self._simulation()
        self.clients = build_population(scenario, seed, self.simulation.client_queue)
        self.simulation.clients = self.clients
        self._watch()
        self.faults = Faults(self.simulation, scenario.faults, seed)
        self.simulation.keeps_records = any(fault.kind in ENDS_A_REPLICA for fault in scenario.faults)

    def _simulation(self) -> Simulation:
        scenario, network = self.scenario, self.scenario.network
        count = scenario.replicas
        costs = scenario.costs
        nodes = [
            Node(
                id,
                durations(costs.fsync if costs else scenario.storage.fsync, self.seed, DISK, id),
                durations(scenario.cpu.per_message, self.seed, CPU, id),
            )
            for id in range(count)
        ]
        for node in nodes:
            node.links = [None if node.id == to else link_between(network, self.seed, node.id, to) for to in range(count)]
        engine_class = PROTOCOLS[self.engine][0]
        messages: list[type] = [*engine_class.HANDLERS, Forward, ForwardAnswer]
        kinds = {message: Kind(message, message in engine_class.HEARTBEATS) for message in messages}
        nic_byte_ns = SECOND_NS / network.bandwidth_bytes_per_s if network.bandwidth_bytes_per_s else 0.0
        simulation: Simulation
        if costs is not None:
            wake_up = durations(costs.wake_up, self.seed, CPU)
            simulation = SharedMachine(nodes, self._new_host, kinds, nic_byte_ns, costs, wake_up)
        else:
            per_byte_ns, disk_byte_ns = scenario.cpu.per_byte_ns, scenario.storage.per_byte_ns
            simulation = (self.parts.simulation or Simulation)(
                nodes, self._new_host, kinds, per_byte_ns, nic_byte_ns, disk_byte_ns
            )
        return simulation

    def _watch(self) -> None:
        """Look at the replicas from outside."""
        simulation, scenario = self.simulation, self.scenario
        if scenario.workload.kind == "key-value":  # the numbers of other commands are no rows of the recorder
            simulation.agreement.recorder = self.clients.recorder
        phases = scenario.paxos.phase1_quorum, scenario.paxos.phase2_quorum
        simulation.watcher = watchers(
            self.engine,
            scenario.replicas,
            simulation.agreement,
            self.invariants,
            scenario.storage.durability == FSYNC,
            (phases[0].system(scenario.replicas), phases[1].system(scenario.replicas)),
        )
        if scenario.workload.kind == "locks" and self.invariants != CHEAP:
            clients: Any = self.clients
            clients.watcher = simulation.lock_watcher = LockWatcher(
                simulation.agreement,
                scenario.locks.options(scenario.timeouts.request_ns),
                simulation.nodes,
                clients.tenants,
                scenario.clocks_in_bound,
            )

    def _new_host(self, simulation: Simulation, id: int, incarnation: int) -> Host:
        return new_host(simulation, self.engine, id, incarnation, self.scenario, self.seed, self.parts)

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
        remap_large_blocks()
        with no_cycle_collection():
            simulation.run(self.load_end_ns)
            self._run_until(self._drained, DRAIN_NS)
            self.loaded = simulation.agreement.highest
            self._run_until(self._level, self.scenario.checks.level_within_ns or 2 * self.scenario.timeouts.election_ns[1])
        machines = {node.id: node.host.machine for node in simulation.nodes if node.up}
        simulation.agreement.finish(machines)
        if self.scenario.checks.level_within_ns and not self._level():
            decided = simulation.agreement.highest
            applied = {id: machine.applied for id, machine in machines.items()}
            simulation.agreement.violated(f"{LEVEL}: of {decided} decided positions the replicas have applied {applied}")

    def _run_until(self, condition: Callable[[], bool], limit_ns: int) -> None:
        stop_ns = self.simulation.now + limit_ns
        while self.simulation.now < stop_ns and not condition():
            self.simulation.run(min(stop_ns, self.simulation.now + STEP_NS))

    def _drained(self) -> bool:
        return self.clients.recorder.outstanding == 0

    def _level(self) -> bool:
        """Every replica is up and has applied the same; of a lock service, whose master never rests, what the load left."""
        nodes = self.simulation.nodes
        if self.engine == "unreplicated":
            nodes = nodes[:1]
        due = self.loaded if self.scenario.workload.kind == "locks" else self.simulation.agreement.highest
        return all(node.up and node.host.machine.applied >= due for node in nodes)

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
        operations = recorder.operations()
        locks = self.clients.record()
        simulation.agreement.outcomes(operations)
        violations = list(simulation.agreement.violations)
        needs = STATUSES, RECORDS, MOMENTS
        said = checks(self.scenario, self.engine, self.invariants, needs, operations, violations, locks)
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
            checks=said,
            fairness=fairness(self.scenario, self.engine, simulation.leaders),
            resources=_calibration(self.scenario),
            noticed=list(simulation.noticed),
            locks=locks,
        )


def _calibration(scenario: Scenario) -> dict[str, Any]:
    """Of the machine that is imitated: how much of it others had while its costs were measured."""
    costs = scenario.costs
    return {} if costs is None else {"calibration": {"foreign_share": costs.others_share_of_machine}}
