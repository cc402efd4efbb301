"""The fields of a msgspec.Struct, read where the object keeps them instead of looked up by name.

    slot_offset(member) -> offset          where objects keep what ``member``, as in ``Class.field``, stands for
    slot_value(holder, offset) -> value    what is there; ``holder`` must be of the class that has the member
    with_2(kind, a, b) -> object           of this class, with these fields in alphabetical order; so with_3, with_4, with_6
    require_layout(kind)                   for the contracts that declare the fields of a message class to C

All but the last are C functions for compiled code; interpreted, a member serves as its own offset. ``with_2`` and the like
spare what a constructor does for whoever may call it: they check no types, and must be told of a class with that layout.
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

    def with_fields(kind: Any, *fields: Any) -> Any:
        """An object of this class; its fields come in alphabetical order."""
        return kind(**dict(zip(sorted(kind.__struct_fields__), fields, strict=True)))

    with_2 = with_3 = with_4 = with_6 = with_fields


HEAD_BYTES = 16  # a reference count and a type
SLOT_BYTES = 8


def require_layout(kind: type[msgspec.Struct]) -> None:
    """ImportError unless objects of this class keep their fields in alphabetical order, right after the head, and nothing else.

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
    if kind.__struct_config__.gc:
        raise ImportError(f"{kind.__name__} has something before its head: say gc=False")
