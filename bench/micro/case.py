"""What a group of micro-benchmarks consists of."""
from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import msgspec


class Case(msgspec.Struct, frozen=True):
    """One way of doing an operation; ``prepare`` gives what is timed: a call that does it so many times.

    The first case of an operation is the one that its rivals are compared with.
    """

    operation: str
    rival: str
    operations: int
    prepare: Callable[[], Callable[[], object]]

    @property
    def title(self) -> str:
        """The name in pyperf's files."""
        return f"{self.operation}: {self.rival}"

    def seconds(self, loops: int) -> float:
        """How long so many calls take, preparation left out."""
        run = self.prepare()
        start = perf_counter()
        for _ in range(loops):
            run()
        return perf_counter() - start


class Bar(msgspec.Struct, frozen=True):
    """How many times slower than the first case of its operation this rival is wanted to be."""

    operation: str
    rival: str
    at_least: float


class Measured(msgspec.Struct, frozen=True):
    """A case and what one operation of it took."""

    case: Case
    mean_ns: float
    stdev_ns: float
