"""One disk under the logs of several replicas: syncs that are under way together slow each other down.

Each of n syncs goes on at 1 / (1 + contention * (n - 1)) of the speed that it has alone: with contention 0 as if each replica had
a disk, with 1 as if they took turns in small steps (processor sharing).
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

from engines.core import NEVER

if TYPE_CHECKING:
    from bench.driver.cores import Process


class Disk:
    """The syncs under way; each process has no more than one. Times are ns, and never go backwards."""

    def __init__(self, contention: float) -> None:
        self.contention = contention
        self.active: list[Process] = []
        self.now = 0

    def begin(self, process: Process, alone_ns: float, now: int) -> None:
        """A sync begins that would take ``alone_ns``."""
        self.advance(now)
        process.sync_left_ns = alone_ns
        self.active.append(process)

    def finished(self, now: int) -> list[Process]:
        """The processes whose syncs are done; they are under way no more."""
        self.advance(now)
        done = [process for process in self.active if process.sync_left_ns < 1e-3]
        self.active = [process for process in self.active if process.sync_left_ns >= 1e-3]
        return done

    def abandon(self, process: Process, now: int) -> None:
        """A process has died; whether it was syncing or not."""
        self.advance(now)
        self.active = [each for each in self.active if each is not process]

    def next_ns(self) -> int:
        """When the next sync is done, if none begins; NEVER where none is under way."""
        if not self.active:
            return NEVER
        least = min([process.sync_left_ns for process in self.active])
        return self.now + math.ceil(least * self.slowness())

    def slowness(self) -> float:
        """How many times as long a sync takes at present."""
        return 1.0 + self.contention * (len(self.active) - 1)

    def advance(self, now: int) -> None:
        """Time passes."""
        if self.active:
            passed = (now - self.now) / self.slowness()
            for process in self.active:
                process.sync_left_ns -= passed
        self.now = now
