# cython: boundscheck=False
"""The values that ballots proposed for slots, and those that were chosen (Paxos). A value is kept as a digest of itself."""
from __future__ import annotations

from array import array

import cython

from bench.checkers.invariants import Agreement
from bench.checkers.statements import CHOSEN, ONE_VALUE

if not cython.compiled:
    from engines.machine import same
    from ext.columns import words_of
    from ext.memory import append_u64, load_u32, load_u64

RING = 64
RING_LOW = RING - 1
RING_BYTES = 1 << 14  # of entries that are worth to be remembered as an object
DIGEST_BYTES = 8
HEADER_BYTES = 12
ABSENT = 0
MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15
STEP = 0xD1B54A32D192ED02  # even, so that every factor is odd, and no word is lost


def fingerprint(raw: bytes, start: int, stop: int) -> int:
    """Tells commands apart, as a digest does; words are multiplied independently of one another, in a third of the time."""
    found = stop - start
    factor = GOLDEN
    while start + 8 <= stop:
        found = (found + (load_u64(raw, start) ^ factor) * factor) & MASK
        factor = (factor + STEP) & MASK
        start += 8
    while start < stop:
        found = (found + (raw[start] + 1) * factor) & MASK
        factor = (factor + STEP) & MASK
        start += 1
    return (found ^ found >> 32) | 1


class Values:
    """What one ballot proposed: a column of digests from ``start`` on, and ``others`` outside of it."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.stop = start
        self.column = bytearray()
        self.others: dict[int, int] = {}

    def at(self, slot: int) -> int:
        """The digest of the value for a slot; ABSENT where none is known."""
        if self.start <= slot < self.stop:
            raw = self.column
            return load_u64(raw, (slot - self.start) * DIGEST_BYTES)
        return self.others.get(slot, ABSENT) if self.others else ABSENT

    def add(self, slot: int, value: int) -> None:
        """The first value for a slot."""
        if slot == self.stop:
            append_u64(self.column, value)
            self.stop += 1
        else:
            self.others[slot] = value


class Proposals:
    """``chosen`` has the value of each slot that was applied; ``bounds`` are (first slot, ballot): from that slot on, the ballot
    that a value was chosen at is at most that one.
    """

    def __init__(self, agreement: Agreement) -> None:
        self.agreement = agreement
        self.values: dict[int, Values] = {}
        self.highest = 0
        self.newest = Values(1)
        self.chosen = bytearray()
        self.decided = 0
        self.bounds: list[tuple[int, int]] = []
        self.bound = 0
        self.entries: list[bytes] = [b""] * RING
        self.columns = [array("Q", bytes(8 * RING)) for _ in range(4)]
        self.firsts = words_of(self.columns[0])
        self.stops = words_of(self.columns[1])
        self.ballots = words_of(self.columns[2])
        self.found = words_of(self.columns[3])  # of the last one of the entries
        self.value = 0

    def note(self, ballot: int, first: int, entries: bytes) -> int:
        """A record or an Accept has these entries; where they end if all are proposed at this ballot, else 0."""
        slot = first & RING_LOW
        if entries is self.entries[slot] and self.firsts[slot] == first and self.ballots[slot] == ballot:
            stop: int = self.stops[slot]
            return stop
        stop = self.note_each(ballot, first, entries)
        if stop > 0 and len(entries) <= RING_BYTES:
            self.entries[slot] = entries
            self.firsts[slot] = first
            self.stops[slot] = stop
            self.ballots[slot] = ballot
            self.found[slot] = self.value
        return stop

    def note_each(self, ballot: int, first: int, entries: bytes) -> int:
        """See ``note``."""
        raw = entries
        offset = 0
        slot = first
        size = len(entries)
        uniform = True
        while offset < size:
            own = load_u64(raw, offset)
            offset += HEADER_BYTES
            length = load_u32(raw, offset - 4)
            self.value = value = fingerprint(raw, offset, offset + length)
            uniform = uniform and own == ballot
            self.propose(own, slot, value)
            offset += length
            slot += 1
        return slot if uniform else 0

    def propose(self, ballot: int, slot: int, value: int) -> None:
        """A ballot proposes one value for a slot; and none but the chosen one, where it is higher than the ballot of that."""
        if ballot == self.highest:
            values = self.newest
        else:
            values = self.of(ballot, slot)
        known = values.at(slot)
        if known == ABSENT:
            values.add(slot, value)
            if slot <= self.decided and ballot > self.bound_of(slot) and self.value_chosen(slot) != value:
                self.agreement.violated(f"{CHOSEN}: ballot {ballot} proposes for slot {slot} what was not chosen before")
        elif known != value:
            self.agreement.violated(f"{ONE_VALUE}: ballot {ballot} proposes two values for slot {slot}")

    def of(self, ballot: int, slot: int) -> Values:
        """The values of a ballot."""
        values = self.values.get(ballot)
        if values is None:
            values = Values(slot)
            self.values[ballot] = values
            if ballot > self.highest:
                self.highest = ballot
                self.newest = values
        return values

    def choose(self, slot: int, command: bytes) -> None:
        """A slot is decided; slots come in order."""
        assert slot == self.decided + 1
        value = self.value_of(slot, command)
        append_u64(self.chosen, value)
        self.decided = slot
        if self.highest != self.bound:
            self.bound = self.highest
            self.bounds.append((slot, self.bound))
        if self.newest.at(slot) != value and not [1 for each in self.values.values() if each.at(slot) == value]:
            self.agreement.violated(f"{CHOSEN}: what is applied at slot {slot} was proposed by no ballot")

    def value_of(self, slot: int, command: bytes) -> int:
        """The digest of a command. It is known where the same bytes were proposed for this slot alone, and not long ago."""
        at = slot & RING_LOW
        entries = self.entries[at]
        raw = entries
        if self.firsts[at] == slot and self.stops[at] == slot + 1 and same(command, raw, HEADER_BYTES, len(entries)):
            known: int = self.found[at]
            return known
        raw = command
        return fingerprint(raw, 0, len(command))

    def value_chosen(self, slot: int) -> int:
        """The digest of the value that was chosen for a slot."""
        raw = self.chosen
        return load_u64(raw, (slot - 1) * DIGEST_BYTES)

    def bound_of(self, slot: int) -> int:
        """The highest ballot that had proposed anything when a slot was applied."""
        for first, ballot in reversed(self.bounds):
            if first <= slot:
                return ballot
        return 0
