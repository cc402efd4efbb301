"""One replica's machine in the simulation: its CPU, NIC, disk and clock, and what waits for them."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines.core import NEVER
from ext.events import Fifo

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.driver.network import Durations
    from engines.core import Record


class Node:
    """One replica's machine: the incarnation that runs on it, its CPU, NIC, disk and clock."""

    def __init__(self, id: int, fsync: Durations, per_message: Durations) -> None:
        self.id = id
        self.host: Any = None  # the Host of the incarnation that is up
        self.up = False
        self.incarnation = 0
        self.links: list[Any] = []  # to each replica a Link; None to itself
        self.per_message = per_message
        # Of the message sent, and of the record written, last: the next one is most likely of the same class.
        self.sent_class: type | None = None
        self.sent_kind: Any = None
        self.written_class: type | None = None
        self.written_kind: Any = None
        self.busy = False
        self.cpu_free_ns = 0
        self.nic_free_ns = 0
        self.waiting = Fifo()
        self.paused = False
        self.working = False  # when it was paused: a piece of work was under way, and is done when it goes on
        self.deferred: list[tuple[Any, int, int]] = []  # events that a paused process sees when it goes on
        self.fsync = fsync
        self.fsync_factor = 1.0
        self.fsyncs = 0
        self.fsync_bytes = 0
        self.on_write: Callable[[int], None] | None = None  # told of the next sync that begins, and of half its duration
        self.stable: list[Record] = []
        self.compaction_from = 0
        self.wake_at_ns = NEVER
        self.clock_rate = 1.0
        self.clock_base_ns = 0
        self.clock_set_ns = 0

    def idle(self) -> None:
        """Forget the work that waits for the CPU."""
        self.busy = self.paused = False
        self.waiting.clear()
        self.deferred = []

    def has_more(self) -> bool:
        """Whether work waits for the CPU."""
        return self.waiting.count > 0

    def local(self, now: int) -> int:
        """This replica's clock at a moment of virtual time."""
        if self.clock_rate == 1.0:
            return now - self.clock_set_ns + self.clock_base_ns
        return self.clock_base_ns + int((now - self.clock_set_ns) * self.clock_rate)

    def virtual(self, local: int) -> int:
        """The earliest virtual time at which this replica's clock shows ``local``."""
        if self.clock_rate == 1.0:
            return local - self.clock_base_ns + self.clock_set_ns
        return self.clock_set_ns + 1 + int((local - self.clock_base_ns) / self.clock_rate)

    def set_clock_rate(self, rate: float, now: int) -> None:
        """From now on this clock runs at ``rate`` seconds a second."""
        self.clock_base_ns, self.clock_set_ns, self.clock_rate = self.local(now), now, rate
