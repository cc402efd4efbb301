"""Zab: atomic broadcast for a primary and its backups.

Sources: Junqueira, Reed, Serafini, "Zab: High-performance broadcast for primary-backup systems", DSN 2011
("the paper"); Medeiros, "ZooKeeper's atomic broadcast protocol: theory and practice", 2012, for fast leader
election and for what ZooKeeper 3.x refined ("Zab 1.0").

A primary turns commands into changes of state, each of which only makes sense after the ones before it. So
Zab keeps the order of each primary, and lets a new primary speak only once everything of its predecessors
that may have been committed is settled (primary order, section II). Its reign is an *epoch*; a proposal is
known by its *zxid*, (epoch, counter).

    looking          Notification <-> all        a quorum holds one vote: the best history that it saw wins
    discovery     follower         leader
                     |--FollowerInfo-->|        the last epoch it accepted
                     |<---LeaderInfo---|        from a quorum of those: a later epoch than any
                     |----AckEpoch---->|        promises it; where its own history ends
    synchronise      |<-Trunc,Diff,Snap|        from a quorum of those on: what makes its history the leader's
                     |<---NewLeader----|
                     |---AckNewLeader->|        history and current epoch are on disk
                     |<----UpToDate----|        from a quorum of those on, the leader serves
    broadcast        |<----Proposal----|        )
                     |------Ack------->|        ) 3 (n - 1) messages a command, in zxid order
                     |<-CommitProposal-|        )
                     |<-----Ping------>|        each tick

**Zxids and positions.** All replicas hold prefixes of one epoch's history each, and epochs in a history never
decrease, so a proposal's position in the log counts as well as a counter that begins anew in each epoch:
within an epoch, positions are the counters plus a constant. A zxid here is (epoch, position), the epoch is
the log's term, and zxids compare as in the paper.

**What makes it safe.** An epoch is used by the one leader to which a quorum promised it: each replica writes
the epoch that it accepted before it promises, and promises each epoch once. That leader's history is at least
as recent as any in that quorum (it steps back otherwise), by current epoch, then by zxid. A replica writes
its current epoch after the last entry of the initial history, on the same disk, whose records survive in
order; whoever crashes between the two still counts as of the older epoch. An acknowledgement names the epoch,
so that it can never speak for another history.

**Truncation.** A leader of a new epoch has the initial history of every epoch in which anything was ever
proposed. A learner's history ends at some zxid of such an epoch, so the two agree up to the greatest zxid of
the leader's log that is not beyond the learner's: everything after it goes (Trunc), what follows it in the
leader's log comes (Diff, in slices that obey ``message_bytes`` and ``inflight_messages``). A learner behind
the beginning of the leader's log gets the whole state in one message (Snap). One that lacks nothing gets
NewLeader alone.

**Sessions.** ZooKeeper's learner has a TCP connection that either end can close. Here the channel belongs to
the transport, so each attempt to follow has a number that the handshake repeats. A follower that looks for a
leader says so to all, and its leader drops it; a leader that gives up does the same. A leader that learns
late of a broken connection, perhaps only after the follower came back, cannot know what of its messages were
lost, and sends Close: the follower joins anew. The acceptors of a FollowerInfo that follow somebody else
answer Close, too.

**Patience.** ZooKeeper's initLimit must be raised by hand where the state is large. Here it need not be given:
each time that a synchronisation took longer than the limit, the next one is given twice as long.

**Differences from ZooKeeper.** A looking replica counts itself among the quorum that follows an established
leader, and a leader keeps leading for the sync limit after it lost a learner: a short break does not cost an
election. A leader that meets a follower which accepted a later epoch looks anew, because that follower could
not join it before the next election.
"""
from engines.zab.messages import (
    AcceptedEpoch,
    Ack,
    AckEpoch,
    AckNewLeader,
    Appended,
    Close,
    CommitProposal,
    CurrentEpoch,
    Diff,
    FollowerInfo,
    LeaderInfo,
    NewLeader,
    Notification,
    Ping,
    Proposal,
    Snap,
    Snapshot,
    Trunc,
    Truncated,
    UpToDate,
)
from engines.zab.options import ZabOptions
from engines.zab.replica import Zab

__all__ = [
    "AcceptedEpoch", "Ack", "AckEpoch", "AckNewLeader", "Appended", "Close", "CommitProposal", "CurrentEpoch",
    "Diff", "FollowerInfo", "LeaderInfo", "NewLeader", "Notification", "Ping", "Proposal", "Snap", "Snapshot",
    "Trunc", "Truncated", "UpToDate", "Zab", "ZabOptions",
]
