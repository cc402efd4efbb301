"""The configurations that a search has entered: a hash table of (position and value, set of operations).

A set is an array of words. Some of its bits are optional: of two configurations that differ only in these,
the one that has fewer of them set can do all that the other can, and stands for it.
"""

from __future__ import annotations

from typing import Any

import cython

if not cython.compiled:
    from ext.memory import allocate, enlarge, release

ALL = (1 << 64) - 1
MIXER = 0x9E3779B97F4A7C15
ENTRY = 3  # words before the set: next in its chain, hash, position and value


class Configurations:
    """See the module. Entries are never removed; ``words`` is the length of the sets."""

    def __init__(self, words: int) -> None:
        self.words = words
        self.stride = ENTRY + words
        self.count = 0
        self.room = 64
        self.entries = allocate(self.room * self.stride)
        self.heads = allocate(self.room)

    def __dealloc__(self) -> None:
        release(self.entries)
        release(self.heads)

    def add(self, where: int, done: Any, optional: Any) -> bool:
        """Whether neither this configuration nor one that used fewer optional operations was here before."""
        mixed = where * MIXER & ALL
        for word in range(self.words):
            mixed = ((mixed ^ (mixed >> 29)) + (done[word] & (ALL ^ optional[word]))) * MIXER & ALL
        mixed = mixed ^ (mixed >> 32)
        link = self.heads[mixed & (self.room - 1)]
        while link != 0:
            at = (link - 1) * self.stride
            if self.entries[at + 1] == mixed and self.entries[at + 2] == where and self.covers(at + ENTRY, done, optional):
                return False
            link = self.entries[at]
        if self.count == self.room:
            self.double()
        at = self.count * self.stride
        self.count += 1
        bucket = mixed & (self.room - 1)
        self.entries[at] = self.heads[bucket]
        self.entries[at + 1] = mixed
        self.entries[at + 2] = where
        for word in range(self.words):
            self.entries[at + ENTRY + word] = done[word]
        self.heads[bucket] = self.count
        return True

    def covers(self, at: int, done: Any, optional: Any) -> bool:
        """Whether the set kept there has the same mandatory operations as ``done``, and no optional one
        more.
        """
        for word in range(self.words):
            kept = self.entries[at + word]
            if (kept ^ done[word]) & (ALL ^ optional[word]) or kept & optional[word] & (ALL ^ done[word]):
                return False
        return True

    def double(self) -> None:
        """Make room for twice as many."""
        room = 2 * self.room
        self.entries = enlarge(self.entries, self.room * self.stride, room * self.stride)
        release(self.heads)
        self.heads = allocate(room)
        self.room = room
        for index in range(self.count):
            at = index * self.stride
            bucket = self.entries[at + 1] & (room - 1)
            self.entries[at] = self.heads[bucket]
            self.heads[bucket] = index + 1
