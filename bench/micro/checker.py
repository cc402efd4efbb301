"""The linearizability checker beside a plain Wing and Gong, on one register with ten clients.

Both remember the configurations they have seen. The histories are linearizable; the last ones have operations
without an answer, which the plain search can only try at every moment, so that it is given few of them.
"""

from __future__ import annotations

import importlib
import random
from functools import partial
from types import ModuleType
from typing import Any

from bench.micro.case import Bar, Case
from bench.micro.wing_gong import Operation, linearizable
from ext import build
from ext.timeline import READ, WRITE

PLAIN = "plain Wing and Gong"
CLIENTS = 10
REGIMES = (
    ("own values", 400, 0, 0.0),
    ("four values", 400, 4, 0.0),
    ("own values, 1 % unknown", 400, 0, 0.01),
)

BARS = [Bar(f"check an operation, {regime}", PLAIN, 20) for regime, *_ in REGIMES]


def cases() -> list[Case]:
    """All cases, each regime's compiled search first."""
    found: list[Case] = []
    for regime, count, values, unknown in REGIMES:
        operation, history = f"check an operation, {regime}", partial(register, count, values, unknown)
        for form, module in _forms():
            found.append(Case(operation, form, count, partial(_search, module, history)))
        found.append(Case(operation, PLAIN, count, partial(_plain, history)))
    return found


def _forms() -> list[tuple[str, ModuleType]]:
    twin = ("pure twin", build.interpreted("ext.search"))
    return [("compiled", importlib.import_module("ext.search")), twin] if build.compiled() else [twin]


def _search(module: Any, history: Any) -> Any:
    columns = list(zip(*history(), strict=True))

    def run() -> None:
        assert module.Search(*columns).run(1 << 60, 1 << 30) == "linearizable"

    return run


def _plain(history: Any) -> Any:
    operations = history()

    def run() -> None:
        assert linearizable(operations)

    return run


def register(count: int, values: int, unknown: float) -> list[Operation]:
    """Reads and writes of a register that took effect one at a time; ``values`` of 0 gives each write its
    own.
    """
    dice = random.Random(1)
    free_at = [0] * CLIENTS
    planned = []
    for _ in range(count):
        client = min(range(CLIENTS), key=free_at.__getitem__)
        called = free_at[client]
        returned = called + dice.randrange(50, 150)
        planned.append((dice.randint(called, returned), called, returned))
        free_at[client] = returned + dice.randrange(1, 20)
    planned.sort()
    found: list[Operation] = []
    value = 0
    for token, (_, called, returned) in enumerate(planned, 2):
        if dice.random() < 0.5:
            found.append((READ, value, 0, called, returned))
        else:
            value = 2 + dice.randrange(values) if values else token
            found.append((WRITE, value, 0, called, None if dice.random() < unknown else returned))
    return found
