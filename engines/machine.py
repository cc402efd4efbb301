"""The state machines that commands are applied to, and the sessions that keep a retried command from counting twice.

A command is opaque to the engines; this module gives it its shape, little-endian, 27 bytes before its texts:

    client u64 | sequence u64 | sequence - lowest u32 | operation u8 | key length u16 | expected length u32
    key | expected | value

``lowest`` is the lowest sequence number that the client has no answer for yet. Each result opens with a byte:
``APPLIED`` (1), ``REFUSED`` (0: nothing there, or a cas whose expectation did not hold), ``STALE`` (2: the session has
forgotten this sequence number, because the client had its answer) or ``MALFORMED`` (3: no command at all, or an unknown
operation). A malformed command changes neither data nor sessions: replicas refuse it alike, and go on.

Sessions follow Ongaro, "Consensus: Bridging Theory and Practice", section 6.3, for clients with a window of commands
under way, which may be committed in any order.
"""
from __future__ import annotations

import struct
import zlib

import msgspec

GET, PUT, CAS, APPEND = 0, 1, 2, 3
OPERATIONS = ("get", "put", "cas", "append")

REFUSED, APPLIED, STALE, MALFORMED = b"\x00", b"\x01", b"\x02", b"\x03"

_HEADER = struct.Struct("<QQIBHI")
HEADER_BYTES = _HEADER.size


class Command(msgspec.Struct, frozen=True):
    """A command as people read it: for histories and tests."""

    client: int
    sequence: int
    lowest: int
    operation: int
    key: bytes
    value: bytes = b""
    expected: bytes = b""


def encode_command(
    client: int, sequence: int, lowest: int, operation: int, key: bytes, value: bytes = b"", expected: bytes = b""
) -> bytes:
    """The bytes of one command.

    Raises ValueError where ``lowest`` lies beyond ``sequence`` or 2**32 or more below it, where the operation is unknown,
    or where the key is longer than 65535 bytes.
    """
    if not 0 <= sequence - lowest < 2**32:
        raise ValueError(f"lowest {lowest} must be at most sequence {sequence}, and less than 2**32 below it")
    if not 0 <= operation < len(OPERATIONS) or len(key) > 0xFFFF:
        raise ValueError(f"operation {operation} must be below {len(OPERATIONS)}, and the key shorter than 64 KiB")
    return _HEADER.pack(client, sequence, sequence - lowest, operation, len(key), len(expected)) + key + expected + value


def decode_command(command: bytes) -> Command:
    """The reverse of ``encode_command``; raises ValueError where it is malformed."""
    if len(command) < HEADER_BYTES:
        raise ValueError(f"a command has at least {HEADER_BYTES} bytes, not {len(command)}")
    client, sequence, window, operation, key_bytes, expected_bytes = _HEADER.unpack_from(command)
    expected_from = HEADER_BYTES + key_bytes
    value_from = expected_from + expected_bytes
    if value_from > len(command) or window > sequence or operation >= len(OPERATIONS):
        raise ValueError(f"malformed command {command!r}")
    return Command(
        client, sequence, sequence - window, operation,
        command[HEADER_BYTES:expected_from], command[value_from:], command[expected_from:value_from],
    )


def client_of(command: bytes) -> int:
    """The client that sent the command."""
    client: int = _HEADER.unpack_from(command)[0]
    return client


def sequence_of(command: bytes) -> int:
    """The command's number among those of its client."""
    sequence: int = _HEADER.unpack_from(command)[1]
    return sequence


class KeyValue:
    """First version: applies everything, remembers every result."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.results: dict[tuple[int, int], bytes] = {}
        self.applied = 0
        self.digest = 0
        self.duplicates = 0

    def apply(self, position: int, command: bytes) -> bytes:
        assert position == self.applied + 1
        self.applied = position
        self.digest = zlib.crc32(command, self.digest ^ position) 
        if not command:
            return APPLIED
        read = decode_command(command)
        name = (read.client, read.sequence)
        if name in self.results:
            self.duplicates += 1
            return self.results[name]
        self.results[name] = result = self._perform(read)
        return result

    def _perform(self, read: Command) -> bytes:
        current = self.data.get(read.key)
        if read.operation == GET:
            return REFUSED if current is None else APPLIED + current
        if read.operation == CAS and (current is None or current != read.expected):
            return REFUSED
        self.data[read.key] = (current or b"") + read.value if read.operation == APPEND else read.value
        return APPLIED

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode((self.data, list(self.results.items()), self.digest, self.applied))

    def restore(self, position: int, state: bytes) -> None:
        data, results, self.digest, self.applied = msgspec.msgpack.decode(
            state, type=tuple[dict[bytes, bytes], list[tuple[tuple[int, int], bytes]], int, int]
        )
        self.data, self.results = data, dict(results)
        assert self.applied == position
