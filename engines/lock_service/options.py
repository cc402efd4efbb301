"""The times of a cell. The defaults are the paper's, where it gives them."""

from __future__ import annotations

import msgspec

SECOND_NS = 1_000_000_000
MILLION = 1_000_000


class LockOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What masters and clients of one cell must agree on; durations in ns.

    ``lease_ns`` is a session's (2.8: 12 s), ``answer_before_ns`` how much of it is left when a KeepAlive is answered (2.8:
    "close to expiring"; 5 s make one every 7 s), ``grace_ns`` how long a client in jeopardy waits (2.8: 45 s),
    ``lock_delay_ns`` the most that a client may ask for (2.4: a minute), ``master_lease_ns`` a few seconds (2.2), and
    ``request_ns`` after which a client asks again. ``skew_ppm`` bounds how much faster one clock may run than another,
    in millionths: all that is said of leases holds within it, and beyond it only sequencers do.
    """

    lease_ns: int = 12 * SECOND_NS
    answer_before_ns: int = 5 * SECOND_NS
    grace_ns: int = 45 * SECOND_NS
    lock_delay_ns: int = 60 * SECOND_NS
    master_lease_ns: int = 3 * SECOND_NS
    request_ns: int = SECOND_NS
    skew_ppm: int = 10_000

    def __post_init__(self) -> None:
        if not 0 < self.answer_before_ns < self.lease_ns:
            raise ValueError("answer_before must be above zero and below the lease; lower it, or raise lease")
        if self.master_lease_ns <= 0 or self.request_ns <= 0:
            raise ValueError("master_lease and request must be above zero")
        if self.grace_ns < 0 or self.lock_delay_ns < 0:
            raise ValueError("grace and lock_delay must not be negative")
        if not 0 <= self.skew_ppm <= MILLION:
            raise ValueError("skew must be between 0 and 1: how much faster one clock may run than another")

    def longest_ns(self, duration_ns: int) -> int:
        """So much of this clock, and ``duration_ns`` has passed on every clock."""
        return duration_ns + -(-duration_ns * self.skew_ppm // MILLION)

    def shortest_ns(self, duration_ns: int) -> int:
        """So much of this clock, and ``duration_ns`` has passed on no clock."""
        return duration_ns * MILLION // (MILLION + self.skew_ppm)
