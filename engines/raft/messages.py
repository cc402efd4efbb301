"""What Raft's replicas say to each other, and what each must find again after a crash.

Indices and terms are unsigned 64-bit. Section numbers are of Ongaro's thesis. ``round`` is a leader's counter
of its heartbeats and probes; answers repeat it, which tells belated ones.
"""
from __future__ import annotations

from engines.core import Message, Record


class PreVote(Message, frozen=True):
    """Would-be candidate to all: would you vote for me in ``term``, which is the one after mine? (9.6)"""

    term: int
    last_index: int
    last_term: int


class PreVoteReply(Message, frozen=True):
    """Voter to would-be candidate: whether it would, in the ``election`` asked about. The term is its own."""

    term: int
    election: int
    granted: bool


class RequestVote(Message, frozen=True):
    """Candidate to all, once its own vote is durable: vote for me in ``term``. (3.4)"""

    term: int
    last_index: int
    last_term: int


class RequestVoteReply(Message, frozen=True):
    """Voter to candidate, once its vote is durable."""

    term: int
    granted: bool


class AppendEntries(Message, frozen=True):
    """Leader to follower: the entries after ``prev_index``, packed as in the log; the commit index. (3.5)"""

    term: int
    round: int
    prev_index: int
    prev_term: int
    entries: bytes
    commit: int


class AppendEntriesReply(Message, frozen=True):
    """Follower to leader (and leader to itself): up to ``match`` my log equals yours and is durable.

    Where its term is newer than that of the message it answers, it only says that this leader is deposed.
    """

    term: int
    match: int


class AppendEntriesConflict(Message, frozen=True):
    """Follower to leader: my entry at ``prev_index`` is not yours.

    It is of ``conflict_term``, which begins at ``conflict_index`` here; or, where ``conflict_term`` is 0, my
    log ends just before ``conflict_index``. (end of 3.5)
    """

    term: int
    round: int
    prev_index: int
    conflict_term: int
    conflict_index: int


class Heartbeat(Message, frozen=True):
    """Leader to follower, at every interval: the last index sent before was ``sent``."""

    term: int
    round: int
    sent: int
    commit: int


class HeartbeatReply(Message, frozen=True):
    """Follower to leader: you had sent ``sent``; up to ``match`` my log equals yours and is durable."""

    term: int
    round: int
    sent: int
    match: int


class InstallSnapshot(Message, frozen=True):
    """Leader to follower: the whole state up to ``last_index``, from where my log goes on. (5.1)"""

    term: int
    last_index: int
    last_term: int
    state: bytes


class InstallSnapshotReply(Message, frozen=True):
    """Follower to leader: up to ``match`` my log equals yours and is durable."""

    term: int
    match: int


class Voted(Record, frozen=True):
    """The current term, and whom this replica voted for in it (NOBODY: no one yet)."""

    term: int
    vote: int


class Entries(Record, frozen=True):
    """From ``first`` on, the log is ``entries``: whatever it held from there is gone."""

    first: int
    entries: bytes


class Snapshot(Record, frozen=True):
    """The state up to ``last_index``; the log goes on from there."""

    last_index: int
    last_term: int
    state: bytes
