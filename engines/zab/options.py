"""The limits of Zab that ZooKeeper's configuration has, too."""
from __future__ import annotations

import msgspec

from engines.core import Configuration, Dice


class ZabOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``init_limit`` and ``sync_limit`` are in ticks of ``heartbeat_ns``, ``finalize_wait_ns`` is in ns.

    sync_limit        how long a follower waits for its leader, and a leader for a quorum, then looks anew.
                      None: as long as the other engines wait for theirs, drawn from the election timeout at
                      each election, so that failures are noticed equally fast
    init_limit        how long each of discovery and synchronisation may take. None: twice the above, as in
                      the configuration that ZooKeeper ships with (10 and 5 ticks), and twice as long again
                      each time that synchronisation took longer: nobody tells how large the state is
    finalize_wait_ns  how long a replica that sees a quorum for its vote waits for a better one. None: a
                      heartbeat (ZooKeeper: 200 ms). Where all voters agree there is none to wait for

    ValueError where a limit is below 2 ticks, or the wait is negative.
    """

    init_limit: int | None = None
    sync_limit: int | None = None
    finalize_wait_ns: int | None = None

    def __post_init__(self) -> None:
        for name, ticks in (("init_limit", self.init_limit), ("sync_limit", self.sync_limit)):
            if ticks is not None and ticks < 2:
                raise ValueError(f"{name} must be at least 2 ticks, or pings come too late, not {ticks}")
        if self.finalize_wait_ns is not None and self.finalize_wait_ns < 0:
            raise ValueError(f"finalize_wait_ns must not be negative, not {self.finalize_wait_ns}")

    def draw_limits_ns(self, configuration: Configuration, dice: Dice, patience: int) -> tuple[int, int]:
        """The init limit, ``patience`` times as long as usual, and the sync limit of one election, in nanoseconds."""
        tick_ns = configuration.heartbeat_ns
        drawn_ns = dice.randint(*configuration.election_timeout_ns) if self.sync_limit is None else 0
        sync_ns = drawn_ns if self.sync_limit is None else self.sync_limit * tick_ns
        return 2 * patience * sync_ns if self.init_limit is None else self.init_limit * tick_ns, sync_ns
