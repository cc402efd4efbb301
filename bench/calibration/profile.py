"""From measurements to a cost profile, and the profile as a file."""
from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.calibration import codec, disk, loopback, turns
from bench.distributions import Constant, Empirical
from bench.driver.resources import filesystem
from bench.metrics import environment
from bench.scenario import Costs, as_toml

QUANTILES = 100
ROUND_TRIPS = 400
SYNCS = 150
MOST_CONTENTION = 5.0
RUN_S = 1.5
Say = Callable[[str], None]


class Measured(msgspec.Struct, frozen=True):
    """All that was measured; times in ns."""

    round_trips: list[loopback.RoundTrips]
    syncs: disk.Syncs
    codec: dict[str, float]
    lone_unsynced: turns.Round
    lone_one: turns.Round
    lone_many: turns.Round
    lone_large: turns.Round
    following_one: turns.Round
    following_many: turns.Round

    @property
    def foreign_share(self) -> float:
        """Of the machine, taken by other programs: the most of any run."""
        runs = (self.lone_unsynced, self.lone_one, self.lone_many, self.lone_large, self.following_one, self.following_many)
        return max(run.foreign_share for run in runs)


def measure(folder: Path, say: Say, effort: float = 1.0) -> Measured:
    """Everything, with logs below ``folder``, which must be on the disk that replicas will use. ``say`` is told what comes next.
    About half a minute at ``effort`` 1; less makes it shorter and rougher.
    """
    seconds, many = RUN_S * effort, turns.LOCKSTEP
    with tempfile.TemporaryDirectory(prefix=".calibration-", dir=folder) as name:
        place = Path(name)
        say("round trips on the loopback interface")
        round_trips = loopback.measure(round(ROUND_TRIPS * effort))
        say("encoding, decoding, logging, applying")
        per_command = codec.measure()
        say("writes and syncs of the disk")
        syncs = disk.measure(place, round(SYNCS * effort))
        say("turns of a replica and of clients")
        unsynced = turns.lone(1, turns.VALUE_BYTES, place, seconds, "none")
        loads = ((1, turns.VALUE_BYTES), (many, turns.VALUE_BYTES), (many, turns.LARGE_BYTES))
        lone = [turns.lone(clients, value_bytes, place, seconds) for clients, value_bytes in loads]
        say("turns of followers")
        following = [turns.following(clients, place, seconds) for clients in (1, many)]
    return Measured(round_trips, syncs, per_command, unsynced, *lone, *following)


def costs(measured: Measured, name: str, folder: Path) -> Costs:
    """The costs that explain the measurements. None is below zero, which noise would have them be where they are small."""
    spent = {field: round(float(_least(value)), 2) for field, value in _turns(measured).items()}
    fsync, fsync_per_byte = _disk(measured.syncs, spent["per_sync_ns"])
    return Costs(
        name=name,
        about=describe(folder),
        cores=len(os.sched_getaffinity(0)),
        wake_up=Constant(value=round(_wake_up(measured.round_trips[0]))),
        fsync=fsync,
        fsync_per_byte_ns=fsync_per_byte,
        contention=_contention(measured.syncs),
        **spent,
    )


def _turns(measured: Measured) -> dict[str, float]:
    """What a round costs, told apart by its number of clients, the size of what they write, and whether it is a follower's.

    Each byte of a command is read by a replica, and written into its log. What a follower does for a command is to apply it; a
    lone replica also takes it and answers.
    """
    lone, many, large = measured.lone_one, measured.lone_many, measured.lone_large
    others, size = many.clients - lone.clients, turns.command_bytes(many.value_bytes)
    per_byte = _least((large.replica_cpu_ns - many.replica_cpu_ns) / many.clients / 2 / (large.value_bytes - many.value_bytes))
    per_operation = _least((many.replica_cpu_ns - lone.replica_cpu_ns) / others - 2 * size * per_byte)
    one, several = measured.following_one.replica_cpu_ns, measured.following_many.replica_cpu_ns
    per_command = min(_least((several - one) / others - 2 * size * per_byte), per_operation)
    client_per_operation = _least((many.client_cpu_ns - lone.client_cpu_ns) / others - size * per_byte)
    per_frame = min(trips.busy_cpu_ns for trips in measured.round_trips) / 2
    return {
        "per_turn_ns": measured.lone_unsynced.replica_cpu_ns - per_operation - size * per_byte - 2 * per_frame,
        "per_frame_ns": per_frame,
        "per_message_ns": (per_operation - per_command) / 2,
        "per_byte_ns": per_byte,
        "per_command_ns": per_command,
        "per_sync_ns": lone.replica_cpu_ns - measured.lone_unsynced.replica_cpu_ns - size * per_byte,
        "client_per_turn_ns": lone.client_cpu_ns - client_per_operation - size * per_byte - 2 * per_frame,
        "client_per_message_ns": client_per_operation / 2,
    }


def _wake_up(trips: loopback.RoundTrips) -> float:
    """What of half a round trip nobody worked in."""
    return _least(float(np.median(trips.took_ns)) / 2 - trips.cpu_ns)


def _disk(syncs: disk.Syncs, per_sync_ns: float) -> tuple[Empirical, float]:
    """The wait for a sync that is alone, and what each byte adds."""
    sizes = sorted(syncs.alone_ns)
    middle = [float(np.median(syncs.alone_ns[size])) for size in sizes]
    per_byte = round(_least(float(np.polyfit(sizes, middle, 1)[0])), 3)
    waits = np.concatenate([np.array(syncs.alone_ns[size]) - per_byte * size - per_sync_ns for size in sizes])
    quantiles = np.quantile(np.maximum(waits, 1.0), (np.arange(QUANTILES) + 0.5) / QUANTILES)
    return Empirical(values=tuple(round(value) for value in quantiles)), per_byte


def _contention(syncs: disk.Syncs) -> float:
    """With which the syncs that were not alone did, in the median, the work of one that is (bench.driver.disk)."""
    alone = {size: float(np.median(values)) for size, values in syncs.alone_ns.items()}
    times = np.array([each for size in alone for each in syncs.together_ns[size]], dtype=float)
    work = np.array([alone[size] for size in alone for _ in syncs.together_ns[size]])
    others = np.arange(times.shape[1])

    def done(contention: float) -> float:
        return float(np.median((times / (1 + contention * others)).sum(axis=1) / work))

    low, high = 0.0, MOST_CONTENTION
    while high - low > 0.005:
        middle = (low + high) / 2
        low, high = (middle, high) if done(middle) > 1 else (low, middle)
    return round(low, 2)


def _least(value: float) -> float:
    return max(0.0, value)


def describe(folder: Path) -> str:
    """The machine, in a line."""
    here = environment.describe()
    cores = len(os.sched_getaffinity(0))
    build = "compiled" if here["compiled"] else "interpreted"
    kernel = f"{platform.system()} {platform.release()}"
    return f"{here['processor']}, {cores} cores, {kernel}, {filesystem(folder)}, {here['python']}, {build}"


def as_file(costs: Costs, measured: Measured) -> str:
    """The profile as TOML, with the figures behind it."""
    def listed(pairs: Iterable[tuple[str, Any]]) -> list[str]:
        return [f"{key} = {value}" for key, value in pairs]

    trips = ", ".join(f'"{each.bytes}" = {_us(each.took_ns)}' for each in measured.round_trips)
    lines = [
        "",
        "# What the costs above were made from: medians in microseconds, by bytes where in braces. No run uses them.",
        f"[{Costs.NOTES}]",
        f"loopback_round_trip_us = {{ {trips} }}",
        *(
            f"{name}_us = {{ " + ", ".join(f'"{size}" = {_us(values)}' for size, values in by_size.items()) + " }"
            for name, by_size in (
                ("sync_alone", measured.syncs.alone_ns),
                ("sync_processor_time", {size: [spent] for size, spent in measured.syncs.cpu_ns.items()}),
            )
        ),
        *listed((name.replace("_ns", "_us"), round(value / 1e3, 3)) for name, value in measured.codec.items()),
        f"others_share_of_machine = {measured.foreign_share:.2f}",
    ]
    return as_toml(costs) + "\n".join(lines) + "\n"


def _us(values_ns: Sequence[float]) -> float:
    return round(float(np.median(values_ns)) / 1e3, 1)
