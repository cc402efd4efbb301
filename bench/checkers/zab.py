"""What must hold of Zab, watched from outside: histories on disk, promises, epochs. See bench.checkers.statements."""
from __future__ import annotations

from typing import TYPE_CHECKING

from bench.checkers.invariants import Agreement, Watcher
from bench.checkers.logs import DiskLog, Logs
from bench.checkers.statements import (
    DURABILITY,
    EPOCHS,
    GLOBAL_ORDER,
    INTEGRITY,
    LOCAL_ORDER,
    ONE_ESTABLISHED,
    PRIMARY,
)
from engines.zab.messages import (
    AcceptedEpoch,
    Ack,
    AckEpoch,
    AckNewLeader,
    Appended,
    CurrentEpoch,
    NewLeader,
    Proposal,
    Snapshot,
    Truncated,
)
from ext.fields import require_layout

if TYPE_CHECKING:
    from engines.core import Message, Record, Status

require_layout(Appended)


class ZabDisk:
    """What one replica's disk says: the epoch it accepted (f.p), the one it is in (f.a), and its history."""

    def __init__(self, log: DiskLog) -> None:
        self.accepted_epoch = 0
        self.current_epoch = 0
        self.log = log


class ZabWatcher(Watcher):
    """``members``: epoch -> who has, or had, that current epoch on disk."""

    def __init__(self, replicas: int, agreement: Agreement, durable: bool = True, thorough: bool = False) -> None:
        Watcher.__init__(self, agreement, durable, thorough, ONE_ESTABLISHED, EPOCHS)
        self.logs = Logs(replicas, agreement, LOCAL_ORDER, GLOBAL_ORDER)
        self.disks = [ZabDisk(log) for log in self.logs.disks]
        self.members: dict[int, set[int]] = {}

    # Records

    def kept(self, replica: int, record: Record) -> None:
        disk = self.disks[replica]
        if type(record) is Appended:
            appended = record
            self.logs.extend(disk.log, appended.entries)
        elif type(record) is AcceptedEpoch:
            self.enter(replica, disk, record.epoch, disk.current_epoch)
        elif type(record) is CurrentEpoch:
            self.enter(replica, disk, disk.accepted_epoch, record.epoch)
        elif type(record) is Truncated:
            self.truncated(replica, disk, record.position)
        else:
            assert type(record) is Snapshot
            self.logs.compact(disk.log, record.position, record.epoch, record.state)
            self.logs.truncate(disk.log, record.position)
            self.logs.extend(disk.log, record.entries)
            self.enter(replica, disk, record.accepted_epoch, record.current_epoch)

    def enter(self, replica: int, disk: ZabDisk, accepted_epoch: int, current_epoch: int) -> None:
        """A record names the epochs."""
        if accepted_epoch < disk.accepted_epoch or current_epoch < disk.current_epoch:
            self.violated(
                EPOCHS, f"replica {replica} went from epochs (accepted, current) {disk.accepted_epoch, disk.current_epoch} to "
                f"{accepted_epoch, current_epoch}"
            )  # fmt: skip
        if current_epoch > accepted_epoch:
            self.violated(EPOCHS, f"replica {replica} is in epoch {current_epoch}, and has accepted {accepted_epoch}")
        disk.accepted_epoch, disk.current_epoch = accepted_epoch, current_epoch
        self.members.setdefault(current_epoch, set()).add(replica)

    def truncated(self, replica: int, disk: ZabDisk, position: int) -> None:
        """The end of a history is taken back."""
        log = disk.log
        if not log.base <= position <= log.last:
            self.violated(DURABILITY, f"replica {replica} cut at {position} a history of ({log.base}, {log.last}]")
            return
        self.logs.truncate(log, position)

    def recovered(self, replica: int, records: list[Record], status: Status) -> None:
        """The records of a restart must say all that they said before, and the engine must have read them."""
        before = self.disks[replica]
        self.disks[replica] = disk = ZabDisk(self.logs.forget(replica))
        for record in records:
            self.kept(replica, record)
        self.statuses[replica] = (disk.current_epoch, 0)
        if not self.durable:
            return
        log, old = disk.log, before.log
        said = (before.accepted_epoch, before.current_epoch, old.last, old.last_term)
        says = (disk.accepted_epoch, disk.current_epoch, log.last, log.last_term)
        if says != said or (log.known and old.known and log.digest != old.digest):
            self.violated(
                DURABILITY, f"replica {replica} restarted with (accepted, current epoch, last position, its epoch) {says} of "
                f"{said} on disk"
            )  # fmt: skip
        if status.term < disk.current_epoch:
            self.violated(EPOCHS, f"replica {replica} restarted in epoch {status.term}, with {disk.current_epoch} on disk")
        if status.last < log.last:
            self.violated(DURABILITY, f"replica {replica} restarted with a history up to {status.last} of {log.last} on disk")

    # Messages

    def promised(self, replica: int, to: int, message: Message) -> None:  # noqa: ARG002
        """An acknowledgement says that an epoch or a history is on disk."""
        if not self.durable:
            return
        if type(message) is Ack:
            ack = message
            self.holds(replica, ack.epoch, ack.position)
        elif type(message) is AckNewLeader:
            self.holds(replica, message.epoch, message.position)
            if message.epoch > self.disks[replica].current_epoch:
                self.violated(DURABILITY, f"replica {replica} is not in epoch {message.epoch} on disk, and said so")
        elif type(message) is AckEpoch and message.promised:
            disk = self.disks[replica]
            log = disk.log
            if message.current_epoch > disk.current_epoch or message.last_position > log.last:
                self.violated(
                    DURABILITY, f"replica {replica} said it was in epoch {message.current_epoch} with a history up to "
                    f"{message.last_position}, and has {disk.current_epoch} and {log.last} on disk"
                )  # fmt: skip

    def sent(self, replica: int, to: int, message: Message) -> None:
        if type(message) is Proposal or type(message) is NewLeader:
            if self.thorough:
                self.speaks(replica, message.epoch)
        elif type(message) is not AckEpoch or message.promised:
            self.promised(replica, to, message)

    def holds(self, replica: int, epoch: int, position: int) -> None:
        """A promise: this epoch is accepted on disk, and so is the history up to ``position``, as its leader has it."""
        disk = self.disks[replica]
        log = disk.log
        if epoch <= disk.accepted_epoch and position <= log.last and log.last_term == epoch and position >= log.run_start:
            return
        if epoch > disk.accepted_epoch:
            self.violated(DURABILITY, f"replica {replica} spoke in epoch {epoch}, and has accepted {disk.accepted_epoch} on disk")
        elif position > log.last:
            self.violated(DURABILITY, f"replica {replica} acknowledged {position}, and has a history up to {log.last} on disk")
        elif epoch == disk.accepted_epoch and position >= log.base:
            expected = self.logs.term_in_history(epoch, position)
            if expected and log.term(position) != expected:
                self.violated(
                    DURABILITY, f"replica {replica} acknowledged {position} in epoch {epoch}, where it has a proposal of "
                    f"{log.term(position)} and the leader one of {expected}"
                )  # fmt: skip

    # Moments

    def led(self, replica: int, term: int, applied: int) -> None:
        """A leader is established: by a quorum, and it has delivered all that anybody has."""
        self.elected(replica, term)
        if not self.durable:
            return
        members = self.members.get(term, set())
        if 2 * len(members) <= len(self.disks):
            self.violated(ONE_ESTABLISHED, f"replica {replica} leads epoch {term}, which only {sorted(members)} have on disk")
        highest = self.agreement.highest
        log = self.disks[replica].log
        if applied < highest:
            self.violated(PRIMARY, f"replica {replica} leads epoch {term} having delivered {applied}, others {highest}")
        elif highest > log.last or not self.logs.leads_to(log, highest, self.agreement.digest_at(highest)):
            self.violated(PRIMARY, f"replica {replica} leads epoch {term} with a history that is not the delivered one")

    def chosen(self, replica: int, position: int, digest: int, command: bytes) -> None:  # noqa: ARG002
        """What is delivered was proposed, and is on a quorum of disks."""
        if not self.durable:
            return
        holders = self.logs.holders(position, digest)
        if holders < 0:
            self.violated(INTEGRITY, f"replica {replica} delivered at position {position} what is in no history")
        elif 2 * holders <= len(self.disks):
            self.violated(
                DURABILITY, f"replica {replica} delivered position {position}, which is on the disks of {holders} of "
                f"{len(self.disks)}"
            )  # fmt: skip
