# cython: boundscheck=False, wraparound=False
# (replicas are numbered by the simulation itself)
"""What must hold of Multi-Paxos, watched from outside: disks, promises, proposals. See bench.checkers.statements."""
from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import cython

from bench.checkers.invariants import Agreement, Watcher
from bench.checkers.proposals import Proposals
from bench.checkers.statements import ACCEPTED, DURABILITY, ONE_LEADER, PROMISE
from engines.paxos.messages import (
    Accept,
    Accepted,
    AcceptedSlots,
    Compacted,
    Heartbeat,
    HeartbeatReply,
    Prepare,
    Promise,
    Promised,
)
from ext.fields import require_layout
from ext.quorum import WON, MajorityQuorum, QuorumSystem

if not cython.compiled:
    from ext.columns import words_of
    from ext.memory import load_u32, load_u64

if TYPE_CHECKING:
    from engines.core import Message, Record, Status

require_layout(AcceptedSlots)
HEADER_BYTES = 12


class PaxosDisk:
    """What one acceptor's disk says.

    ``ballot`` is promised, slots up to ``decided`` are known as decided. Up to ``matched`` each slot is decided, or accepted at
    that ballot; ``islands`` are accepted at it beyond. Up to ``held`` each slot is accepted at some ballot; ``beyond`` are more.
    """

    def __init__(self) -> None:
        self.ballot = 0
        self.decided = 0
        self.matched = 0
        self.held = 0
        self.islands: set[int] = set()
        self.beyond: set[int] = set()

    def promise(self, ballot: int, decided: int) -> None:
        """A record names a promised ballot, and how much is decided."""
        if ballot > self.ballot:
            self.ballot = ballot
            self.matched = self.decided
            self.islands.clear()
        if decided > self.decided:
            self.decide(decided)

    def decide(self, decided: int) -> None:
        """All slots up to there are decided."""
        self.decided = decided
        self.matched = max(self.matched, decided)
        self.held = max(self.held, decided)
        self.close_gaps()

    def close_gaps(self) -> None:
        """Take up what is reached now."""
        while self.islands and self.matched + 1 in self.islands:
            self.matched += 1
            self.islands.discard(self.matched)
        while self.beyond and self.held + 1 in self.beyond:
            self.held += 1
            self.beyond.discard(self.held)

    def accept(self, first: int, stop: int) -> None:
        """Slots [first, stop) are accepted at the promised ballot."""
        if first == self.matched + 1 and self.held == self.matched and not self.beyond:
            self.matched = self.held = stop - 1
            return
        if first > self.matched + 1:
            self.islands.update(range(first, stop))
        elif stop - 1 > self.matched:
            self.matched = stop - 1
        self.hold(first, stop)

    def hold(self, first: int, stop: int) -> None:
        """Slots [first, stop) are accepted."""
        if first > self.held + 1:
            self.beyond.update(range(first, stop))
        elif stop - 1 > self.held:
            self.held = stop - 1
        if self.islands or self.beyond:
            self.close_gaps()


class PaxosWatcher(Watcher):
    """``promises``: ballot -> who has it on disk; ``given``: the highest ballot that each replica has promised in a message."""

    def __init__(
        self,
        replicas: int,
        agreement: Agreement,
        durable: bool = True,
        thorough: bool = False,
        phase1: QuorumSystem | None = None,
        phase2: QuorumSystem | None = None,
    ) -> None:
        Watcher.__init__(self, agreement, durable, thorough, ONE_LEADER, PROMISE)
        everyone = list(range(replicas))
        self.phase1 = phase1 or MajorityQuorum(everyone)
        self.phase2 = phase2 or MajorityQuorum(everyone)
        self.majority = replicas // 2 + 1 if isinstance(self.phase2, MajorityQuorum) else 0
        self.disks = [PaxosDisk() for _ in everyone]
        self.proposals = Proposals(agreement)
        self.promises: dict[int, set[int]] = {}
        self.column = array("Q", bytes(8 * replicas))
        self.given = words_of(self.column)

    # Records

    def kept(self, replica: int, record: Record) -> None:
        disk = self.disks[replica]
        if type(record) is AcceptedSlots:
            self.accepted(replica, disk, record)
        elif type(record) is Promised:
            self.has_promised(replica, disk, record.ballot)
            disk.promise(record.ballot, record.committed)
        else:
            assert type(record) is Compacted
            disk.decide(max(disk.decided, record.position))

    def accepted(self, replica: int, disk: PaxosDisk, record: AcceptedSlots) -> None:
        """Slots are accepted, or restated by a compaction at the ballots that they had."""
        ballot, first, committed = record.ballot, record.first, record.committed
        if ballot != disk.ballot:
            self.has_promised(replica, disk, ballot)
            disk.promise(ballot, committed)
        elif committed > disk.matched:
            disk.decide(committed)
        elif committed > disk.decided:
            disk.decided = committed
        stop = self.proposals.note(ballot, first, record.entries)
        if stop > 0:
            disk.accept(first, stop)
        else:
            self.restated(replica, disk, ballot, first, record.entries)

    def restated(self, replica: int, disk: PaxosDisk, ballot: int, first: int, entries: bytes) -> None:
        """Slots, not all of which are at the ballot of the record."""
        raw = entries
        offset = 0
        slot = first
        while offset < len(entries):
            own = load_u64(raw, offset)
            if own > ballot:
                self.violated(ACCEPTED, f"replica {replica} accepted slot {slot} at ballot {own}, having promised {ballot}")
            if own == ballot:
                disk.accept(slot, slot + 1)
            else:
                disk.hold(slot, slot + 1)
            offset += HEADER_BYTES + load_u32(raw, offset + 8)
            slot += 1

    def has_promised(self, replica: int, disk: PaxosDisk, ballot: int) -> None:
        """A record names this ballot."""
        if ballot < disk.ballot:
            self.violated(PROMISE, f"replica {replica} wrote ballot {ballot} after it had promised {disk.ballot}")
        self.promises.setdefault(ballot, set()).add(replica)

    def recovered(self, replica: int, records: list[Record], status: Status) -> None:
        """The records of a restart must say all that they said before, and the engine must have read them."""
        before = self.disks[replica]
        self.disks[replica] = disk = PaxosDisk()
        for record in records:
            self.kept(replica, record)
        self.statuses[replica] = (disk.ballot, 0)
        if not self.durable:
            self.given[replica] = 0
            return
        said = (before.ballot, before.decided, before.matched, before.held)
        says = (disk.ballot, disk.decided, disk.matched, disk.held)
        if [now for then, now in zip(said, says, strict=True) if now < then]:
            self.violated(
                DURABILITY, f"replica {replica} restarted with (ballot, decided, matched, held) {says} of {said} on disk"
            )
        if status.term < disk.ballot:
            self.violated(PROMISE, f"replica {replica} restarted at ballot {status.term}, with {disk.ballot} promised on disk")
        if status.last < disk.held:
            self.violated(DURABILITY, f"replica {replica} restarted with slots up to {status.last} of {disk.held} on disk")

    # Messages

    def promised(self, replica: int, to: int, message: Message) -> None:  # noqa: ARG002
        """An answer says what is promised and accepted, on disk."""
        if type(message) is Accepted:
            accepted = message
            self.holds(replica, accepted.ballot, accepted.through)
        elif type(message) is HeartbeatReply:
            self.holds(replica, message.ballot, message.through)
        elif type(message) is Promise:
            self.holds(replica, message.ballot, 0)
            self.given[replica] = max(self.given[replica], message.ballot)
            self.tells(replica, message.last)
        elif type(message) is Prepare:
            self.holds(replica, message.ballot, 0)

    def sent(self, replica: int, to: int, message: Message) -> None:
        if type(message) is Accept:
            if self.thorough:
                self.proposals.note(message.ballot, message.first, message.entries)
                self.speaks(replica, message.ballot)
        elif type(message) is Heartbeat:
            if self.thorough:
                self.speaks(replica, message.ballot)
        else:
            self.promised(replica, to, message)

    def holds(self, replica: int, ballot: int, through: int) -> None:
        """A promise: this ballot is on disk; the slots up to ``through`` are, as decided or accepted at it."""
        disk = self.disks[replica]
        if ballot < self.given[replica] and through > 0:
            self.violated(PROMISE, f"replica {replica} accepted at ballot {ballot}, after its promise of {self.given[replica]}")
        if self.durable and (ballot != disk.ballot or through > disk.matched):
            self.lacks(replica, disk, ballot, through)

    def lacks(self, replica: int, disk: PaxosDisk, ballot: int, through: int) -> None:
        """A promise of what the disk does not say in these words; one of an older ballot was true when it was made."""
        if ballot > disk.ballot:
            self.violated(DURABILITY, f"replica {replica} promised ballot {ballot}, and has {disk.ballot} on disk")
        elif ballot == disk.ballot:
            self.violated(
                DURABILITY, f"replica {replica} acknowledged slot {through} at ballot {ballot}, and has {disk.matched} on disk"
            )

    def tells(self, replica: int, last: int) -> None:
        """A promise tells of every slot that is accepted (PMS 2.2, 1b): up to ``last`` in this or in further messages."""
        disk = self.disks[replica]
        accepted = max(disk.held, max(disk.beyond, default=0))
        if last < accepted:
            self.violated(PROMISE, f"replica {replica} told of slots up to {last}, and has accepted {accepted} on disk")

    # Moments

    def led(self, replica: int, term: int, applied: int) -> None:  # noqa: ARG002
        """Phase 1 is over: a quorum has promised."""
        self.elected(replica, term)
        promised = self.promises.get(term, set())
        if self.durable and self.phase1.vote_result(dict.fromkeys(promised, True)) != WON:
            self.violated(ACCEPTED, f"replica {replica} leads ballot {term} with only the promises of {sorted(promised)} on disk")

    def chosen(self, replica: int, position: int, digest: int, command: bytes) -> None:  # noqa: ARG002
        """What is applied was proposed, and is on the disks of a phase 2 quorum."""
        if not self.durable:
            return
        self.proposals.choose(position, command)
        holders = 0
        for disk in self.disks:
            if position <= disk.held or disk_holds(disk, position):
                holders += 1
        if 0 < self.majority <= holders:
            return
        accepted = [id for id, disk in enumerate(self.disks) if disk_holds(disk, position)]
        if self.phase2.vote_result(dict.fromkeys(accepted, True)) != WON:
            self.violated(DURABILITY, f"replica {replica} applied slot {position}, which is on the disks of only {accepted}")


def disk_holds(disk: PaxosDisk, slot: int) -> bool:
    """Whether an acceptor has accepted something for a slot."""
    return slot <= disk.held or slot in disk.beyond
