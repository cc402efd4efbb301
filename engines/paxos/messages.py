"""What Paxos replicas say to each other, and what they write down.

A ballot is one number, ``round << 16 | rank``, where the rank is the replica's place among the sorted voters: ballots are
compared as (round, replica) pairs are (Made Simple, 2.2: proposers choose from disjoint sets of numbers), and no two replicas
can make the same one. Ballot 0 is below all of them: nothing promised, nothing accepted.
"""
from __future__ import annotations

from engines.core import Message, Record

RANK_BITS = 16


def ballot_of(round: int, rank: int) -> int:
    """The ballot of this round of the replica with this rank among the sorted voters."""
    return round << RANK_BITS | rank


def round_of(ballot: int) -> int:
    """The round of a ballot."""
    return ballot >> RANK_BITS


def rank_of(ballot: int) -> int:
    """The rank, among the sorted voters, of the replica that made this ballot."""
    return ballot & ((1 << RANK_BITS) - 1)


class Inquiry(Message):
    """A replica that has lost the leader asks all others, before it disturbs anybody, whether they have too."""

    ballot: int


class LeaderLost(Message):
    """The answer to an Inquiry of that ballot, from a replica that hears no leader either."""

    ballot: int


class Prepare(Message):
    """Phase 1a, candidate to acceptors: promise this ballot, and tell what you accepted from slot ``first`` on."""

    ballot: int
    first: int


class Promise(Message):
    """Phase 1b, acceptor to candidate: nothing below ``ballot`` will be accepted any more.

    ``entries`` are the packed accepted entries of the slots from ``first`` on, at the ballots they were accepted at;
    nothing is accepted in ``[asked, first)``. ``last`` is the last accepted slot: where the entries end before it, the
    candidate asks on. Every slot up to ``committed`` is decided.
    """

    ballot: int
    asked: int
    first: int
    entries: bytes
    last: int
    committed: int


class Accept(Message):
    """Phase 2a, leader to acceptors: accept these packed entries from slot ``first`` on; all up to ``committed`` is decided."""

    ballot: int
    first: int
    entries: bytes
    committed: int


class Accepted(Message):
    """Phase 2b, acceptor to leader: each slot up to ``through`` is decided, or accepted at this ballot.

    ``beyond`` is the first slot of the answered Accept where that lies beyond a hole, else 0.
    """

    ballot: int
    through: int
    beyond: int


class Rejected(Message):
    """Acceptor to the sender of a message of ``ballot``: a higher one has been promised (PMMC's preemption)."""

    ballot: int
    promised: int


class Heartbeat(Message):
    """Leader to acceptors, at intervals: I lead this ballot, all up to ``committed`` is decided; ``sent_ns`` is its clock."""

    ballot: int
    committed: int
    sent_ns: int


class HeartbeatReply(Message):
    """Acceptor to leader: heard; ``through`` as in Accepted, ``sent_ns`` as in the Heartbeat."""

    ballot: int
    through: int
    sent_ns: int


class Snapshot(Message):
    """To a leader's learner, or to a candidate, that asks for slots compacted here: all up to ``position`` as one state.

    ``ballot`` is that of the leader who sends, or of the candidate who is sent it; ``term`` is the ballot of ``position``.
    """

    ballot: int
    position: int
    term: int
    state: bytes


class Promised(Record):
    """No ballot below this one is accepted any more. A candidate's own ballot is on record before its first Prepare."""

    ballot: int


class AcceptedSlots(Record):
    """These packed entries are accepted from slot ``first`` on, and ``ballot`` is promised; all up to ``committed`` is decided."""

    ballot: int
    first: int
    entries: bytes
    committed: int


class Compacted(Record):
    """The state machine at the decided ``position``, which was accepted at the ballot ``term``."""

    position: int
    term: int
    state: bytes
