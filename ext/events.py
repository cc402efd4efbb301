"""The event queue of the simulator: what is due first comes first, and of one time, what was pushed first.

    push(time, payload, kind=0, target=0, argument=0)
    pop() -> payload       the earliest event, whose fields then stand in .time, .kind, .target and .argument
    peek_time() -> int     when the earliest event is due
    clear()                drop all events; the time stays
    len(queue)             how many events are pending

Time runs from 0 and never backwards: an event before the last popped time is a fault of the simulator
(AssertionError). ``time`` and ``argument`` are signed 64-bit numbers, ``kind`` and ``target`` unsigned 32-bit
ones; others raise OverflowError. Only ``time`` means something to the queue. ``pop`` and ``peek_time`` raise
IndexError where it is empty.

Compiled code may cimport ``push_event`` and ``pop_event``, which are these methods as inline C functions.
At most 2**24 events may be pending (MemoryError).

A ``Fifo`` keeps work that waits, each piece an object and a signed 64-bit number:

    push(payload, argument)
    pop() -> payload       the oldest one, whose number then stands in .argument; IndexError where there is none
    count                  how many wait
    clear()                drop all
"""
from __future__ import annotations

from typing import Any

import cython

if not cython.compiled:
    from ext.memory import (
        allocate,
        clear_events,
        earliest_event,
        pending_events,
        pop_event,
        push_event,
        put_payload,
        release,
        take_payload,
    )

FIFO_ROOM = 16


class EventQueue:
    """See the module. Compiled, the heap is an array of C structs, and ``payloads`` an ordinary list beside
    it, so that references are counted and cycles through a payload are collected as those of any list are.
    """

    def __init__(self) -> None:
        self.time = 0
        self.kind = 0
        self.target = 0
        self.argument = 0
        self.order = 0
        self.payloads: list[Any] = []
        self.clear()

    def __dealloc__(self) -> None:
        clear_events(self)

    def __len__(self) -> int:
        return pending_events(self)

    def push(self, time: int, payload: object, kind: int = 0, target: int = 0, argument: int = 0) -> None:
        """Add an event; OverflowError where a field does not fit."""
        push_event(self, time, payload, kind, target, argument)

    def pop(self) -> Any:
        """Remove the earliest event and give its payload; IndexError where there is none."""
        return pop_event(self)

    def peek_time(self) -> int:
        """When the earliest event is due; IndexError where there is none."""
        return earliest_event(self)

    def clear(self) -> None:
        """Drop all events."""
        dropped = self.payloads  # let go only once the queue is whole again: a destructor may use it
        self.payloads = []
        clear_events(self)
        del dropped


class Fifo:
    """See the module. A ring of ``room`` places, which is a power of two; the oldest piece stands at ``first``."""

    def __init__(self) -> None:
        self.argument = 0
        self.first = 0
        self.count = 0
        self.room = FIFO_ROOM
        self.payloads: list[Any] = [None] * FIFO_ROOM
        self.arguments = allocate(FIFO_ROOM)

    def __dealloc__(self) -> None:
        release(self.arguments)

    def push(self, payload: object, argument: int) -> None:
        """Add a piece of work behind all others."""
        if self.count == self.room:
            self.widen()
        at = (self.first + self.count) & (self.room - 1)
        put_payload(self.payloads, at, payload)
        self.arguments[at] = argument
        self.count += 1

    def pop(self) -> Any:
        """Remove the oldest piece of work; IndexError where there is none."""
        if self.count == 0:
            raise IndexError("nothing waits")
        at = self.first
        self.argument = self.arguments[at]
        self.first = (at + 1) & (self.room - 1)
        self.count -= 1
        return take_payload(self.payloads, at)

    def widen(self) -> None:
        """Double the room; the oldest piece moves to the front."""
        arguments = allocate(2 * self.room)
        for at in range(self.room):
            arguments[at] = self.arguments[(self.first + at) & (self.room - 1)]
        release(self.arguments)
        self.arguments = arguments
        self.payloads = self.payloads[self.first:] + self.payloads[: self.first] + [None] * self.room
        self.first = 0
        self.room *= 2

    def clear(self) -> None:
        """Drop all."""
        while self.count > 0:
            self.pop()
