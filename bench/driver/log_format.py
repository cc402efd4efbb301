"""How the write-ahead log of a replica stands on its disk.

A record is a header and its payload; all integers are little-endian:

    magic 4s | crc32c u32 | length u32 | kind u32 | sequence u64 | group u64 | payload

The CRC covers all that follows it. ``sequence`` counts every record of the log, and ``group`` is the sequence number of the
first record of the write that it was part of. Each write ends in an fdatasync before the next begins, so a damaged record
with a valid one of a *later* group behind it was durable once: that is corruption, and recovery refuses it. Without such
a witness the damage is the tail of a write that was cut short: recovery keeps what is before it, and says so.

    wal-<number>    a segment: it opens with a record that names its number, SEGMENT or REUSED
    state-<number>  a snapshot in place of all segments before this number: a STATE record that names it, and one RECORD

The first write to a segment holds its opening, too. So the last segment may not be begun: then the one before it has the tail.
Behind the last record of a segment stand zeros, or, where it is reused, ``END`` and then what an older segment held, whose
sequence numbers give it away. That nothing is missing there is what the next segment's opening says: its number is the next.

A state is written under another name and gets its own when it is durable, and so is all that was to be kept of older segments.
"""
from __future__ import annotations

import struct
from pathlib import Path

import google_crc32c

MAGIC = b"wal1"
HEADER = struct.Struct("<4sIIIQQ")
HEADER_BYTES = HEADER.size
CHECKED_FROM = 8
SEGMENT, RECORD, STATE, REUSED = 1, 2, 3, 4
NUMBER = struct.Struct("<Q")
END = bytes(len(MAGIC))
RECORD_LIMIT_BYTES = (1 << 32) - 1
SEGMENTS, STATES = "wal", "state"


class StorageError(Exception):
    """The log cannot be read, or can no longer be written: the replica must stop."""


def frame_record(kind: int, sequence: int, group: int, payload: bytes) -> bytes:
    """A record as it stands in the file."""
    return frame_header(kind, sequence, group, payload) + payload


def frame_header(kind: int, sequence: int, group: int, payload: bytes) -> bytes:
    """What stands before the payload. StorageError where that is too long."""
    if len(payload) > RECORD_LIMIT_BYTES:
        raise StorageError(f"a record of {len(payload)} bytes exceeds the limit of {RECORD_LIMIT_BYTES}")
    header = HEADER.pack(MAGIC, 0, len(payload), kind, sequence, group)[CHECKED_FROM:]
    crc: int = google_crc32c.extend(google_crc32c.value(header), payload)
    return MAGIC + crc.to_bytes(4, "little") + header


class Found:
    """A valid record of a file, and where the next one begins."""

    def __init__(self, kind: int, sequence: int, group: int, payload: bytes, end: int) -> None:
        self.kind = kind
        self.sequence = sequence
        self.group = group
        self.payload = payload
        self.end = end


def find_record(data: bytes, at: int, lowest: int = 0) -> Found | None:
    """The record at this offset, None where there is no valid one, or its sequence number is below ``lowest``."""
    if len(data) - at < HEADER.size:
        return None
    magic, crc, length, kind, sequence, group = HEADER.unpack_from(data, at)
    end = at + HEADER.size + length
    if magic != MAGIC or end > len(data) or sequence < lowest:
        return None
    if google_crc32c.value(data[at + CHECKED_FROM : end]) != crc:
        return None
    return Found(kind, sequence, group, data[at + HEADER.size : end], end)


def find_records(data: bytes, at: int, lowest: int) -> list[Found]:
    """The valid records from this offset on whose sequence numbers are not below ``lowest``, wherever they stand."""
    found = []
    at = data.find(MAGIC, at)
    while at >= 0:
        record = find_record(data, at, lowest)
        if record is not None:
            found.append(record)
        at = data.find(MAGIC, at + 1)
    return found


def segment_path(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return folder / f"{SEGMENTS}-{number:010d}"


def state_path(folder: Path, number: int) -> Path:
    """The file of a state that stands in place of all segments before this number."""
    return folder / f"{STATES}-{number:010d}"


def numbered(folder: Path, prefix: str) -> list[tuple[int, Path]]:
    """The segments, or the states, of a folder in order."""
    found = []
    for path in folder.glob(f"{prefix}-*"):
        digits = path.name.removeprefix(f"{prefix}-")
        if not digits.isdigit():
            raise StorageError(f"{path} is no part of a log; move it away")
        found.append((int(digits), path))
    return sorted(found)
