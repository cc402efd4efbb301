"""What encoding, decoding, logging and applying one command takes, and how late timers are."""
from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from bench.driver.frames import Request, decode_requests, encode
from engines.machine import PUT, KeyValue, encode_command
from ext.log import Log, pack

BATCH = 64
REPEATED = 200
VALUE = bytes(256)
TIMER_S = 0.001


def measure() -> dict[str, float]:
    """Name -> median ns for one command of a batch; ``timer_lateness_ns``: how late a sleep of 1 ms ends, in the median."""
    commands = [encode_command(1, number + 1, 1, PUT, bytes(8), VALUE) for number in range(BATCH * REPEATED)]
    batch = commands[:BATCH]
    requests = [Request(1, command) for command in batch]
    body = memoryview(encode(requests))[4:]
    packed = pack([(1, command) for command in batch])
    log, machine = Log(), KeyValue()
    positions = iter(range(1, len(commands) + 1))

    def apply() -> None:
        for _ in range(BATCH):
            position = next(positions)
            machine.apply(position, commands[position - 1])

    return {
        "encode_ns": _per_command(lambda: encode(requests)),
        "decode_ns": _per_command(lambda: decode_requests(body)),
        "append_ns": _per_command(lambda: log.append_packed(packed)),
        "apply_ns": _per_command(apply),
        "timer_lateness_ns": _timer_lateness_ns(),
    }


def _per_command(work: Callable[[], object]) -> float:
    took = []
    for _ in range(REPEATED):
        before_ns = time.perf_counter_ns()
        work()
        took.append(time.perf_counter_ns() - before_ns)
    return float(np.median(took)) / BATCH


def _timer_lateness_ns() -> float:
    late = []
    for _ in range(REPEATED):
        before_ns = time.monotonic_ns()
        time.sleep(TIMER_S)
        late.append(time.monotonic_ns() - before_ns - int(TIMER_S * 1e9))
    return float(np.median(late))
