"""Reading the write-ahead log of a replica: what recovery finds, and what it refuses (see bench.driver.log_format)."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from bench.driver.log_format import (
    END,
    NUMBER,
    RECORD,
    REUSED,
    SEGMENT,
    SEGMENTS,
    STATE,
    STATES,
    Found,
    StorageError,
    find_record,
    find_records,
    numbered,
    segment_path,
)
from engines.core import Engine, Record

OPENINGS = (SEGMENT, REUSED)


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


class _Reader:
    """One pass over the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.contents = Contents()
        self.folder = folder

    def read(self) -> Contents:
        states, segments = numbered(self.folder, STATES), numbered(self.folder, SEGMENTS)
        if states:
            self.read_state(*states.pop())
        needed = [(number, path) for number, path in segments if number > self.contents.last_number]
        self.contents.unneeded = [path for _, path in (*states, *segments[: len(segments) - len(needed)])]
        self.require_all(needed)
        behind = self.take_unbegun(needed)
        for number, path in needed[:-1]:
            self.read_segment(number, path)
        if needed:
            self.judge_tail(self.read_segment(*needed[-1]), behind)
        return self.contents

    def read_state(self, number: int, path: Path) -> None:
        """The state, and the number and sequence number of the segment that follows it."""
        contents, data = self.contents, path.read_bytes()
        opening = find_record(data, 0)
        state = find_record(data, opening.end) if opening is not None else None
        named = opening is not None and opening.kind == STATE and opening.payload == NUMBER.pack(number)
        if opening is None or state is None or not named or state.kind != RECORD:
            raise StorageError(f"{path} is damaged; the log cannot be trusted")
        contents.payloads.append(state.payload)
        contents.last_number, contents.sequence = number - 1, opening.sequence

    def require_all(self, needed: list[tuple[int, Path]]) -> None:
        """No segment is missing between the beginning, or the state, and the last one."""
        for expected, (number, _) in enumerate(needed, self.contents.last_number + 1):
            if number != expected:
                raise StorageError(f"{segment_path(self.folder, expected)} is missing; the log cannot be trusted")

    def take_unbegun(self, needed: list[tuple[int, Path]]) -> bytes:
        """Where nothing was written to the last segment, or its first write was cut short: take it away; what it holds."""
        if not needed:
            return b""
        number, path = needed[-1]
        data = path.read_bytes()
        opening = find_record(data, 0)
        if opening is not None and opening.kind in OPENINGS and opening.payload == NUMBER.pack(number):
            return b""
        prepared = opening is not None or (data and not data.strip(b"\0"))
        if not prepared:
            self.contents.torn = f"{path.name} has no beginning"
        needed.pop()
        self.contents.unneeded.append(path)
        if not needed:
            self.refuse_later(path, 0, find_records(data, 0, self.contents.sequence))
        return data

    def read_segment(self, number: int, path: Path) -> bytes:
        """The records of a segment; what stands behind them, which begins with its opening's kind."""
        contents, data = self.contents, path.read_bytes()
        at = 0
        while (record := find_record(data, at)) is not None and self.follows(record, number, at):
            contents.sequence = record.sequence + 1
            if record.kind == RECORD:
                contents.payloads.append(record.payload)
            at = record.end
        if at == 0:
            before = contents.last_path or path
            where = f"{before}: the record at byte {contents.last_end} is damaged"
            raise StorageError(f"{where}, and later segments follow; the log cannot be trusted")
        contents.last_path, contents.last_end, contents.last_number = path, at, number
        return data

    def follows(self, record: Found, number: int, at: int) -> bool:
        """Whether a valid record is the one that belongs here, and not a leftover or a stray."""
        if record.sequence != self.contents.sequence:
            return False
        if at == 0:
            return record.kind in OPENINGS and record.payload == NUMBER.pack(number)
        return record.kind == RECORD

    def judge_tail(self, data: bytes, behind: bytes) -> None:
        """What follows the last good record: the untouched end of the segment, a torn write, or corruption."""
        contents = self.contents
        path, at, missing = contents.last_path, contents.last_end, contents.sequence
        assert path is not None
        later = find_records(data, at, missing)
        self.refuse_later(path, at, later + find_records(behind, 0, missing))
        opening = find_record(data, 0)
        reused = opening is not None and opening.kind == REUSED
        rest = data[at : at + len(END)] if reused else data[at:]
        if later or rest.strip(b"\0"):
            contents.torn = f"{path.name} is torn at byte {at}"

    def refuse_later(self, path: Path, at: int, later: list[Found]) -> None:
        """A write that came after the one that is damaged shows that this one was durable."""
        if any(record.group > self.contents.sequence for record in later):
            raise StorageError(
                f"{path}: the record at byte {at} is damaged, and later writes follow it; the log cannot be trusted"
            )


def read_log(folder: Path) -> Contents:
    """Read the log of a folder without changing it; StorageError where it is corrupt before its tail."""
    try:
        return _Reader(folder).read()
    except OSError as error:
        raise StorageError(f"{folder} cannot be read: {error.strerror}") from None


def read_records(folder: Path, engine_class: type[Engine]) -> tuple[list[Record], str]:
    """The records that a replica of this engine would recover from, and what was torn ("" where nothing was)."""
    contents = read_log(folder)
    return decode_records(contents, folder, engine_class), contents.torn


def decode_records(contents: Contents, folder: Path, engine_class: type[Engine]) -> list[Record]:
    """The records of a log; StorageError where they are another engine's."""
    union: Any = engine_class.RECORDS[0]
    for record_class in engine_class.RECORDS[1:]:
        union = union | record_class
    decoder = msgspec.msgpack.Decoder(union)
    try:
        return [decoder.decode(payload) for payload in contents.payloads]
    except ValueError as error:
        raise StorageError(f"{folder} holds records that are not of {engine_class.NAME}: {error}") from None
