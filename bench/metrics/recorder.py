# cython: wraparound=False
"""The recorder: 64 bytes an operation, in chunks of typed columns (see OPERATION in bench.metrics.trial).

It also keeps, apart from the rows, the time integral of the number of operations under way within the measured window, so
that Little's law can be checked against the rows.
"""
from __future__ import annotations

from array import array

import cython
import numpy as np

from bench.metrics.trial import FAILED, OK, OPERATION, PENDING, UNKNOWN

if not cython.compiled:
    from ext.columns import bytes_of, halves_of, integers_of, shorts_of, words_of

CHUNK = 32768
SHIFT = 15
MASK = CHUNK - 1
CODES = {name: OPERATION[name].char.replace("l", "q").replace("L", "Q") for name in OPERATION.names or ()}


class Chunk:
    """``CHUNK`` operations, a column a field."""

    def __init__(self) -> None:
        # An array made of bytes would reserve a sixteenth more.
        self.columns = {name: array(code, [0]) * CHUNK for name, code in CODES.items()}
        self.intended_ns = integers_of(self.columns["intended_ns"])
        self.started_ns = integers_of(self.columns["started_ns"])
        self.completed_ns = integers_of(self.columns["completed_ns"])
        self.value = words_of(self.columns["value"])
        self.expected = words_of(self.columns["expected"])
        self.returned = words_of(self.columns["returned"])
        self.key = halves_of(self.columns["key"])
        self.client = halves_of(self.columns["client"])
        self.size = halves_of(self.columns["size"])
        self.attempts = shorts_of(self.columns["attempts"])
        self.kind = bytes_of(self.columns["kind"])
        self.status = bytes_of(self.columns["status"])


class Recorder:
    """Operations in the order in which they began; a row's number is its identity for the whole run."""

    def __init__(self, window_start_ns: int, window_stop_ns: int) -> None:
        self.window_start_ns = window_start_ns
        self.window_stop_ns = window_stop_ns
        self.chunks: list[Chunk] = []
        self.count = 0
        self.outstanding = 0
        self.outstanding_ns = 0
        self.changed_ns = 0

    def begin(self, now: int, intended_ns: int, client: int, kind: int, key: int, size: int) -> int:
        """A new operation; returns its row."""
        row = self.count
        if row & MASK == 0:
            self.chunks.append(Chunk())
        self.count += 1
        chunk = self.chunks[row >> SHIFT]
        at = row & MASK
        chunk.intended_ns[at] = intended_ns
        chunk.started_ns[at] = now
        chunk.completed_ns[at] = PENDING
        chunk.client[at] = client
        chunk.kind[at] = kind
        chunk.key[at] = key
        chunk.size[at] = size
        chunk.attempts[at] = 1
        chunk.status[at] = UNKNOWN
        self.advance(intended_ns)
        self.outstanding += 1
        return row

    def set_values(self, row: int, value: int, expected: int) -> None:
        """The tokens that a write or a cas carries."""
        chunk = self.chunks[row >> SHIFT]
        chunk.value[row & MASK] = value
        chunk.expected[row & MASK] = expected

    def sent(self, row: int, now: int) -> None:
        """The operation first left at ``now``, later than ``begin`` was told: the generator was late."""
        chunk = self.chunks[row >> SHIFT]
        chunk.started_ns[row & MASK] = now

    def complete(self, row: int, now: int, status: int, returned: int) -> None:
        """The outcome is known: OK or FAILED with the time of the answer."""
        chunk = self.chunks[row >> SHIFT]
        at = row & MASK
        assert chunk.completed_ns[at] == PENDING, "an operation completes once"
        assert status in (OK, FAILED)
        chunk.completed_ns[at] = now
        chunk.status[at] = status
        chunk.returned[at] = returned
        self.advance(now)
        self.outstanding -= 1

    def retried(self, row: int) -> None:
        """The operation was sent once more."""
        chunk = self.chunks[row >> SHIFT]
        if chunk.attempts[row & MASK] < 0xFFFF:
            chunk.attempts[row & MASK] += 1

    def pending(self, row: int) -> bool:
        """Whether no answer has come yet."""
        chunk = self.chunks[row >> SHIFT]
        pending: bool = chunk.completed_ns[row & MASK] == PENDING
        return pending

    def started_ns(self, row: int) -> int:
        """When the operation was first sent."""
        chunk = self.chunks[row >> SHIFT]
        started: int = chunk.started_ns[row & MASK]
        return started

    def attempts_of(self, row: int) -> int:
        """How often the operation was sent."""
        chunk = self.chunks[row >> SHIFT]
        attempts: int = chunk.attempts[row & MASK]
        return attempts

    def client_of(self, row: int) -> int:
        """The session that asked."""
        chunk = self.chunks[row >> SHIFT]
        client: int = chunk.client[row & MASK]
        return client

    def kind_of(self, row: int) -> int:
        """READ, WRITE or CAS."""
        chunk = self.chunks[row >> SHIFT]
        kind: int = chunk.kind[row & MASK]
        return kind

    def key_of(self, row: int) -> int:
        """The index of its key."""
        chunk = self.chunks[row >> SHIFT]
        key: int = chunk.key[row & MASK]
        return key

    def asked(self, row: int, client: int, kind: int, key: int) -> bool:
        """Whether the operation is this client's, of this kind and on this key."""
        chunk = self.chunks[row >> SHIFT]
        at = row & MASK
        same: bool = chunk.client[at] == client and chunk.kind[at] == kind and chunk.key[at] == key
        return same

    def size_of(self, row: int) -> int:
        """Bytes of the value it writes."""
        chunk = self.chunks[row >> SHIFT]
        size: int = chunk.size[row & MASK]
        return size

    def expected_of(self, row: int) -> int:
        """The token that a cas expects."""
        chunk = self.chunks[row >> SHIFT]
        expected: int = chunk.expected[row & MASK]
        return expected

    def advance(self, now: int) -> None:
        """Move the integral of the operations under way up to ``now``, within the window."""
        start = self.changed_ns if self.changed_ns > self.window_start_ns else self.window_start_ns
        stop = now if now < self.window_stop_ns else self.window_stop_ns
        if stop > start:
            self.outstanding_ns += self.outstanding * (stop - start)
        self.changed_ns = max(self.changed_ns, now)

    def operations(self) -> np.ndarray:
        """All rows as one array of dtype OPERATION, in order. The chunks are released on the way, and the recorder is spent:
        an IndexError whatever it is asked then.
        """
        if self.count and not self.chunks:
            raise IndexError("the recorder has given its operations away")
        rows = np.empty(self.count, OPERATION)
        chunks, self.chunks = self.chunks[::-1], []
        for start in range(0, self.count, CHUNK):
            chunk = chunks.pop()
            stop = min(start + CHUNK, self.count)
            for name in OPERATION.names or ():
                rows[name][start:stop] = np.asarray(chunk.columns[name])[: stop - start]
        return rows
