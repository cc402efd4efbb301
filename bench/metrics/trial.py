"""What one run of one engine at one point of a sweep gives, in either world; results and verdicts are made from it."""
from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

OK, FAILED, UNKNOWN = 0, 1, 2
READ, WRITE, CAS, ACQUIRE, RELEASE, ACQUIRE_SHARED, RELEASE_SHARED = range(7)
KINDS = ("read", "write", "cas", "acquire", "release", "acquire_shared", "release_shared")
PENDING = -1
LOST, BY_DEATH, HELD_ON = range(3)  # why a client did not release a lock: its session ended, it died, the run was over
# What happens to a client of a lock service: to its session, to its master, to itself.
OPENED, IN_JEOPARDY, SAFE_AGAIN, ENDED, FAILED_OVER, DIED, RETURNED = range(7)
MOMENTS = ("opened", "in_jeopardy", "safe_again", "ended", "failed_over", "died", "returned")

OPERATION = np.dtype(
    [
        ("intended_ns", "<i8"),  # when the schedule wanted it to start
        ("started_ns", "<i8"),  # when its client first sent it
        ("completed_ns", "<i8"),  # when its answer arrived; PENDING where none did
        ("value", "<u8"),  # token of the value written (of a cas: the new one); 0 for a read; of a release the generation
        # Token of the value that a cas expects. Of a lock service: the lock generation that a write shows; 1 where a read was
        # answered by the cache, or where the master had an acquire wait.
        ("expected", "<u8"),
        ("returned", "<u8"),  # token of the value read, 0 for none; for a cas 1 where it applied; acquired: the lock's generation
        ("key", "<u4"),  # of a lock and its file: the number of both
        ("client", "<u4"),
        ("size", "<u4"),  # bytes of the value written
        ("attempts", "<u2"),  # how often it was sent
        ("kind", "u1"),  # index into KINDS
        ("status", "u1"),  # OK, FAILED (it certainly did not happen) or UNKNOWN
    ]
)


# Of ``what``, an index into MOMENTS; the epoch is that of the master that the client knew of then.
MOMENT = np.dtype([("time_ns", "<i8"), ("client", "<u4"), ("what", "u1"), ("epoch", "<u8")])
# What a client of a lock service sent within the window, and how many of its reads were answered by its cache.
TENANT = np.dtype([("client", "<u4"), ("requests", "<u8"), ("keep_alives", "<u8"), ("cache_hits", "<u8")])


class LockRecord(msgspec.Struct, kw_only=True):
    """What clients of a lock service tell beside their operations.

    ``lost`` are releases (dtype OPERATION) that no client asked for: the master's, some time after ``started_ns``, of locks whose
    holder was lost, for the reason that ``returned`` gives: LOST, BY_DEATH, HELD_ON. A lease may be over before its client hears
    of a grant; ``intended_ns`` is not before that.
    ``acknowledged`` names the decided commands that clients were told of: the client's number above 32 bits of the command's.
    """

    moments: np.ndarray
    tenants: np.ndarray
    lost: np.ndarray
    acknowledged: np.ndarray


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
    ``noticed`` lists (time, replica) whenever a replica that did not lead had waited for a leader for too long.
    ``locks`` is there where a lock service was used.
    ``resources`` is what the run took of the machine within the window, where it is a real one (see bench.driver.resources), and
    ``calibration`` of a predicted one: the ``foreign_share`` of it while its costs were measured.
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
    noticed: list[tuple[int, int]] = []
    locks: LockRecord | None = None
