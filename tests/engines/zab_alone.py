"""One Zab replica, spoken to by hand: its disk is instant unless it is held, and what it says is returned."""
from __future__ import annotations

import random
from typing import Any

from engines.core import Commit, Configuration, Effect, Message, Persist, Record, Restore, Send
from engines.zab import (
    AcceptedEpoch,
    AckEpoch,
    AckNewLeader,
    Appended,
    CurrentEpoch,
    FollowerInfo,
    LeaderInfo,
    NewLeader,
    Notification,
    UpToDate,
    Zab,
    ZabOptions,
)
from engines.zab.messages import LOOKING
from ext.log import pack, unpack

MS = 1_000_000
Said = list[tuple[int, Message]]


def history(*epochs: int, first: int = 1) -> bytes:
    """Packed entries of these epochs; each payload names its zxid: equal histories are equal bytes."""
    return pack([(epoch, b"%d.%d" % (epoch, first + offset)) for offset, epoch in enumerate(epochs)])


class Alone:
    """Replica ``id`` of ``size``, recovered with a history of these epochs and the two epochs on its disk."""

    def __init__(
        self, id: int = 0, size: int = 3, *, epochs: tuple[int, ...] = (), accepted: int = 0,
        current: int = 0, records: list[Record] | None = None, options: ZabOptions | None = None,
        seed: int = 1, **configuration: Any,
    ) -> None:
        self.engine = Zab(
            id, Configuration(voters=tuple(range(size)), **configuration), random.Random(seed), options
        )
        self.now = 0
        self.hold = False
        self.waiting: list[Persist] = []
        self.written: list[Record] = []
        self.commits: list[int] = []
        self.restored: list[tuple[int, bytes]] = []
        if records is None:
            records = [Appended(history(*epochs)), AcceptedEpoch(accepted), CurrentEpoch(current)]
        self.said = self.perform(self.engine.recover(records, 0))

    @property
    def epochs(self) -> list[int]:
        """The epochs of the entries in the log."""
        log = self.engine.log
        return [epoch for epoch, _ in unpack(log.slice(log.base + 1, log.last + 1))]

    def hear(self, sender: int, *messages: Message) -> Said:
        """Messages arrive; what left for others."""
        said: Said = []
        for message in messages:
            said += self.perform(self.engine.step(sender, message, self.now))
        return said

    def propose(self, *commands: bytes) -> Said:
        """Clients' commands arrive as one batch."""
        return self.perform(self.engine.propose(list(commands), self.now))

    def wait(self, duration_ns: int) -> Said:
        """Time passes, and every deadline in it is ticked."""
        end = self.now + duration_ns
        said: Said = []
        while self.engine.deadline <= end:
            self.now = max(self.now, self.engine.deadline)
            said += self.perform(self.engine.tick(self.now))
        self.now = end
        return said

    def sync(self) -> Said:
        """What was held is written."""
        waiting, self.waiting = self.waiting, []
        return [said for write in waiting for said in self._written(write)]

    def perform(self, effects: list[Effect]) -> Said:
        """Do as a host does; what left for others."""
        said: Said = []
        for effect in effects:
            if isinstance(effect, Send):
                said += self._send(effect)
            elif isinstance(effect, Persist) and self.hold:
                self.waiting.append(effect)
            elif isinstance(effect, Persist):
                said += self._written(effect)
            elif isinstance(effect, Commit):
                self.commits.append(effect.position)
            elif isinstance(effect, Restore):
                self.restored.append((effect.position, effect.state))
        return said

    def _written(self, write: Persist) -> Said:
        if write.record is not None:
            self.written.append(write.record)
        return [] if write.then is None else self._send(write.then)

    def _send(self, send: Send) -> Said:
        if send.to != self.engine.id:
            return [(send.to, send.message)]
        return self.perform(self.engine.step(send.to, send.message, self.now))


def vote(
    leader: int, epoch: int = 0, last: tuple[int, int] = (0, 0), round: int = 1, state: int = LOOKING
) -> Notification:
    """A notification for ``leader``, with its current epoch and last zxid."""
    return Notification(leader, epoch, *last, round, state)


def follower(leader: int = 2, epoch: int = 0, **given: Any) -> Alone:
    """Replica 0 of 3, which has elected ``leader``; with an ``epoch``, the leader has sent its LeaderInfo."""
    alone = Alone(0, **given)
    ballot = vote(leader, 50, (50, 50))
    alone.hear(1, ballot)
    alone.said = alone.hear(2, ballot)
    if epoch:
        alone.said = alone.hear(leader, LeaderInfo(alone.engine.session, epoch))
    return alone


def serving_follower(epoch: int, committed: int = 0, **given: Any) -> Alone:
    """Replica 0 of 3, which follows 2 in this epoch, synchronised as it is."""
    alone = follower(2, epoch, **given)
    alone.hear(2, NewLeader(epoch), UpToDate(committed))
    return alone


def prospect(size: int = 3, **given: Any) -> Alone:
    """The replica with the highest id, which all others have elected; none of them has joined yet."""
    alone = Alone(size - 1, size, **given)
    engine = alone.engine
    ballot = vote(engine.id, engine.current_epoch, (engine.log.last_term, engine.log.last))
    for peer in range(size - 1):
        alone.said = alone.hear(peer, ballot)
    return alone


def join(
    alone: Alone, *peers: int, epochs: tuple[int, ...] = (), accepted: int = 0, current: int = 0
) -> Said:
    """Peers with this history join, session 1, and then promise; what the leader says to the promises."""
    for peer in peers:
        alone.hear(peer, FollowerInfo(1, accepted))
    last_epoch = epochs[-1] if epochs else 0
    promise = AckEpoch(1, True, current, last_epoch, len(epochs))
    return [said for peer in peers for said in alone.hear(peer, promise)]


def leader(size: int = 3, peers: int | None = None, **given: Any) -> Alone:
    """A leader that serves, and replicas 0 to ``peers`` - 1 (default: all) that follow it in session 1."""
    alone = prospect(size, **given)
    engine = alone.engine
    epochs, current = tuple(alone.epochs), engine.current_epoch
    joining = range(size - 1 if peers is None else peers)
    join(alone, *joining, epochs=epochs, accepted=engine.accepted_epoch, current=current)
    for peer in joining:
        alone.hear(peer, AckNewLeader(1, engine.epoch, engine.log.last))
    assert engine.leading
    return alone
