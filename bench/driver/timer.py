"""One alarm at an absolute time, finer than the milliseconds to which event loops round: a Linux timerfd in the loop.

Elsewhere it falls back to the loop's own timers.
"""
from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable

from engines.core import NEVER

CLOCK_MONOTONIC = 1
ABSOLUTE = 1
SECOND_NS = 1_000_000_000


class _Moment(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Moment), ("moment", _Moment))


class Alarm:
    """Calls ``ring()`` once, soon after the time it is set to; setting it again replaces that time. Times are monotonic ns.

    Deadlines move later far more often than they come: the timer itself is only ever set to go off sooner, and set anew when it
    has gone off too soon, which saves a system call in nearly every turn.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self.loop = loop
        self.ring = ring
        self.at_ns = NEVER
        self.armed_ns = NEVER
        self.file = -1
        self.handle: asyncio.TimerHandle | None = None
        if sys.platform == "linux":
            self.library = ctypes.CDLL(None, use_errno=True)
            self.file = self.library.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.file >= 0:
            self.setting = _Setting()
            self.reference = ctypes.byref(self.setting)
            loop.add_reader(self.file, self._expired)

    def set(self, at_ns: int) -> None:
        """Ring at this time; NEVER is allowed."""
        self.at_ns = at_ns
        if at_ns < self.armed_ns:
            self._arm(at_ns)

    def _arm(self, at_ns: int) -> None:
        self.armed_ns = at_ns
        if self.file >= 0:
            soonest_ns = max(at_ns, 1)  # zero would disarm it
            self.setting.moment.seconds = soonest_ns // SECOND_NS
            self.setting.moment.nanoseconds = soonest_ns % SECOND_NS
            if self.library.timerfd_settime(self.file, ABSOLUTE, self.reference, None) != 0:
                raise OSError(ctypes.get_errno(), "timerfd_settime failed")
            return
        if self.handle is not None:
            self.handle.cancel()
        delay_ns = max(0, at_ns - time.monotonic_ns())
        self.handle = self.loop.call_later(delay_ns / SECOND_NS, self._rung)

    def close(self) -> None:
        """Ring no more."""
        if self.file >= 0:
            self.loop.remove_reader(self.file)
            os.close(self.file)
            self.file = -1
        elif self.handle is not None:
            self.handle.cancel()

    def _expired(self) -> None:
        try:
            os.read(self.file, 8)
        except BlockingIOError:  # set anew between its expiry and this call
            return
        self._rung()

    def _rung(self) -> None:
        self.armed_ns = NEVER
        if self.at_ns <= time.monotonic_ns():
            self.at_ns = NEVER
            self.ring()
        elif self.at_ns < NEVER:
            self._arm(self.at_ns)
