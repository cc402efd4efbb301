"""What a leader has under way to one acceptor: flow control, and what tells it that something was lost.

Retransmission works as TCP's does. An Accept counts as lost once nothing new was acknowledged for a
``retry_ns``, or once REPORTS_OF_A_HOLE later ones have been acknowledged with a hole before them (RFC 5681,
3.2). The time is the heartbeat interval, and at least twice the round trip (RFC 6298 in small): a healthy
slow link is never sent anything twice.
"""
from __future__ import annotations

import cython

if not cython.compiled:
    from ext.memory import allocate, release

REPORTS_OF_A_HOLE = 3


class Window:
    """One acceptor, seen by the leader.

    ``matched`` is the slot up to which the acceptor has acknowledged all, ``next`` the first slot not yet
    sent. Of the ``under_way`` unacknowledged Accepts, ``stops`` (a ring that begins at ``head``) has the slot
    after each one's last. ``active`` is false while it is not known where the acceptor stands or whether it
    is there: nothing is sent until it answers.
    """

    def __init__(self, id: int, limit: int, retry_ns: int, now: int) -> None:
        self.id = id
        self.limit = limit
        self.retry_ns = retry_ns
        self.round_trip_ns = 0
        self.heard_at = now
        self.retry_at = now
        self.matched = 0
        self.next = 1
        self.active = False
        self.stops = allocate(limit)
        self.head = 0
        self.under_way = 0
        self.reports = 0
        self.hole_stop = 0

    def __dealloc__(self) -> None:
        release(self.stops)

    def room(self) -> bool:
        """Whether one more Accept may be sent."""
        return self.active and self.under_way < self.limit

    def sent(self, stop: int, now: int) -> None:
        """An Accept of the slots from ``next`` to below ``stop`` is on its way."""
        if self.under_way == 0:
            self.retry_at = now + self.retry_ns
        at = self.head + self.under_way
        self.stops[at if at < self.limit else at - self.limit] = stop
        self.under_way += 1
        self.next = stop

    def acknowledged(self, through: int, now: int) -> None:
        """The acceptor has more than it was known to have: everything up to ``through``."""
        self.matched = through
        while self.under_way > 0 and self.stops[self.head] <= through + 1:
            self.head += 1
            if self.head == self.limit:
                self.head = 0
            self.under_way -= 1
        if self.next <= through:
            self.next = through + 1
        self.retry_at = now + self.retry_ns
        self.reports = 0
        self.hole_stop = 0

    def hole_reported(self, beyond: int) -> bool:
        """An Accept from slot ``beyond`` on has arrived over a hole; whether that is now proof of a loss."""
        if self.reports == 0 or beyond < self.hole_stop:
            self.hole_stop = beyond
        self.reports += 1
        return self.reports == REPORTS_OF_A_HOLE

    def rewind(self) -> None:
        """All that is unacknowledged is presumed lost, and will be sent again."""
        self.next = self.matched + 1
        self.under_way = 0
        self.reports = 0
        self.hole_stop = 0

    def measured(self, round_trip_ns: int, least_ns: int) -> None:
        """A heartbeat came back after this time; smoothed as in RFC 6298."""
        if self.round_trip_ns == 0:
            self.round_trip_ns = round_trip_ns
        else:
            self.round_trip_ns += (round_trip_ns - self.round_trip_ns) // 8
        self.retry_ns = max(least_ns, 2 * self.round_trip_ns)
