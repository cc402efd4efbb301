"""What Zab says and writes: one class per message and per record, in the order in which a run meets them.

A zxid is a pair (epoch, position). ``session`` numbers the attempts of one replica to follow or to lead; it stands for the
TCP connection of ZooKeeper's learner, and tells an answer to this attempt from one to an earlier attempt.
"""
from __future__ import annotations

from engines.core import Message, Record

LOOKING, FOLLOWING, LEADING = 0, 1, 2
STATES = ("looking", "following", "leading")


class Notification(Message):
    """Any replica to all, while it looks for a leader, and to whoever asks, afterwards: my vote, my round, my state.

    The vote is for ``leader``, whose current epoch is ``epoch`` and whose history ends at the zxid
    (``last_epoch``, ``last_position``).
    """

    leader: int
    epoch: int
    last_epoch: int
    last_position: int
    round: int
    state: int


class FollowerInfo(Message):
    """Follower to the leader it elected: I wish to follow; the last epoch that I accepted (CEPOCH of the paper)."""

    session: int
    accepted_epoch: int


class LeaderInfo(Message):
    """Prospective leader to follower, once a quorum has joined: the new epoch (NEWEPOCH of the paper)."""

    session: int
    epoch: int


class AckEpoch(Message):
    """Follower to leader: my current epoch and the zxid at the end of my history.

    ``promised`` says that the new epoch was accepted with this answer; only such answers make a quorum.
    """

    session: int
    promised: bool
    current_epoch: int
    last_epoch: int
    last_position: int


class Trunc(Message):
    """Leader to follower: drop every proposal after ``position``; the leader's history does not have them."""

    position: int


class Diff(Message):
    """Leader to follower: a slice of the history that the follower lacks, after the zxid (previous_epoch, first - 1)."""

    previous_epoch: int
    first: int
    entries: bytes


class Snap(Message):
    """Leader to follower: the whole state at the zxid (epoch, position), for one behind the beginning of the log."""

    epoch: int
    position: int
    state: bytes


class NewLeader(Message):
    """Leader to follower: you have the initial history of this epoch, and whatever was proposed since."""

    epoch: int


class AckNewLeader(Message):
    """Follower to leader: the history up to ``position`` and the current epoch are on my disk."""

    session: int
    epoch: int
    position: int


class UpToDate(Message):
    """Leader to follower, once a quorum has the initial history: serve; everything up to ``position`` is committed."""

    position: int


class Proposal(Message):
    """Leader to follower: the proposals of this epoch from position ``first`` on, as the log packs them."""

    epoch: int
    first: int
    entries: bytes


class Ack(Message):
    """Follower to leader: my disk has your history up to the zxid (epoch, position)."""

    session: int
    epoch: int
    position: int


class CommitProposal(Message):
    """Leader to follower: everything up to the zxid (epoch, position) is committed (COMMIT of the paper)."""

    epoch: int
    position: int


class Ping(Message):
    """Leader to follower once a tick, and back: I am here."""


class Close(Message):
    """To a follower from the replica it follows: this session is over, join anew (ZooKeeper closes the connection)."""

    session: int


class AcceptedEpoch(Record):
    """The last epoch that this replica promised to (f.p): it joins no earlier one."""

    epoch: int


class CurrentEpoch(Record):
    """The last epoch whose initial history this replica has (f.a); every entry of it was written before."""

    epoch: int


class Appended(Record):
    """Proposals added to the end of the history."""

    entries: bytes


class Truncated(Record):
    """The history ends at ``position`` now."""

    position: int


class Snapshot(Record):
    """The state at the zxid (epoch, position), and all else that is still needed: older records may be dropped."""

    position: int
    epoch: int
    state: bytes
    accepted_epoch: int
    current_epoch: int
    entries: bytes
