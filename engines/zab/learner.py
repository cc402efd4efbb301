"""What a leader knows of a replica that joined it, and where their histories part."""
from __future__ import annotations

from ext.log import Log
from ext.quorum import AckTracker, QuorumSystem, VoteTracker


class Learner:
    """A replica in one session, the leader itself included; one that joins anew gets a new one.

    stage           how far it has come, from JOINED to ACTIVE (see ``engines.zab.replica``)
    last_epoch, last_position   the zxid at the end of its history when it joined
    next            the first position that was not sent to it
    told            the last position that it was told to be committed
    inflight        messages with entries that it has not acknowledged
    heard           when its last message came, ns
    """

    def __init__(self, id: int, session: int, heard: int) -> None:
        self.id = id
        self.session = session
        self.stage = 0
        self.last_epoch = 0
        self.last_position = 0
        self.next = 1
        self.told = 0
        self.inflight = 0
        self.heard = heard


class Learners:
    """All learners of one reign, and what their quorums have said.

    followers                           those that get each proposal as it is made, the leader not among them
    newest                              the latest accepted epoch of those that joined
    joined, promised, synchronised      the quorums of FollowerInfo, AckEpoch and AckNewLeader
    acks                                what is on whose disk
    heard                               when a quorum was last heard, ns; outlives a dropped learner
    """

    def __init__(self, quorum: QuorumSystem) -> None:
        self.by_id: dict[int, Learner] = {}
        self.followers: list[Learner] = []
        self.newest = 0
        self.joined = VoteTracker(quorum)
        self.promised = VoteTracker(quorum)
        self.synchronised = VoteTracker(quorum)
        self.acks = AckTracker(quorum)
        self.heard = AckTracker(quorum)

    def reset(self) -> None:
        """Before a reign, and after it."""
        self.by_id.clear()
        self.followers.clear()
        self.newest = 0
        self.joined.reset()
        self.promised.reset()
        self.synchronised.reset()
        self.acks.reset()
        self.heard.reset()

    def add(self, id: int, session: int, now: int) -> Learner:
        """A learner in a new session, instead of any that it had."""
        self.drop(id)
        self.by_id[id] = learner = Learner(id, session, now)
        return learner

    def drop(self, id: int) -> None:
        """Forget a learner, but not when it was heard."""
        learner = self.by_id.pop(id, None)
        if learner is not None:
            self.heard.acknowledge(id, learner.heard)
            if learner in self.followers:
                self.followers.remove(learner)

    def find(self, id: int, session: int, now: int) -> Learner | None:
        """The learner that was heard now, if this was of the session that it has."""
        learner = self.by_id.get(id)
        if learner is None or learner.session != session:
            return None
        learner.heard = now
        return learner

    def quorum_heard_at(self) -> int:
        """The latest time since which a quorum was heard, ns."""
        for learner in self.by_id.values():
            self.heard.acknowledge(learner.id, learner.heard)
        return self.heard.committed


def common_position(log: Log, epoch: int, position: int) -> int:
    """Where the log's greatest zxid stands that is at most (epoch, position), the end of another history.

    The two are the same up to there (see ``engines.zab``). Before the base where that part is compacted.
    """
    if (epoch, position) < (log.base_term, log.base):
        return log.base - 1
    low = log.base
    high = min(log.last, position)
    while low < high:
        middle = (low + high + 1) // 2
        if log.term(middle) <= epoch:
            low = middle
        else:
            high = middle - 1
    return low
