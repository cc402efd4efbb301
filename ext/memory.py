"""What the cores do to raw memory, done for the interpreter with Python's own objects.

The compiled cores take the C functions of the same names from their ``.pxd`` and never import this module.
Sources may be bytes or bytearray; offsets are in bytes; integers are unsigned and little-endian.
"""
from __future__ import annotations

from heapq import heappop, heappush
from struct import Struct
from typing import Any

_U64 = Struct("<Q")
_U32 = Struct("<I")
_HEADER = Struct("<QI")


def load_u64(raw: bytes | bytearray, at: int) -> int:
    """The 64-bit integer at this offset."""
    return int(_U64.unpack_from(raw, at)[0])


def load_u32(raw: bytes | bytearray, at: int) -> int:
    """The 32-bit integer at this offset."""
    return int(_U32.unpack_from(raw, at)[0])


def pack_u64(value: int, size: int) -> bytes:
    """This integer, and zeros behind it up to ``size`` bytes, which must be at least 8."""
    return _U64.pack(value).ljust(size, b"\0")


def cut(raw: bytes | bytearray, start: int, stop: int) -> bytes:
    """A copy of the bytes of [start, stop)."""
    return bytes(raw[start:stop])


def append_u64(buffer: bytearray, value: int) -> None:
    """Put a 64-bit integer at the end."""
    buffer += _U64.pack(value)


def append_bytes(buffer: bytearray, more: bytes) -> None:
    """Put these bytes at the end."""
    buffer += more


def append_entry(buffer: bytearray, term: int, payload: bytes) -> None:
    """Put a packed log entry at the end."""
    buffer += _HEADER.pack(term, len(payload)) + payload


def allocate(count: int) -> list[int]:
    """Room for so many 64-bit integers, all 0."""
    return [0] * count


def enlarge(room: list[int], before: int, count: int) -> list[int]:
    """The same numbers with room for more, the new ones 0; ``before`` is how many there were."""
    return room + [0] * (count - before)


def release(room: list[int]) -> None:
    """Give back what ``allocate`` gave."""


def put_payload(payloads: list[Any], at: int, payload: object) -> None:
    """Let this stand at an index of the list."""
    payloads[at] = payload


def take_payload(payloads: list[Any], at: int) -> Any:
    """Take what stands at an index of the list, and leave None there."""
    payload, payloads[at] = payloads[at], None
    return payload


def add_effect(effects: list[Any], effect: Any) -> None:
    """Put it at the end."""
    effects.append(effect)


def empty_effects(effects: list[Any]) -> list[Any]:  # noqa: ARG001 (compiled, it may be used again)
    """An empty list."""
    return []


def clear_events(queue: Any) -> None:
    """Drop all events."""
    queue.heap = []


def pending_events(queue: Any) -> int:
    """How many events there are."""
    return len(queue.heap)


def earliest_event(queue: Any) -> int:
    """The time of the first event; IndexError where there is none."""
    if not queue.heap:
        raise IndexError("no event is pending")
    return int(queue.heap[0][0])


def push_event(
    queue: Any, time: int, payload: object, kind: int, target: int, argument: int
) -> None:
    """Add an event behind all events of its time; OverflowError where a field is wider than its C type."""
    if not (-(2**63) <= time < 2**63 and -(2**63) <= argument < 2**63):
        raise OverflowError("the time or the argument of the event is not a signed 64-bit number")
    if not (0 <= kind < 2**32 and 0 <= target < 2**32):
        raise OverflowError("the kind or the target of the event is not an unsigned 32-bit number")
    assert time >= queue.time, "an event lies in the past"
    heappush(queue.heap, (time, queue.order, payload, kind, target, argument))
    queue.order += 1


def pop_event(queue: Any) -> Any:
    """Remove the first event and unpack it; IndexError where there is none."""
    if not queue.heap:
        raise IndexError("no event is pending")
    queue.time, _, payload, queue.kind, queue.target, queue.argument = heappop(queue.heap)
    return payload
