"""The fields of a msgspec.Struct, read where the object keeps them instead of looked up by name.

    slot_offset(member) -> offset          where objects keep what ``member``, as in ``Class.field``, stands for
    slot_value(holder, offset) -> value    what is there; ``holder`` must be of the class that has the member
    require_layout(kind)                   for the contracts that declare the fields of a message class to C

The first two are C functions for compiled code; interpreted, a member serves as its own offset.
"""
from __future__ import annotations

import cython
import msgspec

if not cython.compiled:
    from typing import Any

    def slot_offset(member: Any) -> Any:
        """Where objects keep this member."""
        return member

    def slot_value(holder: Any, offset: Any) -> Any:
        """What this object keeps there."""
        return offset.__get__(holder)


HEAD_BYTES = 16  # a reference count and a type
SLOT_BYTES = 8


def require_layout(kind: type[msgspec.Struct]) -> None:
    """ImportError unless objects of this class keep their fields in alphabetical order, right after the head.

    So CPython lays out slots, and so a contract has to list the fields of a class that it declares to C.
    """
    if not cython.compiled:
        return
    expected = HEAD_BYTES
    for name in sorted(kind.__struct_fields__):
        if slot_offset(getattr(kind, name)) != expected:
            raise ImportError(f"{kind.__name__}.{name} is not where the contracts of the engines expect it")
        expected += SLOT_BYTES
    if kind.__basicsize__ != expected:
        raise ImportError(f"{kind.__name__} has something behind its fields")
