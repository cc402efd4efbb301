"""Raft: consensus through a strong leader.

After Diego Ongaro, "Consensus: Bridging Theory and Practice" (Stanford 2014), whose sections are cited.

Time is divided into terms. A term has at most one leader, because a replica votes once a term and a leader
needs a quorum of votes (3.4). Clients' commands become entries of the leader's log; the leader copies its
log to the followers, and an entry of its own term that a quorum holds on disk is committed, together with
all before it (3.5, 3.6.2). Votes go only to candidates whose log is at least as up to date as the voter's
(3.6.1): so every later leader holds every committed entry, and a follower may be made to agree with its
leader by overwriting.

    candidate              voters        leader                     followers
        | PreVote ----------->|             | AppendEntries ------------->|  entries; commit index
        |<-- PreVoteReply ----|  9.6        | (its own disk, in parallel) |  written, then:
        | RequestVote ------->|             |<------- AppendEntriesReply -|  up to here our logs are equal
        |<- RequestVoteReply -|  3.4        |<---- AppendEntriesConflict -|  not there; try here
        | a no-op in its log  |             | InstallSnapshot ----------->|  my log begins after yours ends
        +--> leader                         |<----- InstallSnapshotReply -|
                                            | Heartbeat ----------------->|  at every heartbeat interval
                                            |<----------- HeartbeatReply -|  up to here our logs are equal

What differs from the thesis, or is left open by it:

- A heartbeat is a message of its own and not an empty AppendEntries: one message, one meaning, counted
  apart (etcd separates them too). Its commit index never passes what the follower is known to hold. Its
  reply says how much of what had been sent before has arrived: a lost message, or a lost reply, is made
  good within a heartbeat.
- A refusal is a message of its own, with the conflicting term and the first index of it (end of 3.5).
- ``verified`` is how far a follower knows its log to equal the leader's, in this term. It is what
  acknowledgements carry and what bounds the commit index: never the length of its log, whose tail may be
  another leader's.
- A snapshot travels whole, in one InstallSnapshot; the thesis cuts it into chunks (5.1).
- The leader writes its own disk while the network works (10.2.1), and counts itself when its write is
  durable.
- A leader numbers its rounds: every heartbeat and every probe begins one, and answers repeat the number. Of
  the refusals one a round is followed; else a window of messages, refused because one was overtaken, would
  be sent again for each of its refusals, and over datagrams that double messages this would never end.
- The flow to a follower is in one of three states: probe, replicate, snapshot (see ``progress``).
- Stepping down without a quorum (6.2) and loyalty to a leader that is heard (4.2.3) are one option.
"""
from __future__ import annotations

from engines.raft.messages import (
    AppendEntries,
    AppendEntriesConflict,
    AppendEntriesReply,
    Entries,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    InstallSnapshotReply,
    PreVote,
    PreVoteReply,
    RequestVote,
    RequestVoteReply,
    Snapshot,
    Voted,
)
from engines.raft.replica import Raft, RaftOptions

__all__ = [
    "AppendEntries",
    "AppendEntriesConflict",
    "AppendEntriesReply",
    "Entries",
    "Heartbeat",
    "HeartbeatReply",
    "InstallSnapshot",
    "InstallSnapshotReply",
    "PreVote",
    "PreVoteReply",
    "Raft",
    "RaftOptions",
    "RequestVote",
    "RequestVoteReply",
    "Snapshot",
    "Voted",
]
