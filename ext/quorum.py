"""Quorum systems, and the counters that engines keep over them.

A quorum system says which sets of voters may decide. All are monotone: a set that contains a quorum is one.

    MajorityQuorum(voters)               more than half of the voters
    FlexibleQuorum(voters, size)         any ``size`` of the voters (Howard, Malkhi, Spiegelman 2016)
    JointQuorum(incoming, outgoing)      a majority of each of two configurations (Ongaro's thesis, 4.3)
    WeightedQuorum(weights)              more than half of all weight (Gifford 1979)
    GridQuorum(rows)                     all of one row and one of every row (Cheung, Ammar, Ahamad 1992)

    voters                               tuple of distinct ids, in the order given
    committed_index(acked) -> int        largest index acknowledged by a quorum; a voter not in acked has 0
    vote_result(votes) -> str            "won", "lost" (no quorum can be had any more) or "pending"
    holds(members: set) -> bool          whether these voters contain a quorum

    intersects(phase1, phase2) -> bool   whether every quorum of the one meets every quorum of the other

Where there are no voters nothing is constrained: every vote is won, and the committed index is UNBOUNDED.
Ids and indices are unsigned 64-bit numbers; senders that are no voters are ignored.

What an engine keeps:

    acks = AckTracker(quorum)
    acks.acknowledge(voter, position) -> bool
                                  True where this moved ``committed``; duplicates, older positions and unknown
                                  voters change nothing
    acks.committed                largest position acknowledged by a quorum (0 at first)
    acks.position(voter) -> int   what this voter acknowledged (0 at first, and for unknown voters)
    acks.reset()                  forget all

    votes = VoteTracker(quorum)
    votes.record(voter, granted) -> str
                                  "won", "lost" or "pending" after this answer; a voter's first one counts
    votes.result                  the same, without a new answer
    votes.answered(voter) -> bool whether this voter's answer was counted
    votes.reset()                 forget all
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import cython

if not cython.compiled:
    from ext.memory import allocate, release

UNBOUNDED = 2**64 - 1
WON = "won"
LOST = "lost"
PENDING = "pending"

SEARCHED_VOTERS = 14


class QuorumSystem:
    """A monotone quorum system: a subclass says in ``holds`` which sets of voters contain a quorum."""

    def __init__(self, voters: Iterable[int]) -> None:
        self.voters = tuple(dict.fromkeys(voters))
        for voter in self.voters:
            if not isinstance(voter, int) or not 0 <= voter < 2**64:
                raise ValueError(f"a voter must be an unsigned 64-bit number, not {voter!r}")

    def holds(self, members: set[int]) -> bool:
        """Whether these voters contain a quorum."""
        raise NotImplementedError

    def committed_index(self, acked: Mapping[int, int]) -> int:
        """The largest index that a quorum has acknowledged; UNBOUNDED where nobody need agree."""
        if self.holds(set()):
            return UNBOUNDED
        indices = sorted({acked.get(voter, 0) for voter in self.voters} | {0}, reverse=True)
        for index in indices:
            if self.holds({voter for voter in self.voters if acked.get(voter, 0) >= index}):
                return index
        raise AssertionError("all voters together are a quorum")

    def vote_result(self, votes: Mapping[int, bool]) -> str:
        """What these answers decide: won, lost or pending."""
        if self.holds({voter for voter in self.voters if votes.get(voter, False)}):
            return WON
        if self.holds({voter for voter in self.voters if votes.get(voter, True)}):
            return PENDING
        return LOST


class FlexibleQuorum(QuorumSystem):
    """Any ``size`` of the voters; safe only beside a phase whose quorums it meets (see ``intersects``)."""

    def __init__(self, voters: Iterable[int], size: int) -> None:
        QuorumSystem.__init__(self, voters)
        if not min(1, len(self.voters)) <= size <= max(1, len(self.voters)):
            raise ValueError(f"a quorum of {len(self.voters)} voters cannot have the size {size}")
        self.size = size if self.voters else 0
        self.largest = allocate(self.size)

    def __dealloc__(self) -> None:
        release(self.largest)

    def holds(self, members: set[int]) -> bool:
        """Whether there are enough of them."""
        return len(members.intersection(self.voters)) >= self.size

    def committed_index(self, acked: Mapping[int, int]) -> int:
        """The size-th largest of the acknowledged indices; UNBOUNDED where there are no voters."""
        if self.size == 0:
            return UNBOUNDED
        return self.ranked(acked if type(acked) is dict else dict(acked))

    def ranked(self, acked: dict[int, int]) -> int:
        """The size-th largest, by insertion into the largest ones so far; a missing index counts as 0."""
        largest = self.largest
        size = self.size
        kept = 0
        for voter in self.voters:
            index = acked.get(voter, 0)
            if kept < size:
                kept += 1
            elif index <= largest[size - 1]:
                continue
            rank = kept - 1
            while rank > 0 and largest[rank - 1] < index:
                largest[rank] = largest[rank - 1]
                rank -= 1
            largest[rank] = index
        return largest[size - 1]


class MajorityQuorum(FlexibleQuorum):
    """More than half of the voters."""

    def __init__(self, voters: Iterable[int]) -> None:
        distinct = tuple(dict.fromkeys(voters))
        FlexibleQuorum.__init__(self, distinct, len(distinct) // 2 + 1)


class JointQuorum(QuorumSystem):
    """A majority of the incoming and one of the outgoing configuration, while the one replaces the other."""

    def __init__(self, incoming: Iterable[int], outgoing: Iterable[int]) -> None:
        self.incoming = MajorityQuorum(incoming)
        self.outgoing = MajorityQuorum(outgoing)
        QuorumSystem.__init__(self, self.incoming.voters + self.outgoing.voters)

    def holds(self, members: set[int]) -> bool:
        """Whether both configurations have their majority."""
        return self.incoming.holds(members) and self.outgoing.holds(members)

    def committed_index(self, acked: Mapping[int, int]) -> int:
        """What both configurations have committed."""
        return min(self.incoming.committed_index(acked), self.outgoing.committed_index(acked))


class WeightedQuorum(QuorumSystem):
    """Voters that hold more than half of all weight; a voter of weight 0 may be there and never counts."""

    def __init__(self, weights: Mapping[int, int]) -> None:
        QuorumSystem.__init__(self, weights)
        self.weights = dict(weights)
        if any(weight < 0 for weight in self.weights.values()):
            raise ValueError(f"a weight must not be negative: {self.weights}")
        if self.weights and not any(self.weights.values()):
            raise ValueError("at least one voter must have a weight above 0")
        self.total = sum(self.weights.values())

    def holds(self, members: set[int]) -> bool:
        """Whether they hold more than half of all weight."""
        held = sum([weight for voter, weight in self.weights.items() if voter in members])
        return 2 * held > self.total or not self.weights


class GridQuorum(QuorumSystem):
    """All of one row and at least one of every row, so that any two quorums meet: where the one has all of a
    row, the other has somebody. Rows need not be of one length, and a row without voters constrains nothing.

    This is the write quorum of the grid protocol, with rows where the paper says columns.
    """

    def __init__(self, rows: Iterable[Iterable[int]]) -> None:
        filled = [tuple(row) for row in rows]
        QuorumSystem.__init__(self, [voter for row in filled for voter in row])
        self.rows = [frozenset(row) for row in filled if row]

    def holds(self, members: set[int]) -> bool:
        """Whether they contain one row and a member of every row."""
        whole = not self.rows
        for row in self.rows:
            if row.isdisjoint(members):
                return False
            whole = whole or row <= members
        return whole


def intersects(phase1: QuorumSystem, phase2: QuorumSystem) -> bool:
    """Whether every quorum of ``phase1`` meets every quorum of ``phase2`` (Flexible Paxos, section 4).

    Exact for majorities and counted quorums, and for anything over at most SEARCHED_VOTERS voters. Beyond
    that it is sound: True is proved (by equal weights, equal grids, or a half of a joint quorum that
    suffices), False says that no proof was found.
    """
    if isinstance(phase1, FlexibleQuorum) and isinstance(phase2, FlexibleQuorum):
        return _counted_intersect(phase1, phase2)
    if _equal_weights(phase1, phase2) or _equal_grids(phase1, phase2):
        return True
    if isinstance(phase1, JointQuorum) and (
        intersects(phase1.incoming, phase2) or intersects(phase1.outgoing, phase2)
    ):
        return True
    if isinstance(phase2, JointQuorum) and (
        intersects(phase1, phase2.incoming) or intersects(phase1, phase2.outgoing)
    ):
        return True
    voters = tuple(dict.fromkeys(phase1.voters + phase2.voters))
    return len(voters) <= SEARCHED_VOTERS and not _disjoint_found(voters, phase1, phase2)


def _counted_intersect(phase1: FlexibleQuorum, phase2: FlexibleQuorum) -> bool:
    """Each side first takes voters that the other does not have; the rest must not fit into the common."""
    common = len(set(phase1.voters).intersection(phase2.voters))
    needed1 = max(0, phase1.size - (len(phase1.voters) - common))
    needed2 = max(0, phase2.size - (len(phase2.voters) - common))
    return needed1 + needed2 > common


def _equal_weights(phase1: QuorumSystem, phase2: QuorumSystem) -> bool:
    return (
        isinstance(phase1, WeightedQuorum) and isinstance(phase2, WeightedQuorum)
        and phase1.weights == phase2.weights != {}
    )


def _equal_grids(phase1: QuorumSystem, phase2: QuorumSystem) -> bool:
    return (
        isinstance(phase1, GridQuorum) and isinstance(phase2, GridQuorum)
        and set(phase1.rows) == set(phase2.rows) != set()
    )


def _disjoint_found(voters: Sequence[int], phase1: QuorumSystem, phase2: QuorumSystem) -> bool:
    """Whether some split of the voters gives both sides a quorum, by trying all."""
    for mask in range(1 << len(voters)):
        members = {voter for bit, voter in enumerate(voters) if mask >> bit & 1}
        if phase1.holds(members) and phase2.holds(set(voters) - members):
            return True
    return False


class AckTracker:
    """The position that each voter has acknowledged, and the largest that a quorum has: ``committed``.

    ``ids`` are the voters in ascending order, ``positions`` what each of them acknowledged. Where quorums are
    counted, ``ranked`` holds the same positions in ascending order: an acknowledgement moves one of them up,
    and the committed position is found at a fixed rank. Other systems are asked, where the answer can have
    changed.
    """

    def __init__(self, quorum: QuorumSystem) -> None:
        self.quorum = quorum
        self.count = len(quorum.voters)
        self.counted = isinstance(quorum, FlexibleQuorum)
        self.rank = self.count - quorum.size if isinstance(quorum, FlexibleQuorum) else 0
        self.ids = allocate(self.count)
        self.positions = allocate(self.count)
        self.ranked = allocate(self.count)
        for slot, voter in enumerate(sorted(quorum.voters)):
            self.ids[slot] = voter
        self.reset()

    def __dealloc__(self) -> None:
        release(self.ids)
        release(self.positions)
        release(self.ranked)

    def reset(self) -> None:
        """Forget all acknowledgements."""
        for slot in range(self.count):
            self.positions[slot] = 0
            self.ranked[slot] = 0
        self.committed = self.quorum.committed_index({})

    def slot(self, voter: int) -> int:
        """Where the voter stands in ``ids``; ``count`` where it is none."""
        if voter < self.count and self.ids[voter] == voter:
            return voter
        low = 0
        high = self.count
        while low < high:
            middle = (low + high) // 2
            if self.ids[middle] < voter:
                low = middle + 1
            else:
                high = middle
        return low if low < self.count and self.ids[low] == voter else self.count

    def position(self, voter: int) -> int:
        """What this voter acknowledged; 0 where it is unknown or has not answered."""
        slot = self.slot(voter)
        return self.positions[slot] if slot < self.count else 0

    def acknowledge(self, voter: int, position: int) -> bool:
        """The voter has everything up to ``position``. True where that moved ``committed``."""
        slot = self.slot(voter)
        if slot == self.count:
            return False
        before = self.positions[slot]
        if position <= before:
            return False
        self.positions[slot] = position
        committed = self.raise_rank(before, position) if self.counted else self.asked(before, position)
        if committed == self.committed:
            return False
        assert committed > self.committed, "an acknowledgement took a commit back"
        self.committed = committed
        return True

    def raise_rank(self, before: int, position: int) -> int:
        """Move one of the ranked positions up; the committed position."""
        ranked = self.ranked
        last = self.count - 1
        rank = 0
        while ranked[rank] != before:
            rank += 1
        while rank < last and ranked[rank + 1] < position:
            ranked[rank] = ranked[rank + 1]
            rank += 1
        ranked[rank] = position
        return ranked[self.rank]

    def asked(self, before: int, position: int) -> int:
        """Ask the quorum system, unless the voter was already, or is still not, beyond what is committed."""
        if before > self.committed or position <= self.committed:
            return self.committed
        acked = {self.ids[slot]: self.positions[slot] for slot in range(self.count)}
        return self.quorum.committed_index(acked)


class VoteTracker:
    """The answers to one election; the first answer of a voter counts."""

    def __init__(self, quorum: QuorumSystem) -> None:
        self.quorum = quorum
        self.reset()

    def reset(self) -> None:
        """Forget all answers."""
        self.votes: dict[int, bool] = {}
        self.result = self.quorum.vote_result(self.votes)

    def record(self, voter: int, granted: bool) -> str:
        """Count an answer; the result after it."""
        if voter in self.quorum.voters and voter not in self.votes:
            self.votes[voter] = granted
            self.result = self.quorum.vote_result(self.votes)
        return self.result

    def answered(self, voter: int) -> bool:
        """Whether this voter's answer was counted."""
        return voter in self.votes
