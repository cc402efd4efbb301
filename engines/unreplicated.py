"""The baseline that says what replication costs: one replica, one log, one disk.

    client     server           disk
      |--propose->|--Persist(Entries)-->|
      |           |                     |
      |<--Commit--|<------Durable-------|

Nothing is agreed with anybody, so nothing survives the loss of this one disk, and while the replica is down
nobody is served. Where more voters are configured, the one with the lowest id serves and the others send
everybody there: the same clients can then be pointed at the same number of machines as with a real protocol.

Two calls may write before the first is durable; their ``Durable`` come in order, because promises leave in
the order of their records.
"""

from __future__ import annotations

from engines.core import Configuration, Dice, Effect, Engine, Message, Record, Status

TERM = 1


class Durable(Message, frozen=True):
    """The server's disk to the server: everything up to ``position`` is written."""

    position: int


class Entries(Record, frozen=True):
    """The commands of one proposal, packed as the log stores them, from position ``first`` on."""

    first: int
    packed: bytes


class Snapshot(Record, frozen=True):
    """The state machine at ``position``; entries up to there are superseded."""

    position: int
    state: bytes


class Unreplicated(Engine):
    """State: the log (term 1 throughout), and ``committed``, the end of what the disk is known to hold."""

    NAME = "unreplicated"
    RECORDS = (Entries, Snapshot)

    def __init__(self, id: int, configuration: Configuration, dice: Dice) -> None:
        super().__init__(id, configuration, dice)
        self.leader = min(configuration.voters)
        self.serving = self.leader == id

    def recover(self, records: list[Record], now: int) -> list[Effect]:
        """All that the disk holds was acknowledged, or may as well have been: it is committed at once."""
        self.begin(now)
        state = b""
        for record in records:
            if isinstance(record, Snapshot):
                state = record.state
                self.drop_through(record.position)
            elif isinstance(record, Entries):
                # A compaction restates entries that an older record holds too.
                if record.first <= self.log.last:
                    self.log.truncate(record.first)
                assert record.first == self.log.last + 1, "records were lost from the middle"
                self.log.append_packed(record.packed)
        if self.log.base > 0:
            self.restore(self.log.base, state)
        self.commit_through(self.log.last)
        self.leading = self.serving
        return self.effects

    def propose(self, commands: list[bytes], now: int) -> list[Effect]:
        """Write the batch; it is committed when the disk says so."""
        self.begin(now)
        if not self.leading:
            self.redirect(commands)
            return self.effects
        first = self.log.last + 1
        last = self.log.extend(TERM, commands)
        self.persist(Entries(first, self.log.slice(first, last + 1)), self.id, Durable(last))
        return self.effects

    def on_durable(self, sender: int, message: Durable) -> None:
        """The disk holds everything up to this position: announce it."""
        assert sender == self.id, "nobody else knows this disk"
        self.commit_through(message.position)

    def compact(self, position: int, state: bytes, now: int) -> list[Effect]:
        """Keep the snapshot instead of the commands that led to it."""
        self.begin(now)
        assert position <= self.committed, "a snapshot of what is not committed"
        if position > self.log.base:
            self.drop_through(position)
            self.persist_only(Snapshot(position, state))
            if self.log.last > position:
                self.persist_only(Entries(position + 1, self.log.slice(position + 1, self.log.last + 1)))
        return self.effects

    def drop_through(self, position: int) -> None:
        """Drop the log up to ``position``, all of it where it ends there or before."""
        if position <= self.log.last:
            self.log.compact(position)
        else:
            self.log.reset(position, TERM)

    def tick(self, now: int) -> list[Effect]:
        """Nothing is ever awaited but the disk."""
        self.begin(now)
        return self.effects

    def disconnect(self, peer: int, now: int) -> list[Effect]:
        """Nothing is ever sent to a peer."""
        self.begin(now)
        assert peer != self.id, "a replica has no channel to itself"
        return self.effects

    def status(self) -> Status:
        """The server leads term 1 for ever."""
        role = "server" if self.serving else "bystander"
        return Status(role, self.leader, TERM, self.committed, self.log.last)

    HANDLERS = {Durable: on_durable}  # noqa: RUF012  (Cython warns of a ClassVar)
