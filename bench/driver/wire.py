"""What a message or record weighs on the wire and on disk, without encoding it.

A msgpack frame: 4 bytes of length, the array header, the class name, and its fields. Integers are counted as 5 bytes (most
are 1 to 9), a byte string as its length + 5; other fields are encoded to be measured.
"""
from __future__ import annotations

from typing import Any

import cython
import msgspec

if not cython.compiled:
    from ext.fields import slot_offset, slot_value

FRAME_BYTES = 5
INTEGER_BYTES = 5
BYTES_HEADER = 5
REQUEST_BYTES = FRAME_BYTES + BYTES_HEADER
ANSWER_BYTES = FRAME_BYTES + 2 * INTEGER_BYTES + 2 + BYTES_HEADER


class Kind:
    """A message class: how to weigh it, and how many were sent."""

    def __init__(self, message_class: type[msgspec.Struct], heartbeat: bool) -> None:
        self.name = message_class.__name__
        self.heartbeat = heartbeat
        self.count = 0
        self.bytes = 0
        self.fixed = FRAME_BYTES + 1 + len(self.name)
        self.has_payload = False
        self.payload: Any = 0
        self.payloads: list[str] = []  # all but the first
        self.encoded: list[str] = []
        for field in msgspec.structs.fields(message_class):
            if field.type is int:
                self.fixed += INTEGER_BYTES
            elif field.type is bool:
                self.fixed += 1
            elif field.type is not bytes:
                self.encoded.append(field.name)
            else:
                self.fixed += BYTES_HEADER
                if self.has_payload:
                    self.payloads.append(field.name)
                else:
                    self.has_payload = True
                    self.payload = slot_offset(getattr(message_class, field.name))
        self.simple = not self.payloads and not self.encoded

    def size(self, message: Any) -> int:
        """Bytes of this message, which must be of this kind's class."""
        size = self.fixed
        if self.has_payload:
            payload = slot_value(message, self.payload)
            size += len(payload)
        return size if self.simple else size + self.rest(message)

    def rest(self, message: Any) -> int:
        """Bytes of what few messages have: further byte strings, and fields of other types."""
        size = 0
        for name in self.payloads:
            payload = getattr(message, name)
            size += len(payload)
        for name in self.encoded:
            size += len(msgspec.msgpack.encode(getattr(message, name)))
        return size
