"""The write-ahead log of a replica process: segments of checked records in preallocated files.

A segment is a file ``wal-<number>``. A record is a header and its payload; all integers are little-endian:

    magic 4s | crc32c u32 | length u32 | kind u32 | sequence u64 | group u64 | payload

The CRC covers all that follows it. ``sequence`` counts every record of the log, and ``group`` is the sequence number of the
first record of the write that it was part of. Each write ends in an fdatasync before the next begins, so a damaged record
with a valid one of a *later* group behind it was durable once: that is corruption, and recovery refuses it. Without such
a witness the damage is the tail of a write that was cut short: recovery keeps what is before it, and says so.

Every segment opens with a record that names its number. One that is full is cut to its length before the next is made, so
all but the last end in a record. A compaction opens a segment, and closes with a record that makes all older segments
unnecessary.

A segment is full of zeros before anything is written to it. In blocks that are only reserved, a sync would have to wait for the
file system to note in its journal that they are in use now, and that takes threads of the kernel's, which on a busy machine
wait for a core. A thread of this process prepares the next segment, as ``spare``, and removes those that are unnecessary; the
one that writes records does not wait for either. It takes its time: a sync of records waits behind all that the disk was given.
"""
from __future__ import annotations

import fcntl
import os
import struct
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google_crc32c
import msgspec

from engines.core import Engine, Record

MAGIC = b"wal1"
HEADER = struct.Struct("<4sIIIQQ")
HEADER_BYTES = HEADER.size
CHECKED_FROM = 8
SEGMENT, RECORD, COMPACTED = 1, 2, 3
NUMBER = struct.Struct("<Q")
SEGMENT_BYTES = 16 << 20
ZEROS = bytes(256 << 10)
PAUSE_S = 0.002
PREPARED_AFTER = 16  # when a segment is full to this part, the next is prepared
RECORD_LIMIT_BYTES = (1 << 32) - 1


class StorageError(Exception):
    """The log cannot be read, or can no longer be written: the replica must stop."""


def frame_record(kind: int, sequence: int, group: int, payload: bytes) -> bytes:
    """A record as it stands in the file."""
    header = HEADER.pack(MAGIC, 0, len(payload), kind, sequence, group)[CHECKED_FROM:]
    crc: int = google_crc32c.extend(google_crc32c.value(header), payload)
    return MAGIC + crc.to_bytes(4, "little") + header + payload


class Found:
    """A valid record of a file, and where the next one begins."""

    def __init__(self, kind: int, sequence: int, group: int, payload: bytes, end: int) -> None:
        self.kind = kind
        self.sequence = sequence
        self.group = group
        self.payload = payload
        self.end = end


def find_record(data: bytes, at: int) -> Found | None:
    """The record at this offset, None where there is no valid one."""
    if len(data) - at < HEADER.size:
        return None
    magic, crc, length, kind, sequence, group = HEADER.unpack_from(data, at)
    end = at + HEADER.size + length
    if magic != MAGIC or end > len(data):
        return None
    if google_crc32c.value(data[at + CHECKED_FROM : end]) != crc:
        return None
    return Found(kind, sequence, group, data[at + HEADER.size : end], end)


class Contents:
    """What the files of a log hold: payloads in order, and where writing would go on."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.sequence = 0
        self.torn = ""
        self.last_path: Path | None = None
        self.last_end = 0
        self.last_number = 0
        self.unneeded: list[Path] = []


def segment_path(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return folder / f"wal-{number:010d}"


def _segments(folder: Path) -> list[tuple[int, Path]]:
    found = []
    for path in folder.glob("wal-*"):
        digits = path.name.removeprefix("wal-")
        if not digits.isdigit():
            raise StorageError(f"{path} is no segment of a log; move it away")
        found.append((int(digits), path))
    return sorted(found)


class _Reader:
    """One pass over the segments of a folder."""

    def __init__(self, folder: Path) -> None:
        self.contents = Contents()
        self.folder = folder
        self.payloads: dict[int, list[bytes]] = {}
        self.gaps: list[int] = []
        self.needed_from = 0

    def read(self) -> Contents:
        segments = _segments(self.folder)
        previous = 0
        for number, path in segments:
            if number != previous + 1:
                self.gaps.append(number)
            previous = number
            self.read_segment(number, path, number == segments[-1][0])
        missing = [number for number in self.gaps if number > max(self.needed_from, 1)]
        if missing:
            raise StorageError(f"{segment_path(self.folder, missing[0] - 1)} is missing; the log cannot be trusted")
        for number, path in segments:
            if number < self.needed_from:
                self.contents.unneeded.append(path)
            else:
                self.contents.payloads += self.payloads.get(number, [])
        return self.contents

    def read_segment(self, number: int, path: Path, last: bool) -> None:
        contents = self.contents
        data = path.read_bytes()
        payloads = self.payloads[number] = []
        at = 0
        while (record := find_record(data, at)) is not None and self.follows(record, number, at):
            contents.sequence = record.sequence + 1
            if record.kind == RECORD:
                payloads.append(record.payload)
            elif record.kind == COMPACTED:
                self.needed_from = NUMBER.unpack(record.payload)[0]
            at = record.end
        if at < len(data) or at == 0:
            self.judge_rest(data, at, path, last)
        contents.last_path, contents.last_end, contents.last_number = path, at, number

    def follows(self, record: Found, number: int, at: int) -> bool:
        """Whether a valid record is the one that belongs here, and not a leftover or a stray."""
        if at == 0:
            opens = record.kind == SEGMENT and record.payload == NUMBER.pack(number)
            return opens and (record.sequence == self.contents.sequence or number in self.gaps)
        return record.sequence == self.contents.sequence and record.kind in (RECORD, COMPACTED)

    def judge_rest(self, data: bytes, at: int, path: Path, last: bool) -> None:
        """What follows the last good record: the untouched end of the file, a torn write, or corruption."""
        missing = self.contents.sequence
        where = f"{path}: the record at byte {at} is damaged"
        if not last:
            raise StorageError(f"{where}, and later segments follow; the log cannot be trusted")
        if not data[at:].strip(b"\0"):
            if at == 0:
                self.contents.torn = f"{path.name} has no beginning"
            return
        behind = data.find(MAGIC, at + 1)
        while behind >= 0:
            record = find_record(data, behind)
            if record is not None and record.group > missing:
                raise StorageError(f"{where}, and later writes follow it at byte {behind}; the log cannot be trusted")
            behind = data.find(MAGIC, behind + 1)
        self.contents.torn = f"{path.name} is torn at byte {at}"


def read_log(folder: Path) -> Contents:
    """Read the log of a folder without changing it; StorageError where it is corrupt before its tail."""
    try:
        return _Reader(folder).read()
    except OSError as error:
        raise StorageError(f"{folder} cannot be read: {error.strerror}") from None


def read_records(folder: Path, engine_class: type[Engine]) -> tuple[list[Record], str]:
    """The records that a replica of this engine would recover from, and what was torn ("" where nothing was)."""
    contents = read_log(folder)
    return _decode(contents, folder, engine_class), contents.torn


def _decode(contents: Contents, folder: Path, engine_class: type[Engine]) -> list[Record]:
    union: Any = engine_class.RECORDS[0]
    for record_class in engine_class.RECORDS[1:]:
        union = union | record_class
    decoder = msgspec.msgpack.Decoder(union)
    try:
        return [decoder.decode(payload) for payload in contents.payloads]
    except ValueError as error:
        raise StorageError(f"{folder} holds records that are not of {engine_class.NAME}: {error}") from None


def reserve(path: Path, size: int) -> int:
    """A new file with room for so many bytes."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(file, 0, size)
    except OSError:
        os.close(file)
        path.unlink()
        raise
    return file


def reserve_zeros(path: Path, size: int, pause_s: float = 0.0) -> int:
    """A new file of so many zeros, on the disk; by and by, with pauses, where others need the disk meanwhile."""
    file = reserve(path, size)
    try:
        for at in range(0, size, len(ZEROS)):
            put(file, memoryview(ZEROS)[: size - at], at)
            if pause_s:
                os.fdatasync(file)
                time.sleep(pause_s)
        os.fsync(file)
    except OSError:
        os.close(file)
        path.unlink()
        raise
    return file


def put(file: int, data: bytes | memoryview, at: int) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        count = os.pwrite(file, view, at)
        at += count
        view = view[count:]


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
        self.compaction_from = 0
        self.spare = folder / "spare"
        self.coming: Future[int] | None = None
        self.helper = ThreadPoolExecutor(1)
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

    def recover(self, engine_class: type[Engine]) -> list[Record]:
        """What is durable, in order; afterwards the log is open for more. ``torn`` says what was cut off, if anything was."""
        contents = read_log(self.folder)
        records = _decode(contents, self.folder, engine_class)
        self.torn, self.sequence, self.number = contents.torn, contents.sequence, contents.last_number
        try:
            if contents.last_path is not None:
                self._mend(contents.last_path, contents.last_end)
            for path in (*contents.unneeded, self.spare):
                path.unlink(missing_ok=True)
            self._open_segment(0)
        except OSError as error:
            raise self._failed(error) from None
        return records

    def write(self, records: list[Record], first: Record | None = None, last: Record | None = None) -> None:
        """Make the records durable. ``first`` and ``last`` are those of the latest compaction, where there was one."""
        if self.broken:
            raise StorageError(f"{self.folder} failed before, and is written no more")
        start, ends = -1, False
        for at, record in enumerate(records):
            if record is first:
                start = at
            ends = ends or record is last
        payloads = [msgspec.msgpack.encode(record) for record in records]
        try:
            if start < 0:
                self._append(payloads, ends)
            else:
                self._append(payloads[:start], False)
                self._open_segment(self._room(payloads[start:]))
                self.compaction_from = self.number
                self._append(payloads[start:], ends)
            self._sync()
            if ends:
                self._drop_before(self.compaction_from)
        except OSError as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Let go of the files."""
        self.helper.shutdown()
        if self.coming is not None and self.coming.exception() is None:
            os.close(self.coming.result())
        for file in (self.file, self.lock, self.directory):
            if file >= 0:
                os.close(file)
        self.file = self.lock = self.directory = -1

    def _failed(self, error: OSError) -> StorageError:
        self.broken = True
        return StorageError(f"{self.folder} cannot be written: {error.strerror}")

    def _mend(self, path: Path, end: int) -> None:
        """Cut the last segment of a recovered log to what is good, so that nothing of its tail can ever come back."""
        file = os.open(path, os.O_RDWR)
        try:
            os.ftruncate(file, end)
            os.fsync(file)
        finally:
            os.close(file)
        if end == 0:
            path.unlink()
            self.number -= 1

    def _room(self, payloads: list[bytes]) -> int:
        room = HEADER_BYTES + NUMBER.size
        for payload in payloads:
            room += HEADER_BYTES + len(payload)
        return room

    def _append(self, payloads: list[bytes], closes_compaction: bool) -> None:
        """Write as one group, in a new segment where this one has no room."""
        if not payloads and not closes_compaction:
            return
        room = self._room(payloads)
        if self.at + room > self.capacity:
            self._open_segment(room)
        group = self.sequence
        parts = []
        for payload in payloads:
            if len(payload) > RECORD_LIMIT_BYTES:
                raise StorageError(f"a record of {len(payload)} bytes exceeds the limit of {RECORD_LIMIT_BYTES}")
            parts.append(frame_record(RECORD, self.sequence, group, payload))
            self.sequence += 1
        if closes_compaction:
            parts.append(frame_record(COMPACTED, self.sequence, group, NUMBER.pack(self.compaction_from)))
            self.sequence += 1
        self._put(b"".join(parts))
        if self.coming is None and self.at > self.segment_bytes // PREPARED_AFTER:
            self.coming = self.helper.submit(reserve_zeros, self.spare, self.segment_bytes, PAUSE_S)

    def _put(self, data: bytes) -> None:
        put(self.file, data, self.at)
        self.written_bytes += len(data)
        self.at += len(data)

    def _sync(self) -> None:
        began_ns = time.monotonic_ns()
        os.fdatasync(self.file)
        self.syncs += 1
        self.sync_ns += time.monotonic_ns() - began_ns

    def _open_segment(self, room: int) -> None:
        """Seal the present segment, and begin the next with space for at least ``room``."""
        if self.file >= 0:
            os.ftruncate(self.file, self.at)
            os.fsync(self.file)
            os.close(self.file)
            self.file = -1
        self.number += 1
        opening = frame_record(SEGMENT, self.sequence, self.sequence, NUMBER.pack(self.number))
        self.capacity = max(self.segment_bytes, room + len(opening))
        path = segment_path(self.folder, self.number)
        self.file = self._take_spare(path) if self.capacity == self.segment_bytes else reserve(path, self.capacity)
        self.at = 0
        self.sequence += 1
        self._put(opening)
        os.fsync(self.file)
        os.fsync(self.directory)

    def _take_spare(self, path: Path) -> int:
        """The segment that was prepared, or one made now where none was, or where there was no room for it then."""
        coming, self.coming = self.coming, None
        if coming is None or coming.exception() is not None:
            return reserve_zeros(path, self.segment_bytes)
        self.spare.rename(path)
        return coming.result()

    def _drop_before(self, number: int) -> None:
        """Remove what the compaction made unnecessary. Whether that is durable does not matter: recovery does it again."""
        for older, path in _segments(self.folder):
            if older < number:
                self.helper.submit(path.unlink)
