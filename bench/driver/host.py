"""The host of one engine: it performs the engine's effects, and is the same in both worlds.

The host batches and pipelines clients' commands (one layer for all engines, so that no protocol is favoured), commits groups
of records to disk, applies what is committed, answers clients, forwards what is not the leader's to serve, and compacts the
log. Where the state machine has a service (engines.service), a leader's host hands it clients' requests and what was applied,
and performs its effects, too. Clock, transport and storage belong to the World that it is given.

    client --request--> host --propose--> engine --Send--> world.transmit
                                                 --Persist--> group --world.write ... synced--> the sends that rode on it
                                                 --Commit--> state machine [--> service] --answer--> world.answer
"""
from __future__ import annotations

from typing import TYPE_CHECKING

import cython
import msgspec

from bench.driver.occasions import ACCEPTED, REFUSED, UNDECIDED
from engines.core import NEVER, NOBODY, Commit, Engine, Message, Persist, Record, Redirect, Restore, Send
from engines.machine import Machine, client_of, sequence_of
from engines.service import ELSEWHERE, OWN, Answer, LetGo, Propose, Service
from ext.events import Fifo

if TYPE_CHECKING:
    from engines.core import Effect
    from engines.service import ServiceEffect

FSYNC, BATCH_INTERVAL, NONE = 0, 1, 2
WEIGH_EVERY = 64
DURABILITY = {"fsync": FSYNC, "batch-interval": BATCH_INTERVAL, "none": NONE}


class Forward(Message, frozen=True):
    """A replica that does not lead -> the leader: commands that its clients sent to it."""

    commands: tuple[bytes, ...]


class ForwardAnswer(Message, frozen=True):
    """The leader -> the replica that forwarded: the answer for that replica's client."""

    client: int
    sequence: int
    outcome: int
    leader: int
    result: bytes


class HostOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The host's share of a scenario; ``group`` bounds the records that one sync covers (0: no bound)."""

    durability: int = FSYNC
    interval_ns: int = 0
    group: int = 0
    max_commands: int = 1
    max_delay_ns: int = 0
    pipeline: int = 1
    forward: bool = False
    compact_after_bytes: int = 64 << 20


class World:
    """What a host needs of the world that it lives in."""

    def transmit(self, host: Host, to: int, message: Message) -> None:
        """Carry ``message`` to replica ``to``."""
        raise NotImplementedError

    def answer(self, host: Host, client: int, sequence: int, outcome: int, leader: int, result: bytes) -> None:
        """Carry an answer to a client."""
        raise NotImplementedError

    def write(self, host: Host, persists: list[Persist]) -> None:
        """Make these records durable, then call ``host.synced``."""
        raise NotImplementedError

    def applied(self, host: Host, position: int, command: bytes, answered: bool) -> None:
        """Told after each command that the host applied, and whether somebody was answered."""
        raise NotImplementedError

    def led(self, host: Host) -> None:
        """Told when the host's engine begins to lead."""
        raise NotImplementedError

    def believed(self, host: Host) -> None:
        """Told at the end of a turn in which the service of a leading host has begun to believe something."""

    def compacting(self) -> bool:
        """Whether an earlier compaction is still under way, and the next one waits."""
        return False

    def lost_leader(self, host: Host) -> None:
        """Told when the host's engine, which does not lead, has waited for a leader for too long, or seen its leader go."""


@cython.no_gc
@cython.freelist(64)
@cython.cclass
class Batch:
    """Commands proposed together: positions [start, stop)."""

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop


class Host:
    """One replica: an engine, its state machine, and what is on its way to disk and clients.

    An origin is a client's id, or -1 - r for replica r that forwarded the command, or OWN of the service.
    """

    def __init__(
        self, world: World, engine: Engine, machine: Machine, options: HostOptions, service: Service | None = None
    ) -> None:
        if service is not None and options.forward:
            raise ValueError("only a leader's service answers: its clients must find the leader, and nobody forwards for them")
        self.world = world
        self.id = engine.id
        self.engine = engine
        self.machine = machine
        self.service = service
        self.durability = options.durability
        self.interval_ns = options.interval_ns
        self.group = options.group
        self.max_commands = options.max_commands
        self.max_delay_ns = options.max_delay_ns
        self.pipeline = options.pipeline
        self.forward = options.forward
        self.compact_after_bytes = options.compact_after_bytes
        # Replicas compact one after the other, so that a majority goes on while one is at it.
        self.compact_at_bytes = options.compact_after_bytes * (16 - self.id % 8) // 16
        self.weighed_at = 0
        self.now = 0
        self.deadline = NEVER
        self.leading = False
        self.queue = Fifo()  # commands that are yet to be proposed, each with its origin
        self.queued_since_ns = 0
        self.front: Batch | None = None  # the oldest batch under way
        self.proposed = Fifo()  # the commands of all batches that are yet to be decided, each with its origin
        self.behind = Fifo()  # the others; as a chain they would go by a recursion as deep as they are many
        self.own = Fifo()
        self.unsynced: list[Persist] = []
        self.writing: list[Persist] = []
        self.sync_in_flight = False
        self.next_sync_ns = 0
        self.compaction_first: Record | None = None
        self.compaction_last: Record | None = None
        self.beliefs = 0  # of the service, that the world was told of

    def start(self, records: list[Record], now: int) -> None:
        """Begin an incarnation with what the last one made durable."""
        self.now = now
        self.next_sync_ns = now + self.interval_ns
        self.perform(self.engine.recover(records, now))
        self.settle(False)

    def receive(self, sender: int, message: Message, now: int, more: bool) -> None:
        """A message of another replica; ``more`` says that further work of this turn is waiting behind it."""
        self.now = now
        if not (self.forward and self.forwarded(sender, message, more)):
            self.perform(self.engine.step(sender, message, now))
        self.settle(more)

    def forwarded(self, sender: int, message: Message, more: bool) -> bool:
        """Take what another host has sent, and not its engine; whether that was so."""
        if type(message) is Forward:
            for command in message.commands:
                self.enqueue(-1 - sender, command, more)
            return True
        if type(message) is ForwardAnswer:
            self.world.answer(
                self, message.client, message.sequence, message.outcome, message.leader, message.result
            )
            return True
        return False

    def request(self, client: int, command: bytes, now: int, more: bool) -> None:
        """A client's command arrived here."""
        self.now = now
        if self.service is not None and self.leading:
            self.serve(self.service.request(client, command, now))
        else:
            self.enqueue(client, command, more)
        self.settle(more)

    def wake(self, now: int) -> None:
        """The deadline has come."""
        self.now = now
        if now >= self.engine.deadline:
            if not self.engine.leading:
                self.world.lost_leader(self)
            self.perform(self.engine.tick(now))
        if self.service is not None and self.leading and now >= self.service.deadline:
            self.serve(self.service.tick(now))
        self.settle(False)

    def synced(self, now: int) -> None:
        """What the world was given to write is durable: the promises that rode on it leave."""
        self.now = now
        covered = self.writing
        self.writing = []
        self.sync_in_flight = False
        for persist in covered:
            if persist.then is not None:
                self.dispatch(persist.then)
        self.settle(False)

    def gather(self) -> list[Persist]:
        """All that is to be written. A world that has not yet begun to write its group takes along what came since."""
        count = self.covered()
        self.writing.extend(self.unsynced[:count])
        self.unsynced = self.unsynced[count:]
        return self.writing

    def remaining(self) -> list[Persist]:
        """All that is not yet durable, whatever a group may cover: what an orderly end writes."""
        return [*self.writing, *self.unsynced]

    def covered(self) -> int:
        """How many of those that wait the group may take: it bounds records, and promises without one cost no write."""
        if self.group == 0:
            return len(self.unsynced)
        room = self.group
        for persist in self.writing:
            if persist.record is not None:
                room -= 1
        count = 0
        for persist in self.unsynced:
            if persist.record is not None:
                room -= 1
                if room < 0:
                    break
            count += 1
        return count

    def disconnected(self, peer: int, now: int) -> None:
        """The channel to ``peer`` broke."""
        self.now = now
        followed = self.engine.leader == peer
        effects = self.engine.disconnect(peer, now)
        if followed and self.engine.leader != peer:
            self.world.lost_leader(self)
        self.perform(effects)
        self.settle(False)

    def enqueue(self, origin: int, command: bytes, more: bool) -> None:
        """Propose at once where nothing speaks for waiting; else queue, forward or redirect."""
        if not self.engine.leading:
            self.refuse(origin, command)
        elif self.queue.count == 0 and (self.max_commands == 1 or not (more or self.max_delay_ns)) and self.has_room():
            self.proposed.push(command, origin)
            self.propose([command])
        else:
            if self.queue.count == 0:
                self.queued_since_ns = self.now
            self.queue.push(command, origin)

    def has_room(self) -> bool:
        """Whether the pipeline admits another batch."""
        return self.front is None or 1 + self.behind.count < self.pipeline

    def refuse(self, origin: int, command: bytes) -> None:
        """This replica does not lead: forward a client's command, where that is the routing, or name the leader."""
        leader = self.engine.leader
        if self.forward and origin >= 0 and leader not in (NOBODY, self.id):
            self.world.transmit(self, leader, Forward((command,)))
        else:
            self.reply(origin, command, REFUSED, b"")

    def reply(self, origin: int, command: bytes, outcome: int, result: bytes) -> None:
        """Send the outcome back to where the command came from."""
        client, sequence, leader = client_of(command), sequence_of(command), self.engine.leader
        if origin >= 0:
            self.world.answer(self, client, sequence, outcome, leader, result)
        elif origin != OWN:
            self.world.transmit(self, -1 - origin, ForwardAnswer(client, sequence, outcome, leader, result))

    def pump(self, more: bool) -> None:
        """Propose queued commands: full batches at once, a smaller one at the end of its turn and delay."""
        while self.queue.count > 0 and self.engine.leading and self.has_room():
            count = self.queue.count
            if count < self.max_commands and (more or self.now < self.queued_since_ns + self.max_delay_ns):
                return
            behind = self.service is None and count > self.max_commands * self.pipeline
            commands: list[bytes] = []
            while self.queue.count > 0 and len(commands) < self.max_commands:
                command = self.queue.pop()
                if not (behind and self.answered_again(self.queue.argument, command)):
                    self.proposed.push(command, self.queue.argument)
                    commands.append(command)
            self.queued_since_ns = self.now
            if commands:
                self.propose(commands)

    def answered_again(self, origin: int, command: bytes) -> bool:
        """Answer a retry of what was applied while the retry waited (Ongaro 6.3); whether it was one.

        Behind more than the pipeline holds, to decide each anew would take longer than its client waits, who would send another.
        """
        result = self.machine.known(command)
        if result is None:
            return False
        self.reply(origin, command, ACCEPTED, result)
        return True

    def propose(self, commands: list[bytes]) -> None:
        """Hand a batch, which stands at the end of ``proposed``, to the engine."""
        start = self.engine.log.last + 1
        effects = self.engine.propose(commands, self.now)
        stop = self.engine.log.last + 1
        assert stop - start == len(commands), "an engine that leads accepts a batch whole"
        batch = Batch.__new__(Batch)
        batch.start, batch.stop = start, stop
        if self.front is None:
            self.front = batch
        else:
            self.behind.push(batch, 0)
        self.perform(effects)

    def perform(self, effects: list[Effect]) -> None:
        """Perform the effects of one call, in order."""
        if self.leading and not self.engine.leading:
            self.deposed()
        for effect in effects:
            if type(effect) is Send:
                self.dispatch(effect)
            elif type(effect) is Persist:
                self.persist(effect)
            elif type(effect) is Commit:
                self.apply(effect)
            elif type(effect) is Restore:
                self.machine.restore(effect.position, effect.state)
                self.weighed_at = effect.position
            elif type(effect) is Redirect:
                raise AssertionError("only a leading engine is given commands, and it accepts them")

    def dispatch(self, send: Send) -> None:
        """To others by the transport; to oneself once the effects at hand are done, so that commits keep their order."""
        if send.to == self.id:
            self.own.push(send.message, 0)
        else:
            self.world.transmit(self, send.to, send.message)

    def hear_oneself(self) -> None:
        """Step the messages to oneself."""
        while self.own.count > 0:
            self.perform(self.engine.step(self.id, self.own.pop(), self.now))

    def persist(self, persist: Persist) -> None:
        """Put a record on its way to disk; without fsync its promises do not wait for it."""
        if self.durability == FSYNC:
            if persist.record is not None or self.unsynced:
                self.unsynced.append(persist)
                return
            if self.sync_in_flight:
                self.writing.append(persist)
                return
        elif self.durability == BATCH_INTERVAL and persist.record is not None:
            self.unsynced.append(Persist(persist.record, None))
        if persist.then is not None:
            self.dispatch(persist.then)

    def apply(self, commit: Commit) -> None:
        """Apply a decided command, and answer it where it was proposed here under the present leadership."""
        position, command = commit.position, commit.command
        result = self.machine.apply(position, command)
        batch = self.front
        answered = batch is not None and position >= batch.start
        self.world.applied(self, position, command, answered)
        if batch is not None and answered:
            assert position < batch.stop, "batches are decided in order"
            self.proposed.pop()
            if self.service is None:
                self.reply(self.proposed.argument, command, ACCEPTED, result)
            if position + 1 == batch.stop:
                self.front = self.next_batch()
        if self.service is not None and self.leading:
            origin = self.proposed.argument if answered else ELSEWHERE
            self.serve(self.service.applied(origin, command, result, self.now))

    def serve(self, effects: list[ServiceEffect]) -> None:
        """Perform the effects of one call of the service. What it proposes waits for the end of the turn, since the
        engine's own effects may be half performed.
        """
        for effect in effects:
            if type(effect) is Propose:
                if self.queue.count == 0:
                    self.queued_since_ns = self.now
                self.queue.push(effect.command, effect.origin)
            elif type(effect) is Answer:
                self.world.answer(self, effect.client, effect.sequence, ACCEPTED, self.id, effect.result)
            elif type(effect) is LetGo:
                self.world.answer(self, effect.client, effect.sequence, UNDECIDED, self.engine.leader, b"")

    def next_batch(self) -> Batch | None:
        """Take the oldest of the batches behind the front."""
        return self.behind.pop() if self.behind.count > 0 else None

    def deposed(self) -> None:
        """Leadership is gone: what was proposed may or may not be decided, what was only queued is refused."""
        self.leading = False
        self.front = None
        self.behind.clear()
        while self.proposed.count > 0:
            command = self.proposed.pop()
            self.reply(self.proposed.argument, command, UNDECIDED, b"")
        while self.queue.count > 0:
            command = self.queue.pop()
            self.refuse(self.queue.argument, command)
        if self.service is not None:
            self.serve(self.service.deposed(self.now))

    def settle(self, more: bool) -> None:
        """The end of a turn: hear oneself, notice leadership, propose, start the next group's sync, compact, set the deadline."""
        if self.own.count > 0:
            self.hear_oneself()
        if self.engine.leading != self.leading:
            if self.leading:
                self.deposed()
            else:
                self.leading = True
                self.world.led(self)
                if self.service is not None:
                    self.serve(self.service.led(self.now))
        if self.queue.count > 0:
            self.pump(more)
            self.hear_oneself()
        if self.machine.applied - self.weighed_at >= WEIGH_EVERY:
            self.weigh()
        if self.unsynced and not self.sync_in_flight:
            self.flush()
        self.deadline = self.engine.deadline
        if self.queue.count > 0 and self.max_delay_ns and self.has_room():
            self.deadline = min(self.deadline, self.queued_since_ns + self.max_delay_ns)
        if self.unsynced and self.durability == BATCH_INTERVAL and not self.sync_in_flight:
            self.deadline = min(self.deadline, self.next_sync_ns)
        if self.service is not None and self.leading:
            self.attend(self.service, more)

    def attend(self, service: Service, more: bool) -> None:
        """The service's deadline; at once where, after the queue was last looked at, the service proposed something."""
        if service.beliefs != self.beliefs:
            self.beliefs = service.beliefs
            self.world.believed(self)
        self.deadline = min(self.deadline, service.deadline)
        if self.queue.count > 0 and not more and self.has_room():
            self.deadline = min(self.deadline, self.queued_since_ns + self.max_delay_ns)

    def flush(self) -> None:
        """Begin to write what has gathered, unless the interval of an unsynced policy has not passed."""
        if self.durability == BATCH_INTERVAL:
            if self.now < self.next_sync_ns:
                return
            self.next_sync_ns = self.now + self.interval_ns
        count = self.covered()
        if count < len(self.unsynced):
            self.writing = self.unsynced[:count]
            self.unsynced = self.unsynced[count:]
        else:
            self.writing = self.unsynced
            self.unsynced = []
        self.sync_in_flight = True
        self.world.write(self, self.writing)

    def weigh(self) -> None:
        """Look at the log's size now and then, and compact when it has grown enough."""
        self.weighed_at = self.machine.applied
        grown = self.engine.log.nbytes >= self.compact_at_bytes and self.machine.applied > self.engine.log.base
        if grown and not self.world.compacting():
            self.compact()

    def compact(self) -> None:
        """Hand the engine a snapshot, and mark which records make the older ones unnecessary."""
        effects = self.engine.compact(self.machine.applied, self.machine.snapshot(), self.now)
        records = [effect.record for effect in effects if type(effect) is Persist and effect.record is not None]
        if records:
            self.compaction_first, self.compaction_last = records[0], records[-1]
        self.perform(effects)
        self.compact_at_bytes = self.engine.log.nbytes + self.compact_after_bytes
