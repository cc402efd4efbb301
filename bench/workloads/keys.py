"""Which keys are asked for: uniform, zipfian, hotspot, latest.

Popular keys are the low-numbered ones (YCSB scatters them by a hash; the state machines here are hash tables,
for which neighbouring keys mean nothing). A key is its number, 0 to count - 1; ``latest`` goes on beyond
count as keys are inserted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bench.scenario import Keys


def draw(keys: Keys, generator: np.random.Generator, inserted: np.ndarray) -> np.ndarray:
    """One key, uint32, for each element of ``inserted``: how many keys had been inserted before that
    operation.

    One number of the generator is used for each key, so the stream does not depend on how it is cut.
    ``latest`` chooses among the ``count`` newest keys with zipfian popularity, the newest first; the other
    distributions do not look at ``inserted``.
    """
    uniform = generator.random(len(inserted))
    if keys.distribution == "uniform":
        chosen = (uniform * keys.count).astype(np.int64)
    elif keys.distribution == "zipfian":
        chosen = _ranks(keys, uniform)
    elif keys.distribution == "hotspot":
        chosen = _hotspot(keys, uniform)
    elif keys.distribution == "latest":
        chosen = keys.count + inserted.astype(np.int64) - 1 - _ranks(keys, uniform)
    else:
        raise ValueError(f"unknown key distribution {keys.distribution!r}")
    return np.asarray(chosen.astype(np.uint32))


def _ranks(keys: Keys, uniform: np.ndarray) -> np.ndarray:
    """Inverse of the cumulative distribution: exact for every theta, where YCSB needs it below 1."""
    return np.searchsorted(_zipf_table(keys.count, keys.theta), uniform, side="right")


@lru_cache(maxsize=2)
def _zipf_table(count: int, theta: float) -> np.ndarray:
    """P(rank <= r) for rank r = 0 to count - 1, where P(rank = r) is proportional to 1 / (r + 1) ** theta."""
    table = np.cumsum(np.arange(1, count + 1, dtype=np.float64) ** -theta)
    table /= table[-1]
    return table


def _hotspot(keys: Keys, uniform: np.ndarray) -> np.ndarray:
    """With ``probability`` one of the first ``fraction`` of the keys, else one of the others."""
    hot = min(max(1, round(keys.count * keys.fraction)), keys.count)
    cold = keys.count - hot
    if cold == 0 or keys.probability >= 1:
        return np.asarray((uniform * hot).astype(np.int64))
    among_hot = uniform / keys.probability if keys.probability > 0 else uniform
    among_cold = (uniform - keys.probability) / (1 - keys.probability)
    chosen: np.ndarray = np.where(
        uniform < keys.probability, among_hot * hot, hot + among_cold * cold
    ).astype(np.int64)
    return np.asarray(np.minimum(chosen, keys.count - 1))
