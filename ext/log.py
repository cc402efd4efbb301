"""The replicated log: entries of (term, payload) at consecutive positions, in one contiguous buffer.

    Log(base=0, base_term=0)
    base, base_term       the last compacted position and its term; the first stored position is base + 1
    last, last_term       the last position (base when empty) and its term
    nbytes                bytes held by entries: payloads and their headers

A packed batch is what ``slice`` gives and ``append_packed`` takes: entry after entry, each as its term (u64),
the length of its payload (u32), both little-endian, and the payload. The log holds its entries in the same
form, so that a slice for replication, or for the disk, is one memory copy. Beside the 12 bytes of its header
an entry costs 8 bytes of index.

Positions, terms and sizes are unsigned 64-bit; a base is below 2**63, so that sums of positions never wrap
around.
"""
from __future__ import annotations

import cython

if not cython.compiled:
    from ext.memory import append_bytes, append_entry, append_u64, cut, load_u32, load_u64

HEADER_BYTES = 12
INDEX_BYTES = 8
POSITION_LIMIT = 2**63
PAYLOAD_LIMIT_BYTES = 2**32


class Log:
    """See the module. ``index`` has, for every entry, where it starts in the stream of all bytes ever
    appended; ``buffer`` holds that stream from ``dropped`` on. A bytearray drops bytes at its front without
    moving the rest, so compaction changes no index entry, and moves what is left only where more than half of
    the memory is given back.
    """

    def __init__(self, base: int = 0, base_term: int = 0) -> None:
        self.reset(base, base_term)

    @property
    def nbytes(self) -> int:
        """Bytes held by entries: payloads and headers."""
        return len(self.buffer)

    def reset(self, base: int, base_term: int) -> None:
        """Empty the log, to continue after a snapshot that ends at ``base``; ValueError from 2**63 on."""
        if base >= POSITION_LIMIT:
            raise ValueError(f"the base of a log must be below 2**63, not {base}")
        self.base = base
        self.base_term = base_term
        self.last = base
        self.last_term = base_term
        self.dropped = 0
        self.buffer = bytearray()
        self.index = bytearray()

    def start(self, position: int) -> int:
        """Where the entry starts in the buffer, in bytes; of last + 1, where the buffer ends."""
        if position > self.last:
            return len(self.buffer)
        raw = self.index
        return load_u64(raw, (position - self.base - 1) * INDEX_BYTES) - self.dropped

    def require(self, first: int, stop: int) -> None:
        """IndexError unless [first, stop) is a range of stored positions; it may be empty."""
        if not self.base < first <= stop <= self.last + 1:
            raise IndexError(f"positions [{first}, {stop}) are not in the log of ({self.base}, {self.last}]")

    def append(self, term: int, payload: bytes) -> int:
        """Store one entry; its position."""
        if len(payload) >= PAYLOAD_LIMIT_BYTES:
            raise ValueError("a payload must be below 4 GiB")
        start = self.dropped + len(self.buffer)
        append_entry(self.buffer, term, payload)
        append_u64(self.index, start)
        self.last += 1
        self.last_term = term
        return self.last

    def extend(self, term: int, payloads: list[bytes]) -> int:
        """Store a batch of one term; the last position. TypeError, nothing stored, unless all are bytes."""
        for payload in payloads:
            if not isinstance(payload, bytes):
                raise TypeError(f"a payload must be bytes, not {type(payload).__name__}")
        for payload in payloads:
            self.append(term, payload)
        return self.last

    def append_packed(self, packed: bytes) -> int:
        """Store entries as they were sliced; the last position. ValueError, nothing stored, if malformed."""
        entries = count(packed)
        if entries == 0:
            return self.last
        raw = packed
        end = self.dropped + len(self.buffer)
        offset = 0
        newest = 0
        for _ in range(entries):
            newest = offset
            append_u64(self.index, end + offset)
            offset += HEADER_BYTES + load_u32(raw, offset + 8)
        append_bytes(self.buffer, packed)
        self.last += entries
        self.last_term = load_u64(raw, newest)
        return self.last

    def slice(self, first: int, stop: int) -> bytes:
        """The packed entries of [first, stop), in one copy; IndexError where they are not all stored."""
        self.require(first, stop)
        raw = self.buffer
        return cut(raw, self.start(first), self.start(stop))

    def stop_within(self, first: int, max_bytes: int) -> int:
        """The largest stop for which ``slice(first, stop)`` fits; at least one entry where there is one."""
        self.require(first, first)
        start = self.start(first)
        low = min(first + 1, self.last + 1)
        high = self.last + 1
        while low < high:
            middle = low + (high - low + 1) // 2
            if self.start(middle) - start <= max_bytes:
                low = middle
            else:
                high = middle - 1
        return low

    def payload(self, position: int) -> bytes:
        """The payload at this position; IndexError where it is compacted or beyond the end."""
        self.require(position, position + 1)
        raw = self.buffer
        offset = self.start(position) + HEADER_BYTES
        return cut(raw, offset, offset + load_u32(raw, offset - 4))

    def payloads(self, first: int, stop: int) -> list[bytes]:
        """The payloads of [first, stop); IndexError where they are not all stored."""
        self.require(first, stop)
        raw = self.buffer
        offset = self.start(first)
        found = []
        for _ in range(stop - first):
            length = load_u32(raw, offset + 8)
            offset += HEADER_BYTES
            found.append(cut(raw, offset, offset + length))
            offset += length
        return found

    def term(self, position: int) -> int:
        """The term at this position, the base included; IndexError below the base and beyond the end."""
        if position == self.base:
            return self.base_term
        self.require(position, position + 1)
        raw = self.buffer
        return load_u64(raw, self.start(position))

    def truncate(self, position: int) -> None:
        """Drop this position and all after it; ValueError at or below the base, which is never taken back."""
        if position <= self.base:
            raise ValueError(f"position {position} is compacted: the log begins after {self.base}")
        if position > self.last:
            return
        del self.buffer[self.start(position):]
        del self.index[(position - self.base - 1) * INDEX_BYTES:]
        self.last = position - 1
        self.last_term = self.term(self.last)

    def compact(self, position: int) -> None:
        """Drop up to and including this position, where that is not done yet; IndexError beyond the end."""
        if position <= self.base:
            return
        self.base_term = self.term(position)
        drop = self.start(position + 1)
        del self.buffer[:drop]
        del self.index[:(position - self.base) * INDEX_BYTES]
        self.dropped += drop
        self.base = position

    def conflict(self, first: int, packed: bytes) -> int:
        """Where a batch that starts at ``first`` differs: its first position absent here or of another term.

        It is first + count where all are present and equal. Positions at or below the base count as equal:
        what is compacted was committed. ValueError where the batch is malformed before that position.
        """
        raw = packed
        size = len(packed)
        stored = self.buffer
        position = first
        offset = 0
        while offset < size:
            following = after(raw, offset, size)
            if position > self.base and (
                position > self.last or load_u64(stored, self.start(position)) != load_u64(raw, offset)
            ):
                break
            offset = following
            position += 1
        return position


def after(raw: bytes, offset: int, size: int) -> int:
    """The offset behind the entry at ``offset`` of a batch of ``size`` bytes; ValueError unless it fits."""
    if offset + HEADER_BYTES > size:
        raise ValueError(f"malformed batch: the header at offset {offset} is cut off after {size - offset}")
    following = offset + HEADER_BYTES + load_u32(raw, offset + 8)
    if following > size:
        raise ValueError(f"malformed batch: the entry at offset {offset} ends at {following} of {size} bytes")
    return following


def count(packed: bytes) -> int:
    """The number of entries in the batch; ValueError where it is malformed."""
    raw = packed
    size = len(packed)
    offset = 0
    entries = 0
    while offset < size:
        offset = after(raw, offset, size)
        entries += 1
    return entries


def skip(packed: bytes, entries: int) -> bytes:
    """The batch without its first entries; ValueError where it is malformed or has fewer."""
    raw = packed
    size = len(packed)
    offset = 0
    for _ in range(entries):
        offset = after(raw, offset, size)
    return packed[offset:]


def pack(entries: list[tuple[int, bytes]]) -> bytes:
    """The batch of these (term, payload) pairs."""
    packed = bytearray()
    for term, payload in entries:
        append_entry(packed, term, payload)
    return bytes(packed)


def unpack(packed: bytes) -> list[tuple[int, bytes]]:
    """The (term, payload) pairs of a batch; ValueError where it is malformed."""
    raw = packed
    size = len(packed)
    entries = []
    offset = 0
    while offset < size:
        following = after(raw, offset, size)
        entries.append((load_u64(raw, offset), cut(raw, offset + HEADER_BYTES, following)))
        offset = following
    return entries


def retag(packed: bytes, term: int) -> bytes:
    """The batch with every term replaced; ValueError where it is malformed."""
    return pack([(term, payload) for _, payload in unpack(packed)])
