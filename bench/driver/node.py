"""One replica's machine in the simulation: its CPU, NIC, disk and clock, and what waits for them."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.driver.clock import Clock
from engines.core import NEVER
from ext.events import Fifo

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.driver.network import Durations
    from engines.core import Record


class Node(Clock):
    """One replica's machine: the incarnation that runs on it, its CPU, NIC, disk and clock."""

    def __init__(self, id: int, fsync: Durations, per_message: Durations) -> None:
        Clock.__init__(self)
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
        self.disarm()

    def idle(self) -> None:
        """Forget the work that waits for the CPU."""
        self.busy = self.paused = False
        self.waiting.clear()
        self.deferred = []

    def disarm(self) -> None:
        """No wake-up is to come, whatever is still on the queue."""
        self.wake_at_ns = NEVER
        self.armed_for = NEVER  # the deadline that it is for, as this clock shows it: a later one needs no other

    def has_more(self) -> bool:
        """Whether work waits for the CPU."""
        return self.waiting.count > 0
