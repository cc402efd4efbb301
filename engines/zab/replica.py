"""One replica of Zab: its state by role, its handlers in the order of the phases (see ``engines.zab``)."""
from __future__ import annotations

from engines.core import NEVER, NOBODY, Configuration, Dice, Effect, Engine, Message, Record, Status
from engines.zab.election import Election, Vote
from engines.zab.learner import Learner, Learners, common_position
from engines.zab.messages import (
    FOLLOWING,
    LEADING,
    LOOKING,
    STATES,
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
from ext.quorum import WON, MajorityQuorum

# The phases of a replica that leads or follows.
DISCOVERY, SYNCHRONISATION, BROADCAST = 1, 2, 3
# The stages of a learner: its FollowerInfo came, LeaderInfo was sent, AckEpoch came, history is under way,
# NewLeader was sent, AckNewLeader came.
JOINED, INFORMED, DISCOVERED, SYNCING, SYNCED, ACTIVE = 0, 1, 2, 3, 4, 5
MOST_PATIENCE = 64


class Zab(Engine):
    """Persisted: ``accepted_epoch`` (f.p), ``current_epoch`` (f.a), the log (history), ``snapshot`` at base.

    ``epoch``       of the leader followed, or of one's own; 0 until it is known
    ``session``     the number of this attempt to follow or to lead
    ``limit_ns``    how long a follower waits for a message of its leader
    ``patience``    how many times the usual init limit is waited for
    ``waiting``     who joined before this replica knew whether it leads, with their FollowerInfo
    ``learners``    who joined this leader, itself included
    """

    NAME = "zab"
    RECORDS = (AcceptedEpoch, CurrentEpoch, Appended, Truncated, Snapshot)
    HEARTBEATS = frozenset({Ping})
    FIFO_ONLY = True

    def __init__(
        self, id: int, configuration: Configuration, dice: Dice, options: ZabOptions | None = None
    ) -> None:
        super().__init__(id, configuration, dice)
        self.options = options or ZabOptions()
        self.inflight_limit = configuration.inflight_messages
        self.accepted_epoch = 0
        self.current_epoch = 0
        self.snapshot = b""
        self.state = LOOKING
        self.phase = DISCOVERY
        self.epoch = 0
        self.session = 0
        self.init_ns = self.sync_ns = self.limit_ns = 0
        self.patience = 1
        wait_ns = self.options.finalize_wait_ns
        self.election = Election(
            id, len(configuration.voters), configuration.heartbeat_ns if wait_ns is None else wait_ns,
            (configuration.heartbeat_ns, configuration.election_timeout_ns[1]),
        )
        self.waiting: dict[int, FollowerInfo] = {}
        self.learners = Learners(MajorityQuorum(configuration.voters))
        self.phase_ends_at = NEVER

    def dispatch(self, sender: int, message: Message) -> None:
        if type(message) is Ack:
            self.on_ack(sender, message)
        elif type(message) is Proposal:
            self.on_proposal(sender, message)
        elif type(message) is CommitProposal:
            self.on_commit(sender, message)
        else:
            Engine.dispatch(self, sender, message)

    # -- calls of the host -----------------------------------------------------------------------------------

    def recover(self, records: list[Record], now: int) -> list[Effect]:
        """What was written is what was promised; what of it is committed, the next leader will say."""
        self.begin(now)
        for record in records:
            if isinstance(record, Appended):
                self.log.append_packed(record.entries)
            elif isinstance(record, AcceptedEpoch):
                self.accepted_epoch = record.epoch
            elif isinstance(record, CurrentEpoch):
                self.current_epoch = record.epoch
            elif isinstance(record, Truncated):
                self.log.truncate(record.position + 1)
            else:
                assert isinstance(record, Snapshot)
                self.log.reset(record.position, record.epoch)
                self.log.append_packed(record.entries)
                self.snapshot = record.state
                self.accepted_epoch, self.current_epoch = record.accepted_epoch, record.current_epoch
        if self.log.base > 0:
            self.restore(self.log.base, self.snapshot)
        self.look()
        return self.effects

    def propose(self, commands: list[bytes], now: int) -> list[Effect]:
        """Propose to every synchronised follower in zxid order, and write at the same time (step l.3.1)."""
        self.begin(now)
        if not self.leading:
            self.redirect(commands)
            return self.effects
        first = last = self.log.last + 1
        if len(commands) == 1:
            self.log.append(self.epoch, commands[0])
        else:
            last = self.log.extend(self.epoch, commands)
        entries = self.log.slice(first, last + 1)
        message = Proposal(self.epoch, first, entries)
        for learner in self.learners.followers:
            if learner.next == first and learner.inflight < self.inflight_limit:
                learner.next = last + 1
                learner.inflight += 1
                self.send(learner.id, message)
        self.persist(Appended(entries), self.id, Ack(self.session, self.epoch, last))
        return self.effects

    def tick(self, now: int) -> list[Effect]:
        """A follower has heard nothing for too long; a leader's or an election's next step is due."""
        self.begin(now)
        if now < self.deadline:
            return self.effects
        if self.state == FOLLOWING:
            self.look_in_vain()
        elif self.state == LEADING:
            self.tick_leading()
        else:
            if self.election.resend(now) and now < self.election.finalize_at:
                self.broadcast(self.notification())
            self.conclude()
        return self.effects

    def disconnect(self, peer: int, now: int) -> list[Effect]:
        """The session with that peer is over; it may have noticed earlier, or not yet."""
        self.begin(now)
        self.waiting.pop(peer, None)
        if self.state == LOOKING:
            heard = self.election.forget(peer)
            if self.election.vote[3] == peer:
                self.look()
            elif heard:
                # It was up, so it may have missed our vote, as we may have missed its.
                self.send(peer, self.notification())
                self.conclude()
        elif self.state == FOLLOWING:
            if peer == self.leader:
                self.look()
        elif peer in self.learners.by_id:
            self.send(peer, Close(self.learners.by_id[peer].session))
            self.learners.drop(peer)
        return self.effects

    def compact(self, position: int, state: bytes, now: int) -> list[Effect]:
        """Keep the snapshot instead of the history up to it."""
        self.begin(now)
        assert position <= self.committed, "a snapshot of what is not committed"
        if position > self.log.base:
            self.log.compact(position)
            self.snapshot = state
            self.persist_only(self.restatement())
        return self.effects

    def restatement(self) -> Snapshot:
        """The snapshot at the log's base, and with it all that older records said and that still counts."""
        base, base_epoch = self.log.base, self.log.base_term
        entries = self.log.slice(base + 1, self.log.last + 1)
        return Snapshot(base, base_epoch, self.snapshot, self.accepted_epoch, self.current_epoch, entries)

    def status(self) -> Status:
        """The term is the current epoch: that of the last history that this replica took over, or leads."""
        leader = None if self.leader == NOBODY else self.leader
        return Status(STATES[self.state], leader, self.current_epoch, self.committed, self.log.last)

    # -- phase 0: fast leader election -----------------------------------------------------------------------

    def look(self) -> None:
        """Leave whoever is followed or led, and stand for election; everybody hears of it, and drops us."""
        self.state = LOOKING
        self.phase = DISCOVERY
        self.epoch = 0
        self.session += 1
        self.leader = NOBODY
        self.leading = False
        self.learners.reset()
        self.election.start(self.own_vote(), self.now)
        self.broadcast(self.notification())
        self.conclude()

    def look_in_vain(self) -> None:
        """A limit has passed. Where that was in synchronisation, a state may be longer under way, and would be so again."""
        if self.phase == SYNCHRONISATION:
            self.patience = min(2 * self.patience, MOST_PATIENCE)
        self.look()

    def own_vote(self) -> Vote:
        """For oneself; at the very first start for the favoured leader, of whom all then know."""
        candidate = self.id
        favoured = self.configuration.initial_leader
        undecided = self.accepted_epoch == 0 and self.log.last == 0
        if favoured is not None and undecided and self.election.round == 0:
            candidate = favoured
        return self.current_epoch, self.log.last_term, self.log.last, candidate

    def notification(self) -> Notification:
        """The vote, as it stands or as it was elected."""
        epoch, last_epoch, last_position, leader = self.election.vote
        return Notification(leader, epoch, last_epoch, last_position, self.election.round, self.state)

    def on_notification(self, sender: int, message: Notification) -> None:
        """A vote of one that looks, or the answer of one that does not."""
        if self.state != LOOKING:
            if message.state != LOOKING:
                return
            if sender != self.leader or not self.left_by_leader(message):
                self.learners.drop(sender)
                self.send(sender, self.notification())
                return
            self.look()
        if message.state == LOOKING:
            self.waiting.pop(sender, None)
        if self.election.hear(sender, message):
            self.broadcast(self.notification())
        elif message.state == LOOKING and message.round < self.election.round:
            self.send(sender, self.notification())
        self.conclude()

    def left_by_leader(self, message: Notification) -> bool:
        """Whether the leader, which looks, did lead before; or is in a later round, or for another by now.

        Votes only get better within a round, so whoever is for another there will not come back to itself.
        """
        if self.phase > DISCOVERY or message.round > self.election.round:
            return True
        return message.round == self.election.round and message.leader != self.leader

    def conclude(self) -> None:
        """Lead or follow, where the election is over."""
        elected = self.election.outcome(self.now)
        if elected == NOBODY:
            self.deadline = self.election.deadline()
        elif elected == self.id:
            self.lead()
        else:
            self.follow(elected)

    # -- phase 1: discovery ----------------------------------------------------------------------------------

    def follow(self, leader: int) -> None:
        """Join the elected leader, and turn away who thought it was us (step f.1.1)."""
        self.state = FOLLOWING
        self.leader = leader
        self.init_ns, self.sync_ns = self.options.draw_limits_ns(self.configuration, self.dice, self.patience)
        for follower, message in self.waiting.items():
            self.send(follower, Close(message.session))
        self.waiting.clear()
        self.send(leader, FollowerInfo(self.session, self.accepted_epoch))
        self.limit_ns = self.init_ns
        self.deadline = self.now + self.limit_ns

    def lead(self) -> None:
        """Begin as prospective leader, with oneself as the first learner."""
        self.state = LEADING
        self.leader = self.id
        self.init_ns, self.sync_ns = self.options.draw_limits_ns(self.configuration, self.dice, self.patience)
        self.phase_ends_at = self.now + self.init_ns
        self.deadline = min(self.now + self.configuration.heartbeat_ns, self.phase_ends_at)
        joining = dict(self.waiting)
        self.waiting.clear()
        self.admit(self.id, self.session, self.accepted_epoch)
        for sender, message in joining.items():
            self.on_follower_info(sender, message)

    def on_follower_info(self, sender: int, message: FollowerInfo) -> None:
        """Someone wishes to follow us; while we do not know whether we lead, it waits with us."""
        if self.state == LEADING:
            self.admit(sender, message.session, message.accepted_epoch)
        elif self.state == LOOKING:
            self.waiting[sender] = message
        else:
            self.send(sender, Close(message.session))

    def admit(self, id: int, session: int, accepted_epoch: int) -> None:
        """A learner; with a quorum of them the new epoch is chosen, later than any of theirs (step l.1.1)."""
        if 0 < self.epoch < accepted_epoch:
            self.look()
            return
        learner = self.learners.add(id, session, self.now)
        if self.epoch > 0:
            self.inform(learner)
            return
        self.learners.newest = max(self.learners.newest, accepted_epoch)
        if self.learners.joined.record(id, True) == WON:
            self.epoch = self.learners.newest + 1
            for waiting in list(self.learners.by_id.values()):
                self.inform(waiting)

    def inform(self, learner: Learner) -> None:
        """Ask for the promise of this epoch; our own is written as anybody's."""
        learner.stage = INFORMED
        if learner.id == self.id:
            self.accepted_epoch = self.epoch
            self.persist(AcceptedEpoch(self.epoch), self.id, self.ack_epoch(True))
        else:
            self.send(learner.id, LeaderInfo(learner.session, self.epoch))

    def on_leader_info(self, sender: int, message: LeaderInfo) -> None:
        """Promise a later epoch, once on disk; an epoch once promised is not promised again (f.1.2)."""
        if sender != self.leader or self.phase != DISCOVERY or message.session != self.session:
            return
        if message.epoch < self.accepted_epoch:
            self.look()
            return
        self.epoch = message.epoch
        self.phase = SYNCHRONISATION
        self.deadline = self.now + self.limit_ns
        if message.epoch > self.accepted_epoch:
            self.accepted_epoch = message.epoch
            self.persist(AcceptedEpoch(message.epoch), sender, self.ack_epoch(True))
        else:
            self.send(sender, self.ack_epoch(False))

    def ack_epoch(self, promised: bool) -> AckEpoch:
        """Where this replica's history stands."""
        return AckEpoch(self.session, promised, self.current_epoch, self.log.last_term, self.log.last)

    def on_ack_epoch(self, sender: int, message: AckEpoch) -> None:
        """With a quorum of promises, and no more recent history, ours is the initial one (l.1.2)."""
        learner = self.learners.find(sender, message.session, self.now)
        if learner is None or learner.stage != INFORMED:
            return
        learner.stage = DISCOVERED
        learner.last_epoch = message.last_epoch
        learner.last_position = message.last_position
        if self.phase != DISCOVERY:
            self.synchronise(learner)
            return
        theirs = (message.current_epoch, message.last_epoch, message.last_position)
        if theirs > (self.current_epoch, self.log.last_term, self.log.last):
            self.look()
        elif message.promised and self.learners.promised.record(sender, True) == WON:
            self.begin_synchronisation()

    # -- phase 2: synchronisation ----------------------------------------------------------------------------

    def begin_synchronisation(self) -> None:
        """The epoch is ours: our history becomes its initial one, here and at all that follow."""
        self.phase = SYNCHRONISATION
        self.phase_ends_at = self.now + self.init_ns
        self.current_epoch = self.epoch
        acknowledgement = AckNewLeader(self.session, self.epoch, self.log.last)
        self.persist(CurrentEpoch(self.epoch), self.id, acknowledgement)
        for learner in list(self.learners.by_id.values()):
            if learner.id == self.id:
                learner.stage = SYNCED
                learner.next = NOBODY
            elif learner.stage == DISCOVERED:
                self.synchronise(learner)

    def synchronise(self, learner: Learner) -> None:
        """Go on from the last zxid that both histories have: Snap, or Trunc, then Diff, then NewLeader."""
        learner.stage = SYNCING
        common = common_position(self.log, learner.last_epoch, learner.last_position)
        if common < self.log.base:
            learner.next = self.log.base
        else:
            if common < learner.last_position:
                self.send(learner.id, Trunc(common))
            learner.next = common + 1
        self.pump(learner)

    def pump(self, learner: Learner) -> None:
        """Send what the learner lacks, as far as its window is open; then NewLeader, or what is committed."""
        while learner.next <= self.log.last and learner.inflight < self.inflight_limit:
            self.send_slice(learner)
        if learner.stage == SYNCING and learner.next > self.log.last:
            learner.stage = SYNCED
            self.learners.followers.append(learner)
            self.send(learner.id, NewLeader(self.epoch))
        elif learner.stage == ACTIVE:
            self.tell(learner)

    def send_slice(self, learner: Learner) -> None:
        """One message of history: the snapshot where the learner is behind the log, a Diff, or a Proposal."""
        first = learner.next
        learner.inflight += 1
        if first <= self.log.base:
            self.send(learner.id, Snap(self.log.base_term, self.log.base, self.snapshot))
            learner.next = self.log.base + 1
            learner.told = self.log.base
            return
        stop = self.log.stop_within(first, self.configuration.message_bytes)
        entries = self.log.slice(first, stop)
        learner.next = stop
        if learner.stage == SYNCING:
            self.send(learner.id, Diff(self.log.term(first - 1), first, entries))
        else:
            self.send(learner.id, Proposal(self.epoch, first, entries))

    def on_trunc(self, sender: int, message: Trunc) -> None:
        """Drop what the leader's history does not have; nothing of it was committed."""
        if not self.heard_leader(sender):
            return
        assert self.committed <= message.position < self.log.last, "a leader takes back what was committed"
        self.log.truncate(message.position + 1)
        self.persist_only(Truncated(message.position))

    def on_diff(self, sender: int, message: Diff) -> None:
        """Add a slice of the leader's history."""
        if not self.heard_leader(sender):
            return
        if message.first == self.log.last + 1 and message.previous_epoch == self.log.last_term:
            self.append(message.entries)
        else:
            self.look()

    def on_snap(self, sender: int, message: Snap) -> None:
        """Take over the whole state, and a log that begins after it."""
        if not self.heard_leader(sender):
            return
        assert message.position > self.committed, "a leader takes back what was committed"
        self.log.reset(message.position, message.epoch)
        self.snapshot = message.state
        self.restore(message.position, message.state)
        self.persist(self.restatement(), sender, Ack(self.session, self.epoch, self.log.last))

    def on_new_leader(self, sender: int, message: NewLeader) -> None:
        """The initial history is complete: write the epoch after it, and say so (step f.2.1)."""
        if not self.heard_leader(sender):
            return
        assert message.epoch == self.epoch
        record = CurrentEpoch(message.epoch) if message.epoch != self.current_epoch else None
        self.current_epoch = message.epoch
        self.persist(record, sender, AckNewLeader(self.session, self.epoch, self.log.last))

    def on_ack_new_leader(self, sender: int, message: AckNewLeader) -> None:
        """With a quorum of these the epoch is established, the initial history committed: serve (l.2.2)."""
        learner = self.learners.find(sender, message.session, self.now)
        if learner is None or learner.stage != SYNCED or message.epoch != self.epoch:
            return
        learner.stage = ACTIVE
        moved = self.learners.acks.acknowledge(sender, message.position)
        if self.phase == BROADCAST:
            self.send_up_to_date(learner)
            if moved:
                self.advance()
        elif self.learners.synchronised.record(sender, True) == WON:
            self.phase = BROADCAST
            self.patience = 1
            self.phase_ends_at = NEVER
            self.leading = True
            self.commit_through(self.learners.acks.committed)
            for synchronised in self.learners.followers:
                if synchronised.stage == ACTIVE:
                    self.send_up_to_date(synchronised)

    def send_up_to_date(self, learner: Learner) -> None:
        """Let the learner serve, with what of its history is committed."""
        if learner.id != self.id:
            learner.told = min(self.committed, learner.next - 1)
            self.send(learner.id, UpToDate(learner.told))

    def on_up_to_date(self, sender: int, message: UpToDate) -> None:
        """From now on commits come one by one (step f.2.2)."""
        if not self.heard_leader(sender):
            return
        assert self.current_epoch == self.epoch and message.position <= self.log.last
        self.phase = BROADCAST
        self.patience = 1
        self.limit_ns = self.sync_ns
        self.deadline = self.now + self.limit_ns
        self.commit_through(message.position)

    # -- phase 3: broadcast ----------------------------------------------------------------------------------

    def on_proposal(self, sender: int, message: Proposal) -> None:
        """Accept in zxid order, and acknowledge once it is on disk (step f.3.1); a gap ends the session."""
        if self.heard_leader(sender):
            self.accept(message.epoch, message.first, message.entries)

    def accept(self, epoch: int, first: int, entries: bytes) -> None:
        """See ``on_proposal``."""
        if first == self.log.last + 1 and epoch == self.current_epoch:
            self.append(entries)
        else:
            self.look()

    def append(self, entries: bytes) -> None:
        """Add to the history, and acknowledge all of it once this is on disk."""
        last = self.log.append_packed(entries)
        self.persist(Appended(entries), self.leader, Ack(self.session, self.epoch, last))

    def on_ack(self, sender: int, message: Ack) -> None:
        """What a quorum has is committed (step l.3.2); before AckNewLeader this only opens the window."""
        learner = self.learners.find(sender, message.session, self.now)
        if learner is not None:
            self.count(learner, message.epoch, message.position)

    def count(self, learner: Learner, epoch: int, position: int) -> None:
        """See ``on_ack``."""
        if epoch != self.epoch:
            return
        if learner.inflight > 0:
            learner.inflight -= 1
        if learner.stage == ACTIVE and self.learners.acks.acknowledge(learner.id, position):
            self.advance()
        if learner.next <= self.log.last:
            self.pump(learner)

    def advance(self) -> None:
        """Commit in zxid order, and tell each follower of what it was sent."""
        position = self.learners.acks.committed
        self.commit_through(position)
        message = CommitProposal(self.epoch, position)
        for learner in self.learners.followers:
            if learner.stage != ACTIVE:
                continue
            if learner.next > position:
                learner.told = position
                self.send(learner.id, message)
            else:
                self.tell(learner)

    def tell(self, learner: Learner) -> None:
        """A commit must not overtake the proposal: a learner that lags is told of what it was sent."""
        position = min(self.committed, learner.next - 1)
        if position > learner.told:
            learner.told = position
            self.send(learner.id, CommitProposal(self.epoch, position))

    def on_commit(self, sender: int, message: CommitProposal) -> None:
        """Deliver up to there (step f.3.2)."""
        if self.heard_leader(sender):
            self.deliver(message.epoch, message.position)

    def deliver(self, epoch: int, position: int) -> None:
        """See ``on_commit``."""
        if self.phase == BROADCAST and epoch == self.epoch and position <= self.log.last:
            self.commit_through(position)
        else:
            self.look()

    # -- who is there ----------------------------------------------------------------------------------------

    def heard_leader(self, sender: int) -> bool:
        """Whether this is of the session with the leader; if so, the leader's time begins anew."""
        if sender != self.leader or self.phase < SYNCHRONISATION:
            return False
        self.deadline = self.now + self.limit_ns
        return True

    def tick_leading(self) -> None:
        """Ping every learner; look anew where a phase takes too long, or a quorum was silent for too long."""
        self.learners.find(self.id, self.session, self.now)
        silent = self.phase == BROADCAST and self.now >= self.learners.quorum_heard_at() + self.sync_ns
        if silent or self.now >= self.phase_ends_at:
            self.look_in_vain()
            return
        for learner in self.learners.by_id.values():
            if learner.stage != JOINED and learner.id != self.id:
                self.send(learner.id, Ping())
        self.deadline = min(self.now + self.configuration.heartbeat_ns, self.phase_ends_at)

    def on_ping(self, sender: int, message: Ping) -> None:
        """A follower answers its leader; a leader takes note."""
        if self.state == FOLLOWING:
            if self.heard_leader(sender):
                self.send(sender, message)
        elif sender in self.learners.by_id:
            self.learners.by_id[sender].heard = self.now

    def on_close(self, sender: int, message: Close) -> None:
        """The leader has dropped us, or follows somebody itself: look, and join anew."""
        if self.state == FOLLOWING and sender == self.leader and message.session == self.session:
            self.look()

    HANDLERS = {  # noqa: RUF012  (Cython warns of a ClassVar)
        Notification: on_notification,
        FollowerInfo: on_follower_info,
        LeaderInfo: on_leader_info,
        AckEpoch: on_ack_epoch,
        Trunc: on_trunc,
        Diff: on_diff,
        Snap: on_snap,
        NewLeader: on_new_leader,
        AckNewLeader: on_ack_new_leader,
        UpToDate: on_up_to_date,
        Proposal: on_proposal,
        Ack: on_ack,
        CommitProposal: on_commit,
        Ping: on_ping,
        Close: on_close,
    }
