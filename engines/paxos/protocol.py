"""The engine: one replica as acceptor, proposer and learner. The essay is in ``engines.paxos``.

    candidate               acceptors         leader                           acceptors
       |  Prepare(ballot, first)  |              |  Accept(ballot, slots, commit)  |
       |------------------------->|  promise     |-------------------------------->|  slots
       |  Promise(ballot, slots)  |  on disk     |    Accepted(ballot, through)    |  on disk
       |<-------------------------|              |<--------------------------------|
    a phase-1 quorum: it leads                a phase-2 quorum: decided; the next Accept says so

How far an acceptor has come is one number: up to the slot ``matched`` it holds, for every slot, the decided value or the
one proposed at the ballot that it has promised. Such an acknowledgement is cumulative, survives loss, doubling and
overtaking, and may be counted for each of its slots: one that the acceptor knows as decided needs no votes. It falls back
to what is decided when a higher ballot is promised. A follower takes the leader's commit position at its word only up to
``matched``: what it holds beyond may come from an older ballot and differ from the decided value. Whoever has less is sent
the missing slots at the leader's ballot, decided ones too, since their value is the same; behind the beginning of the
leader's log it is sent a snapshot (PMMC on garbage collection).
"""
from __future__ import annotations

import cython

from engines.core import NOBODY, Configuration, Dice, Effect, Engine, Message, Record, Status
from engines.paxos.messages import (
    Accept,
    Accepted,
    AcceptedSlots,
    Compacted,
    Heartbeat,
    HeartbeatReply,
    Inquiry,
    LeaderLost,
    Prepare,
    Promise,
    Promised,
    Rejected,
    Snapshot,
    StandInstead,
    ballot_of,
    rank_of,
    round_of,
)
from engines.paxos.options import PaxosOptions
from engines.paxos.slots import Slots
from engines.paxos.window import Told, Window, window_of
from ext.log import count, retag, skip, unpack
from ext.quorum import WON, AckTracker, VoteTracker

if not cython.compiled:
    from ext.fields import with_3, with_4

FOLLOWER = "follower"
INQUIRER = "inquirer"
CANDIDATE = "candidate"
LEADER = "leader"

BACK_OFF_LIMIT = 8


class Paxos(Engine):
    """One replica. ValueError where the quorum systems of the phases do not meet, or know other voters.

    Acceptor and learner: ``promised`` is the highest ballot promised, ``recorded`` the highest whose promise has been handed
    to the disk; ``highest`` is the highest ballot heard of. Proposer: ``ballot`` is the one to inquire, stand or lead with.
    """

    NAME = "paxos"
    RECORDS = (Promised, AcceptedSlots, Compacted)
    HEARTBEATS = frozenset({Heartbeat, HeartbeatReply})

    def __init__(
        self, id: int, configuration: Configuration, dice: Dice, options: PaxosOptions = PaxosOptions()  # noqa: B008
    ) -> None:
        Engine.__init__(self, id, configuration, dice)
        self.voters = sorted(configuration.voters)
        self.phase1, self.phase2 = options.quorums(self.voters)
        self.inquire = options.inquire
        self.election_low_ns, self.election_high_ns = configuration.election_timeout_ns
        self.heartbeat_ns = configuration.heartbeat_ns
        self.message_bytes = configuration.message_bytes
        self.slots = Slots(self.log)
        self.promised = self.recorded = self.highest = self.ballot = 0
        self.matched = 0
        self.snapshot = Compacted(0, 0, b"")
        self.told = Told(self.election_high_ns, 2 * self.heartbeat_ns)
        self.role = FOLLOWER
        self.patience_ns = 0
        self.heard_at = 0
        self.failed_candidacies = 0
        self.handed_over: dict[int, int] = {}  # acceptor -> the candidacy in which it was asked to stand instead
        self.become_proposer_of(0)

    def become_proposer_of(self, ballot: int) -> None:
        """Forget what was counted for an older ballot of one's own."""
        self.ballot = ballot
        self.votes = VoteTracker(self.phase1)
        self.acks = AckTracker(self.phase2)
        self.windows: list[Window] = []
        self.adopted: dict[int, tuple[int, bytes]] = {}
        self.reported = dict.fromkeys(self.voters, self.committed)
        self.known_decided: dict[int, int] = {}
        self.prepared = False
        self.stood_at = self.ask_at = self.elect_at = self.heartbeat_at = self.now
        self.first_proposed = 0

    def dispatch(self, sender: int, message: Message) -> None:
        if type(message) is Accepted:
            self.on_accepted(sender, message)
        elif type(message) is Accept:
            self.on_accept(sender, message)
        else:
            Engine.dispatch(self, sender, message)

    # -- waiting for a leader --------------------------------------------------------------------------------

    def tick(self, now: int) -> list[Effect]:
        """An election timeout, the next heartbeat, or something to be sent again."""
        self.begin(now)
        if now < self.deadline:
            return self.effects
        if self.leading:
            self.lead_on()
        elif self.role == CANDIDATE and now < self.elect_at:
            self.ask_again()
        else:
            self.leader_is_lost()
        return self.effects

    def rest(self) -> None:
        """Wait for a leader, for a random time; its range widens with each failed candidacy (PMMC 3)."""
        widened = self.election_low_ns * min(self.failed_candidacies, BACK_OFF_LIMIT)
        self.patience_ns = self.dice.randint(self.election_low_ns, self.election_high_ns + widened)
        self.elect_at = self.deadline = self.now + self.patience_ns

    def retire(self) -> None:
        """Give up leading or standing."""
        self.role = FOLLOWER
        self.leading = False
        self.leader = NOBODY
        self.rest()

    def follow(self, ballot: int, leader: int) -> None:
        """The leader of a ballot not below the promise was heard."""
        if ballot > self.promised:
            self.promise(ballot)
        if self.leader != leader or self.role != FOLLOWER:
            assert leader == self.voters[rank_of(ballot)] != self.id, "somebody leads a ballot of another"
            self.failed_candidacies = 0
            self.retire()
            self.leader = leader
        self.heard_at = self.now
        self.deadline = self.now + self.patience_ns

    def promise(self, ballot: int) -> None:
        """Take part in no lower ballot; what was accepted below it may not be what will be decided."""
        assert ballot > self.promised, "a promise is taken back"
        self.promised = ballot
        self.highest = max(self.highest, ballot)
        self.matched = self.committed

    def leader_is_lost(self) -> None:
        """No leader for an election timeout. A candidate that failed waits for another: it kept others from standing (PMMC 3)."""
        failed = self.role == CANDIDATE
        self.retire()
        if self.inquire:
            self.ask_others()
        elif not failed:
            self.stand()

    def next_ballot(self) -> int:
        """Above all that were heard of, and above all of one's own that others may have heard."""
        return ballot_of(round_of(max(self.highest, self.promised)) + 1, self.voters.index(self.id))

    def ask_others(self) -> None:
        """Ask whether they have lost the leader too."""
        self.role = INQUIRER
        self.become_proposer_of(self.next_ballot())
        self.broadcast(Inquiry(self.ballot))
        self.count_lost(self.id)

    def on_inquiry(self, sender: int, message: Inquiry) -> None:
        """Answer, unless a leader, or one to be, was heard within an election timeout."""
        if self.leading or self.now < self.heard_at + self.election_low_ns:
            return
        if message.ballot <= self.promised:
            self.send(sender, Rejected(message.ballot, self.promised))
        else:
            self.send(sender, LeaderLost(message.ballot))

    def on_leader_lost(self, sender: int, message: LeaderLost) -> None:
        """Stand when a phase-1 quorum would have us."""
        if self.role == INQUIRER and message.ballot == self.ballot:
            self.count_lost(sender)

    def count_lost(self, voter: int) -> None:
        """Note that this voter has lost the leader."""
        if self.votes.record(voter, True) == WON:
            self.stand()

    # -- phase 1 (PMS 2.2 and 3) -----------------------------------------------------------------------------

    def stand(self) -> None:
        """Begin phase 1 at a new ballot; the Prepares leave once the ballot is on disk."""
        ballot = self.next_ballot()
        self.retire()
        if self.failed_candidacies == 0:
            self.handed_over = {}
        self.failed_candidacies += 1
        self.role = CANDIDATE
        self.promise(ballot)
        self.recorded = ballot
        self.heard_at = self.now
        self.become_proposer_of(ballot)
        self.elect_at = self.now + self.patience_ns
        self.ask_at = self.now + self.heartbeat_ns
        self.deadline = min(self.elect_at, self.ask_at)
        self.persist(Promised(ballot, self.committed), self.id, Prepare(ballot, self.committed + 1))

    def ask_again(self) -> None:
        """Ask for promises that have not come, or not whole; who has told all hears that the candidacy goes on, or he would
        lose patience while others tell their many, and preempt (PMMC 3).
        """
        self.ask_at = self.now + self.heartbeat_ns
        self.deadline = min(self.elect_at, self.ask_at)
        if not self.prepared:
            return
        for peer in self.peers:
            self.send(peer, Prepare(self.ballot, self.reported[peer] + 1))

    def on_prepare(self, sender: int, message: Prepare) -> None:
        """Phase 1b: promise, on disk first, and tell what was accepted. A lower ballot is refused (P1a)."""
        if message.ballot < self.promised:
            if sender != self.id:
                self.send(sender, Rejected(message.ballot, self.promised))
            return
        if sender == self.id:
            if not self.prepared:
                self.prepared = True
                message = Prepare(message.ballot, self.committed + 1)
                self.broadcast(message)
            self.send(self.id, self.report(message))
            return
        if message.ballot > self.promised:
            self.retire()
            self.promise(message.ballot)
        if self.leader == NOBODY:
            self.heard_at = self.now
            self.deadline = self.now + self.patience_ns
        report = self.report(message)
        what = message if type(report) is Promise else self.snapshot.position  # a state is the same at any ballot
        if self.slots.last() < message.first or self.told.due(sender, what, self.now):
            self.answer(sender, report)

    def answer(self, sender: int, message: Message) -> None:
        """Say what the promised ballot and the slots accepted so far stand behind, once they are durable. What is decided
        goes on record with the promise: ``matched`` starts there, and must not fall back at a restart.
        """
        if self.recorded < self.promised:
            self.recorded = self.promised
            self.persist(Promised(self.promised, self.committed), sender, message)
        else:
            self.persist(None, sender, message)

    def report(self, asked: Prepare) -> Message:
        """The next run of accepted slots from the asked one on; a snapshot where they are compacted."""
        if asked.first <= self.log.base:
            return self.snapshot_message(asked.ballot)
        first, entries = self.slots.run(asked.first, self.message_bytes)
        return Promise(asked.ballot, asked.first, first, entries, self.slots.last(), self.committed)

    def on_promise(self, sender: int, message: Promise) -> None:
        """Keep each slot's value of the highest ballot (P2c); lead once a phase-1 quorum has told all."""
        if message.ballot != self.ballot:
            return
        if self.leading and sender != self.id:
            self.hear(window_of(self.windows, sender), message.committed, 0)
        if self.role != CANDIDATE or message.asked > self.reported[sender] + 1:
            return
        slot = message.first
        for entry in unpack(message.entries):
            if slot > self.committed and (slot not in self.adopted or entry[0] > self.adopted[slot][0]):
                self.adopted[slot] = entry
            slot += 1
        self.known_decided[sender] = message.committed
        if slot - 1 < message.last:
            if message.committed > self.slots.last() and self.handed_over.setdefault(sender, self.ballot) == self.ballot:
                self.send(sender, StandInstead(self.ballot))
            self.ask_on(sender, slot - 1)
            return
        self.reported[sender] = max(self.reported[sender], slot - 1)
        if self.votes.record(sender, True) == WON:
            self.lead()

    def ask_on(self, acceptor: int, through: int) -> None:
        """Ask for the slots after those told so far; a doubled answer is no reason to ask twice."""
        if through > self.reported[acceptor]:
            self.reported[acceptor] = through
            self.elect_at = self.now + self.patience_ns
            self.send(acceptor, Prepare(self.ballot, through + 1))

    def on_stand_instead(self, _sender: int, message: StandInstead) -> None:
        """Stand at once, unless that candidacy is over."""
        if message.ballot == self.promised and self.leader == NOBODY:
            self.stand()

    def lead(self) -> None:
        """Phase 1 is over: propose for every open slot what must be proposed, else a no-op, and serve."""
        self.role, self.leader, self.leading = LEADER, self.id, True
        self.failed_candidacies = 0
        self.first_proposed = first = self.committed + 1
        stop = max(self.adopted, default=0) + 1
        values = [self.adopted.get(slot, (0, b""))[1] for slot in range(first, stop)]
        self.adopted = {}
        self.slots.replace_from(first, self.ballot, values)
        self.matched = self.log.last
        if values:
            entries = self.log.slice(first, self.log.last + 1)
            self.persist_acceptance(Accept(self.ballot, first, entries, self.committed))
        decided = max(self.known_decided.values())
        assert decided <= self.log.last, "a phase-1 quorum has not reported a decided slot"
        self.commit_through(decided)
        self.announce()
        retry_ns = max(self.heartbeat_ns, 2 * (self.now - self.stood_at))
        for peer in self.peers:
            window = Window(peer, self.configuration.inflight_messages, retry_ns, self.now)
            self.windows.append(window)
            if self.votes.answered(peer):
                self.hear(window, self.known_decided[peer], 0)

    # -- phase 2 (PMS 2.2) -----------------------------------------------------------------------------------

    def propose(self, commands: list[bytes], now: int) -> list[Effect]:
        """Phase 2a for the next slots, or a redirection."""
        self.begin(now)
        if not self.leading:
            self.redirect(commands)
            return self.effects
        log = self.log
        first = log.last + 1
        if len(commands) == 1:
            log.append(self.ballot, commands[0])
        else:
            log.extend(self.ballot, commands)
        stop = log.last + 1
        self.matched = log.last
        entries = log.slice(first, stop)
        message = with_4(Accept, self.ballot, self.committed, entries, first)
        if len(entries) <= self.message_bytes or stop == first + 1:
            for window in self.windows:
                if window.next == first and window.room():
                    self.send(window.id, message)
                    window.sent(stop, now)
        else:
            for window in self.windows:
                self.fill(window)
        self.persist_acceptance(message)
        return self.effects

    def persist_acceptance(self, message: Accept) -> None:
        """Write down the leader's own acceptance of what ends its log, while the Accepts are under way."""
        record = with_4(AcceptedSlots, message.ballot, message.committed, message.entries, message.first)
        first, last = message.first, self.log.last
        acceptance = with_3(Accepted, message.ballot, 0, message.first if first == last else last)
        self.persist(record, self.id, acceptance)

    def fill(self, window: Window) -> None:
        """Send an acceptor what it has not been sent, as far as its window has room."""
        log = self.log
        while window.next <= log.last and window.room():
            if window.next <= log.base:
                self.send(window.id, self.snapshot_message(self.ballot))
                window.sent_state(self.snapshot.position, self.now)
            else:
                stop = log.stop_within(window.next, self.message_bytes)
                self.send(window.id, self.accept(window.next, stop))
                window.sent(stop, self.now)

    def accept(self, first: int, stop: int) -> Accept:
        """Phase 2a for slots of the log; those decided before this ballot are proposed at it again."""
        entries = self.log.slice(first, stop)
        if first < self.first_proposed:
            entries = retag(entries, self.ballot)
        return Accept(self.ballot, first, entries, self.committed)

    def on_accept(self, sender: int, message: Accept) -> None:
        """Phase 2b: accept unless a higher ballot is promised (P1a), on disk before it is acknowledged."""
        ballot = message.ballot
        if ballot < self.promised:
            self.send(sender, Rejected(ballot, self.promised))
            return
        self.follow(ballot, sender)
        first = message.first
        entries = message.entries
        beyond = 0
        in_order = first == self.matched + 1 and self.slots.follows(first)
        if in_order:
            self.matched = self.log.append_packed(entries)
        else:
            if first <= self.matched:
                entries = skip(entries, min(self.matched + 1 - first, count(entries)))
                first = self.matched + 1
            elif first > self.matched + 1:
                beyond = first
            if entries:
                self.slots.place(first, entries)
                self.matched = self.slots.through(self.matched, ballot)
        one = in_order and first == self.matched
        accepted = with_3(Accepted, message.ballot, beyond, message.first if one else self.matched)
        committed = message.committed
        decided = min(committed, self.matched)
        if in_order and self.committed <= committed <= self.matched:  # it shares the numbers of the message
            self.recorded = ballot
            record = with_4(AcceptedSlots, message.ballot, message.committed, entries, message.first)
            self.persist(record, sender, accepted)
        elif entries:
            self.recorded = ballot
            record = AcceptedSlots(message.ballot, first, entries, max(decided, self.committed))
            self.persist(record, sender, accepted)
        else:
            self.answer(sender, accepted)
        self.commit_through(decided)

    def on_accepted(self, sender: int, message: Accepted) -> None:
        """Count, unless it is for another ballot; what a phase-2 quorum has accepted is decided."""
        ballot = message.ballot
        if not self.leading or ballot != self.ballot:
            return
        if sender == self.id:
            self.learn_accepted(sender, message.through)
        else:
            self.hear(window_of(self.windows, sender), message.through, message.beyond)

    def hear(self, window: Window, through: int, beyond: int) -> None:
        """An acceptor has told how far it is at this ballot."""
        window.heard_at = self.now
        if through > window.matched:
            window.acknowledged(through, self.now)
            self.learn_accepted(window.id, through)
        elif beyond > through + 1 and through == window.matched and window.hole_reported(beyond):
            self.mend_hole(window)
        if not window.active:
            window.rewind()
            window.active = True
        if window.next <= self.log.last:
            self.fill(window)

    def learn_accepted(self, acceptor: int, through: int) -> None:
        """Count an acceptance of all slots up to ``through``."""
        assert through <= self.log.last, "an acceptor has accepted what was not proposed"
        if self.acks.acknowledge(acceptor, through) and self.acks.committed > self.committed:
            self.commit_through(self.acks.committed)

    def on_rejected(self, _sender: int, message: Rejected) -> None:
        """Preempted (PMMC): somebody has promised a higher ballot."""
        self.highest = max(self.highest, message.promised)
        if message.ballot != self.ballot or message.promised <= self.ballot:
            return
        if self.role == INQUIRER:
            self.ask_others()
        elif self.role != FOLLOWER:
            self.retire()

    # -- the leader's watch ----------------------------------------------------------------------------------

    def lead_on(self) -> None:
        """Heartbeats, retransmission, and stepping down where no phase-2 quorum is within reach."""
        if self.now >= self.heartbeat_at:
            if not self.within_reach():
                self.retire()
                return
            self.announce()
        self.deadline = self.heartbeat_at
        for window in self.windows:
            if window.due_at() <= self.now:
                self.send_again(window)
            self.deadline = min(self.deadline, window.due_at())

    def announce(self) -> None:
        """A heartbeat to all. Nothing is retransmitted before the next: a send need not move the deadline."""
        self.heartbeat_at = self.deadline = self.now + self.heartbeat_ns
        self.broadcast(Heartbeat(self.ballot, self.committed, self.now))

    def within_reach(self) -> bool:
        """Whether a phase-2 quorum was heard within an election timeout."""
        heard = {window.id: self.now - window.heard_at <= self.election_high_ns for window in self.windows} | {self.id: True}
        return self.phase2.vote_result(heard) == WON

    def send_again(self, window: Window) -> None:
        """Nothing new was acknowledged for too long: mend the hole, or begin anew; the silent reply first."""
        if self.now - window.heard_at > self.election_high_ns:
            window.close()
        elif window.hole_stop:
            self.mend_hole(window)
        else:
            window.rewind()
            self.fill(window)

    def mend_hole(self, window: Window) -> None:
        """Send the slots again that the acceptor says it lacks."""
        first = window.matched + 1
        if first <= self.log.base:
            window.rewind()
            self.fill(window)
            return
        stop = min(window.hole_stop, self.log.stop_within(first, self.message_bytes))
        self.send(window.id, self.accept(first, stop))
        window.retry_at = self.now + window.retry_ns

    def on_heartbeat(self, sender: int, message: Heartbeat) -> None:
        """The leader lives. What it says is decided, is what we hold, as far as we match its ballot."""
        if message.ballot < self.promised:
            self.send(sender, Rejected(message.ballot, self.promised))
            return
        self.follow(message.ballot, sender)
        self.answer(sender, HeartbeatReply(message.ballot, self.matched, message.sent_ns))
        self.commit_through(min(message.committed, self.matched))

    def on_heartbeat_reply(self, sender: int, message: HeartbeatReply) -> None:
        """An acceptor lives: this is how far it is, and how long the way is."""
        if self.leading and message.ballot == self.ballot:
            window = window_of(self.windows, sender)
            window.measured(self.now - message.sent_ns, self.heartbeat_ns)
            if window.state_lost(message.through, message.sent_ns):
                window.rewind()
            self.hear(window, message.through, 0)

    def disconnect(self, peer: int, now: int) -> list[Effect]:
        """What was under way is lost; it is sent again when the peer answers a heartbeat."""
        self.begin(now)
        self.told.forget(peer)
        if self.leading:
            window_of(self.windows, peer).close()
        return self.effects

    # -- snapshots and restarts ------------------------------------------------------------------------------

    def snapshot_message(self, ballot: int) -> Snapshot:
        """The snapshot that stands before the log."""
        return Snapshot(ballot, self.snapshot.position, self.snapshot.term, self.snapshot.state)

    def on_snapshot(self, sender: int, message: Snapshot) -> None:
        """Catch up by a state: as a leader's learner, or as a candidate that asked for compacted slots. What is decided is so
        at every ballot, so that a state is welcome from an older one, too.
        """
        asked = self.voters[rank_of(message.ballot)] == self.id
        if message.ballot >= self.promised and not asked:
            self.follow(message.ballot, sender)
        if message.position > self.committed and not self.leading:
            self.install(message)
            for acceptor in self.voters:
                self.reported[acceptor] = max(self.reported[acceptor], self.committed)
            if asked and self.role == CANDIDATE and self.prepared:
                self.send(sender, Prepare(self.ballot, self.reported[sender] + 1))
        if message.ballot < self.promised:
            self.send(sender, Rejected(message.ballot, self.promised))
        elif not asked:
            self.answer(sender, Accepted(message.ballot, self.matched, 0))

    def install(self, message: Snapshot) -> None:
        """Restore the state. What was accepted beyond it stays."""
        self.snapshot = Compacted(message.position, message.term, message.state)
        self.persist_only(self.snapshot)
        self.slots.skip_to(message.position, message.term)
        self.restore(message.position, message.state)
        self.matched = self.slots.through(max(self.matched, message.position), self.promised)
        self.adopted = {slot: entry for slot, entry in self.adopted.items() if slot > message.position}

    def compact(self, position: int, state: bytes, now: int) -> list[Effect]:
        """Keep ``state`` instead of the log up to there, restate the rest. ValueError if not decided."""
        self.begin(now)
        if position > self.committed:
            raise ValueError(f"position {position} is not decided, only those up to {self.committed} are")
        if position <= self.log.base:
            return self.effects
        self.snapshot = Compacted(position, self.log.term(position), state)
        self.log.compact(position)
        self.persist_only(self.snapshot)
        self.recorded = self.promised
        self.persist_only(Promised(self.promised, self.committed))
        for first, entries in self.slots.runs(position + 1, self.message_bytes):
            self.persist_only(AcceptedSlots(self.promised, first, entries, self.committed))
        return self.effects

    def recover(self, records: list[Record], now: int) -> list[Effect]:
        """Replay what was accepted, last writer wins; the initial leader stands at its very first start."""
        self.begin(now)
        assert self.promised == 0 and self.log.last == 0, "recover is the first call"
        for record in reversed(records):
            if isinstance(record, Compacted):
                self.snapshot = record
                self.slots.skip_to(record.position, record.term)
                self.restore(record.position, record.state)
                break
        decided = 0
        for record in records:
            if isinstance(record, (Promised, AcceptedSlots)):
                self.promised = max(self.promised, record.ballot)
                decided = max(decided, record.committed)
            if isinstance(record, AcceptedSlots):
                self.slots.replay(record.first, record.entries)
        self.recorded = self.highest = self.promised
        self.commit_through(decided)
        self.matched = self.slots.through(self.committed, self.promised)
        self.heard_at = now
        self.rest()
        if not records and self.configuration.initial_leader == self.id:
            self.stand()
        return self.effects

    def status(self) -> Status:
        """This moment; ``term`` is the promised ballot, which a leader leads."""
        leader = None if self.leader == NOBODY else self.leader
        return Status(self.role, leader, self.promised, self.committed, self.slots.last())

    HANDLERS = {  # noqa: RUF012  (Cython warns of a ClassVar)
        Inquiry: on_inquiry, LeaderLost: on_leader_lost,
        Prepare: on_prepare, Promise: on_promise, StandInstead: on_stand_instead,
        Accept: on_accept, Accepted: on_accepted, Rejected: on_rejected,
        Heartbeat: on_heartbeat, HeartbeatReply: on_heartbeat_reply, Snapshot: on_snapshot,
    }
