"""Faults of a scenario, each proven: inject, witness, heal, witness.

A witness is something that could not have been seen had the fault not happened: a message that a cut link swallowed, a sync
that took longer, a replica that is gone and another incarnation of it that has caught up with what was decided.
"""
from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.metrics.trial import FaultRecord

if TYPE_CHECKING:
    from bench.driver.simulation import Node, Simulation
    from bench.scenario import Fault

PROBES = 200
Witness = Callable[[], str]


class Faults:
    """Puts the faults of a scenario on the simulation's queue, and keeps a record of each."""

    def __init__(self, simulation: Simulation, faults: tuple[Fault, ...], seed: int) -> None:
        self.simulation = simulation
        self.faults = faults
        self.dice = random.Random(f"{seed}/faults")
        self.records: list[FaultRecord] = []
        for number, fault in enumerate(faults):
            simulation.at(fault.at_ns, self.inject, number)

    def inject(self, number: int) -> None:
        """Strike now, look for the witness, and heal after the fault's time."""
        fault = self.faults[number]
        now = self.simulation.now
        target, witness, heal = getattr(self, f"_{fault.kind}")(fault)
        record = FaultRecord(kind=fault.kind, target=target, injected_ns=now)
        self.records.append(record)

        def healed(_: int) -> None:
            record.healed_ns = self.simulation.now
            self._watch(heal(), lambda seen: setattr(record, "heal_witness", seen), fault.for_ns, PROBES * 10)

        self.simulation.at(now + fault.for_ns, healed)
        self._watch(witness, lambda seen: setattr(record, "witness", seen), fault.for_ns, PROBES)

    def _watch(self, witness: Witness, keep: Callable[[str], None], lasting_ns: int, probes: int) -> None:
        """Probe until the witness speaks, ``PROBES`` times over the fault's duration."""
        step_ns = max(1, lasting_ns // (PROBES + 1))

        def probe(left: int) -> None:
            seen = witness()
            if seen:
                keep(f"{seen} at {self.simulation.now / 1e9:.6f} s")
            elif left > 0:
                self.simulation.at(self.simulation.now + step_ns, probe, left - 1)

        self.simulation.at(self.simulation.now + step_ns, probe, probes)

    def _resolve(self, target: int | str | None) -> int:
        """A replica's number; "leader" is whoever began to lead last of those that lead now, or else of those that are up."""
        nodes = self.simulation.nodes
        up = [node.id for node in nodes if node.up] or [node.id for node in nodes]
        if isinstance(target, int):
            return target
        if target == "leader":
            led = [replica for _, replica, _ in reversed(self.simulation.leaders) if replica in up]
            leading = [replica for replica in led if nodes[replica].up and nodes[replica].host.leading]
            return (leading or led or up)[0]
        return self.dice.choice(up)

    def _crash(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        simulation, replica = self.simulation, self._resolve(fault.replica)
        node = simulation.nodes[replica]
        if not node.up:
            return f"replica {replica}", lambda: "", lambda: lambda: ""
        writing = len(node.host.writing)
        survivors = self.dice.randint(0, writing - 1) if writing else 0
        kept, incarnation = len(node.stable) + survivors, node.incarnation
        simulation.crash(replica, survivors)

        def witness() -> str:
            return f"replica {replica} is gone, {kept} records on its disk" if not node.up else ""

        def heal() -> Witness:
            decided = simulation.agreement.highest
            simulation.renew(replica)
            simulation.boot(replica)

            def caught_up() -> str:
                reached = node.up and node.incarnation > incarnation and node.host.machine.applied >= decided
                return f"incarnation {node.incarnation} has applied {node.host.machine.applied}" if reached else ""

            return caught_up

        return f"replica {replica}", witness, heal

    def _cut(self, target: str, links: list[tuple[int, int]]) -> tuple[str, Witness, Callable[[], Witness]]:
        simulation = self.simulation
        ends = [simulation.nodes[one].links[other] for one, other in links]
        blocked = sum(link.blocked_messages for link in ends)
        for one, other in links:
            simulation.block(one, other)

        def witness() -> str:
            count = sum(link.blocked_messages for link in ends) - blocked
            return f"{count} messages did not get through" if count else ""

        def heal() -> Witness:
            for one, other in links:
                simulation.unblock(one, other)
            carried = sum(link.carried for link in ends)
            return lambda: "messages get through again" if sum(link.carried for link in ends) > carried else ""

        return target, witness, heal

    def _partition(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        replicas = [node.id for node in self.simulation.nodes]
        if fault.groups:
            groups = [list(group) for group in fault.groups]
        else:
            alone = self._resolve(fault.replica)
            groups = [[alone], [replica for replica in replicas if replica != alone]]
        side = {replica: number for number, group in enumerate(groups) for replica in group}
        links = [(one, other) for one in replicas for other in replicas if side[one] != side[other]]
        return self._cut(" | ".join(" ".join(map(str, group)) for group in groups), links)

    def _one_way(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        one, other = self._pair(fault)
        return self._cut(f"{one} to {other}", [(one, other)])

    def _pair(self, fault: Fault) -> tuple[int, int]:
        one = self._resolve(fault.sender)
        other = self._resolve(fault.receiver)
        if one == other:
            other = (one + 1) % len(self.simulation.nodes)
        return one, other

    def _slow_link(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        one, other = self._pair(fault)
        links = [self.simulation.nodes[one].links[other], self.simulation.nodes[other].links[one]]
        for link in links:
            link.extra_ns += fault.extra_ns
        carried = sum(link.carried for link in links)

        def witness() -> str:
            slowed = sum(link.carried for link in links) - carried
            return f"{slowed} messages took {fault.extra_ns / 1e6:g} ms longer" if slowed else ""

        def heal() -> Witness:
            for link in links:
                link.extra_ns -= fault.extra_ns
            before = sum(link.carried for link in links)
            return lambda: "messages are as fast as before" if sum(link.carried for link in links) > before else ""

        return f"{one} and {other}", witness, heal

    def _slow_disk(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        node = self.simulation.nodes[self._resolve(fault.replica)]
        node.fsync_factor *= fault.factor
        return self._slowed(node, fault.factor)

    def _slowed(self, node: Node, factor: float) -> tuple[str, Witness, Callable[[], Witness]]:
        syncs = node.fsyncs

        def witness() -> str:
            slow = node.fsyncs - syncs
            return f"{slow} syncs took {factor:g} times as long" if slow else ""

        def heal() -> Witness:
            node.fsync_factor /= factor
            before = node.fsyncs
            return lambda: "syncs are as fast as before" if node.fsyncs > before else ""

        return f"replica {node.id}", witness, heal

    def _clock(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        simulation = self.simulation
        node = simulation.nodes[self._resolve(fault.replica)]
        ahead = node.local(simulation.now) - simulation.now
        simulation.set_clock_rate(node.id, fault.rate)

        def witness() -> str:
            drift_ns = node.local(simulation.now) - simulation.now - ahead
            return f"the clock is off by {drift_ns / 1e6:g} ms" if drift_ns else ""

        def heal() -> Witness:
            simulation.set_clock_rate(node.id, 1.0)
            healed_ns, shown_ns = simulation.now, node.local(simulation.now)

            def keeps_time() -> str:
                passed_ns = simulation.now - healed_ns
                return "the clock keeps time" if passed_ns and node.local(simulation.now) - shown_ns == passed_ns else ""

            return keeps_time

        return f"replica {node.id}", witness, heal
