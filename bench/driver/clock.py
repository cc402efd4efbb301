"""A clock that may run at another rate than time does."""

from __future__ import annotations


class Clock:
    """The time as somebody is told it: that of the world in ns, run at another rate where a fault says so."""

    def __init__(self) -> None:
        self.rate = 1.0
        self.base_ns = 0
        self.set_ns = 0

    def local(self, now: int) -> int:
        """What this clock shows at a time of the world."""
        if self.rate == 1.0:
            return self.base_ns + now - self.set_ns
        return self.base_ns + int((now - self.set_ns) * self.rate)

    def real(self, local: int) -> int:
        """The time of the world at which this clock shows ``local``."""
        if self.rate == 1.0:
            return self.set_ns + local - self.base_ns
        return self.set_ns + 1 + int((local - self.base_ns) / self.rate)

    def set_rate(self, rate: float, now: int) -> None:
        """From now on, run at ``rate`` seconds a second."""
        self.base_ns, self.set_ns, self.rate = self.local(now), now, rate
