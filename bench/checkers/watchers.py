"""Makes the watcher of a protocol."""
from __future__ import annotations

from collections.abc import Callable

from bench.checkers.invariants import Agreement, Watcher
from bench.checkers.raft import RaftWatcher
from bench.checkers.statements import ALL, CHEAP, THOROUGH

MADE: dict[str, Callable[[int, Agreement, bool, bool], Watcher]] = {
    "raft": RaftWatcher,
}


def watchers(engine: str, replicas: int, agreement: Agreement, level: str = ALL, durable: bool = True) -> Watcher | None:
    """All that watches this engine beside ``agreement``, to which violations go; None where nothing does.

    ``durable`` says that promises wait for the disk. Level THOROUGH looks at every message and, after every event, at the status.
    """
    if level == CHEAP or engine not in MADE:
        return None
    return MADE[engine](replicas, agreement, durable, level == THOROUGH)
