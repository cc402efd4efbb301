"""What Zab says and writes: one class per message and per record, in the order in which a run meets them.

A zxid is a pair (epoch, position). ``session`` numbers the attempts of one replica to follow or to lead; it
stands for the TCP connection of ZooKeeper's learner, and tells an answer to this attempt from one to an
earlier attempt.
"""
from __future__ import annotations

from engines.core import Message, Record

LOOKING, FOLLOWING, LEADING = 0, 1, 2
STATES = ("looking", "following", "leading")


class Notification(Message, frozen=True):
    """Any replica to all, while it looks for a leader, and then to whoever asks: my vote, my round, my state.

    The vote is for ``leader``, whose current epoch is ``epoch`` and whose history ends at the zxid
    (``last_epoch``, ``last_position``).
    """

    leader: int
    epoch: int
    last_epoch: int
    last_position: int
    round: int
    state: int


class FollowerInfo(Message, frozen=True):
    """Follower to the leader it elected: I wish to follow; the last epoch I accepted (the paper's CEPOCH)."""

    session: int
    accepted_epoch: int


class LeaderInfo(Message, frozen=True):
    """Prospective leader to follower, once a quorum has joined: the new epoch (the paper's NEWEPOCH)."""

    session: int
    epoch: int


class AckEpoch(Message, frozen=True):
    """Follower to leader: my current epoch and the zxid at the end of my history.

    ``promised`` says that the new epoch was accepted with this answer; only such answers make a quorum.
    """

    session: int
    promised: bool
    current_epoch: int
    last_epoch: int
    last_position: int


class Trunc(Message, frozen=True):
    """Leader to follower: drop every proposal after ``position``; the leader's history does not have them."""

    position: int


class Diff(Message, frozen=True):
    """Leader to follower: a slice of what its history lacks, after the zxid (previous_epoch, first - 1)."""

    previous_epoch: int
    first: int
    entries: bytes


class Snap(Message, frozen=True):
    """Leader to follower: the whole state at the zxid (epoch, position), to one behind the log."""

    epoch: int
    position: int
    state: bytes


class NewLeader(Message, frozen=True):
    """Leader to follower: you have the initial history of this epoch, and whatever was proposed since."""

    epoch: int


class AckNewLeader(Message, frozen=True):
    """Follower to leader: the history up to ``position`` and the current epoch are on my disk."""

    session: int
    epoch: int
    position: int


class UpToDate(Message, frozen=True):
    """Leader to follower, once a quorum has the initial history: serve; ``position`` is committed."""

    position: int


class Proposal(Message, frozen=True):
    """Leader to follower: the proposals of this epoch from position ``first`` on, as the log packs them."""

    epoch: int
    first: int
    entries: bytes


class Ack(Message, frozen=True):
    """Follower to leader: my disk has your history up to the zxid (epoch, position)."""

    session: int
    epoch: int
    position: int


class CommitProposal(Message, frozen=True):
    """Leader to follower: everything up to the zxid (epoch, position) is committed (the paper's COMMIT)."""

    epoch: int
    position: int


class Ping(Message, frozen=True):
    """Leader to follower once a tick, and back: I am here."""


class Close(Message, frozen=True):
    """To a follower from whom it follows: this session is over, join anew (ZooKeeper: the socket closes)."""

    session: int


class AcceptedEpoch(Record, frozen=True):
    """The last epoch that this replica promised to (f.p): it joins no earlier one."""

    epoch: int


class CurrentEpoch(Record, frozen=True):
    """The last epoch whose initial history this replica has (f.a); every entry of it was written before."""

    epoch: int


class Appended(Record, frozen=True):
    """Proposals added to the end of the history."""

    entries: bytes


class Truncated(Record, frozen=True):
    """The history ends at ``position`` now."""

    position: int


class Snapshot(Record, frozen=True):
    """The state at the zxid (epoch, position) and all else that is still needed: older records may go."""

    position: int
    epoch: int
    state: bytes
    accepted_epoch: int
    current_epoch: int
    entries: bytes
