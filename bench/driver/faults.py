"""Faults of a scenario, each proven: inject, witness, heal, witness.

A witness is something that could not have been seen had the fault not happened: a message that a cut link swallowed, a sync
that took longer, a replica that is gone and another incarnation of it that has caught up with what was decided.
"""
from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.driver.shapes import cut_links
from bench.metrics.trial import FaultRecord

if TYPE_CHECKING:
    from bench.driver.node import Node
    from bench.driver.simulation import Simulation
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
        self.slowness: dict[int, list[float]] = {node.id: [1.0] for node in simulation.nodes}  # of the disks
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
        node = self.simulation.nodes[self._resolve(fault.replica)]
        if not node.up:
            return f"replica {node.id}", lambda: "", lambda: lambda: ""
        writing = len(node.host.writing)
        survivors = self.dice.randint(0, writing - 1) if writing else 0
        kept = len(node.stable) + survivors
        self.simulation.crash(node.id, survivors)

        def witness() -> str:
            return f"replica {node.id} is gone, {kept} records on its disk" if not node.up else ""

        return f"replica {node.id}", witness, partial(self._restart, node)

    def _restart(self, node: Node) -> Witness:
        """Let the next incarnation begin; it counts once it has applied all that had been decided by then."""
        simulation, crashed = self.simulation, node.incarnation
        decided = simulation.agreement.highest
        simulation.renew(node.id)
        simulation.boot(node.id)

        def caught_up() -> str:
            reached = node.up and node.incarnation > crashed and node.host.machine.applied >= decided
            return f"incarnation {node.incarnation} has applied {node.host.machine.applied}" if reached else ""

        return caught_up

    def _torn_write(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        """Power fails in the midst of a sync, of which a part has reached the disk: the next one of several records, or, when
        half of the fault's time is over, of a single one.
        """
        simulation = self.simulation
        node = simulation.nodes[self._resolve(fault.replica)]
        torn: list[tuple[int, int]] = []
        trapped = node.up and node.on_write is None
        incarnation, until_ns = node.incarnation, simulation.now + fault.for_ns
        patient_until_ns = simulation.now + fault.for_ns // 2

        def fail(_: int) -> None:
            if node.up and node.incarnation == incarnation and simulation.now < until_ns:
                records = len(node.host.writing)
                survivors = self.dice.randint(min(1, records - 1), records - 1)
                torn.append((survivors, records))
                simulation.crash(node.id, survivors)

        def trap(half_ns: int) -> None:
            if len(node.host.writing) == 1 and simulation.now < patient_until_ns:
                return
            node.on_write = None
            if node.incarnation == incarnation:
                simulation.at(simulation.now + half_ns, fail)

        if trapped:
            node.on_write = trap

        def witness() -> str:
            return f"{torn[0][0]} of {torn[0][1]} records of a sync reached the disk of replica {node.id}" if torn else ""

        def heal() -> Witness:
            if trapped and node.on_write is trap:
                node.on_write = None
            return self._restart(node) if torn and not node.up else lambda: ""

        return f"replica {node.id}", witness, heal

    def _pause(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        simulation = self.simulation
        node = simulation.nodes[self._resolve(fault.replica)]
        if not node.up or node.paused:
            return f"replica {node.id}", lambda: "", lambda: lambda: ""
        incarnation = node.incarnation
        simulation.halt(node.id)

        def witness() -> str:
            waiting = node.waiting.count if node.paused and node.incarnation == incarnation else 0
            return f"{waiting} messages wait for replica {node.id}" if waiting else ""

        def heal() -> Witness:
            if node.paused and node.incarnation == incarnation:
                simulation.go_on(node.id)
            healed_ns = node.local(simulation.now)
            return lambda: "it works again" if node.up and node.host.now > healed_ns else ""

        return f"replica {node.id}", witness, heal

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

    def _shape(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        struck = 0 if fault.groups else self._resolve(fault.replica)
        return self._cut(*cut_links(fault, len(self.simulation.nodes), struck))

    _partition = _minority = _bridge = _deaf = _mute = _shape

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
        return self._slowed(node, fault.factor)

    def _slowed(self, node: Node, factor: float) -> tuple[str, Witness, Callable[[], Witness]]:
        """Of faults that overlap the slowest counts: two busy neighbours are no thousandfold one."""
        slowness, syncs = self.slowness[node.id], node.fsyncs
        slowness.append(factor)
        node.fsync_factor = max(slowness)

        def witness() -> str:
            slow = node.fsyncs - syncs
            return f"{slow} syncs took {factor:g} times as long" if slow else ""

        def heal() -> Witness:
            slowness.remove(factor)
            node.fsync_factor = max(slowness)
            before = node.fsyncs
            return lambda: "syncs are as fast as before" if node.fsyncs > before else ""

        return f"replica {node.id}", witness, heal

    # Clients of a lock service

    def _client_crash(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        clients: Any = self.simulation.clients
        tenant = clients.tenants[fault.client]
        if not tenant.up:
            return f"client {fault.client}", lambda: "", lambda: lambda: ""
        clients.crash(fault.client)

        def heal() -> Witness:
            clients.restart(fault.client)
            return lambda: "another one has a session" if tenant.up and tenant.library.session else ""

        return f"client {fault.client}", lambda: "" if tenant.up else "it is gone", heal

    def _client_pause(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        clients: Any = self.simulation.clients
        tenant = clients.tenants[fault.client]
        if tenant.paused:
            return f"client {fault.client}", lambda: "", lambda: lambda: ""
        clients.halt(fault.client)
        return self._missing(fault, tenant, clients.go_on)

    def _client_cut(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        clients: Any = self.simulation.clients
        tenant = clients.tenants[fault.client]
        if tenant.mute:
            return f"client {fault.client}", lambda: "", lambda: lambda: ""
        clients.cut(fault.client, fault.kind == "client_cut")
        return self._missing(fault, tenant, clients.mend)

    _client_mute = _client_cut

    def _missing(
        self, fault: Fault, tenant: Any, mend: Callable[[int], None]
    ) -> tuple[str, Witness, Callable[[], Witness]]:
        """A client misses what it should hear, or cannot say what it wants to."""

        def witness() -> str:
            waiting = len(tenant.missed) + len(tenant.unsent)
            return f"{waiting} messages wait" if waiting else ""

        def heal() -> Witness:
            mend(fault.client)
            return lambda: "" if tenant.missed or tenant.unsent else "nothing waits any more"

        return f"client {fault.client}", witness, heal

    def _client_clock(self, fault: Fault) -> tuple[str, Witness, Callable[[], Witness]]:
        clients: Any = self.simulation.clients
        tenant = clients.tenants[fault.client]
        ahead = tenant.local(self.simulation.now) - self.simulation.now
        clients.set_clock_rate(fault.client, fault.rate)

        def witness() -> str:
            drift_ns = tenant.local(self.simulation.now) - self.simulation.now - ahead
            return f"the clock is off by {drift_ns / 1e6:g} ms" if drift_ns else ""

        def heal() -> Witness:
            clients.set_clock_rate(fault.client, 1.0)
            return lambda: "the clock keeps time" if tenant.clock.rate == 1.0 else ""

        return f"client {fault.client}", witness, heal

    # Clocks

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
