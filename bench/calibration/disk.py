"""How long write + fdatasync of the replicas' own log takes, alone and while other replicas of the machine sync, too.

Three processes, each with a log of its own, write by one timetable. In every second round only the first one writes. In the
others it goes first and the other two together ``BEHIND_NS`` after it, as followers do after their leader.
"""
from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.driver.storage import WriteAheadLog
from engines.unreplicated import Entries, Unreplicated

WRITERS = 3
SIZES = (512, 4096, 16384, 65536)
PERIOD_NS = 2_000_000
BEHIND_NS = 100_000
WARM_UP = 10  # rounds whose outcome is dropped
LEAD_NS = 300_000_000


class Syncs(msgspec.Struct, frozen=True):
    """Durations of single writes in ns by size: of the one that was alone, the first of three, and those behind it; ``cpu_ns`` is
    what of them was processor time of the writer, in the median.
    """

    alone_ns: dict[int, list[int]]
    first_ns: dict[int, list[int]]
    behind_ns: dict[int, list[int]]
    cpu_ns: dict[int, float]


def measure(folder: Path, rounds: int) -> Syncs:
    """``rounds`` of each size and kind, on logs below ``folder``."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    writers = []
    for number in range(WRITERS):
        here, there = context.Pipe()
        writer = context.Process(target=_write, args=(there, folder / f"disk-{number}", number, rounds), daemon=True)
        writer.start()
        pipes.append(here)
        writers.append(writer)
    for pipe in pipes:
        pipe.recv()
    start_ns = time.monotonic_ns() + LEAD_NS
    for pipe in pipes:
        pipe.send(start_ns)
    found: list[Any] = [pipe.recv() for pipe in pipes]
    for writer in writers:
        writer.join()
    behind = {size: found[1]["together"][size] + found[2]["together"][size] for size in SIZES}
    return Syncs(found[0]["alone"], found[0]["together"], behind, found[0]["cpu"])


def _write(pipe: Any, folder: Path, number: int, rounds: int) -> None:
    log = WriteAheadLog(folder)
    log.recover(Unreplicated)
    pipe.send("ready")
    start_ns: int = pipe.recv()
    found: dict[str, dict[int, list[int]]] = {"alone": {size: [] for size in SIZES}, "together": {size: [] for size in SIZES}}
    cpu: dict[int, list[int]] = {size: [] for size in SIZES}
    for turn in range(2 * (rounds + WARM_UP) * len(SIZES)):
        size, alone = SIZES[turn // 2 % len(SIZES)], turn % 2 == 0
        if alone and number:
            continue
        _sleep_until(start_ns + turn * PERIOD_NS + (BEHIND_NS if number else 0))
        before_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
        log.write([Entries(turn, bytes(size))])
        cpu[size].append(time.process_time_ns() - cpu_ns)
        found["alone" if alone else "together"][size].append(time.monotonic_ns() - before_ns)
    log.close()
    kept = {kind: {size: values[WARM_UP:] for size, values in by_size.items()} for kind, by_size in found.items()}
    pipe.send(kept | {"cpu": {size: float(np.median(values[WARM_UP:])) for size, values in cpu.items()}})


def _sleep_until(moment_ns: int) -> None:
    """Sleeping alone is late by more than what is to be measured."""
    time.sleep(max(0, moment_ns - time.monotonic_ns() - 100_000) / 1e9)
    while time.monotonic_ns() < moment_ns:
        pass
