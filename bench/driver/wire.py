"""What a message or record weighs on the wire and on disk, without encoding it.

A msgpack frame: 4 bytes of length, the array header, the class name, and its fields. Integers are counted as 5 bytes (most
are 1 to 9), a byte string as its length + 5; other fields are encoded to be measured.
"""
from __future__ import annotations

from typing import Any

import msgspec

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
        self.payloads: list[str] = []
        self.encoded: list[str] = []
        for field in msgspec.structs.fields(message_class):
            if field.type is int:
                self.fixed += INTEGER_BYTES
            elif field.type is bool:
                self.fixed += 1
            elif field.type is bytes:
                self.fixed += BYTES_HEADER
                self.payloads.append(field.encode_name)
            else:
                self.encoded.append(field.encode_name)

    def size(self, message: Any) -> int:
        """Bytes of this message."""
        size = self.fixed
        for name in self.payloads:
            payload = getattr(message, name)
            size += len(payload)
        for name in self.encoded:
            size += len(msgspec.msgpack.encode(getattr(message, name)))
        return size
