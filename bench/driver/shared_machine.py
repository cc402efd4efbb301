# cython: boundscheck=False, wraparound=False
# (processes, nodes and links are indexed by ids that the simulation itself gave out)
"""The simulated world of one machine: replicas and clients are single-threaded processes that share its cores and its disk.

What bench.driver.simulation says of messages, links, faults and clocks holds here, too. But work is done as real processes do it
(bench.driver.reality, bench.driver.load), in turns. A process that something arrives for waits for a core, then

    replica   takes all that has arrived, steps, sends what need not wait; where there are records to write it syncs, for which
              it blocks without a core, and then sends what rode on the sync
    clients   are one process: it hears all answers, lets due operations begin, and sends one frame to each replica

and costs, by ``Costs`` of the scenario, a core's time: for the turn, for each frame (all that goes to or comes from one process
in a turn is one), each message and byte at each end, each command that a replica applies, and each sync. What a turn sends leaves
at the end of that time, as one. A core that was idle needs ``wake_up`` until a process runs on it.

A sync takes a draw of fsync + fsync_per_byte * size where it is alone; all replicas write to one disk (bench.driver.disk). It
takes longer, and more of a core, where the log goes on to another block: a file system then has to write down that it is in use.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cython

from bench.driver.cores import IDLE, RUNNING, SYNCING, Cores, Process
from bench.driver.dialogue import Dialogue
from bench.driver.disk import Disk
from bench.driver.frames import Answer
from bench.driver.load import TURN
from bench.driver.node import Node
from bench.driver.occasions import ACTION, CLIENT, FROM_CLIENT
from bench.driver.simulation import Simulation
from bench.driver.wire import ANSWER_BYTES, REQUEST_BYTES
from engines.core import NEVER
from ext.events import EventQueue

if not cython.compiled:
    from ext.memory import push_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.driver.host import Host
    from bench.driver.network import Durations
    from bench.driver.wire import Kind
    from bench.scenario import Costs
    from engines.core import Message, Persist

BLOCK_BYTES = 4096


class SharedMachine(Simulation):
    """A Simulation on one machine."""

    def __init__(
        self,
        nodes: list[Node],
        new_host: Callable[[Simulation, int, int], Host],
        kinds: dict[type, Kind],
        nic_byte_ns: float,
        costs: Costs,
        wake_up: Durations,
    ) -> None:
        Simulation.__init__(self, nodes, new_host, kinds, 0.0, nic_byte_ns, 0.0)
        self.free_cpu = True  # of the base class, where each replica has a processor of its own
        self.per_turn_ns = costs.per_turn_ns
        self.per_frame_ns = costs.per_frame_ns
        self.per_message_ns = costs.per_message_ns
        self.per_byte_ns = costs.per_byte_ns
        self.per_command_ns = costs.per_command_ns
        self.per_sync_ns = costs.per_sync_ns
        self.client_per_turn_ns = costs.client_per_turn_ns
        self.client_per_message_ns = costs.client_per_message_ns
        self.per_new_block_ns = costs.per_new_block_ns
        self.sync_byte_ns = costs.fsync_per_byte_ns
        self.new_block_ns = costs.fsync_new_block_ns
        self.wake_up = wake_up
        self.cores = Cores(costs.cores)
        count = len(nodes)
        self.client_number = count
        self.processes = [Process(number, count + 1) for number in range(count + 1)]
        self.outboxes: list[list[tuple[int, Any, int]]] = [[] for _ in nodes]
        self.answers: list[list[Answer]] = [[] for _ in nodes]
        self.client_queue = EventQueue()
        self.dialogue: Any = None
        self.alarm_ns = NEVER
        self.pending = [False] * count
        self.disk = Disk(costs.contention)
        self.syncs = 0  # changes of what is under way on the disk
        self.begin_action = self.begin_event
        self.over_action = self.over_event
        self.written_action = self.written_event
        self.disk_action = self.disk_event
        self.alarm_action = self.alarm_event

    def run(self, until: int) -> None:
        """As in the simulation; the clients' own events are due, too."""
        if self.dialogue is None:
            self.dialogue = Dialogue(self.client_queue, self.clients, len(self.nodes))
        self.set_alarm(self.client_queue.peek_time() if len(self.client_queue) else NEVER)
        Simulation.run(self, until)

    # Cores

    def rouse(self, process: Process) -> None:
        """There is something to do for a process: if it sleeps it wants a core."""
        if process.state != IDLE:
            return
        if self.cores.acquire(process):
            process.state = RUNNING
            # Never at once: all that was sent in one frame arrives before anybody looks at the first of it.
            self.later(self.wake_up.value if self.wake_up.constant else self.wake_up.next(), self.begin_action, process)

    def later(self, delay: int, action: Any, process: Process) -> None:
        """Go on with a process, unless it has died until then."""
        push_event(self.queue, self.now + delay, action, ACTION, 0, (process.epoch << 16) | process.number)

    def living(self, argument: int) -> Process | None:
        """The process that an event was meant for, None where that one has died."""
        process: Process = self.processes[argument & 0xFFFF]
        return process if process.epoch == argument >> 16 else None

    def begin_event(self, argument: int) -> None:
        """The core has woken up."""
        process = self.living(argument)
        if process is not None:
            self.begin(process)

    def begin(self, process: Process) -> None:
        """A process that has a core takes a turn, or goes on with the one that its sync interrupted."""
        process.state = RUNNING
        if process.number == self.client_number:
            self.clients_turn(process)
        elif process.resuming:
            self.resume(process)
        else:
            self.turn(process)
        spent = int(process.spent_ns)
        process.busy_ns += process.spent_ns
        process.spent_ns = 0.0
        self.later(spent, self.over_action, process)

    def over_event(self, argument: int) -> None:
        """A process has done the work of a turn, or of one half of it: what it has to say leaves."""
        process = self.living(argument)
        if process is None:
            return
        if process.number == self.client_number:
            self.clients_leave()
        else:
            self.leave(self.nodes[process.number])
        if process.to_sync:
            process.to_sync = False
            spent = self.per_sync_ns + self.per_byte_ns * process.write_bytes
            if self.begins_block(process):
                spent += self.per_new_block_ns
            process.busy_ns += spent
            self.later(int(spent), self.written_action, process)
        elif not process.wants_a_turn():
            process.state = IDLE
            self.pass_core_on()
        else:
            # Others that wait come first.
            self.pass_core_on()
            if self.cores.acquire(process):
                self.begin(process)

    def written_event(self, argument: int) -> None:
        """A process has handed its records to the disk, and waits for them without a core."""
        process = self.living(argument)
        if process is not None:
            process.state = SYNCING
            self.sync(process)
            self.pass_core_on()

    def pass_core_on(self) -> None:
        """A process leaves its core."""
        process = self.cores.pass_on()
        if process is not None:
            self.begin(process)

    # Replicas

    def turn(self, process: Process) -> None:
        """Everything that has arrived, and the timers; what is to be written is written when the rest has left."""
        node = self.nodes[process.number]
        host = node.host
        local = node.local(self.now)
        process.turns += 1
        process.due = False
        process.spent_ns += self.per_turn_ns
        inbox = process.inbox
        for _ in range(inbox.count):
            payload = inbox.pop()
            argument = inbox.argument
            if argument & FROM_CLIENT:
                self.charge_read(process, self.client_number, REQUEST_BYTES + len(payload))
                host.request(argument & CLIENT, payload, local, True)
            else:
                sender = argument & 0xFFFF
                if (argument >> 16) & 0xFFFF == self.nodes[sender].links[node.id].epoch:
                    self.charge_read(process, sender, argument >> 32)
                    if self.trace is not None:
                        self.trace("step", node, (sender, payload))
                    host.receive(sender, payload, local, True)
        if self.trace is not None and local >= host.deadline:
            self.trace("tick", node, None)
        host.wake(local)
        if self.pending[node.id]:
            self.pending[node.id] = False
            process.to_sync = True
            process.write_bytes = 0
            for persist in host.gather():
                if persist.record is not None:
                    process.write_bytes += self.record_size(node, persist.record)
        self.arm(node)

    def resume(self, process: Process) -> None:
        """The sync is done: its records survive crashes, its promises leave."""
        node = self.nodes[process.number]
        process.resuming = False
        self.synced(node, node.incarnation)
        process.due = process.due or self.pending[node.id]

    def charge_read(self, process: Process, source: int, size: int) -> None:
        """A message is read; the first of each source in a turn brings the cost of a frame along."""
        process.spent_ns += self.per_message_ns + self.per_byte_ns * size
        if process.reads_from(source):
            process.spent_ns += self.per_frame_ns

    def transmit(self, host: Host, to: int, message: Message) -> None:
        """A message to another replica; it leaves at the end of the work at hand."""
        node = self.nodes[host.id]
        kind = self.kinds[type(message)]
        size = kind.size(message)
        kind.count += 1
        kind.bytes += size
        if self.trace is not None:
            self.trace("send", node, (to, message))
        if self.watcher is not None and not self.releasing:
            self.watcher.sent(node.id, to, message)
        process = self.processes[host.id]
        process.spent_ns += self.per_message_ns + self.per_byte_ns * size
        outbox = self.outboxes[host.id]
        for earlier in outbox:
            if earlier[0] == to:
                break
        else:
            process.spent_ns += self.per_frame_ns
        outbox.append((to, message, size))

    def answer(self, host: Host, client: int, sequence: int, outcome: int, leader: int, result: bytes) -> None:
        """An answer to a client; it leaves at the end of the work at hand."""
        process = self.processes[host.id]
        process.spent_ns += self.per_message_ns + self.per_byte_ns * (ANSWER_BYTES + len(result))
        answers = self.answers[host.id]
        if not answers:
            process.spent_ns += self.per_frame_ns
        answers.append(Answer(client, sequence, outcome, leader, result))

    def leave(self, node: Node) -> None:
        """What a replica has to say goes on its way."""
        outbox = self.outboxes[node.id]
        if outbox:
            self.outboxes[node.id] = []
            for to, message, size in outbox:
                self.send(node, to, message, size)
        answers = self.answers[node.id]
        if answers:
            self.answers[node.id] = []
            process = self.processes[self.client_number]
            process.inbox.push(answers, node.id)
            self.rouse(process)

    def arrive(self, node: Node, argument: int, message: Message) -> None:
        """A message reached a replica's machine: it is read in the process's next turn."""
        if node.up:
            process = self.processes[node.id]
            process.inbox.push(message, argument)
            self.rouse(process)

    def applied(self, host: Host, position: int, command: bytes, answered: bool) -> None:
        """Applying costs, too."""
        if command:
            process = self.processes[host.id]
            process.spent_ns += self.per_command_ns
        Simulation.applied(self, host, position, command, answered)

    def wake(self, node: Node, incarnation: int) -> None:
        """A timer of a replica goes off; it may be early because the deadline has moved since."""
        if not node.up or incarnation != node.incarnation or self.now != node.wake_at_ns:
            return
        node.disarm()
        if node.local(self.now) >= node.host.deadline:
            process = self.processes[node.id]
            process.due = True
            self.rouse(process)
        else:
            self.arm(node)

    def boot(self, id: int) -> None:
        """Start an incarnation: its first turn says and writes what starting gave it to."""
        Simulation.boot(self, id)
        process = self.processes[id]
        process.due = True
        self.rouse(process)

    def crash(self, id: int, survivors: int) -> None:
        """Power is lost: what the process was doing, and what it had yet to say, is gone."""
        process = self.processes[id]
        had_core = process.state == RUNNING
        process.end()
        self.disk.abandon(process, self.now)
        self.expect_sync()
        self.outboxes[id] = []
        self.answers[id] = []
        self.pending[id] = False
        Simulation.crash(self, id, survivors)
        if had_core:
            self.pass_core_on()

    def tell_disconnected(self, node: Node, peer: int) -> None:
        """One end sees that its channel is gone; what it was yet to send there goes with it."""
        self.outboxes[node.id] = [entry for entry in self.outboxes[node.id] if entry[0] != peer]
        Simulation.tell_disconnected(self, node, peer)
        process = self.processes[node.id]
        process.due = True
        self.rouse(process)

    # Disk

    def write(self, host: Host, persists: list[Persist]) -> None:  # noqa: ARG002
        """The host has records to write: they are gathered until the end of this turn, or of the next if it has synced."""
        self.pending[host.id] = True

    def sync(self, process: Process) -> None:
        """One write and one sync for what the host has gathered."""
        node = self.nodes[process.number]
        size = process.write_bytes
        if size == 0:
            self.durable(process)
            return
        alone = node.fsync.next() + self.sync_byte_ns * size
        if self.begins_block(process):
            alone += self.new_block_ns
        node.fsyncs += 1
        node.fsync_bytes += size
        self.disk.begin(process, alone * node.fsync_factor, self.now)
        self.expect_sync()

    def begins_block(self, process: Process) -> bool:
        """Whether what is to be written goes beyond the block that the log has come to."""
        node: Node = self.nodes[process.number]
        written = node.fsync_bytes
        return (written + process.write_bytes) // BLOCK_BYTES != written // BLOCK_BYTES

    def expect_sync(self) -> None:
        """What is under way on the disk has changed, and so has the time at which the next sync is done."""
        self.syncs += 1
        next_ns = self.disk.next_ns()
        if next_ns < NEVER:
            push_event(self.queue, next_ns, self.disk_action, ACTION, 0, self.syncs)

    def disk_event(self, argument: int) -> None:
        """Syncs are done, unless what is under way has changed since this was expected."""
        if argument == self.syncs:
            for process in self.disk.finished(self.now):
                self.durable(process)
            self.expect_sync()

    def durable(self, process: Process) -> None:
        """A process need not wait for the disk any more, only for a core."""
        process.resuming = True
        if self.cores.acquire(process):
            self.begin(process)

    # Clients

    def clients_turn(self, process: Process) -> None:
        """All answers are heard, and what is due happens, as in bench.driver.load."""
        process.turns += 1
        process.due = False
        process.spent_ns += self.client_per_turn_ns
        inbox = process.inbox
        for _ in range(inbox.count):
            answers: list[Answer] = inbox.pop()
            size = 0
            for answer in answers:
                size += ANSWER_BYTES + len(answer.result)
            process.spent_ns += self.per_frame_ns + self.per_byte_ns * size + self.client_per_message_ns * len(answers)
            self.dialogue.hear(inbox.argument, answers, self.now)
        next_ns = self.dialogue.turn(self.now, TURN)
        for requests in self.dialogue.outgoing:
            if requests:
                size = 0
                for request in requests:
                    size += REQUEST_BYTES + len(request.command)
                process.spent_ns += self.per_frame_ns + self.per_byte_ns * size + self.client_per_message_ns * len(requests)
        if next_ns <= self.now:
            process.due = True
        else:
            self.set_alarm(next_ns)

    def clients_leave(self) -> None:
        """One frame to each replica for what the turn brought; to one that is down it is lost."""
        for replica, requests in enumerate(self.dialogue.outgoing):
            if requests:
                node = self.nodes[replica]
                if node.up:
                    process = self.processes[replica]
                    self.requests += len(requests)
                    for request in requests:
                        process.inbox.push(request.command, FROM_CLIENT | request.client)
                    self.rouse(process)
                requests.clear()

    def set_alarm(self, next_ns: int) -> None:
        """Rouse the clients when their next event is due."""
        if next_ns < self.alarm_ns:
            self.alarm_ns = max(next_ns, self.now)
            push_event(self.queue, self.alarm_ns, self.alarm_action, ACTION, 0, self.alarm_ns)

    def alarm_event(self, argument: int) -> None:
        """An event of the clients is due, unless an earlier one has come up since."""
        if argument == self.alarm_ns:
            self.alarm_ns = NEVER
            process = self.processes[self.client_number]
            process.due = True
            self.rouse(process)
