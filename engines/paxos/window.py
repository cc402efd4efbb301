# cython: boundscheck=False, wraparound=False
"""What a leader has under way to one acceptor: flow control, and what tells it that something was lost.

Retransmission works as TCP's does. An Accept counts as lost once nothing new was acknowledged for a
``retry_ns``, or once REPORTS_OF_A_HOLE later ones have been acknowledged with a hole before them (RFC 5681,
3.2). The time is the heartbeat interval, and at least twice the round trip (RFC 6298 in small): a healthy
slow link is never sent anything twice. A state takes as long as it takes: it is lost when a heartbeat that
was sent after it is answered without it, which never happens on a channel that keeps order.
"""
from __future__ import annotations

import cython

from engines.core import NEVER

if not cython.compiled:
    from ext.memory import allocate, release

REPORTS_OF_A_HOLE = 3
MOST_DOUBLINGS = 3


class Window:
    """One acceptor, seen by the leader.

    ``matched`` is the slot up to which the acceptor has acknowledged all, ``next`` the first slot not yet
    sent. Of the ``under_way`` unacknowledged Accepts, ``stops`` (a ring that begins at ``head``) has the slot
    after each one's last. ``active`` is false while it is not known where the acceptor stands or whether it
    is there: nothing is sent until it answers. While a state is under way, sent at ``state_at``,
    ``state_stop`` is the slot after its last; else 0.
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
        self.state_stop = 0
        self.state_at = 0

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

    def sent_state(self, position: int, now: int) -> None:
        """The state at ``position`` is on its way."""
        self.sent(position + 1, now)
        self.state_stop = position + 1
        self.state_at = now

    def state_lost(self, through: int, asked_at: int) -> bool:
        """Whether an answer to a heartbeat of ``asked_at`` proves that the state under way is lost."""
        return self.state_stop > through + 1 and asked_at > self.state_at

    def due_at(self) -> int:
        """When what is under way counts as lost."""
        return NEVER if self.under_way == 0 or self.state_stop > 0 else self.retry_at

    def acknowledged(self, through: int, now: int) -> None:
        """The acceptor has more than it was known to have: everything up to ``through``."""
        self.matched = through
        if self.state_stop <= through + 1:
            self.state_stop = 0
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
        if self.state_stop > 0:
            return False
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
        self.state_stop = 0

    def close(self) -> None:
        """The acceptor is not there: it is sent nothing until it is heard again."""
        self.rewind()
        self.active = False

    def measured(self, round_trip_ns: int, least_ns: int) -> None:
        """A heartbeat came back after this time; smoothed as in RFC 6298."""
        if self.round_trip_ns == 0:
            self.round_trip_ns = round_trip_ns
        else:
            self.round_trip_ns += (round_trip_ns - self.round_trip_ns) // 8
        self.retry_ns = max(least_ns, 2 * self.round_trip_ns)


def window_of(windows: list[Window], acceptor: int) -> Window:
    """The window of an acceptor; KeyError where there is none.

    Where replicas are numbered from 0 on, it stands at that place or, behind the leader, one before.
    """
    count = len(windows)
    at = acceptor if acceptor < count else count - 1
    while at >= 0:
        window = windows[at]
        if window.id == acceptor:
            return window
        at -= 1
    for window in windows:
        if window.id == acceptor:
            return window
    raise KeyError(acceptor)


class Told:
    """When an acceptor tells a candidate the same again that asks again: what was told last may still be under
    way, and what is told behind it comes later still, so each time after twice as long (RFC 6298, 5.5). Else
    candidacies that each end before they are told would fill a slow link for ever.
    """

    def __init__(self, state_wait_ns: int, entries_wait_ns: int) -> None:
        self.state_wait_ns = state_wait_ns
        self.entries_wait_ns = entries_wait_ns
        self.last: dict[int, tuple[object, int, int, int]] = {}  # candidate -> (what, again at, the next wait, the longest)

    def due(self, candidate: int, what: object, now: int) -> bool:
        """Whether it is told now: the state at a position, where ``what`` is a number, or what the Prepare asks for."""
        told, again_at, wait_ns, longest_ns = self.last.get(candidate, (None, 0, 0, 0))
        if told != what:
            wait_ns = self.state_wait_ns if isinstance(what, int) else self.entries_wait_ns
            longest_ns = wait_ns << MOST_DOUBLINGS
        elif now < again_at:
            return False
        self.last[candidate] = (what, now + wait_ns, min(2 * wait_ns, longest_ns), longest_ns)
        return True

    def forget(self, candidate: int) -> None:
        """The channel broke."""
        self.last.pop(candidate, None)
