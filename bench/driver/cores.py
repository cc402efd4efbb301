"""Cores that processes share: each process uses at most one at a time, and whoever has to wait is served first come first served.

Here is only who has a core and who waits; what a process does with it is bench.driver.shared_machine's business.
"""
from __future__ import annotations

from ext.events import Fifo

IDLE, READY, RUNNING, SYNCING = range(4)


class Process:
    """A single-threaded process that sleeps until something arrives, and then takes a turn on a core.

    ``inbox`` is what has arrived since its last turn. ``epoch`` counts its lives: what was begun for an older one is void.
    """

    def __init__(self, number: int, sources: int) -> None:
        self.number = number
        self.state = IDLE
        self.epoch = 0
        self.turns = 0
        self.spent_ns = 0.0  # processor time of the turn under way, and of what was said since the last one
        self.busy_ns = 0.0
        self.write_bytes = 0
        self.sync_left_ns = 0.0  # of its sync, how long it would still take alone
        self.inbox = Fifo()
        self.heard_in = [-1] * sources  # from each source, the last turn that read from it
        self.due = False  # a timer has gone off, or there is something to say
        self.resuming = False  # its sync is done, the rest of its turn is not
        self.to_sync = False

    def reads_from(self, source: int) -> bool:
        """Whether this is the first that this turn takes from a source: all that one has sent is read at once."""
        if self.heard_in[source] == self.turns:
            return False
        self.heard_in[source] = self.turns
        return True

    def wants_a_turn(self) -> bool:
        """Whether there is a reason to take a turn."""
        return self.due or self.resuming or self.inbox.count > 0

    def end(self) -> None:
        """The process dies; a core that it had is to be released by whoever calls this."""
        self.state = IDLE
        self.epoch += 1
        self.spent_ns = 0.0
        self.inbox.clear()
        self.due = self.resuming = self.to_sync = False


class Cores:
    """So many cores, and the processes that wait for one."""

    def __init__(self, count: int) -> None:
        self.free = count
        self.queue = Fifo()

    def acquire(self, process: Process) -> bool:
        """Whether the process has a core now; else it waits for one."""
        if self.free > 0:
            self.free -= 1
            return True
        process.state = READY
        self.queue.push(process, process.epoch)
        return False

    def pass_on(self) -> Process | None:
        """The core that a process leaves goes to whoever has waited longest; None where nobody waits, and it is free."""
        while self.queue.count > 0:
            process: Process = self.queue.pop()
            if process.epoch == self.queue.argument:
                return process
        self.free += 1
        return None
