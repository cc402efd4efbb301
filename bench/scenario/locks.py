"""The lock service of a scenario: its times, and what clients do with a lock that they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from bench.distributions import ZERO, Constant, Distribution
from bench.scenario.fields import DURATION, SIZE, Number, Switch, Table
from bench.scenario.network import DRAWN

if TYPE_CHECKING:
    from engines.lock_service import LockOptions

LONGEST_LOCK_DELAY_NS = 60_000_000_000  # Burrows 2006, 2.4
LEAST_CONTENTS_BYTES, MOST_CONTENTS_BYTES = 8, 2**18  # a token; Burrows 2006, 2.3
SHARE = Number(0, 1)


class Locks(Table, frozen=True, kw_only=True):
    """Where workload.kind is locks: a cell of Burrows, "The Chubby lock service" (OSDI 2006), over each engine."""

    lease_ns: Annotated[int, DURATION, "of a session, extended by KeepAlives"] = 12_000_000_000
    answer_before_ns: Annotated[int, DURATION, "left of a lease when its KeepAlive is answered"] = 5_000_000_000
    grace_ns: Annotated[int, DURATION, "a client without a lease waits for a master"] = 45_000_000_000
    lock_delay_ns: Annotated[int, DURATION, "nobody gets a lock whose holder failed, at most 1min"] = 0
    master_lease_ns: Annotated[int, DURATION, "of the master, renewed through the log"] = 3_000_000_000
    skew: Annotated[float, Number(0, 1), "bound on how much faster one clock runs than another"] = 0.01
    own: Annotated[bool, Switch(), "each client has a lock of its own; otherwise workload.keys says which"] = False
    hold: Annotated[Distribution, DRAWN, "between the grant of a lock and its release"] = ZERO
    await_release: Annotated[
        bool, Switch(), "a round ends when its release is acknowledged; otherwise when that is sent, and the next goes with it"
    ] = True
    exclusive: Annotated[float, SHARE, "of acquires that are exclusive; the others are shared"] = 1.0
    read: Annotated[float, SHARE, "of rounds that read a file, through the client's cache, and take no lock"] = 0.0
    write: Annotated[
        float, SHARE, "of exclusive holds that end with a write of the lock's file, under the lock's sequencer"
    ] = 0.0
    contents_bytes: Annotated[int, SIZE, "of a file that is written, 8B to 256KiB"] = 100
    dies: Annotated[float, SHARE, "of holds at whose end the client dies, and says nothing more"] = 0.0
    dead_for: Annotated[Distribution, DRAWN, "until a dead client comes back, with a new session"] = Constant(
        value=30_000_000_000
    )
    errands_ns: Annotated[
        int, DURATION, "between other things that a client does: shared locks, files, ephemeral nodes; 0: nothing else"
    ] = 0

    def options(self, request_ns: int) -> LockOptions:
        """What masters and clients are told; ValueError where the times do not fit together."""
        from engines.lock_service import LockOptions

        return LockOptions(
            lease_ns=self.lease_ns,
            answer_before_ns=self.answer_before_ns,
            grace_ns=self.grace_ns,
            lock_delay_ns=LONGEST_LOCK_DELAY_NS,
            master_lease_ns=self.master_lease_ns,
            request_ns=request_ns,
            skew_ppm=round(self.skew * 1_000_000),
        )

    def __post_init__(self) -> None:
        if not 0 < self.answer_before_ns < self.lease_ns:
            raise ValueError("answer_before: must be above zero and below the lease; lower it, or raise lease")
        if not self.master_lease_ns:
            raise ValueError('master_lease: must be above zero; give a duration such as "3s"')
        if self.lock_delay_ns > LONGEST_LOCK_DELAY_NS:
            raise ValueError("lock_delay: is more than 1min; give at most that")
        if not LEAST_CONTENTS_BYTES <= self.contents_bytes <= MOST_CONTENTS_BYTES:
            raise ValueError("contents: must be between 8B and 256KiB")
