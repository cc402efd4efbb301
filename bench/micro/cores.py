"""The cores beside their interpreted twins, plain Python, and numpy where someone would try it.

Every operation is driven from Python, as its rivals are, so the compiled figures include the price of a call
from Python, about 20 to 30 ns; the engines and the simulator call the cores from C and do not pay it.
"""
from __future__ import annotations

import heapq
import importlib
import random
import struct
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from bench.micro.case import Bar, Case
from ext import build

Run = Callable[[], object]
Rival = tuple[str, Callable[[], Run]]

COMPILED = "compiled"
PURE = "pure twin"
ENTRIES = 10_000
PAYLOAD = b"x" * 64
STEPS = 2_000
PENDING = 1_000

BARS = [
    Bar("append a batch of entries", PURE, 10),
    Bar("append a packed batch", PURE, 10),
    Bar("committed index, 5 voters", PURE, 10),
    Bar("acknowledge, 5 voters", PURE, 10),
]


def cases() -> list[Case]:
    """All cases, each operation's compiled one first."""
    found: list[Case] = []
    for core, operation, operations, ours, rivals in _operations():
        for form, module in _forms(core):
            found.append(Case(operation, form, operations, partial(ours, module)))
        for rival, prepare in rivals:
            found.append(Case(operation, rival, operations, prepare))
    return found


def _operations() -> list[tuple[str, str, int, Callable[[ModuleType], Run], list[Rival]]]:
    """(core, operation, operations of a run, how a form of the core does it, (rival, how it does it)...)"""
    table: list[Any] = [
        ("ext.log", "append a batch of entries", ENTRIES, log_extend, [("list", list_extend)]),
        ("ext.log", "append a packed batch", ENTRIES, log_append_packed, [("struct", list_append_packed)]),
        ("ext.log", "slice for replication", ENTRIES, log_slice, [("struct", list_slice)]),
        ("ext.log", "append one entry", STEPS, log_append, [("list", list_append)]),
        ("ext.log", "payload at a position", STEPS, log_payload, [("list", list_payload)]),
    ]
    for voters in (5, 49):
        table += [
            (
                "ext.quorum", f"committed index, {voters} voters", STEPS,
                partial(committed_index, voters=voters),
                [
                    ("dict and sorted", partial(sorted_index, voters)),
                    ("dict and numpy.partition", partial(partitioned_index, voters)),
                ],
            ),
            (
                "ext.quorum", f"acknowledge, {voters} voters", STEPS * voters,
                partial(acknowledge, voters=voters),
                [("dict and sorted", partial(sorted_acknowledge, voters))],
            ),
        ]
    operation = f"push and pop, {PENDING} pending"
    table.append(("ext.events", operation, STEPS, push_and_pop, [("heapq", heapq_push_and_pop)]))
    return table


def _forms(core: str) -> list[tuple[str, ModuleType]]:
    twin = (PURE, build.interpreted(core))
    return [(COMPILED, importlib.import_module(core)), twin] if build.compiled() else [twin]


# The log.


def log_extend(module: Any) -> Run:
    payloads = [PAYLOAD] * ENTRIES
    return lambda: module.Log().extend(1, payloads)


def list_extend() -> Run:
    payloads = [PAYLOAD] * ENTRIES
    def run() -> None:
        entries: list[tuple[int, bytes]] = []
        entries.extend([(1, payload) for payload in payloads])

    return run


def log_append_packed(module: Any) -> Run:
    packed = module.pack([(1, PAYLOAD)] * ENTRIES)
    return lambda: module.Log().append_packed(packed)


def list_append_packed() -> Run:
    header = struct.Struct("<QI")
    packed = (header.pack(1, len(PAYLOAD)) + PAYLOAD) * ENTRIES

    def run() -> None:
        entries = []
        offset = 0
        while offset < len(packed):
            term, length = header.unpack_from(packed, offset)
            entries.append((term, packed[offset + 12:offset + 12 + length]))
            offset += 12 + length

    return run


def log_slice(module: Any) -> Run:
    log = module.Log()
    log.extend(1, [PAYLOAD] * ENTRIES)
    return lambda: log.slice(1, ENTRIES + 1)


def list_slice() -> Run:
    entries = [(1, PAYLOAD)] * ENTRIES
    header = struct.Struct("<QI")
    return lambda: b"".join([header.pack(term, len(payload)) + payload for term, payload in entries])


def log_append(module: Any) -> Run:
    def run() -> None:
        append = module.Log().append
        for _ in range(STEPS):
            append(1, PAYLOAD)

    return run


def list_append() -> Run:
    def run() -> None:
        append = [].append  # type: ignore[var-annotated]
        for _ in range(STEPS):
            append((1, PAYLOAD))

    return run


def log_payload(module: Any) -> Run:
    log = module.Log()
    log.extend(1, [PAYLOAD] * STEPS)

    def run() -> None:
        payload = log.payload
        for position in range(1, STEPS + 1):
            payload(position)

    return run


def list_payload() -> Run:
    entries = [(1, PAYLOAD)] * STEPS

    def run() -> None:
        for position in range(STEPS):
            entries[position][1]

    return run


# Quorums.


def acknowledged(voters: int) -> dict[int, int]:
    dice = random.Random(voters)
    return {voter: 1_000_000 + dice.randrange(1000) for voter in range(voters)}


def repeat(index: Callable[[dict[int, int]], object], voters: int) -> Run:
    acked = acknowledged(voters)

    def run() -> None:
        for _ in range(STEPS):
            index(acked)

    return run


def committed_index(module: Any, voters: int) -> Run:
    return repeat(module.MajorityQuorum(range(voters)).committed_index, voters)


def sorted_index(voters: int) -> Run:
    everybody = range(voters)
    rank = (voters - 1) // 2
    return repeat(lambda acked: sorted([acked.get(voter, 0) for voter in everybody])[rank], voters)


def partitioned_index(voters: int) -> Run:
    import numpy  # late: the workers of the other cases need not wait for it

    everybody = range(voters)
    rank = (voters - 1) // 2

    def index(acked: dict[int, int]) -> int:
        indices = numpy.array([acked.get(voter, 0) for voter in everybody], dtype=numpy.uint64)
        return int(numpy.partition(indices, rank)[rank])

    return repeat(index, voters)


def acknowledge(module: Any, voters: int) -> Run:
    acks = module.AckTracker(module.MajorityQuorum(range(voters)))
    steps = [(voter, position) for position in range(1, STEPS + 1) for voter in range(voters)]

    def run() -> None:
        acks.reset()
        tell = acks.acknowledge
        for voter, position in steps:
            tell(voter, position)

    return run


def sorted_acknowledge(voters: int) -> Run:
    steps = [(voter, position) for position in range(1, STEPS + 1) for voter in range(voters)]
    rank = (voters - 1) // 2

    def run() -> None:
        acked = dict.fromkeys(range(voters), 0)
        committed = 0
        for voter, position in steps:
            if position > acked[voter]:
                acked[voter] = position
                committed = max(committed, sorted(acked.values())[rank])

    return run


# Events.


def delays() -> list[int]:
    dice = random.Random(1)
    return [dice.randrange(1, 1_000_000) for _ in range(STEPS)]


def push_and_pop(module: Any) -> Run:
    queue = module.EventQueue()
    steps = delays()
    for delay in steps[:PENDING]:
        queue.push(delay, None)

    def run() -> None:
        push = queue.push
        pop = queue.pop
        for delay in steps:
            pop()
            push(queue.time + delay, None, 1, 2, 3)

    return run


def heapq_push_and_pop() -> Run:
    steps = delays()
    heap = [(delay, order, None, 0, 0, 0) for order, delay in enumerate(steps[:PENDING])]
    heapq.heapify(heap)

    def run() -> None:
        push, pop, order = heapq.heappush, heapq.heappop, PENDING
        for delay in steps:
            time, _, _, _, _, _ = pop(heap)
            push(heap, (time + delay, order, None, 1, 2, 3))
            order += 1

    return run
