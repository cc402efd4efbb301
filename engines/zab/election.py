"""Fast leader election: one replica's view of it, without any input or output.

Votes are tuples (epoch, last_epoch, last_position, leader), so that the greater one is the better one: the
history of the later current epoch, of the later zxid, then the greater id. Every replica starts with a vote
for itself, adopts each better one that it hears in the same round, and follows a later round at once; a vote
held by a quorum is elected.
"""
from __future__ import annotations

from engines.core import NEVER, NOBODY
from engines.zab.messages import LOOKING, Notification

Vote = tuple[int, int, int, int]


def vote_in(message: Notification) -> Vote:
    """The vote that a notification carries."""
    return message.epoch, message.last_epoch, message.last_position, message.leader


class Election:
    """The rounds of one replica.

    own         its vote before it heard of others; vote: its vote now
    votes       voter -> vote, of this round, its own included
    settled     voter -> notification of one that already follows or leads
    finalize_at when the wait for a better vote ends, in ns; NEVER while no quorum holds the vote
    resend_at   when the vote is to be told again, in ns; at first after resend_range_ns[0], then ever later
    """

    def __init__(
        self, id: int, size: int, finalize_wait_ns: int, resend_range_ns: tuple[int, int]
    ) -> None:
        self.id = id
        self.size = size
        self.finalize_wait_ns = finalize_wait_ns
        self.resend_range_ns = resend_range_ns
        self.finalize_at = self.resend_at = NEVER
        self.resend_ns = 0
        self.round = 0
        self.own: Vote = (0, 0, 0, id)
        self.vote = self.own
        self.votes: dict[int, Vote] = {}
        self.settled: dict[int, Notification] = {}

    def start(self, own: Vote, now: int) -> None:
        """Begin the next round with this vote."""
        self.settled.clear()
        self.enter(self.round + 1, own)
        self.resend_ns = self.resend_range_ns[0]
        self.resend_at = now + self.resend_ns

    def enter(self, round: int, own: Vote) -> None:
        """Forget the votes of other rounds."""
        self.round = round
        self.own = self.vote = own
        self.votes = {self.id: own}
        self.finalize_at = NEVER

    def hear(self, sender: int, message: Notification) -> bool:
        """Count a notification; true where this changed the round or the vote: then all must hear of it."""
        vote = vote_in(message)
        later = False
        if message.state == LOOKING:
            self.settled.pop(sender, None)
            later = message.round > self.round
            if later:
                # A favoured leader is favoured in the first round only: from the second on it has to win.
                self.enter(message.round, (*self.own[:3], self.id))
        else:
            self.settled[sender] = message
        if message.round != self.round:
            return later
        self.votes[sender] = vote
        if vote <= self.vote:
            return later
        self.vote = self.votes[self.id] = vote
        self.finalize_at = NEVER
        return True

    def forget(self, peer: int) -> bool:
        """The connection broke, and the peer will vote again; true where it was heard in this election."""
        voted = self.votes.pop(peer, None) is not None
        return self.settled.pop(peer, None) is not None or voted

    def resend(self, now: int) -> bool:
        """Whether it is time to tell the vote again; if so, the next time is twice as far away."""
        if now < self.resend_at:
            return False
        self.resend_ns = min(2 * self.resend_ns, self.resend_range_ns[1])
        self.resend_at = now + self.resend_ns
        return True

    def deadline(self) -> int:
        """When ``resend`` or ``outcome`` may have news, in ns."""
        return min(self.resend_at, self.finalize_at)

    def outcome(self, now: int) -> int:
        """Who is elected; NOBODY as long as that is open.

        An established leader is joined at once. A quorum for our vote gives a better vote some time to come,
        unless everybody holds ours.
        """
        leader = self.established()
        if leader != NOBODY:
            message = self.settled[leader]
            self.round, self.vote = message.round, vote_in(message)
            return leader
        supporters = sum([vote == self.vote for vote in self.votes.values()])
        if 2 * supporters <= self.size:
            self.finalize_at = NEVER
            return NOBODY
        if self.finalize_at == NEVER:
            self.finalize_at = now + self.finalize_wait_ns
        return self.vote[3] if supporters == self.size or now >= self.finalize_at else NOBODY

    def established(self) -> int:
        """One who says that it leads, and whom, with this replica, a quorum follows; else NOBODY."""
        for sender, message in self.settled.items():
            if message.leader == sender:
                followed = sum([other.leader == sender for other in self.settled.values()])
                if 2 * (followed + 1) > self.size:
                    return sender
        return NOBODY
