"""Fast leader election: one replica's view of it, without any input or output.

Votes are tuples (epoch, last_epoch, last_position, leader), so that the greater one is the better one: the history of the
later current epoch, of the later zxid, then the greater id. Every replica starts with a vote for itself, adopts each
better one that it hears in the same round, and follows a later round at once; a vote held by a quorum is elected.
"""
from __future__ import annotations

from engines.core import NOBODY
from engines.zab.messages import LEADING, LOOKING, Notification

Vote = tuple[int, int, int, int]


def vote_in(message: Notification) -> Vote:
    """The vote that a notification carries."""
    return message.epoch, message.last_epoch, message.last_position, message.leader


class Election:
    """The rounds of one replica.

    own         its vote before it heard of others; vote: its vote now
    votes       voter -> vote, of this round, its own included
    settled     voter -> notification of one that already follows or leads
    """

    def __init__(self, id: int, voters: tuple[int, ...]) -> None:
        self.id = id
        self.size = len(voters)
        self.round = 0
        self.own: Vote = (0, 0, 0, id)
        self.vote = self.own
        self.votes: dict[int, Vote] = {}
        self.settled: dict[int, Notification] = {}

    def start(self, own: Vote) -> None:
        """Begin the next round with this vote."""
        self.settled.clear()
        self.enter(self.round + 1, own)

    def enter(self, round: int, own: Vote) -> None:
        """Forget the votes of other rounds."""
        self.round = round
        self.own = self.vote = own
        self.votes = {self.id: own}

    def hear(self, sender: int, message: Notification) -> bool:
        """Count a notification; true where this changed the round or the vote, which all must then hear of."""
        vote = vote_in(message)
        later = False
        if message.state == LOOKING:
            self.settled.pop(sender, None)
            later = message.round > self.round
            if later:
                # A favoured first leader is favoured in the first round only: from the second on it has to win.
                self.enter(message.round, (*self.own[:3], self.id))
        else:
            self.settled[sender] = message
        if message.round != self.round:
            return later
        self.votes[sender] = vote
        if vote <= self.vote:
            return later
        self.vote = self.votes[self.id] = vote
        return True

    def forget(self, peer: int) -> None:
        """The connection broke: the peer will say again where it stands."""
        self.votes.pop(peer, None)
        self.settled.pop(peer, None)

    def supporters(self) -> int:
        """How many hold the vote that this replica holds."""
        return sum([vote == self.vote for vote in self.votes.values()])

    def established(self) -> int:
        """One who says that it leads, and whom, with this replica, a quorum follows; else NOBODY."""
        for sender, message in self.settled.items():
            if message.state == LEADING and message.leader == sender:
                followed = sum([other.leader == sender for other in self.settled.values()])
                if 2 * (followed + 1) > self.size:
                    return sender
        return NOBODY

    def join(self, leader: int) -> None:
        """Take over the round and the vote of an established leader."""
        message = self.settled[leader]
        self.round = message.round
        self.vote = vote_in(message)
