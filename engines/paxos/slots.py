"""What an acceptor has accepted: a log without gaps and, beyond its first gap, islands.

Each slot holds the entry (ballot, value) that it accepted last, and nothing is ever forgotten but by
compaction: an Accept in the middle replaces its own slots and leaves those after it alone. Datagrams overtake
each other, so that an Accept can come before the one that precedes it: its slots wait as islands until the
gap has closed.

An accepted entry is never kept at a lower ballot than the one at which its slot was decided, if it was. That
is what makes the highest reported ballot tell the decided value (PMS 2.2, P2c).
"""
from __future__ import annotations

from collections.abc import Iterator

from ext.log import Log, count, pack, skip, unpack


class Slots:
    """The accepted entries of one acceptor by slot; ``islands`` has those beyond the first gap of the log."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.islands: dict[int, tuple[int, bytes]] = {}

    def last(self) -> int:
        """The last accepted slot."""
        return max(self.log.last, max(self.islands, default=0))

    def follows(self, first: int) -> bool:
        """Whether ``first`` is the slot after all accepted ones, so that a batch can simply be appended."""
        return first == self.log.last + 1 and not self.islands

    def place(self, first: int, packed: bytes) -> None:
        """Accept these entries from slot ``first`` on, which must not be compacted."""
        log = self.log
        assert first > log.base, "a compacted slot is accepted again"
        if first > log.last + 1:
            for offset, entry in enumerate(unpack(packed)):
                self.islands[first + offset] = entry
            return
        stop = first + count(packed)
        tail = log.slice(stop, log.last + 1) if stop <= log.last else b""
        if first <= log.last:
            log.truncate(first)
        log.append_packed(packed)
        log.append_packed(tail)
        self.close_gap()

    def replay(self, first: int, packed: bytes) -> None:
        """Accept again what was accepted before a restart, but for what a snapshot covers."""
        covered = max(self.log.base + 1, first) - first
        if covered < count(packed):
            self.place(first + covered, skip(packed, covered))

    def close_gap(self) -> None:
        """Take up into the log the islands that it has reached; what the log has got meanwhile is newer."""
        log, islands = self.log, self.islands
        for slot in [slot for slot in islands if slot <= log.last]:
            del islands[slot]
        while islands and log.last + 1 in islands:
            ballot, payload = islands.pop(log.last + 1)
            log.append(ballot, payload)

    def through(self, start: int, ballot: int) -> int:
        """The last slot up to which all after ``start`` are accepted at this ballot."""
        log = self.log
        while start < log.last and log.term(start + 1) == ballot:
            start += 1
        return start

    def run(self, asked: int, max_bytes: int) -> tuple[int, bytes]:
        """The first run of accepted slots from ``asked`` on as (first slot, packed entries), of bounded size.

        Where nothing is accepted from there on, ``(asked, b"")``.
        """
        log = self.log
        if asked <= log.last:
            return asked, log.slice(asked, log.stop_within(asked, max_bytes))
        beyond = sorted([slot for slot in self.islands if slot >= asked])
        if not beyond:
            return asked, b""
        entries: list[tuple[int, bytes]] = []
        size = 0
        for offset, slot in enumerate(beyond):
            size += len(self.islands[slot][1])
            if slot != beyond[0] + offset or (entries and size > max_bytes):
                break
            entries.append(self.islands[slot])
        return beyond[0], pack(entries)

    def runs(self, asked: int, max_bytes: int) -> Iterator[tuple[int, bytes]]:
        """All runs of accepted slots from ``asked`` on, as ``run`` gives them."""
        while asked <= self.last():
            first, entries = self.run(asked, max_bytes)
            yield first, entries
            asked = first + count(entries)

    def skip_to(self, position: int, ballot: int) -> None:
        """Forget what a snapshot of ``position`` has made superfluous; what lies after it stays."""
        if position <= self.log.last:
            self.log.compact(position)
        else:
            self.log.reset(position, ballot)
        self.close_gap()

    def replace_from(self, first: int, ballot: int, payloads: list[bytes]) -> None:
        """Accept these values at one ballot from ``first`` on, where nothing is accepted beyond them."""
        assert self.last() < first + len(payloads), "a leader forgets a slot that it has accepted"
        if first <= self.log.last:
            self.log.truncate(first)
        self.islands.clear()
        self.log.extend(ballot, payloads)
