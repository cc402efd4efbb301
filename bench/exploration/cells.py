"""What the schedules of a lock service have beside those of its engine: its times, so short that leases end, what its clients do,
what goes wrong with them, and clocks that keep to their bound or (one schedule in five) do not.

Times are in steps, as in bench.exploration.schedule.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from bench.scenario.units import duration_ns

Table = dict[str, Any]
DEFAULT_CLIENTS = 64
BEYOND = 0.2  # of the schedules have clocks beyond the bound
STRIKES = ("client_crash", "client_crash", "client_pause", "client_cut", "client_cut", "client_mute", "client_mute")
OF_MASTERS = ("crash", "crash", "pause", "partition", "minority")
ROUND_TRIP = 40  # with what waits
SLOWEST, FASTEST = 0.5, 2.0  # that a scenario admits


def cell(dice: random.Random, time: Callable[[float], str], tight: bool) -> Table:
    """The sections workload and locks, and the timeout of a request; ``time`` writes steps as a duration. Where few commands
    can be under way (``tight``) there are fewer clients, who ask for less: what a master has to renew waits in the same queue.
    """
    lease = dice.choice((150, 300, 900))
    await_release = tight or dice.random() < 0.5
    think: float
    think, errands = (dice.choice((60, 150)), (60, 100, 200)) if tight else (dice.choice((20, 60, 150)), (10, 20, 60))
    if not await_release:
        think = dice.choice((0.2, 1, 5))  # about as long as a commit takes: the next round comes before the release, or with it
    clients = dice.choice((2, 3) if tight else (2, 4, 6))
    answer_before = lease * dice.choice((0.3, 0.6, 0.8))
    grace, lock_delay = dice.choice((0, 300, 1500)), dice.choice((0, 300, 800))
    master_lease, skew = dice.choice((150, 400) if tight else (60, 150, 400)), dice.choice((0.01, 0.05, 0.25))
    return {
        "workload": {
            "kind": "locks",
            "keys": {"count": dice.choice((1, 2, 4)), "distribution": "uniform"},
            "arrivals": {"kind": "closed", "clients": clients, "think": time(think)},
        },
        "locks": {
            "lease": time(lease),
            # The bound on clocks costs either side of a lease its share; without a round trip beside that no session lasts.
            "answer_before": time(max(answer_before, 2 * skew * lease + ROUND_TRIP)),
            "grace": time(grace),
            "lock_delay": time(lock_delay),
            "master_lease": time(master_lease),
            "skew": skew,
            "own": dice.random() < 0.15,
            "hold": time(dice.choice((0, 10, 60, 1.5 * lease))),
            "errands": time(dice.choice(errands)),
            "await_release": await_release,
        },
        "request": time(dice.choice((40, 150))),
    }


def recovery_ns(locks: Table) -> int:
    """How much longer than its engine a cell may take: for a master, for the lease of a client that has gone, for its lock."""
    longest = {"lease": "12s", "lock_delay": "0s", "master_lease": "3s", "hold": "0s"} | locks
    hold_ns = duration_ns(longest["hold"]) if isinstance(longest["hold"], str) else 0
    lease_ns, master_ns = duration_ns(longest["lease"]), duration_ns(longest["master_lease"])
    skew: float = locks.get("skew", 0.01)
    return round((1 + skew) * (2 * lease_ns + 2 * master_ns + duration_ns(longest["lock_delay"])) + hold_ns)


def strikes(
    dice: random.Random,
    table: Table,
    rates: tuple[float, float],
    faults: list[Table],
    whole: Table,
    window: Callable[[], Table],
) -> list[Table]:
    """The faults of a phase: those of the engine, with the clocks that this schedule has, and those of clients, some of which
    have a wrong clock for the ``whole`` phase, or lose their master when they are struck. ``window`` draws a time within it.
    """
    low, high = rates
    clients = table["workload"]["arrivals"].get("clients", DEFAULT_CLIENTS)

    def rate() -> float:
        return round(dice.choice((low, high, dice.uniform(low, high))), 4)

    for fault in faults:
        if "clock" in fault:
            fault["clock"] = fault["clock"] | {"rate": rate()}
    for client in dice.sample(range(clients), dice.randint(1, min(clients, 3))):
        if dice.random() < 0.5:
            faults.append(whole | {"client_clock": {"client": client, "rate": rate()}})
        for _ in range(dice.randint(1, 3)):
            at = window()
            faults.append(at | {dice.choice(STRIKES): {"client": client}})
            if dice.random() < 0.2:
                faults.append(at | {dice.choice(OF_MASTERS): "leader"})
    return faults


def rates(dice: random.Random, locks: Table) -> tuple[float, float]:
    """The slowest and the fastest clock beside right ones: within the bound where one runs at most 1 + skew times as fast."""
    skew = locks.get("skew", 0.01)
    if dice.random() < BEYOND:
        factor = (1 + skew) ** dice.choice((2, 4)) * 1.1
        return max(SLOWEST, 1 / factor), min(FASTEST, factor)
    share = dice.choice((0, 0.5, 1))  # of the bound, which slow clocks have
    kept = 1 + skew * 0.98
    return kept**-share, kept ** (1 - share)
