"""One Raft replica, spoken to by hand: its disk is instant, and what it says is returned."""
from __future__ import annotations

import random
from typing import Any

from engines.core import Commit, Configuration, Effect, Message, Persist, Record, Restore, Send
from engines.raft import Entries, PreVoteReply, Raft, RaftOptions, RequestVote, RequestVoteReply, Voted
from ext.log import pack, unpack

MS = 1_000_000
SECOND = 1_000_000_000
Said = list[tuple[int, Message]]


def packed(*terms: int, first: int = 1) -> bytes:
    """Entries of these terms; each payload names its term and index: equal logs are equal bytes."""
    return pack([(term, b"%d@%d" % (term, first + offset)) for offset, term in enumerate(terms)])


class Alone:
    """Replica ``id`` of ``size``, recovered in ``term``, its ``vote`` given, with a log of these terms."""

    def __init__(
        self, id: int = 0, size: int = 3, *, terms: tuple[int, ...] = (), term: int = 0,
        vote: int | None = None, options: RaftOptions | None = None, seed: int = 1,
        records: list[Record] | None = None, **configuration: Any,
    ) -> None:
        self.engine = Raft(
            id, Configuration(voters=tuple(range(size)), **configuration), random.Random(seed),
            options or RaftOptions(),
        )
        self.now = 0
        self.written: list[Record] = []
        self.commits: list[int] = []
        self.restored: list[tuple[int, bytes]] = []
        if records is None:
            records = [Entries(1, packed(*terms))] if terms else []
            if term:
                records.append(Voted(term, 2**64 - 1 if vote is None else vote))
        self.said = self.perform(self.engine.recover(records, 0))

    @property
    def terms(self) -> list[int]:
        """The terms of the log's entries."""
        log = self.engine.log
        return [term for term, _ in unpack(log.slice(log.base + 1, log.last + 1))]

    @property
    def log_bytes(self) -> bytes:
        log = self.engine.log
        return log.slice(log.base + 1, log.last + 1)

    def perform(self, effects: list[Effect]) -> Said:
        """Do as a host with an instant disk does; what left for others."""
        said: Said = []
        for effect in effects:
            if isinstance(effect, Commit):
                self.commits.append(effect.position)
            elif isinstance(effect, Restore):
                self.restored.append((effect.position, effect.state))
            elif isinstance(effect, Persist) and effect.record is not None:
                self.written.append(effect.record)
        for effect in effects:
            send = effect.then if isinstance(effect, Persist) else effect
            if isinstance(send, Send) and send.to == self.engine.id:
                said += self.hear(send.to, send.message)
            elif isinstance(send, Send):
                said.append((send.to, send.message))
        return said

    def hear(self, sender: int, message: Message, after_ns: int = 0) -> Said:
        """A message arrives."""
        self.now += after_ns
        return self.perform(self.engine.step(sender, message, self.now))

    def propose(self, *commands: bytes) -> Said:
        return self.perform(self.engine.propose(list(commands), self.now))

    def time_out(self) -> Said:
        """Its deadline comes."""
        self.now = self.engine.deadline
        return self.perform(self.engine.tick(self.now))

    def elect(self) -> Said:
        """It stands, and everybody votes for it; what it says as a new leader."""
        said = self.time_out()
        for peer in self.engine.peers:
            if not any(isinstance(message, RequestVote) for _, message in said):
                said = self.hear(peer, PreVoteReply(self.engine.term, self.engine.term + 1, True))
        for peer in self.engine.peers:
            if not self.engine.leading:
                said = self.hear(peer, RequestVoteReply(self.engine.term, True))
        assert self.engine.leading
        return said

    def role(self) -> str:
        return self.engine.status().role


def converse(one: Alone, other: Alone, said: Said, limit: int = 1000) -> Said:
    """Let two replicas talk until both are silent, what they say to others being lost; all that was heard."""
    heard: Said = []
    under_way = [(one, other, message) for to, message in said if to == other.engine.id]
    while under_way:
        sender, receiver, message = under_way.pop(0)
        heard.append((receiver.engine.id, message))
        assert len(heard) < limit, "they never stop talking"
        under_way += [
            (receiver, sender, answer)
            for to, answer in receiver.hear(sender.engine.id, message)
            if to == sender.engine.id
        ]
    return heard
