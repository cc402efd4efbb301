"""How long write + fdatasync of the replicas' own log takes, alone and while other replicas of the machine sync, too.

Three processes, each with a log of its own, write by one timetable. In every second round only the first one writes. In the
others it goes first and the other two together about ``BEHIND_NS`` after it, as followers do after their leader.
"""
from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.driver.storage import WriteAheadLog
from engines.unreplicated import Entries, Unreplicated

WRITERS = 3
SIZES = (512, 4096, 16384, 65536)
PERIOD_NS = 2_000_000
BEHIND_NS = 80_000
WARM_UP = 10  # rounds whose outcome is dropped
LEAD_NS = 300_000_000
Span = tuple[int, int]  # from when to when


class Syncs(msgspec.Struct, frozen=True):
    """By size, in ns: how long single writes took that were alone, and what of that was processor time of the writer, in the
    median; and of each write that was not, for how long it was the only one, one of two, and one of three.
    """

    alone_ns: dict[int, list[int]]
    cpu_ns: dict[int, float]
    together_ns: dict[int, list[tuple[int, ...]]]


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
    first = found[0]
    alone = {size: [end - start for start, end in spans] for size, spans in first["alone"].items()}
    cpu = {size: float(np.median(spent)) for size, spent in first["cpu"].items()}
    rounds_of = {size: zip(*(each["together"][size] for each in found), strict=True) for size in SIZES}
    return Syncs(alone, cpu, {size: [times for spans in rounds_of[size] for times in company(spans)] for size in SIZES})


def company(spans: Sequence[Span]) -> list[tuple[int, ...]]:
    """For each span how long it was the only one, one of two, and so on."""
    edges = sorted(edge for span in spans for edge in span)
    found = []
    for start, end in spans:
        times = [0] * len(spans)
        for first, last in pairwise(edges):
            if start <= first and last <= end:
                times[sum(each[0] <= first and last <= each[1] for each in spans) - 1] += last - first
        found.append(tuple(times))
    return found


def _write(pipe: Any, folder: Path, number: int, rounds: int) -> None:
    log = WriteAheadLog(folder)
    log.recover(Unreplicated)
    pipe.send("ready")
    start_ns: int = pipe.recv()
    found: dict[str, dict[int, list[Any]]] = {what: {size: [] for size in SIZES} for what in ("alone", "together", "cpu")}
    for turn in range(2 * (rounds + WARM_UP) * len(SIZES)):
        size, alone = SIZES[turn // 2 % len(SIZES)], turn % 2 == 0
        if alone and number:
            continue
        at_ns = start_ns + turn * PERIOD_NS + (BEHIND_NS if number else 0)
        time.sleep(max(0, at_ns - time.monotonic_ns()) / 1e9)
        before_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
        log.write([Entries(turn, bytes(size))])
        found["cpu"][size].append(time.process_time_ns() - cpu_ns)
        found["alone" if alone else "together"][size].append((before_ns, time.monotonic_ns()))
    log.close()
    pipe.send({kind: {size: values[WARM_UP:] for size, values in by_size.items()} for kind, by_size in found.items()})
