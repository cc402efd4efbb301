# cython: boundscheck=False
"""The logs of all replicas as their disks have them, compared entry by entry with one another (Raft and Zab).

A running digest over the commands of a log, the same that state machines keep, tells logs apart. So logs need not be kept: of
each term one column of digests is, and of each log the runs of entries of one term. What a log appends must lead to the
digests that its term has at these positions, whoever wrote them first; and the entries of a term begin at one position, after an
entry of one term. By induction, equal (position, term) then means equal logs up to there.

Most records are compared by identity: the entries that a leader writes are the object that its followers write.
"""
from __future__ import annotations

from array import array

import cython
import msgspec

from bench.checkers.invariants import Agreement
from engines.machine import KeyValueState

if not cython.compiled:
    from engines.machine import mix_part
    from ext.columns import words_of
    from ext.memory import append_u64, load_u32, load_u64

RING = 64
RING_LOW = RING - 1
RING_BYTES = 1 << 14  # of entries that are worth to be remembered as an object
DIGEST_BYTES = 8
HEADER_BYTES = 12


class Reign:
    """The entries of one term, from position ``start`` on: the running digest after each; ``previous`` is the term before."""

    def __init__(self, term: int, start: int, previous: int) -> None:
        self.term = term
        self.start = start
        self.previous = previous
        self.stop = start
        self.digests = bytearray()

    def digest(self, position: int) -> int:
        """The running digest after this position, which must be in [start, stop)."""
        assert self.start <= position < self.stop
        raw = self.digests
        return load_u64(raw, (position - self.start) * DIGEST_BYTES)


class DiskLog:
    """One replica's log: ``runs`` are (first position, term), ``digest`` is after ``last``, where it is ``known``."""

    def __init__(self) -> None:
        self.base = self.base_term = 0
        self.base_digest = 0
        self.base_known = True
        self.last = self.last_term = 0
        self.run_start = 0
        self.runs: list[tuple[int, int]] = []
        self.reign: Reign | None = None
        self.digest = 0
        self.known = True

    def term(self, position: int) -> int:
        """The term at a position from the base to the last."""
        if position >= self.run_start:
            return self.last_term
        for start, term in reversed(self.runs):
            if start <= position:
                return term
        return self.base_term

    def holds(self, position: int, term: int) -> bool:
        """Whether this entry is here; what is compacted was committed."""
        if position > self.last:
            return False
        return position <= self.base or self.term(position) == term


class Logs:
    """All that was ever in a log. ``matching`` and ``order`` are the statements that are violated where logs differ, and where
    terms fall along a log.
    """

    def __init__(self, replicas: int, agreement: Agreement, matching: str, order: str) -> None:
        self.agreement = agreement
        self.matching = matching
        self.order = order
        self.disks = [DiskLog() for _ in range(replicas)]
        self.reigns: dict[int, Reign] = {}
        self.newest = Reign(0, 1, 0)
        self.entries: list[bytes] = [b""] * RING
        self.columns = [array("Q", bytes(8 * RING)) for _ in range(4)]
        self.lasts = words_of(self.columns[0])
        self.terms = words_of(self.columns[1])
        self.before = words_of(self.columns[2])
        self.after = words_of(self.columns[3])

    def forget(self, replica: int) -> DiskLog:
        """An empty log for this replica, which is read anew."""
        self.disks[replica] = log = DiskLog()
        return log

    def extend(self, log: DiskLog, entries: bytes) -> None:
        """``entries`` are appended to a log."""
        slot = (log.last + 1) & RING_LOW
        if (
            entries is self.entries[slot]
            and self.before[slot] == log.digest
            and self.terms[slot] == log.last_term
            and self.lasts[slot] > log.last
            and log.known
        ):
            log.last = self.lasts[slot]
            log.digest = self.after[slot]
            return
        before = log.digest
        term = log.last_term
        self.extend_by_each(log, entries)
        if log.last_term == term and log.known and len(entries) <= RING_BYTES:
            self.entries[slot] = entries
            self.lasts[slot] = log.last
            self.terms[slot] = term
            self.before[slot] = before
            self.after[slot] = log.digest

    def extend_by_each(self, log: DiskLog, entries: bytes) -> None:
        """Compare each with what its term has there, or be the first to have it."""
        raw = entries
        offset = 0
        size = len(entries)
        while offset < size:
            position = log.last + 1
            term = load_u64(raw, offset)
            offset += HEADER_BYTES
            length = load_u32(raw, offset - 4)
            log.digest = mix_part(log.digest, position, raw, offset, offset + length)
            offset += length
            if term != log.last_term or log.reign is None:
                self.turn(log, position, term)
            log.last = position
            reign = log.reign
            if not log.known or reign is None:
                continue
            if position == reign.stop:
                append_u64(reign.digests, log.digest)
                reign.stop += 1
            elif position > reign.stop or position < reign.start:
                log.known = False
            elif reign.digest(position) != log.digest:
                self.agreement.violated(f"{self.matching}: two logs differ up to position {position} of {term}")
                log.known = False

    def turn(self, log: DiskLog, position: int, term: int) -> None:
        """A run of another term begins."""
        previous = log.last_term
        if term < previous:
            self.agreement.violated(f"{self.order}: {term} follows {previous} at position {position}")
        reign = self.reigns.get(term)
        if reign is None:
            reign = Reign(term, position, previous)
            self.reigns[term] = reign
            if term >= self.newest.term:
                self.newest = reign
        elif term != previous and (reign.start != position or reign.previous != previous):
            self.agreement.violated(
                f"{self.matching}: the entries of {term} begin at {position} after {previous}, "
                f"and at {reign.start} after {reign.previous}"
            )
            log.known = False
        log.runs.append((position, term))
        log.run_start = position
        log.last_term = term
        log.reign = reign

    def truncate(self, log: DiskLog, last: int) -> None:
        """A log ends at ``last`` now, which is not before its base."""
        assert log.base <= last <= log.last
        while log.runs and log.runs[-1][0] > last:
            log.runs.pop()
        log.run_start, log.last_term = log.runs[-1] if log.runs else (log.base, log.base_term)
        log.last = last
        log.reign = self.reigns.get(log.last_term)
        log.known = self.knows(log, last)
        log.digest = self.digest(log, last) if log.known else 0

    def compact(self, log: DiskLog, position: int, term: int, state: bytes) -> None:
        """A snapshot replaces the log up to ``position``; all of it where it is of another history."""
        if log.base <= position <= log.last and log.term(position) == term:
            log.base_known = self.knows(log, position)
            log.base_digest = self.digest(log, position) if log.base_known else 0
            log.base, log.base_term = position, term
            if not log.base_known:
                self.read_base(log, state)
            return
        log.base = log.last = log.run_start = position
        log.base_term = log.last_term = term
        log.runs = []
        log.reign = self.reigns.get(term)
        self.read_base(log, state)
        log.digest, log.known = log.base_digest, log.base_known

    def read_base(self, log: DiskLog, state: bytes) -> None:
        """The digest at a base: as its term has it, else as the snapshot says."""
        reign = self.reigns.get(log.base_term)
        log.base_known = reign is not None and reign.start <= log.base < reign.stop
        if reign is not None and log.base_known:
            log.base_digest = reign.digest(log.base)
            return
        try:
            log.base_digest = msgspec.msgpack.decode(state, type=KeyValueState).digest
            log.base_known = True
        except msgspec.DecodeError:
            log.base_digest = 0

    def knows(self, log: DiskLog, position: int) -> bool:
        """Whether the digest of a log at a position can be told."""
        if position == log.base:
            return log.base_known
        reign = self.reigns.get(log.term(position))
        return reign is not None and reign.start <= position < reign.stop

    def digest(self, log: DiskLog, position: int) -> int:
        """The running digest of a log after ``position``, which it ``knows``."""
        return log.base_digest if position == log.base else self.reigns[log.term(position)].digest(position)

    def leads_to(self, log: DiskLog, position: int, digest: int) -> bool:
        """Whether a log has this running digest after a position, as far as can be told."""
        return position < log.base or not self.knows(log, position) or self.digest(log, position) == digest

    def holders(self, position: int, digest: int) -> int:
        """How many of the logs hold at a position what has this digest there; -1 where none ever did.

        No-ops of several terms at one position have one digest. What was decided is of the term that a majority holds.
        """
        most = self.holders_of(self.newest, position, digest)
        if 2 * most <= len(self.disks):
            for term in sorted(self.reigns, reverse=True):
                most = max(most, self.holders_of(self.reigns[term], position, digest))
        return most

    def holders_of(self, reign: Reign, position: int, digest: int) -> int:
        """How many of the logs hold it from this reign; -1 where that had something else there."""
        if not reign.start <= position < reign.stop or reign.digest(position) != digest:
            return -1
        count = 0
        for log in self.disks:
            if log.run_start <= position <= log.last and log.last_term == reign.term:
                count += 1
            else:
                count += log.holds(position, reign.term)
        return count

    def term_in_history(self, term: int, position: int) -> int:
        """The term that the history of ``term``'s leader has at a position; 0 where that is not known."""
        while term > 0:
            reign = self.reigns.get(term)
            if reign is None:
                return 0
            if position >= reign.start:
                return term
            term = reign.previous
        return 0
