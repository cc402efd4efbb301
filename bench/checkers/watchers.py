"""Makes the watcher of a protocol."""
from __future__ import annotations

from collections.abc import Callable

from bench.checkers.invariants import Agreement, Watcher
from bench.checkers.paxos import PaxosWatcher
from bench.checkers.raft import RaftWatcher
from bench.checkers.statements import ALL, CHEAP, THOROUGH
from bench.checkers.zab import ZabWatcher
from ext.quorum import QuorumSystem

MADE: dict[str, Callable[..., Watcher]] = {"raft": RaftWatcher, "paxos": PaxosWatcher, "zab": ZabWatcher}


def watchers(
    engine: str,
    replicas: int,
    agreement: Agreement,
    level: str = ALL,
    durable: bool = True,
    quorums: tuple[QuorumSystem | None, QuorumSystem | None] = (None, None),
) -> Watcher | None:
    """All that watches this engine beside ``agreement``, to which violations go; None where nothing does.

    ``durable`` says that promises wait for the disk; ``quorums`` are those of the phases of Paxos, None: majorities. Level
    THOROUGH looks at every message and, after every event, at the status.
    """
    if level == CHEAP or engine not in MADE:
        return None
    own = quorums if engine == "paxos" else ()
    return MADE[engine](replicas, agreement, durable, level == THOROUGH, *own)
