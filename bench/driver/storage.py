"""The write-ahead log of a replica process: segments of checked records in files that are full beforehand.

``log_format`` says how it stands on the disk, ``log_reader`` what recovery makes of it, ``segments`` what threads do aside.

To go on in another segment costs no sync of its own. A compaction does, too: the state goes aside, and what follows it is
written where the log goes on; until the state is durable the older segments say the same.
"""
from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import msgspec

from bench.driver.log_format import END, HEADER_BYTES, NUMBER, RECORD, REUSED, SEGMENT, StorageError, frame_record
from bench.driver.log_reader import decode_records, read_log
from bench.driver.segments import Segments, put
from engines.core import Engine, Record

SEGMENT_BYTES = 16 << 20
PREPARED_AFTER = 16  # when the first segment is full to this part, the next is prepared; later at once
EDGES_BYTES = HEADER_BYTES + NUMBER.size + len(END)  # what a segment has beside records


class WriteAheadLog:
    """The log of one replica, open for writing; ``recover`` comes first.

    Raises StorageError, after which nothing may be written any more: whether a failed sync wrote anything is unknowable.
    """

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self.segment_bytes = segment_bytes
        self.torn = ""
        self.syncs = 0
        self.sync_ns = 0
        self.written_bytes = 0
        self.file = -1
        self.number = 0
        self.at = 0
        self.capacity = 0
        self.sequence = 0
        self.opening = b""
        self.end = b""
        self.prepared_after = segment_bytes // PREPARED_AFTER
        self.compaction_from = 0
        self.broken = False
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory = os.open(folder, os.O_RDONLY)
            self.lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"{folder} is in use by another replica") from None
        except OSError as error:
            raise StorageError(f"{folder} cannot be used: {error.strerror}") from None
        self.segments = Segments(folder, self.directory, segment_bytes)

    def recover(self, engine_class: type[Engine]) -> list[Record]:
        """What is durable, in order; afterwards the log is open for more. ``torn`` says what was cut off, if anything was."""
        contents = read_log(self.folder)
        records = decode_records(contents, self.folder, engine_class)
        self.torn, self.sequence, self.number = contents.torn, contents.sequence, contents.last_number
        try:
            if contents.last_path is not None:
                self._mend(contents.last_path, contents.last_end)
            self.segments.clear(contents.unneeded)
            self._advance(0)
        except OSError as error:
            raise self._failed(error) from None
        return records

    def write(self, records: list[Record], first: Record | None = None, last: Record | None = None) -> None:
        """Make the records durable. ``first`` and ``last`` are those of the latest compaction, where there was one: ``first`` has
        the state, and is durable later, since until then nothing goes that says the same.
        """
        if self.broken or self.segments.trouble is not None:
            raise self._failed(self.segments.trouble)
        start, ends = -1, False
        payloads: list[bytes] = []
        for record in records:
            if record is first:
                start = len(payloads)
            else:
                payloads.append(msgspec.msgpack.encode(record))
            ends = ends or record is last
        try:
            if start >= 0:
                assert first is not None
                self._begin_compaction(payloads[:start], first, self._room(payloads[start:]))
                payloads = payloads[start:]
            self._append(payloads)
            self._sync()
        except OSError as error:
            raise self._failed(error) from None
        if ends:
            self.segments.adopt(self.compaction_from)
        if self.at > self.prepared_after:
            self.segments.prepare(self.number + 1)

    def close(self) -> None:
        """Let go of the files."""
        self.segments.close()
        for file in (self.file, self.lock, self.directory):
            if file >= 0:
                os.close(file)
        self.file = self.lock = self.directory = -1

    def _failed(self, error: Exception | None) -> StorageError:
        self.broken = True
        if isinstance(error, StorageError):
            return error
        if isinstance(error, OSError):
            return StorageError(f"{self.folder} cannot be written: {error.strerror}")
        return StorageError(f"{self.folder} failed before, and is written no more")

    def _mend(self, path: Path, end: int) -> None:
        """Cut the last segment of a recovered log to what is good, so that nothing of its tail can ever come back."""
        file = os.open(path, os.O_RDWR)
        try:
            os.ftruncate(file, end)
            os.fsync(file)
        finally:
            os.close(file)

    def _begin_compaction(self, payloads: list[bytes], first: Record, room: int) -> None:
        """Write what comes before it, and go on in another segment, before which the state is to stand."""
        if payloads:
            self._append(payloads)
            self._sync()
        self._advance(room)
        self.compaction_from = self.number
        self.segments.archive(self.number, self.sequence - 1, first)

    def _room(self, payloads: list[bytes]) -> int:
        room = 0
        for payload in payloads:
            room += HEADER_BYTES + len(payload)
        return room

    def _append(self, payloads: list[bytes]) -> None:
        """Write as one group, in a new segment where this one has no room."""
        if not payloads:
            return
        room = self._room(payloads)
        if self.at + len(self.opening) + room + len(END) > self.capacity:
            self._advance(room)
        group = self.sequence
        parts = []
        if self.opening:
            group -= 1
            parts.append(self.opening)
            self.opening = b""
        for payload in payloads:
            parts.append(frame_record(RECORD, self.sequence, group, payload))
            self.sequence += 1
        parts.append(self.end)
        data = b"".join(parts)
        put(self.file, data, self.at)
        self.written_bytes += len(data)
        self.at += len(data) - len(self.end)

    def _sync(self) -> None:
        began_ns = time.monotonic_ns()
        os.fdatasync(self.file)
        self.syncs += 1
        self.sync_ns += time.monotonic_ns() - began_ns

    def _advance(self, room: int) -> None:
        """Go on in the next segment, which has space for at least ``room``; its opening is written with what comes first."""
        if self.opening:  # nothing was written to the present one, and it is too small
            self.number -= 1
            self.sequence -= 1
        number = self.number + 1
        reused = False
        self.capacity = max(self.segment_bytes, EDGES_BYTES + room)
        if self.capacity == self.segment_bytes:
            file, reused = self.segments.take(number)
        else:
            file = self.segments.make_large(number, self.capacity)
        if self.file >= 0:
            os.close(self.file)
            self.prepared_after = 0
        self.file, self.number, self.at = file, number, 0
        self.end = END if reused else b""
        kind = REUSED if reused else SEGMENT
        self.opening = frame_record(kind, self.sequence, self.sequence, NUMBER.pack(number))
        self.sequence += 1
