"""The files of a write-ahead log: made, filled with zeros, used again and cleared away in threads of their own.

A segment is full before anything is written to it, of zeros or of what an older one held. In blocks that are only reserved, a
sync would have to wait for the file system to note in its journal that they are in use now, and that takes threads of the
kernel's, which on a busy machine wait for a core. So a segment also has its name, durably, before it is used: to go on in it
costs no sync. All this takes its time, as a sync of records waits behind all that the disk was given.

A state is written aside, too, in an old file where it fits: the log goes on meanwhile, and its older segments stay until the
state is durable under its name.
"""
from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from bench.driver.log_format import (
    NUMBER,
    RECORD,
    SEGMENTS,
    STATE,
    STATES,
    frame_header,
    frame_record,
    numbered,
    segment_path,
    state_path,
)
from engines.core import Record

PIECE_BYTES = 256 << 10
ZEROS = bytes(PIECE_BYTES)
PAUSE_S = 0.004
SPARES = 8  # so many old files are kept, to be used again


class Segments:
    """What one log has of files beside the one that it writes. ``trouble`` is what went wrong with a state."""

    def __init__(self, folder: Path, directory: int, segment_bytes: int) -> None:
        self.folder = folder
        self.directory = directory
        self.segment_bytes = segment_bytes
        self.spares: deque[tuple[Path, bool]] = deque()  # each with whether it holds old records
        self.coming: Future[tuple[int, bool]] | None = None
        self.trouble: Exception | None = None
        self.archiving = False  # from when a state is to be written until it has its name, or will not get it
        self.stocked = 0
        self.maker = ThreadPoolExecutor(1)
        self.archivist = ThreadPoolExecutor(1)
        self.draft = folder / "coming"
        self.fresh = folder / "fresh"

    # Segments

    def clear(self, unneeded: list[Path]) -> None:
        """Remove what an earlier incarnation left, whose threads may have been anywhere."""
        for path in (*unneeded, self.draft, self.fresh, *self.folder.glob("spare-*")):
            path.unlink(missing_ok=True)

    def prepare(self, number: int) -> None:
        """See to it that there will be a segment of this number, and then of another: a compaction may begin at any time."""
        if self.coming is None:
            self.coming = self.maker.submit(self._make, number, PAUSE_S)
            self.maker.submit(self._stock)

    def take(self, number: int) -> tuple[int, bool]:
        """The segment that was prepared, and whether it is used again; one made now where none was, or there was no room then."""
        coming, self.coming = self.coming, None
        if coming is None or coming.exception() is not None:
            coming = self.maker.submit(self._make, number, 0.0)
        return coming.result()

    def make_large(self, number: int, size: int) -> int:
        """A segment of another size than usual, in place of the one that was prepared."""
        coming, self.coming = self.coming, None
        if coming is not None and coming.exception() is None:
            os.close(coming.result()[0])
        path = segment_path(self.folder, number)
        path.unlink(missing_ok=True)
        file: int = self._with_room(lambda: reserve(path, size))
        os.fsync(file)
        os.fsync(self.directory)
        return file

    def _with_room(self, job: Callable[[], Any]) -> Any:
        """Give spares up where a full disk is in the way of what has to be written."""
        try:
            return job()
        except OSError as error:
            if error.errno != errno.ENOSPC or not self.spares:
                raise
        while self.spares:
            self.spares.popleft()[0].unlink()
        return job()

    def _make(self, number: int, pause_s: float) -> tuple[int, bool]:
        path, reused = self._spare()
        if path is not None:
            file = os.open(path, os.O_RDWR)
        else:
            path = self.fresh
            file = reserve_zeros(path, self.segment_bytes, pause_s)
        path.rename(segment_path(self.folder, number))
        os.fsync(self.directory)
        return file, reused

    def _spare(self) -> tuple[Path | None, bool]:
        try:
            return self.spares.popleft()
        except IndexError:
            return None, False

    def _stock(self) -> None:
        if not self.spares:
            os.close(reserve_zeros(self.fresh, self.segment_bytes, PAUSE_S))
            self.stocked += 1
            self.spares.append((self.fresh.rename(self.folder / f"spare-new-{self.stocked}"), False))

    # States

    def archive(self, number: int, sequence: int, state: Record) -> None:
        """Begin to write the state that stands before this segment, whose opening has this sequence number."""
        self.archiving = True
        self._aside(lambda: self._with_room(lambda: self._write_state(number, sequence, state)))

    def adopt(self, number: int) -> None:
        """The log has, durably, all that it must keep of the segments before this one: they go when the state is written."""
        def adopt() -> None:
            try:
                self._adopt(number)
            finally:
                self.archiving = False

        self._aside(adopt)

    def _aside(self, job: Callable[[], None]) -> None:
        def attempt() -> None:
            try:
                if self.trouble is None:
                    job()
            except Exception as error:
                self.trouble = error

        self.archivist.submit(attempt)

    def _write_state(self, number: int, sequence: int, state: Record) -> None:
        payload = msgspec.msgpack.encode(state)
        head = frame_record(STATE, sequence, sequence, NUMBER.pack(number))
        head += frame_header(RECORD, sequence + 1, sequence, payload)
        path = self._spare()[0] if len(head) + len(payload) <= self.segment_bytes else None
        if path is not None:
            path.rename(self.draft)
        file = os.open(self.draft, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            put(file, head, 0)
            for at in range(0, len(payload), PIECE_BYTES):
                put(file, memoryview(payload)[at : at + PIECE_BYTES], len(head) + at)
                os.fdatasync(file)
                time.sleep(PAUSE_S)
            os.fsync(file)
        finally:
            os.close(file)

    def _adopt(self, number: int) -> None:
        """Whether it is durable that files are gone does not matter: recovery does it again."""
        self.draft.rename(state_path(self.folder, number))
        os.fsync(self.directory)
        for older, path in numbered(self.folder, STATES):
            if older < number:
                self._retire(path)
        for older, path in numbered(self.folder, SEGMENTS):
            if older < number:
                self._retire(path)

    def _retire(self, path: Path) -> None:
        if len(self.spares) < SPARES and path.stat().st_size == self.segment_bytes:
            self.spares.append((path.rename(self.folder / f"spare-{path.name}"), True))
        else:
            path.unlink()

    def close(self) -> None:
        """Let go of the files, when what is under way is done."""
        self.archivist.shutdown()
        self.maker.shutdown()
        if self.coming is not None and self.coming.exception() is None:
            os.close(self.coming.result()[0])


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
