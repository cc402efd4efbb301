"""What clients ask of the key-value machine: an endless stream of operations, drawn in chunks.

The mixes A, B, C, D and F are YCSB's core workloads (Cooper et al., SoCC'10; E scans, which the machine does not):

    ycsb-a  half reads, half updates           ycsb-c  reads only
    ycsb-b  95 % reads, 5 % updates            ycsb-d  95 % reads of the latest keys, 5 % inserts
    ycsb-f  half reads, half read-modify-writes

Where keys are ``latest``, a write inserts the next key and everything else chooses among the newest; ``ycsb-d`` makes
them so. A read may so come before the insert that it follows has completed, and find nothing.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from bench.metrics.trial import CAS, READ, WRITE
from bench.workloads import keys

if TYPE_CHECKING:
    from bench.scenario import ValueSize, Workload

DRAWN = np.dtype(
    [
        ("key", "<u4"),
        ("size_bytes", "<u4"),  # of the value that is written, by the chained write too; 0 for a plain read
        ("kind", "u1"),  # index into bench.metrics.trial.KINDS
        ("chained", "?"),  # a read whose completion makes the same client write the same key
    ]
)


class Mix(NamedTuple):
    """Shares of all operations that sum to 1; ``modify`` are reads that are chained to a write."""

    read: float
    write: float
    cas: float
    modify: float


MIXES = {
    "ycsb-a": Mix(0.5, 0.5, 0.0, 0.0),
    "ycsb-b": Mix(0.95, 0.05, 0.0, 0.0),
    "ycsb-c": Mix(1.0, 0.0, 0.0, 0.0),
    "ycsb-d": Mix(0.95, 0.05, 0.0, 0.0),
    "ycsb-f": Mix(0.5, 0.0, 0.0, 0.5),
}


class Operations:
    """The stream of one run. The same seed gives the same stream, however it is cut into chunks."""

    def __init__(self, workload: Workload, generator: np.random.Generator) -> None:
        self.mix = _mix(workload)
        self.keys = workload.keys
        if workload.mix == "ycsb-d":
            self.keys = msgspec.structs.replace(workload.keys, distribution="latest")
        self.value_size = workload.value_size
        self.inserted = 0
        self._kind_dice, self._key_dice, self._size_dice = generator.spawn(3)

    def draw(self, count: int) -> np.ndarray:
        """The next ``count`` operations, of dtype DRAWN."""
        drawn = np.zeros(count, dtype=DRAWN)
        shares = np.cumsum(self.mix)
        fate = np.searchsorted(shares[:-1] / shares[-1], self._kind_dice.random(count), side="right")
        drawn["kind"] = np.array([READ, WRITE, CAS, READ], dtype=np.uint8)[fate]
        drawn["chained"] = fate == 3
        self._draw_keys(drawn)
        sizes = _sizes(self.value_size, self._size_dice.random(count))
        drawn["size_bytes"] = np.where((drawn["kind"] == READ) & ~drawn["chained"], 0, sizes)
        return drawn

    def _draw_keys(self, drawn: np.ndarray) -> None:
        if self.keys.distribution != "latest":
            drawn["key"] = keys.draw(self.keys, self._key_dice, np.zeros(len(drawn)))
            return
        insert = drawn["kind"] == WRITE
        after = self.inserted + np.cumsum(insert)
        before = after - insert
        chosen = keys.draw(self.keys, self._key_dice, before)
        drawn["key"] = np.where(insert, self.keys.count + before, chosen)
        self.inserted += int(np.count_nonzero(insert))


def _mix(workload: Workload) -> Mix:
    if isinstance(workload.mix, str):
        return MIXES[workload.mix]
    return Mix(workload.mix.read, workload.mix.write, workload.mix.cas, 0.0)


def _sizes(value_size: ValueSize, uniform: np.ndarray) -> np.ndarray:
    """Value sizes in bytes, one for each number in [0, 1): constant, uniform from low to high (both included), or weighted."""
    if value_size.distribution == "constant":
        return np.full(len(uniform), value_size.size_bytes)
    if value_size.distribution == "uniform":
        return value_size.low_bytes + (uniform * (value_size.high_bytes - value_size.low_bytes + 1)).astype(np.int64)
    shares = np.cumsum(np.array(value_size.weights, dtype=np.float64))
    chosen = np.searchsorted(shares / shares[-1], uniform, side="right")
    return np.array(value_size.sizes_bytes)[chosen]
