"""What Paxos replicas say to each other, and what they write down.

A ballot is one number, ``round << 16 | rank``, where the rank is the replica's place among the sorted voters.
So ballots compare as (round, replica) pairs do, and no two replicas can make the same one (PMS 2.5: disjoint
sets of numbers). Ballot 0 is below all of them: nothing promised, nothing accepted.
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


class Inquiry(Message, frozen=True):
    """A replica that has lost the leader asks all others whether they have too, before it stands."""

    ballot: int


class LeaderLost(Message, frozen=True):
    """The answer to an Inquiry of that ballot, from a replica that hears no leader either."""

    ballot: int


class Prepare(Message, frozen=True):
    """Phase 1a, candidate to acceptors: promise this ballot, tell what is accepted from slot ``first`` on."""

    ballot: int
    first: int


class Promise(Message, frozen=True):
    """Phase 1b, acceptor to candidate: nothing below ``ballot`` will be accepted any more.

    ``entries`` are the packed accepted entries of the slots from ``first`` on, at the ballots they were
    accepted at; nothing is accepted in ``[asked, first)``. ``last`` is the last accepted slot: where the
    entries end before it, the candidate asks on. Every slot up to ``committed`` is decided.
    """

    ballot: int
    asked: int
    first: int
    entries: bytes
    last: int
    committed: int


class StandInstead(Message, frozen=True):
    """Candidate of that ballot to an acceptor that knows more as decided than the candidate has accepted, and has not told
    it in one message: to lead, that one need not be told.
    """

    ballot: int


class Accept(Message, frozen=True):
    """Phase 2a, leader to acceptors: accept these packed entries from slot ``first`` on.

    Every slot up to ``committed`` is decided.
    """

    ballot: int
    first: int
    entries: bytes
    committed: int


class Accepted(Message, frozen=True):
    """Phase 2b, acceptor to leader: each slot up to ``through`` is decided, or accepted at this ballot.

    ``beyond`` is the first slot of the answered Accept where that lies beyond a hole, else 0.
    """

    ballot: int
    through: int
    beyond: int


class Rejected(Message, frozen=True):
    """Acceptor to the sender of a message of ``ballot``: a higher one is promised (PMMC's preemption)."""

    ballot: int
    promised: int


class Heartbeat(Message, frozen=True):
    """Leader to acceptors, at intervals: all up to ``committed`` is decided; ``sent_ns`` is its clock."""

    ballot: int
    committed: int
    sent_ns: int


class HeartbeatReply(Message, frozen=True):
    """Acceptor to leader: heard; ``through`` as in Accepted, ``sent_ns`` as in the Heartbeat."""

    ballot: int
    through: int
    sent_ns: int


class Snapshot(Message, frozen=True):
    """To a leader's learner, or to a candidate, that asks for slots compacted here: all up to ``position`` as
    one state.

    ``ballot`` is that of the leader who sends, or of the candidate who is sent it; ``term`` is the ballot of
    ``position``.
    """

    ballot: int
    position: int
    term: int
    state: bytes


class Promised(Record, frozen=True):
    """No ballot below this one is accepted any more; all up to ``committed`` is decided.

    A candidate's own ballot is on record before its first Prepare.
    """

    ballot: int
    committed: int


class AcceptedSlots(Record, frozen=True):
    """These packed entries are accepted from slot ``first`` on, and ``ballot`` is promised.

    Every slot up to ``committed`` is decided.
    """

    ballot: int
    first: int
    entries: bytes
    committed: int


class Compacted(Record, frozen=True):
    """The state machine at the decided ``position``, which was accepted at the ballot ``term``."""

    position: int
    term: int
    state: bytes
