"""What is worth having happened: a campaign in which it never did has not tried what it was made for."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from bench.checkers import beliefs, locks
from bench.metrics.trial import UNKNOWN

if TYPE_CHECKING:
    from bench.driver.trials import TrialRun
    from bench.metrics.trial import Trial

ELECTIONS = "elections"
NO_WINNER = "elections without a winner"
DEPOSED = "leaders deposed with uncommitted entries"
INHERITED = "leaders that found uncommitted entries"
TWO_LEADERS = "two leaders at once, of different terms"
TAILS = "conflicting tails removed"
RECOVERIES = "recoveries"
TORN = "recoveries from torn writes"
COMPACTED = "logs compacted"
SENT = "snapshots sent"
INSTALLED = "snapshots installed"
DISCONNECTED = "connections broken"
LOST = "messages lost, or sent again for it"
DOUBLED = "messages doubled"
OVERTAKEN = "messages overtaken"
REDIRECTED = "commands refused or redirected"
FORWARDED = "commands forwarded"
LET_GO = "commands of unknown fate to a deposed leader"
DUPLICATES = "duplicates suppressed"
UNDECIDED = "operations of unknown outcome"
FAULT = "fault witnessed: "

EVERYWHERE = (
    ELECTIONS, NO_WINNER, DEPOSED, INHERITED, TWO_LEADERS, RECOVERIES, TORN, COMPACTED, SENT, INSTALLED,
    DISCONNECTED, LOST, REDIRECTED, FORWARDED, LET_GO, DUPLICATES, UNDECIDED,
    *(
        FAULT + kind
        for kind in (
            "crash", "torn_write", "pause", "partition", "minority", "bridge", "deaf", "mute", "one_way", "slow_link",
            "slow_disk", "clock",
        )
    ),
)  # fmt: skip
# Of a lock service, whose clients ask the master only. What is held twice is so where clocks are beyond their bound.
CELL = (
    locks.EXPIRED, locks.DELAYS, locks.REJECTED, locks.VANISHED, locks.HANDOVERS, beliefs.GRANTS, beliefs.FAIL_OVERS,
    beliefs.FAIL_OVERS_HEARD, beliefs.ENTERED, beliefs.LEFT, beliefs.GIVEN_UP, beliefs.TOLD_OVER, beliefs.CACHED,
    beliefs.INVALIDATED, beliefs.EVENTS_HEARD, beliefs.HELD_TWICE,
    *(FAULT + kind for kind in ("client_crash", "client_pause", "client_cut", "client_mute", "client_clock")),
)  # fmt: skip
ONLY = {"raft": (TAILS, DOUBLED, OVERTAKEN), "paxos": (DOUBLED, OVERTAKEN), "zab": (TAILS,)}
SNAPSHOTS = {"raft": "InstallSnapshot", "paxos": "Snapshot", "zab": "Snap"}


def expected(engine: str, locks: bool = False) -> tuple[str, ...]:
    """All that exploring this engine, or the lock service over it, should make happen."""
    found = EVERYWHERE + ONLY[engine]
    return tuple(name for name in found if name != FORWARDED) + CELL if locks else found


def of_run(run: TrialRun, trial: Trial) -> Counter[str]:
    """What the counters of a simulation tell, beside what an observer saw."""
    simulation = run.simulation
    links = [link for node in simulation.nodes for link in node.links if link is not None]
    kinds = {kind.name: kind.count for kind in simulation.kinds.values()}
    counts = Counter({
        SENT: kinds.get(SNAPSHOTS[run.engine], 0),
        FORWARDED: kinds.get("Forward", 0),
        LOST: sum(link.lost_messages for link in links),
        DOUBLED: sum(link.doubled_messages for link in links),
        OVERTAKEN: sum(link.overtaken_messages for link in links),
        UNDECIDED: int(np.count_nonzero(trial.operations["status"] == UNKNOWN)),
    })  # fmt: skip
    counts.update(FAULT + fault.kind for fault in trial.faults if fault.witness)
    if simulation.lock_watcher is not None:
        counts.update(simulation.lock_watcher.counted())
    return counts
