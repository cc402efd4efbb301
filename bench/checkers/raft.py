"""What must hold of Raft, watched from outside: disks, messages that promise, elections. See bench.checkers.statements."""
from __future__ import annotations

from typing import TYPE_CHECKING

from bench.checkers.invariants import Agreement, Watcher
from bench.checkers.logs import DiskLog, Logs
from bench.checkers.statements import (
    APPEND_ONLY,
    COMPLETENESS,
    DURABILITY,
    ELECTION_SAFETY,
    LOG_MATCHING,
    MACHINE_SAFETY,
    ONE_VOTE,
    TERMS,
)
from engines.core import NOBODY
from engines.raft.messages import (
    AppendEntries,
    AppendEntriesConflict,
    AppendEntriesReply,
    Entries,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    InstallSnapshotReply,
    PreVote,
    PreVoteReply,
    RequestVote,
    RequestVoteReply,
    Snapshot,
    Voted,
)
from ext.fields import require_layout

if TYPE_CHECKING:
    from engines.core import Message, Record, Status

require_layout(Entries)


class RaftDisk:
    """What one replica's disk says: its term, its vote in it, and its log."""

    def __init__(self, log: DiskLog) -> None:
        self.term = 0
        self.vote = NOBODY
        self.log = log


class RaftWatcher(Watcher):
    """``votes`` and ``granted``: (replica, term) -> candidate, on disk and in messages."""

    def __init__(self, replicas: int, agreement: Agreement, durable: bool = True, thorough: bool = False) -> None:
        Watcher.__init__(self, agreement, durable, thorough, ELECTION_SAFETY, TERMS)
        self.logs = Logs(replicas, agreement, LOG_MATCHING, TERMS)
        self.disks = [RaftDisk(log) for log in self.logs.disks]
        self.votes: dict[tuple[int, int], int] = {}
        self.granted: dict[tuple[int, int], int] = {}

    # Records

    def kept(self, replica: int, record: Record) -> None:
        disk = self.disks[replica]
        if type(record) is Entries:
            entries = record
            first = entries.first
            if first == disk.log.last + 1:
                self.logs.extend(disk.log, entries.entries)
            else:
                self.overwrite(replica, disk, first, entries.entries)
        elif type(record) is Voted:
            self.voted(replica, disk, record.term, record.vote)
        else:
            assert type(record) is Snapshot
            self.logs.compact(disk.log, record.last_index, record.last_term, record.state)

    def overwrite(self, replica: int, disk: RaftDisk, first: int, entries: bytes) -> None:
        """A record that goes back: a conflict is resolved, or a compaction restates the log."""
        log = disk.log
        if not log.base < first <= log.last:
            self.violated(DURABILITY, f"replica {replica} wrote from index {first} a log of ({log.base}, {log.last}]")
            return
        last, runs = log.last, list(log.runs)
        self.logs.truncate(log, first - 1)
        self.logs.extend(log, entries)
        if self.leaders.get(disk.term) != replica:
            return
        kept = [run for run in runs if run[0] <= last]
        if log.last < last or [run for run in log.runs if run[0] <= last] != kept:
            self.violated(
                APPEND_ONLY, f"replica {replica}, which leads term {disk.term}, replaced its entries of [{first}, {last}]"
            )

    def voted(self, replica: int, disk: RaftDisk, term: int, vote: int) -> None:
        """A term and a vote are on disk."""
        if term < disk.term:
            self.violated(TERMS, f"replica {replica} went from term {disk.term} to {term}")
        if vote != NOBODY:
            self.note_vote(self.votes, replica, term, vote)
        elif term == disk.term and disk.vote != NOBODY:
            self.violated(ONE_VOTE, f"replica {replica} took back its vote for {disk.vote} in term {term}")
        disk.term, disk.vote = term, vote

    def note_vote(self, votes: dict[tuple[int, int], int], replica: int, term: int, candidate: int) -> None:
        """A replica has given a vote, on disk or in a message."""
        other = votes.setdefault((replica, term), candidate)
        if other != candidate:
            self.violated(ONE_VOTE, f"replica {replica} voted for {other} and for {candidate} in term {term}")

    def recovered(self, replica: int, records: list[Record], status: Status) -> None:
        """The records of a restart must say all that they said before, and the engine must have read them."""
        before = self.disks[replica]
        self.disks[replica] = disk = RaftDisk(self.logs.forget(replica))
        for record in records:
            self.kept(replica, record)
        self.statuses[replica] = (disk.term, 0)
        if not self.durable:
            return
        log, old = disk.log, before.log
        said = (before.term, before.vote, old.last, old.last_term)
        says = (disk.term, disk.vote, log.last, log.last_term)
        if says != said or (log.known and old.known and log.digest != old.digest):
            self.violated(
                DURABILITY, f"replica {replica} restarted with (term, vote, last index, last term) {says} of {said} on disk"
            )
        if status.term < disk.term:
            self.violated(TERMS, f"replica {replica} restarted in term {status.term}, with {disk.term} on disk")
        if status.last < log.last:
            self.violated(DURABILITY, f"replica {replica} restarted with a log up to {status.last} of {log.last} on disk")

    # Messages

    def promised(self, replica: int, to: int, message: Message) -> None:
        """A reply says that a term, a vote or a log is on disk."""
        if not self.durable:
            return
        if type(message) is AppendEntriesReply:
            reply = message
            self.holds(replica, reply.term, reply.match)
        elif type(message) is HeartbeatReply or type(message) is InstallSnapshotReply:
            self.holds(replica, message.term, message.match)
        elif type(message) is RequestVoteReply:
            if message.granted:
                self.note_vote(self.granted, replica, message.term, to)
                self.has_voted(replica, message.term, to)
            else:
                self.holds(replica, message.term, 0)
        elif type(message) is RequestVote:
            self.has_voted(replica, message.term, replica)
        elif type(message) is AppendEntriesConflict or type(message) is PreVoteReply:
            self.holds(replica, message.term, 0)

    def sent(self, replica: int, to: int, message: Message) -> None:
        """Replies wait for nothing where nothing is to be written: what they say must hold as well."""
        if type(message) is AppendEntries or type(message) is Heartbeat or type(message) is InstallSnapshot:
            if self.thorough:
                self.speaks(replica, message.term)
        elif type(message) is not PreVote:
            self.promised(replica, to, message)

    def holds(self, replica: int, term: int, match: int) -> None:
        """A promise: this term is on disk, and the log up to ``match``, as the leader of the term has it."""
        disk = self.disks[replica]
        log = disk.log
        if term == disk.term and match <= log.last and (match == 0 or (log.last_term == term and match >= log.run_start)):
            return
        if term > disk.term:
            self.violated(DURABILITY, f"replica {replica} spoke in term {term}, and has {disk.term} on disk")
        elif term == disk.term and match > log.last:
            self.violated(DURABILITY, f"replica {replica} acknowledged {match}, and has a log up to {log.last} on disk")
        elif term == disk.term and match >= log.base:
            # Of what is compacted all is committed.
            expected = self.logs.term_in_history(term, match)
            if expected and log.term(match) != expected:
                self.violated(
                    DURABILITY,
                    f"replica {replica} acknowledged index {match} in term {term}, where it has an entry of "
                    f"{log.term(match)} and the leader one of {expected}",
                )

    def has_voted(self, replica: int, term: int, candidate: int) -> None:
        """A promise: this vote is on disk."""
        if self.votes.get((replica, term)) != candidate:
            self.violated(DURABILITY, f"replica {replica} gave {candidate} its vote in term {term}, and has not written it")

    # Moments

    def led(self, replica: int, term: int, applied: int) -> None:  # noqa: ARG002
        """An election is over: by a quorum, and won by one who has all that is committed."""
        self.elected(replica, term)
        if not self.durable:
            return
        voters = [voter for voter in range(len(self.disks)) if self.votes.get((voter, term)) == replica]
        if 2 * len(voters) <= len(self.disks):
            self.violated(ELECTION_SAFETY, f"replica {replica} leads term {term} with only the votes of {voters} on disk")
        highest = self.agreement.highest
        log = self.disks[replica].log
        if highest > log.last:
            self.violated(COMPLETENESS, f"replica {replica} leads term {term} with a log up to {log.last} of {highest}")
        elif not self.logs.leads_to(log, highest, self.agreement.digest_at(highest)):
            self.violated(COMPLETENESS, f"replica {replica} leads term {term} with a log that is not the committed one")

    def chosen(self, replica: int, position: int, digest: int, command: bytes) -> None:  # noqa: ARG002
        """What is applied stands in the logs, on a quorum of disks."""
        if not self.durable:
            return
        holders = self.logs.holders(position, digest)
        if holders < 0:
            self.violated(MACHINE_SAFETY, f"replica {replica} applied at index {position} what stands there in no log")
        elif 2 * holders <= len(self.disks):
            self.violated(
                DURABILITY, f"replica {replica} applied index {position}, which is on the disks of {holders} of {len(self.disks)}"
            )
