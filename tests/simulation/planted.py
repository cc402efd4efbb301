"""Bugs planted in an engine, and what is needed to plant them."""

from __future__ import annotations

from typing import Any

import pytest

from bench.driver import protocols
from bench.driver.protocols import Parts
from engines.core import Commit, Effect, Restore
from engines.raft import Raft
from engines.raft.messages import AppendEntriesReply


class HalfQuorum(Raft):
    """Decides with half of the replicas: a leader of four or six tells clients what a majority may never hold."""

    announced = 0

    def step(self, sender: int, message: Any, now: int) -> list[Effect]:
        effects = super().step(sender, message, now)
        replies = type(message) is AppendEntriesReply and self.leading and message.term == self.status().term
        if replies and sender != self.id:
            first = max(self.announced, self.committed) + 1
            effects = [*effects, *(Commit(each, self.log.payload(each)) for each in range(first, message.match + 1))]
        return self.once(effects)

    def recover(self, records: list[Any], now: int) -> list[Effect]:
        return self.once(super().recover(records, now))

    def propose(self, commands: list[bytes], now: int) -> list[Effect]:
        return self.once(super().propose(commands, now))

    def once(self, effects: list[Effect]) -> list[Effect]:
        kept = []
        for effect in effects:
            if isinstance(effect, Commit) and effect.position <= self.announced:
                continue
            if isinstance(effect, Commit | Restore):
                self.announced = effect.position
            kept.append(effect)
        return kept


HALF_QUORUM = Parts(engine=HalfQuorum)


def plant(monkeypatch: pytest.MonkeyPatch, engine: type[Raft]) -> None:
    """Everything that runs Raft in this process runs this one."""
    monkeypatch.setitem(protocols.PROTOCOLS, "raft", (engine, protocols.PROTOCOLS["raft"][1]))
