"""What clients ask of the key-value machine: an endless stream of operations, drawn in chunks.

The mixes A, B, C, D and F are YCSB's core workloads (Cooper et al., SoCC'10; E scans, which the machine does
not):

    ycsb-a  half reads, half updates           ycsb-c  reads only
    ycsb-b  95 % reads, 5 % updates            ycsb-d  95 % reads of the latest keys, 5 % inserts
    ycsb-f  half reads, half read-modify-writes

An insert is a write of the next new key. A read of the latest keys may come before the insert that it follows
has completed, and find nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.metrics.trial import CAS, READ, WRITE
from bench.workloads import keys

if TYPE_CHECKING:
    from bench.scenario import Mix, ValueSize, Workload

DRAWN = np.dtype(
    [
        ("key", "<u4"),
        ("size_bytes", "<u4"),  # of the value that is written, by the chained write too; 0 for a plain read
        ("kind", "u1"),  # index into bench.metrics.trial.KINDS
        ("chained", "?"),  # a read whose completion makes the same client write the same key
    ]
)


FATES = (
    (READ, False),
    (WRITE, False),
    (CAS, False),
    (WRITE, False),
    (READ, True),
)  # (kind, chained), as in Mix
INSERT = 3


class Operations:
    """The stream of one run. The same seed gives the same stream, however it is cut into chunks."""

    def __init__(self, workload: Workload, generator: np.random.Generator) -> None:
        self.keys = workload.keys
        self.value_size = workload.value_size
        self.inserted = 0
        self._shares = _cumulative(workload.mix)
        self._kind_dice, self._key_dice, self._size_dice = generator.spawn(3)

    def draw(self, count: int) -> np.ndarray:
        """The next ``count`` operations, of dtype DRAWN."""
        drawn = np.zeros(count, dtype=DRAWN)
        fate = np.searchsorted(self._shares, self._kind_dice.random(count), side="right")
        drawn["kind"] = np.array([kind for kind, _ in FATES], dtype=np.uint8)[fate]
        drawn["chained"] = np.array([chained for _, chained in FATES])[fate]
        drawn["key"] = self._keys(fate == INSERT)
        sizes = _sizes(self.value_size, self._size_dice.random(count))
        drawn["size_bytes"] = np.where((drawn["kind"] == READ) & ~drawn["chained"], 0, sizes)
        return drawn

    def _keys(self, insert: np.ndarray) -> np.ndarray:
        """A new key for each insert; for the others one of those that were there before it."""
        after = self.inserted + np.cumsum(insert)
        before = after - insert
        self.inserted += int(np.count_nonzero(insert))
        return np.where(insert, self.keys.count + before, keys.draw(self.keys, self._key_dice, before))


def _cumulative(mix: Mix) -> np.ndarray:
    """The shares of all FATES but the last, summed up; exactly 1 from the last fate on that has a share."""
    shares = np.cumsum([mix.read, mix.write, mix.cas, mix.insert, mix.read_modify_write])
    return np.asarray(shares[:-1] / shares[-1])


def _sizes(value_size: ValueSize, uniform: np.ndarray) -> np.ndarray:
    """Value sizes in bytes, one for each number in [0, 1)."""
    if value_size.kind == "constant":
        return np.full(len(uniform), value_size.low_bytes)
    if value_size.kind == "uniform":
        span = value_size.high_bytes - value_size.low_bytes + 1
        return np.asarray(value_size.low_bytes + (uniform * span).astype(np.int64))
    sizes, weights = zip(*value_size.choices, strict=True)
    shares = np.cumsum(weights)
    return np.asarray(np.array(sizes)[np.searchsorted(shares / shares[-1], uniform, side="right")])
