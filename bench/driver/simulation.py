# cython: boundscheck=False, wraparound=False
# (nodes and links are indexed by ids that the simulation itself gave out)
"""The deterministic world: replicas and clients in virtual time.

Every replica has a CPU, a NIC and a disk, each of which may cost nothing:

    CPU   one server, first come first served: a message costs per_message + per_byte * size to receive and again to send;
          the sends of a step are paid before the next message is taken
    NIC   what a replica sends leaves in order at the bandwidth; what is longer than a slice lets others go between its slices
    disk  one sync at a time (bench.driver.host gathers the next group meanwhile), each lasting a draw of fsync + per_byte * size

A message is thus: sender's CPU, sender's NIC, the link (bench.driver.network), receiver's CPU, step. Clients cost nothing.
Same seed, same code, same bytes out.
"""
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import cython

from bench.checkers.invariants import Agreement, Watcher
from bench.driver.host import Host, World
from bench.driver.network import LOST, SLICE_BYTES
from bench.driver.node import Node
from bench.driver.occasions import (
    ACCEPTED,
    ACTION,
    ANSWER,
    ARRIVE,
    BREAK,
    CLIENT,
    FROM_CLIENT,
    ISSUE,
    LET_GO,
    PROCESS,
    PROCESS_REQUEST,
    REDIRECTED,
    REFUSED,
    REQUEST,
    RETRY,
    STOP,
    SYNCED,
    WAKE,
)
from bench.driver.wire import ANSWER_BYTES, REQUEST_BYTES, Kind
from ext.events import EventQueue

if not cython.compiled:
    from ext.memory import pop_event, push_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.driver.network import Link
    from engines.core import Message, Persist, Record

FEMTOSECONDS = 1_000_000  # in a nanosecond: costs a byte are whole femtoseconds, so that nothing is rounded twice


def whole_ns(femtoseconds: int) -> int:
    """The nearest nanosecond; ``femtoseconds`` are not negative. The compiler divides by a literal without dividing."""
    return (femtoseconds + 500_000) // 1_000_000


class Simulation(World):
    """Runs events in order of time. Built by bench.driver.trials from a scenario."""

    def __init__(
        self,
        nodes: list[Node],
        new_host: Callable[[Simulation, int, int], Host],
        kinds: dict[type, Kind],
        per_byte_ns: float,
        nic_byte_ns: float,
        disk_byte_ns: float,
    ) -> None:
        self.queue = EventQueue()
        self.client_queue = self.queue  # what the clients of the run are to be built on
        self.now = 0
        self.nodes = nodes
        self.new_host = new_host
        self.kinds = kinds
        self.cpu_byte_fs = round(per_byte_ns * FEMTOSECONDS)
        self.nic_byte_fs = round(nic_byte_ns * FEMTOSECONDS)
        self.disk_byte_fs = round(disk_byte_ns * FEMTOSECONDS)
        self.free_cpu = per_byte_ns == 0.0 and all(n.per_message.constant and not n.per_message.value for n in nodes)
        self.record_kinds: dict[type, Kind] = {}
        self.agreement = Agreement(len(nodes))
        self.watcher: Watcher | None = None  # of the protocol; set, as the next two, by who builds the simulation
        self.lock_watcher: Any = None
        self.clients: Any = None
        self.leaders: list[tuple[int, int, int]] = []
        self.noticed: list[tuple[int, int]] = []  # when which replica had no leader any more
        self.requests = self.events = 0
        self.keeps_records = True  # set to false where no replica will ever start again: nobody reads what disks keep
        self.releasing = False  # what leaves rode on a write, and the watcher was asked when that was done
        self.trace: Callable[[str, Node, Any], None] | None = None

    def set_clock_rate(self, id: int, rate: float) -> None:
        """Let a replica's clock run at ``rate`` seconds a second from now on."""
        node = self.nodes[id]
        node.set_rate(rate, self.now)
        if node.up:
            node.disarm()
            self.arm(node)

    def boot(self, id: int) -> None:
        """Start an incarnation of a replica with what its disk kept."""
        node = self.nodes[id]
        assert not node.up
        node.up = True
        node.incarnation += 1
        node.cpu_free_ns = node.nic_free_ns = self.now
        node.idle()
        node.disarm()
        node.host = self.new_host(self, id, node.incarnation)
        if self.trace is not None:
            self.trace("boot", node, len(node.stable))
        self.agreement.restarted(id)
        node.host.start(list(node.stable), node.local(self.now))
        if self.watcher is not None and node.incarnation > 1:
            self.watcher.recovered(id, list(node.stable), node.host.engine.status())
        self.arm(node)

    def crash(self, id: int, survivors: int) -> None:
        """Power is lost: the first ``survivors`` records of the sync under way reached the disk, the rest is gone."""
        node = self.nodes[id]
        assert node.up and node.host is not None and self.keeps_records
        if self.trace is not None:
            self.trace("crash", node, (survivors, len(node.host.writing)))
        for persist in node.host.writing[:survivors]:
            if persist.record is not None:
                self.keep(node, persist.record)
        node.up = False
        node.host = None
        node.idle()
        for peer in self.nodes:
            if peer is not node:
                node.links[peer.id].held = []
                node.links[peer.id].leaving = []
                self.schedule_break(node.id, peer.id, self.now + node.links[peer.id].user_timeout_ns)

    def halt(self, id: int) -> None:
        """The process is stopped: whatever reaches it waits, its timers included; disk and network go on."""
        node = self.nodes[id]
        assert node.up and not node.paused
        node.paused = True
        node.working = node.busy
        node.busy = True
        if self.trace is not None:
            self.trace("pause", node, None)

    def go_on(self, id: int) -> None:
        """A paused process goes on."""
        node = self.nodes[id]
        assert node.paused
        node.paused = False
        if self.trace is not None:
            self.trace("resume", node, None)
        deferred, node.deferred = node.deferred, []
        for payload, kind, argument in deferred:
            self.queue.push(self.now, payload, kind, id, argument)
        if not node.working:
            self.take_next(node)
        node.disarm()
        self.arm(node)

    def run(self, until: int) -> None:  # noqa: PLR0912 (a table of calls would cost more than it tells)
        """Perform every event up to ``until``, and those at that moment that are already on the queue."""
        queue = self.queue
        nodes = self.nodes
        clients = self.clients
        push_event(queue, until, None, STOP, 0, 0)
        while True:
            payload = pop_event(queue)
            self.now = queue.time
            kind = queue.kind
            argument = queue.argument
            self.events += 1
            if kind == ARRIVE:
                self.arrive(nodes[queue.target], argument, payload)
            elif kind == PROCESS:
                self.process(nodes[queue.target], argument, payload)
            elif kind == SYNCED:
                self.synced(nodes[queue.target], argument)
            elif kind == WAKE:
                self.wake(nodes[queue.target], argument)
            elif kind == REQUEST:
                self.requested(nodes[queue.target], argument, payload)
            elif kind == PROCESS_REQUEST:
                self.process_request(nodes[queue.target], argument, payload)
            elif kind == ANSWER:
                clients.answered(queue.target, argument, payload)
            elif kind == REDIRECTED:
                clients.redirected(queue.target, argument, payload)
            elif kind == LET_GO:
                clients.let_go(queue.target, argument)
            elif kind == ISSUE:
                clients.issue(queue.target)
            elif kind == RETRY:
                clients.retry(argument)
            elif kind == BREAK:
                self.break_if_dead(queue.target, argument)
            elif kind == ACTION:
                payload(argument)
            else:
                return

    def at(self, time: int, action: Callable[[int], None], argument: int = 0) -> None:
        """Call ``action(argument)`` at a virtual time."""
        self.queue.push(time, action, ACTION, 0, argument)

    # Messages between replicas

    def transmit(self, host: Host, to: int, message: Message) -> None:
        """CPU, NIC and link of the sender; the event is the arrival at the other end."""
        node = self.nodes[host.id]
        if type(message) is not node.sent_class:
            node.sent_class = type(message)
            node.sent_kind = self.kinds[type(message)]
        kind = node.sent_kind
        size = kind.size(message)
        kind.count += 1
        kind.bytes += size
        if self.trace is not None:
            self.trace("send", node, (to, message))
        if self.watcher is not None and not self.releasing:
            self.watcher.sent(node.id, to, message)
        self.send(node, to, message, size)

    def send(self, node: Node, to: int, message: Message, size: int) -> None:
        """Connections share the NIC: a long message holds up only what is behind it on its own."""
        link = node.links[to]
        if self.nic_byte_fs == 0 or (size <= SLICE_BYTES and not link.leaving):
            self.convey(node, to, link, message, size, self.depart(node, size))
            return
        ready = self.now if self.free_cpu else self.pay_cpu(node, size)
        if link.leave(message, size, ready):
            if ready > self.now:
                self.at(ready, partial(self.send_slice, node, link, link.leaving), to)
            else:
                self.send_slice(node, link, link.leaving, to)

    def convey(self, node: Node, to: int, link: Link, message: Message, size: int, depart: int) -> None:
        """A message that leaves at ``depart`` is delivered, held or lost by its link."""
        if link.blocks or link.broken:
            link.blocked_messages += 1
            if link.tcp:
                self.hold(node.id, to, link, message, size)
            return
        arrival = link.carry(depart, size)
        if arrival == LOST:
            if link.tcp:
                self.schedule_break(node.id, to, link.gives_up_ns())
            return
        argument = (size << 32) | (link.epoch << 16) | node.id
        push_event(self.queue, arrival, message, ARRIVE, to, argument)
        if not link.tcp and link.duplicated():
            arrival = link.carry(depart, size)
            if arrival != LOST:
                push_event(self.queue, arrival, message, ARRIVE, to, argument)

    def send_slice(self, node: Node, link: Link, leaving: list[tuple[Any, int, int]], to: int) -> None:
        """The slice before has left: the next one goes behind what others have sent meanwhile."""
        if link.leaving is not leaving:
            return  # power or connection is gone, and with it the rest
        gone = self.pay_nic(node, link.next_slice(), self.now)
        if link.unsent == 0:
            message, size, _ = link.left()
            self.convey(node, to, link, message, size, gone)
        if leaving:
            self.at(max(gone, leaving[0][2]), partial(self.send_slice, node, link, leaving), to)

    def depart(self, node: Node, size: int) -> int:
        """Pay the sender's CPU and NIC; returns when the last byte has left."""
        depart = self.now if self.free_cpu else self.pay_cpu(node, size)
        return self.pay_nic(node, size, depart) if self.nic_byte_fs > 0 else depart

    def pay_cpu(self, node: Node, size: int) -> int:
        """When the CPU has sent so many bytes."""
        done = max(self.now, node.cpu_free_ns) + self.cpu_cost(node, size)
        node.cpu_free_ns = done
        return done

    def pay_nic(self, node: Node, size: int, ready: int) -> int:
        """When the last of so many bytes, which the NIC has from ``ready`` on, has left."""
        depart = max(ready, node.nic_free_ns) + whole_ns(self.nic_byte_fs * size)
        node.nic_free_ns = depart
        return depart

    def cpu_cost(self, node: Node, size: int) -> int:
        """To receive or to send a message of ``size`` bytes."""
        own = node.per_message.value if node.per_message.constant else node.per_message.next()
        return own + whole_ns(self.cpu_byte_fs * size)

    def arrive(self, node: Node, argument: int, message: Message) -> None:
        """A message reached a replica: its CPU takes it now or later."""
        if not node.up:
            return
        source = self.nodes[argument & 0xFFFF]
        link = source.links[node.id]
        if (argument >> 16) & 0xFFFF != link.epoch:
            return
        if node.busy:
            node.waiting.push(message, argument)
        elif self.free_cpu:
            self.handle(node, source.id, message)
        else:
            self.take(node, message, argument)

    def take(self, node: Node, payload: Any, argument: int) -> None:
        """The CPU begins with a piece of work, as soon as it is free."""
        node.busy = True
        start = node.cpu_free_ns if node.cpu_free_ns > self.now else self.now
        if argument & FROM_CLIENT:
            size = REQUEST_BYTES + len(payload)
            kind, argument = PROCESS_REQUEST, (node.incarnation << 32) | (argument & CLIENT)
        else:
            size = argument >> 32
            kind, argument = PROCESS, (node.incarnation << 16) | (argument & 0xFFFF)
        finish = start + self.cpu_cost(node, size)
        node.cpu_free_ns = finish
        push_event(self.queue, finish, payload, kind, node.id, argument)

    def take_next(self, node: Node) -> None:
        """The CPU is done with one piece of work."""
        waiting = node.waiting
        if waiting.count > 0:
            payload = waiting.pop()
            self.take(node, payload, waiting.argument)
        else:
            node.busy = False

    def process(self, node: Node, argument: int, message: Message) -> None:
        """The CPU has received a message: the engine steps."""
        if node.paused:
            node.deferred.append((message, PROCESS, argument))
        elif node.up and argument >> 16 == node.incarnation:
            self.handle(node, argument & 0xFFFF, message)
            self.take_next(node)

    def handle(self, node: Node, sender: int, message: Message) -> None:
        """Step, and re-arm the timer."""
        if self.trace is not None:
            self.trace("step", node, (sender, message))
        node.host.receive(sender, message, node.local(self.now), node.has_more())
        self.arm(node)

    # Connections

    def hold(self, sender: int, to: int, link: Link, message: Message, size: int) -> None:
        """Keep what a blocked tcp link cannot deliver; it is given up after the user timeout (RFC 9293, 3.8.3)."""
        if not link.held:
            link.held_since_ns = self.now
            self.schedule_break(sender, to, self.now + link.user_timeout_ns)
        link.held.append((message, size))

    def schedule_break(self, one: int, other: int, at_ns: int) -> None:
        """The connection of a pair breaks if it is still of no use when the user timeout has passed."""
        link = self.nodes[one].links[other]
        if link.tcp:
            self.queue.push(at_ns, None, BREAK, one, (link.epoch << 16) | other)

    def break_if_dead(self, one: int, argument: int) -> None:
        """The user timeout of a connection has passed."""
        other = argument & 0xFFFF
        forth = self.nodes[one].links[other]
        if forth.epoch != argument >> 16:
            return
        starved = self.now >= forth.gives_up_ns()
        if starved and forth.broken:
            # No connection came about: only the end that tried to make one can tell.
            forth.reset(self.now)
            self.tell_disconnected(self.nodes[one], other)
        elif starved or not (self.nodes[one].up and self.nodes[other].up):
            self.break_connection(one, other)

    def break_connection(self, one: int, other: int, only: int = -1) -> None:
        """Both ends (or ``only`` one) see that their channel is gone; what was under way is lost."""
        forth, back = self.nodes[one].links[other], self.nodes[other].links[one]
        forth.reset(self.now)
        back.reset(self.now)
        forth.broken = back.broken = forth.blocks > 0 or back.blocks > 0
        for here, there in ((self.nodes[one], other), (self.nodes[other], one)):
            if here.up and only in (-1, here.id):
                self.tell_disconnected(here, there)

    def tell_disconnected(self, node: Node, peer: int) -> None:
        """One end sees that its channel to ``peer`` is gone."""
        if node.paused:
            node.deferred.append((partial(self.tell_disconnected, node), ACTION, peer))
            return
        if not node.up:
            return
        if self.trace is not None:
            self.trace("disconnect", node, peer)
        node.host.disconnected(peer, node.local(self.now))
        self.arm(node)

    def renew(self, id: int) -> None:
        """A restarted replica knows nothing of its old connections: its peers' next segments are answered with a reset."""
        for peer in self.nodes:
            if peer.id != id and peer.up and self.nodes[id].links[peer.id].tcp:
                self.break_connection(id, peer.id, peer.id)
        self.clients.reset(id)

    def block(self, one: int, other: int) -> None:
        """Nothing from ``one`` reaches ``other`` any more, until each block has ended."""
        link = self.nodes[one].links[other]
        link.blocks += 1

    def unblock(self, one: int, other: int) -> None:
        """One block ends. With the last one held data flows; a broken connection needs both ways to be made anew."""
        link, back = self.nodes[one].links[other], self.nodes[other].links[one]
        link.blocks -= 1
        assert link.blocks >= 0, "a block ends that has not begun"
        if link.blocks or (link.broken and back.blocks):
            return
        if link.broken:
            link.broken = back.broken = False
            self.release(other, one)
        self.release(one, other)

    def release(self, one: int, other: int) -> None:
        """What was held flows, in order, when the sender next tries."""
        link = self.nodes[one].links[other]
        held, link.held = link.held, []
        resume_ns = link.resume_ns(self.now) if held else self.now
        for message, size in held:
            argument = (size << 32) | (link.epoch << 16) | one
            arrival = link.carry(resume_ns, size)
            if arrival == LOST:
                self.schedule_break(one, other, link.gives_up_ns())
            else:
                self.queue.push(arrival, message, ARRIVE, other, argument)

    # Disk

    def write(self, host: Host, persists: list[Persist]) -> None:
        """One sync covers these records."""
        node = self.nodes[host.id]
        size = 0
        for persist in persists:
            if persist.record is not None:
                size += self.record_size(node, persist.record)
        duration = node.fsync.next() + whole_ns(self.disk_byte_fs * size)
        if node.fsync_factor != 1.0:
            duration = int(duration * node.fsync_factor)
        if node.on_write is not None:
            node.on_write(duration // 2)
        node.fsyncs += 1
        node.fsync_bytes += size
        push_event(self.queue, self.now + duration, None, SYNCED, node.id, node.incarnation)

    def record_size(self, node: Node, record: Record) -> int:
        """Bytes of a record on disk."""
        if type(record) is not node.written_class:
            kind = self.record_kinds.get(type(record))
            if kind is None:
                kind = self.record_kinds[type(record)] = Kind(type(record), False)
            node.written_class = type(record)
            node.written_kind = kind
        size: int = node.written_kind.size(record)
        return size

    def synced(self, node: Node, incarnation: int) -> None:
        """The sync is done: its records survive crashes, its promises leave."""
        if node.paused:
            node.deferred.append((None, SYNCED, incarnation))
        elif node.up and incarnation == node.incarnation:
            watcher = self.watcher
            for persist in node.host.writing:
                if persist.record is not None:
                    self.keep(node, persist.record)
                if watcher is not None and persist.then is not None:
                    watcher.promised(node.id, persist.then.to, persist.then.message)
            if self.trace is not None:
                self.trace("synced", node, len(node.host.writing))
            self.releasing = True
            node.host.synced(node.local(self.now))
            self.releasing = False
            self.arm(node)

    def keep(self, node: Node, record: Record) -> None:
        """Add a durable record; the last record of a compaction makes all before its first unnecessary."""
        if self.watcher is not None:
            self.watcher.kept(node.id, record)
        if not self.keeps_records:
            return
        if record is node.host.compaction_first:
            node.compaction_from = len(node.stable)
        node.stable.append(record)
        if record is node.host.compaction_last:
            del node.stable[: node.compaction_from]

    # Timers

    def arm(self, node: Node) -> None:
        """See to it that the host is woken at its deadline; an earlier wake-up than needed re-arms itself.

        Every call of a host ends here.
        """
        deadline = node.host.deadline
        if deadline < node.armed_for:
            wake_at = max(node.real(deadline), self.now)
            if wake_at < node.wake_at_ns:
                node.wake_at_ns = wake_at
                node.armed_for = deadline
                push_event(self.queue, wake_at, None, WAKE, node.id, node.incarnation)
        if self.watcher is not None and self.watcher.thorough:
            self.watcher.seen(node.id, node.host.engine.status())
        if self.trace is not None:
            self.trace("done", node, None)

    def wake(self, node: Node, incarnation: int) -> None:
        """A wake-up, which may be early because the deadline has moved since."""
        if not node.up or node.paused or incarnation != node.incarnation or self.now != node.wake_at_ns:
            return
        node.disarm()
        local = node.local(self.now)
        if local >= node.host.deadline:
            if self.trace is not None:
                self.trace("tick", node, None)
            node.host.wake(local)
        self.arm(node)

    # Clients

    def requested(self, node: Node, client: int, command: bytes) -> None:
        """A client's command reached a replica."""
        if not node.up:
            return
        self.requests += 1
        if node.busy:
            node.waiting.push(command, FROM_CLIENT | client)
        elif self.free_cpu:
            self.serve(node, client, command)
        else:
            self.take(node, command, FROM_CLIENT | client)

    def process_request(self, node: Node, argument: int, command: bytes) -> None:
        """The CPU has received a client's command."""
        if node.paused:
            node.deferred.append((command, PROCESS_REQUEST, argument))
        elif node.up and argument >> 32 == node.incarnation:
            self.serve(node, argument & CLIENT, command)
            self.take_next(node)

    def serve(self, node: Node, client: int, command: bytes) -> None:
        """Hand a client's command to the host."""
        if self.trace is not None:
            self.trace("request", node, (client, command))
        node.host.request(client, command, node.local(self.now), node.has_more())
        self.arm(node)

    def answer(self, host: Host, client: int, sequence: int, outcome: int, leader: int, result: bytes) -> None:
        """An answer leaves for its client."""
        node = self.nodes[host.id]
        if self.trace is not None:
            self.trace("answer", node, (client, sequence, outcome))
        size = ANSWER_BYTES + len(result)
        depart = self.depart(node, size)
        arrival = self.clients.answer_arrives(client, host.id, depart, size)
        if outcome == ACCEPTED:
            push_event(self.queue, arrival, result, ANSWER, client, sequence)
        elif outcome == REFUSED:
            push_event(self.queue, arrival, leader, REDIRECTED, client, sequence)
        else:
            push_event(self.queue, arrival, None, LET_GO, client, sequence)

    # Watchers

    def applied(self, host: Host, position: int, command: bytes, answered: bool) -> None:
        """Every application is compared with the other replicas'."""
        if self.trace is not None:
            self.trace("apply", self.nodes[host.id], (position, command))
        digest = host.machine.digest
        first = self.agreement.applied(host.id, position, digest, host.machine.duplicates, command)
        if first and self.watcher is not None:
            self.watcher.chosen(host.id, position, digest, command)
        if first and self.lock_watcher is not None and len(command) > 0:
            self.lock_watcher.applied(host.machine, self.now)
        if answered:
            self.agreement.acknowledged(position)

    def believed(self, host: Host) -> None:
        """A master believes in its lease."""
        if self.lock_watcher is not None:
            self.lock_watcher.believed(host.id, self.now)

    def led(self, host: Host) -> None:
        """A replica began to lead."""
        term = host.engine.status().term
        self.leaders.append((self.now, host.id, term))
        self.agreement.led(host.id, term)
        if self.watcher is not None:
            self.watcher.led(host.id, term, host.machine.applied)
        if self.trace is not None:
            self.trace("lead", self.nodes[host.id], term)

    def lost_leader(self, host: Host) -> None:
        """As World says."""
        self.noticed.append((self.now, host.id))
