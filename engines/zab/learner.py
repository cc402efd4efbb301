"""What a leader knows of a replica that joined it, and where their histories part."""
from __future__ import annotations

from ext.log import Log

JOINED, INFORMED, DISCOVERED, SYNCING, SYNCED, ACTIVE = 0, 1, 2, 3, 4, 5


class Learner:
    """A replica in one session, the leader itself included; one that joins anew gets a new one.

    stage           JOINED (its FollowerInfo came), INFORMED (LeaderInfo sent), DISCOVERED (AckEpoch came),
                    SYNCING (history under way), SYNCED (NewLeader sent), ACTIVE (AckNewLeader came)
    last_epoch, last_position   the zxid at the end of its history when it joined
    next            the first position that was not sent to it
    told            the last position that it was told to be committed
    inflight        messages with entries that it has not acknowledged
    heard           when its last message came, ns
    """

    def __init__(self, id: int, session: int, heard: int) -> None:
        self.id = id
        self.session = session
        self.stage = JOINED
        self.last_epoch = 0
        self.last_position = 0
        self.next = 1
        self.told = 0
        self.inflight = 0
        self.heard = heard


def common_position(log: Log, epoch: int, position: int) -> int:
    """The position of the log's greatest zxid that is at most (epoch, position), which ends another replica's history.

    The two are the same up to there (see ``engines.zab``). One before the log's base where that part is compacted.
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
