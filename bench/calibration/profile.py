"""From measurements to a cost profile, and the profile as a file."""
from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterable
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
RUN_S = 1.5
Say = Callable[[str], None]


class Measured(msgspec.Struct, frozen=True):
    """All that was measured; times in ns."""

    round_trips: list[loopback.RoundTrips]
    syncs: disk.Syncs
    codec: dict[str, float]
    lone_one: turns.Round
    lone_many: turns.Round
    lone_large: turns.Round
    following_one: turns.Round
    following_many: turns.Round

    @property
    def foreign_share(self) -> float:
        """Of the machine, taken by other programs: the most of any run."""
        runs = (self.lone_one, self.lone_many, self.lone_large, self.following_one, self.following_many)
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
        loads = ((1, turns.VALUE_BYTES), (many, turns.VALUE_BYTES), (many, turns.LARGE_BYTES))
        lone = [turns.lone(clients, value_bytes, place, seconds) for clients, value_bytes in loads]
        say("turns of followers")
        following = [turns.following(clients, place, seconds) for clients in (1, many)]
    return Measured(round_trips, syncs, per_command, *lone, *following)


def costs(measured: Measured, name: str, folder: Path) -> Costs:
    """The costs that explain the measurements. None is below zero, which noise would have them be where they are small."""
    fsync, fsync_per_byte, contention = _disk(measured.syncs)
    return Costs(
        name=name,
        about=describe(folder),
        cores=len(os.sched_getaffinity(0)),
        wake_up=Constant(value=round(_wake_up(measured.round_trips[0]))),
        fsync=fsync,
        fsync_per_byte_ns=fsync_per_byte,
        contention=contention,
        **{field: round(float(_least(value)), 2) for field, value in _turns(measured).items()},
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
    per_frame = min(trips.cpu_ns for trips in measured.round_trips) / 2
    per_sync = min(measured.syncs.cpu_ns.values())
    return {
        "per_turn_ns": lone.replica_cpu_ns - per_operation - 2 * size * per_byte - 2 * per_frame - per_sync,
        "per_frame_ns": per_frame,
        "per_message_ns": (per_operation - per_command) / 2,
        "per_byte_ns": per_byte,
        "per_command_ns": per_command,
        "per_sync_ns": per_sync,
        "client_per_turn_ns": lone.client_cpu_ns - client_per_operation - size * per_byte - 2 * per_frame,
        "client_per_message_ns": client_per_operation / 2,
    }


def _wake_up(trips: loopback.RoundTrips) -> float:
    """What of half a round trip nobody worked in."""
    return _least(float(np.median(trips.took_ns)) / 2 - trips.cpu_ns)


def _disk(syncs: disk.Syncs) -> tuple[Empirical, float, float]:
    """The wait for a sync that is alone, what each byte adds, and which part of a sync excludes others.

    Those that begin d after one that takes T are done at T + contention * T, as they wait for the end of the first one.
    """
    sizes = sorted(syncs.alone_ns)
    middle = {size: float(np.median(syncs.alone_ns[size])) for size in sizes}
    per_byte = _least(float(np.polyfit(sizes, [middle[size] for size in sizes], 1)[0]))
    waits = np.concatenate([np.array(syncs.alone_ns[size]) - per_byte * size - syncs.cpu_ns[size] for size in sizes])
    quantiles = np.quantile(np.maximum(waits, 1.0), (np.arange(QUANTILES) + 0.5) / QUANTILES)
    shares = [
        (float(np.median(syncs.behind_ns[size])) + disk.BEHIND_NS) / float(np.median(syncs.first_ns[size])) - 1 for size in sizes
    ]
    contention = min(1.0, _least(float(np.median(shares))))
    return Empirical(values=tuple(round(value) for value in quantiles)), round(per_byte, 3), round(contention, 2)


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
                ("sync_first_of_three", measured.syncs.first_ns),
                ("sync_behind_another", measured.syncs.behind_ns),
            )
        ),
        *listed((name.replace("_ns", "_us"), round(value / 1e3, 3)) for name, value in measured.codec.items()),
        f"others_share_of_machine = {measured.foreign_share:.2f}",
    ]
    return as_toml(costs) + "\n".join(lines) + "\n"


def _us(values_ns: list[int]) -> float:
    return round(float(np.median(values_ns)) / 1e3, 1)
