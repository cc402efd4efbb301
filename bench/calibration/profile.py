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
    lone_unsynced: turns.Round  # one client
    lone_one: turns.Round
    lone_some: turns.Round
    lone_many: turns.Round
    lone_large: turns.Round
    following_some: turns.Round
    following_many: turns.Round

    @property
    def foreign_share(self) -> float:
        """Of the machine, taken by other programs: the most of any run."""
        return max(run.foreign_share for run in msgspec.structs.astuple(self) if isinstance(run, turns.Round))


def measure(folder: Path, say: Say, effort: float = 1.0) -> Measured:
    """Everything, with logs below ``folder``, which must be on the disk that replicas will use. ``say`` is told what comes next.
    About half a minute at ``effort`` 1; less makes it shorter and rougher.
    """
    seconds, some, many, small = RUN_S * effort, turns.SOME, turns.LOCKSTEP, turns.VALUE_BYTES
    with tempfile.TemporaryDirectory(prefix=".calibration-", dir=folder) as name:
        place = Path(name)
        say("round trips on the loopback interface")
        round_trips = loopback.measure(round(ROUND_TRIPS * effort))
        say("encoding, decoding, logging, applying")
        per_command = codec.measure()
        say("writes and syncs of the disk")
        syncs = disk.measure(place, round(SYNCS * effort))
        say("turns of a replica and of clients")
        unsynced = turns.lone(1, small, place, seconds, "none")
        loads = ((1, small), (some, small), (many, small), (many, turns.LARGE_BYTES))
        lone = [turns.lone(clients, value_bytes, place, seconds) for clients, value_bytes in loads]
        say("turns of followers")
        following = [turns.following(clients, place, seconds) for clients in (some, many)]
    return Measured(round_trips, syncs, per_command, unsynced, *lone, *following)


def costs(measured: Measured, name: str, folder: Path) -> Costs:
    """The costs that explain the measurements. None is below zero, which noise would have them be where they are small."""
    spent = {field: round(float(_least(value)), 2) for field, value in _turns(measured).items()}
    return Costs(
        name=name,
        about=describe(folder),
        cores=len(os.sched_getaffinity(0)),
        wake_up=Constant(value=round(_wake_up(measured.round_trips[0]))),
        fsync=_fsync(measured, spent["per_sync_ns"]),
        **_larger_syncs(measured),
        contention=_contention(measured.syncs),
        others_share_of_machine=measured.foreign_share,
        **spent,
    )


def _turns(measured: Measured) -> dict[str, float]:
    """What a round costs, told apart by its number of clients, the size of what they write, and whether it is a follower's.

    Each byte of a command is read by a replica, and written into its log. What a follower does for a command is to apply it; a
    lone replica also takes it and answers. A round of one client seldom begins a block of the log, and all others do.
    """
    one, some, many, large = measured.lone_one, measured.lone_some, measured.lone_many, measured.lone_large
    others, size = many.clients - some.clients, turns.command_bytes(many.value_bytes)
    per_byte = _least((large.replica_cpu_ns - many.replica_cpu_ns) / many.clients / 2 / (large.value_bytes - many.value_bytes))
    command = _least((many.replica_cpu_ns - some.replica_cpu_ns) / others)
    per_operation = _least(command - 2 * size * per_byte)
    followed = (measured.following_many.replica_cpu_ns - measured.following_some.replica_cpu_ns) / others
    per_command = min(_least(followed - 2 * size * per_byte), per_operation)
    client_command = _least((many.client_cpu_ns - some.client_cpu_ns) / others)
    client_per_operation = _least(client_command - size * per_byte)
    per_frame = min(trips.busy_cpu_ns for trips in measured.round_trips) / 2
    return {
        "per_turn_ns": measured.lone_unsynced.replica_cpu_ns - per_operation - size * per_byte - 2 * per_frame,
        "per_frame_ns": per_frame,
        "per_message_ns": (per_operation - per_command) / 2,
        "per_byte_ns": per_byte,
        "per_command_ns": per_command,
        "per_sync_ns": one.replica_cpu_ns - measured.lone_unsynced.replica_cpu_ns - size * per_byte,
        "per_new_block_ns": some.replica_cpu_ns - one.replica_cpu_ns - (some.clients - one.clients) * command,
        "client_per_turn_ns": one.client_cpu_ns - client_per_operation - size * per_byte - 2 * per_frame,
        "client_per_message_ns": client_per_operation / 2,
    }


def _wake_up(trips: loopback.RoundTrips) -> float:
    """What of half a round trip nobody worked in."""
    return _least(float(np.median(trips.took_ns)) / 2 - trips.cpu_ns)


def _fsync(measured: Measured, per_sync_ns: float) -> Empirical:
    """The wait for a sync: what it adds to the latency of a lone client, beside the core's time."""
    rest = float(np.median(measured.lone_unsynced.latencies_ns)) + per_sync_ns
    return Empirical(values=tuple(round(max(1.0, latency - rest)) for latency in measured.lone_one.latencies_ns))


def _larger_syncs(measured: Measured) -> dict[str, float]:
    """What syncs of more records wait beyond those of one, by the part of a round in which nobody works."""
    one, some, many = (
        float(np.median(each.latencies_ns)) - each.client_cpu_ns - each.replica_cpu_ns
        for each in (measured.lone_one, measured.lone_some, measured.lone_many)
    )
    size = turns.command_bytes(turns.VALUE_BYTES)
    per_byte = _least((many - some) / (measured.lone_many.clients - measured.lone_some.clients) / size)
    new_block = some - one - per_byte * size * (measured.lone_some.clients - measured.lone_one.clients)
    return {"fsync_per_byte_ns": round(float(per_byte), 3), "fsync_new_block_ns": round(float(_least(new_block)), 2)}


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
    ]
    return as_toml(costs) + "\n".join(lines) + "\n"


def _us(values_ns: Sequence[float]) -> float:
    return round(float(np.median(values_ns)) / 1e3, 1)
