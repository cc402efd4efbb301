"""What one run of one engine at one point of a sweep gives, in either world; results and verdicts are made from it."""
from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

OK, FAILED, UNKNOWN = 0, 1, 2
READ, WRITE, CAS, ACQUIRE, RELEASE = range(5)
KINDS = ("read", "write", "cas", "acquire", "release")
PENDING = -1

OPERATION = np.dtype(
    [
        ("intended_ns", "<i8"),  # when the schedule wanted it to start
        ("started_ns", "<i8"),  # when its client first sent it
        ("completed_ns", "<i8"),  # when its answer arrived; PENDING where none did
        ("value", "<u8"),  # token of the value written (also the new value of a cas); 0 for a read
        ("expected", "<u8"),  # token of the value that a cas expects
        ("returned", "<u8"),  # token of the value read, 0 for none; for a cas 1 where it applied
        ("key", "<u4"),
        ("client", "<u4"),
        ("size", "<u4"),  # bytes of the value written
        ("attempts", "<u2"),  # how often it was sent
        ("kind", "u1"),  # index into KINDS
        ("status", "u1"),  # OK, FAILED (it certainly did not happen) or UNKNOWN
    ]
)


class FaultRecord(msgspec.Struct, kw_only=True):
    """A fault, proven: when it was injected and healed, and what was seen of both (empty: no witness)."""

    kind: str
    target: str
    injected_ns: int
    healed_ns: int | None = None
    witness: str = ""
    heal_witness: str = ""


class Trial(msgspec.Struct, kw_only=True):
    """The raw outcome. Times are in ns since the start of the run; the window is what is measured (warm-up and cool-down cut).

    ``counts`` are totals within the window: commits (distinct commands committed), messages, heartbeats, message_bytes
    (between replicas; heartbeats counted apart, in neither messages nor their bytes), fsyncs, and client_requests; of
    processes also cpu_ns, what all replicas took of the processors.
    ``messages_by_kind`` is by message class. ``outstanding_ns`` is the time integral, over the window, of the number of
    operations between intended start and completion, kept by the driver independently of the recorder. ``leaders`` lists
    (time, replica, term) whenever a replica became leader.
    ``violations`` are the invariants that failed, in words. ``fairness`` is the record of DESIGN 7.6.
    ``resources`` is what the run took of the machine within the window, where it is a real one (see bench.driver.resources).
    """

    engine: str
    world: str
    replicas: int
    seed: int
    trial: int
    axes: dict[str, Any]
    window_ns: tuple[int, int]
    end_ns: int
    offered_ops_per_s: float | None
    operations: np.ndarray
    counts: dict[str, int]
    messages_by_kind: dict[str, int]
    outstanding_ns: int
    leaders: list[tuple[int, int, int]]
    faults: list[FaultRecord]
    violations: list[str]
    checks: dict[str, str]
    fairness: dict[str, Any]
    resources: dict[str, Any] = {}
