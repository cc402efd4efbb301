"""How far a follower has come, and what is under way to it: flow control (after etcd's tracker)."""
from __future__ import annotations

from typing import Literal

import cython

if not cython.compiled:
    from ext.memory import allocate, release

Flow = Literal["probe", "replicate", "snapshot"]


class Progress:
    """What the leader knows of one follower. The flow to it is in one of three states:

    probe        one message is under way, to learn where the logs part (none after a lost connection)
    replicate    a window of messages is, sent on trust that those before them arrive
    snapshot     a snapshot is
    """

    def __init__(self, peer: int, window: int) -> None:
        self.peer = peer
        self.match = 0  # the follower holds this much of the log, durably
        self.next = 1  # the next index to send; in replicate state, on trust
        self.replicating = False
        self.snapshotting = False
        self.awaited = 0  # in the other states: whoever holds this much has got what is under way
        self.since = 0  # what was sent before this round was given up: answers to it are belated
        self.heard_ns = 0
        self.ends = allocate(window)  # ring: the last index of each message under way
        self.window = window
        self.oldest = 0
        self.inflight = 0

    def __dealloc__(self) -> None:
        release(self.ends)

    @property
    def flow(self) -> Flow:
        """The state, for watchers."""
        return "replicate" if self.replicating else "snapshot" if self.snapshotting else "probe"

    def probe(self, next_index: int, last: int, round: int) -> None:
        """One message, ``next_index`` to ``last`` (if that is before: none yet), begins a new ``round``."""
        self.replicating = self.snapshotting = False
        self.next = next_index
        self.awaited = last
        self.since = round
        self.inflight = 0

    def snapshot(self, index: int, round: int) -> None:
        """A snapshot up to ``index`` begins a new ``round``."""
        self.probe(index + 1, index, round)
        self.snapshotting = True

    def sent(self, last: int) -> None:
        """A message up to ``last`` goes out, in replicate state."""
        assert self.replicating and self.inflight < self.window
        slot = self.oldest + self.inflight
        if slot >= self.window:
            slot -= self.window
        self.ends[slot] = last
        self.inflight += 1
        self.next = last + 1

    def acknowledge(self, match: int) -> None:
        """The follower holds all up to ``match``. Where that answers the probe or snapshot, replicate."""
        self.match = max(self.match, match)
        if self.replicating:
            while self.inflight and self.ends[self.oldest] <= match:
                self.oldest += 1
                if self.oldest == self.window:
                    self.oldest = 0
                self.inflight -= 1
        elif match >= self.awaited:
            self.replicating = True
            self.snapshotting = False
            self.next = match + 1
