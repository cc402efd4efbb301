"""The few raw memory operations of the cores, for the interpreter.

The compiled cores take the C functions of the same names from their ``.pxd`` instead, and never import this module.
Sources may be bytes or bytearray; offsets are in bytes; integers are unsigned and little-endian.
"""
from __future__ import annotations

from struct import Struct

_U64 = Struct("<Q")
_U32 = Struct("<I")
_HEADER = Struct("<QI")


def load_u64(raw: bytes | bytearray, at: int) -> int:
    """The 64-bit integer at this offset."""
    return int(_U64.unpack_from(raw, at)[0])


def load_u32(raw: bytes | bytearray, at: int) -> int:
    """The 32-bit integer at this offset."""
    return int(_U32.unpack_from(raw, at)[0])


def cut(raw: bytes | bytearray, start: int, stop: int) -> bytes:
    """A copy of the bytes of [start, stop)."""
    return bytes(raw[start:stop])


def append_u64(buffer: bytearray, value: int) -> None:
    """Put a 64-bit integer at the end."""
    buffer += _U64.pack(value)


def append_entry(buffer: bytearray, term: int, payload: bytes) -> None:
    """Put a packed log entry at the end."""
    buffer += _HEADER.pack(term, len(payload))
    buffer += payload


def allocate(count: int) -> list[int]:
    """Room for so many 64-bit integers, all 0."""
    return [0] * count


def release(room: list[int]) -> None:
    """Give back what ``allocate`` gave."""
