"""A replica of Raft: calls of the host, elections, both sides of replication. The package has the essay."""
from __future__ import annotations

import cython
import msgspec

from engines.core import (
    NEVER,
    NOBODY,
    Configuration,
    Dice,
    Effect,
    Engine,
    Message,
    Record,
    Status,
)
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
from engines.raft.progress import Progress
from ext.log import count, skip
from ext.quorum import AckTracker, MajorityQuorum, VoteTracker

if not cython.compiled:
    from ext.fields import with_2, with_6

FOLLOWER = 0
PRE_CANDIDATE = 1
CANDIDATE = 2
LEADER = 3
ROLES = ("follower", "pre-candidate", "candidate", "leader")


class RaftOptions(msgspec.Struct, frozen=True):
    """What may be left out, at a price.

    ``pre_vote``: ask whether an election could be won before the term is raised for it (9.6).
    ``check_quorum``: a leader that has not heard from a quorum for an election timeout steps down (6.2), and
    whoever heard from a leader more recently than that ignores candidates (4.2.3). One option: loyalty
    to a leader that hears nobody, and commits nothing, would last for ever.
    ``empty_probes``: where the logs part is found out by messages without entries, which saves their bytes and
    costs a round trip (3.5).
    """

    pre_vote: bool = True
    check_quorum: bool = True
    empty_probes: bool = False


DEFAULTS = RaftOptions()


class Raft(Engine):
    """One replica. ``configuration.voters`` are the members, for good; majorities decide."""

    NAME = "raft"
    RECORDS = (Voted, Entries, Snapshot)
    HEARTBEATS = frozenset({Heartbeat, HeartbeatReply})

    def __init__(
        self, id: int, configuration: Configuration, dice: Dice, options: RaftOptions = DEFAULTS
    ) -> None:
        super().__init__(id, configuration, dice)
        self.options = options
        self.quorum = MajorityQuorum(configuration.voters)
        self.timeout_low_ns, self.timeout_high_ns = configuration.election_timeout_ns
        self.heartbeat_ns = configuration.heartbeat_ns
        self.message_bytes = configuration.message_bytes
        # Durable before anything is said in their name: term, vote, log, and the snapshot before the log.
        self.term = 0
        self.vote = NOBODY
        self.snapshot = b""
        # Of every role.
        self.role = FOLLOWER
        self.timeout_ns = self.timeout_high_ns
        # Of followers. Committed entries are every leader's (3.6.3), hence verified >= committed.
        self.verified = 0
        self.heard_ns = 0
        # Of candidates.
        self.votes = VoteTracker(self.quorum)
        # Of leaders.
        self.term_start = 0  # the no-op's index: only from here on do counted copies commit (3.6.2)
        self.acks = AckTracker(self.quorum)
        self.followers: list[Progress] = []
        self.progress: dict[int, Progress] = {}
        self.round = 0
        self.heartbeat_due_ns = NEVER
        self.quorum_due_ns = NEVER

    def status(self) -> Status:
        leader = None if self.leader == NOBODY else self.leader
        return Status(ROLES[self.role], leader, self.term, self.committed, self.log.last)

    # ---- The calls of the host

    def recover(self, records: list[Record], now: int) -> list[Effect]:
        self.begin(now)
        for record in records:
            if type(record) is Voted:
                self.term, self.vote = record.term, record.vote
            elif type(record) is Entries:
                assert record.first <= self.log.last + 1, "a record is missing"
                self.log.truncate(record.first)
                self.log.append_packed(record.entries)
            else:
                assert type(record) is Snapshot
                self.start_log_after(record.last_index, record.last_term, record.state)
        if self.log.base:
            self.restore(self.log.base, self.snapshot)
        self.verified = self.committed
        self.draw_timeout()
        self.deadline = now + self.timeout_ns
        if not records and self.configuration.initial_leader == self.id:
            self.campaign()
        return self.effects

    def dispatch(self, sender: int, message: Message) -> None:
        """As of any engine; the messages of the steady state come first."""
        if type(message) is AppendEntriesReply:
            self.on_append_entries_reply(sender, message)
        elif type(message) is AppendEntries:
            self.on_append_entries(sender, message)
        else:
            Engine.dispatch(self, sender, message)

    def tick(self, now: int) -> list[Effect]:
        self.begin(now)
        if now < self.deadline:
            return self.effects
        if not self.leading:
            self.campaign()
            return self.effects
        if now >= self.quorum_due_ns:
            self.check_contact()
        if self.leading and now >= self.heartbeat_due_ns:
            self.beat()
        if self.leading:
            self.deadline = min(self.heartbeat_due_ns, self.quorum_due_ns)
        return self.effects

    def propose(self, commands: list[bytes], now: int) -> list[Effect]:
        self.begin(now)
        if not self.leading:
            self.redirect(commands)
            return self.effects
        prev = self.log.last
        prev_term = self.log.last_term
        if len(commands) == 1:
            last = self.log.append(self.term, commands[0])
        else:
            last = self.log.extend(self.term, commands)
        self.replicate_new(prev, prev_term, last)
        return self.effects

    def disconnect(self, peer: int, now: int) -> list[Effect]:
        """Trust nothing that is under way to ``peer``; send it no more until it answers a heartbeat."""
        self.begin(now)
        if self.leading:
            progress = self.progress[peer]
            next_index = progress.match + 1 if progress.replicating else progress.next
            self.round += 1
            progress.probe(next_index, next_index - 1, self.round)
        return self.effects

    def compact(self, position: int, state: bytes, now: int) -> list[Effect]:
        """The records restate all that is still needed, so that storage may forget the older ones."""
        self.begin(now)
        assert self.log.base < position <= self.committed, "a snapshot holds what is committed"
        term = self.log.term(position)
        self.start_log_after(position, term, state)
        self.persist_only(Snapshot(position, term, state))
        self.persist_only(Voted(self.term, self.vote))
        if self.log.last > position:
            self.persist_only(Entries(position + 1, self.log.slice(position + 1, self.log.last + 1)))
        return self.effects

    # ---- Terms and roles (3.3, 3.4)

    def draw_timeout(self) -> None:
        self.timeout_ns = self.dice.randint(self.timeout_low_ns, self.timeout_high_ns)

    def become_follower(self) -> None:
        """A leader's timer begins anew; others' run on: only a leader or a vote given delays an election."""
        self.draw_timeout()
        if self.leading:
            self.deadline = self.now + self.timeout_ns
        self.role = FOLLOWER
        self.leading = False
        self.leader = NOBODY

    def enter(self, term: int) -> None:
        """A newer term was seen: be a follower in it. It is to be written before any reply (3.3, 3.8)."""
        assert term > self.term
        self.become_follower()
        self.term = term
        self.vote = NOBODY
        self.verified = self.committed

    def adopt(self, term: int) -> None:
        """Enter a newer term, without a vote."""
        self.enter(term)
        self.persist_only(Voted(term, NOBODY))

    def follow(self, leader: int, term: int) -> bool:
        """``leader`` speaks as the leader of ``term``: false where that is over, else be its follower."""
        if term < self.term:
            return False
        if term > self.term:
            self.adopt(term)
        if self.leader != leader:
            assert self.leader == NOBODY, "two leaders in one term"
            self.become_follower()
            self.leader = leader
        self.heard_ns = self.now
        self.deadline = self.now + self.timeout_ns
        return True

    def in_contact(self) -> bool:
        """Whether there is a leader, as far as can be told: itself, or one heard within the least timeout."""
        return self.leading or (self.leader != NOBODY and self.now < self.heard_ns + self.timeout_low_ns)

    def up_to_date(self, last_index: int, last_term: int) -> bool:
        """The election restriction: the later last term wins, then the longer log (3.6.1)."""
        own = self.log.last_term
        return last_term > own or (last_term == own and last_index >= self.log.last)

    # ---- Elections (3.4, 9.6)

    def campaign(self) -> None:
        """The election timeout passed without a leader."""
        if not self.options.pre_vote:
            self.stand()
            return
        self.begin_election(PRE_CANDIDATE)
        self.broadcast(PreVote(self.term + 1, self.log.last, self.log.last_term))
        self.count_vote(self.id, True)

    def begin_election(self, role: int) -> None:
        self.role = role
        self.leader = NOBODY
        self.votes = VoteTracker(self.quorum)
        self.draw_timeout()
        self.deadline = self.now + self.timeout_ns

    def stand(self) -> None:
        """Raise the term and, once that is durable, ask for votes: never twice in a term, with two logs."""
        self.begin_election(CANDIDATE)
        self.term += 1
        self.vote = self.id
        self.verified = self.committed
        request = RequestVote(self.term, self.log.last, self.log.last_term)
        self.persist(Voted(self.term, self.id), self.id, RequestVoteReply(self.term, True))
        for peer in self.peers:
            self.persist(None, peer, request)

    def on_pre_vote(self, sender: int, message: PreVote) -> None:
        granted = (
            message.term > self.term
            and not self.in_contact()
            and self.up_to_date(message.last_index, message.last_term)
        )
        self.persist(None, sender, PreVoteReply(self.term, message.term, granted))

    def on_pre_vote_reply(self, sender: int, message: PreVoteReply) -> None:
        if message.term > self.term:
            self.adopt(message.term)
        elif self.role == PRE_CANDIDATE and message.election == self.term + 1:
            self.count_vote(sender, message.granted)

    def on_request_vote(self, sender: int, message: RequestVote) -> None:
        newer = message.term > self.term
        if newer:
            if self.options.check_quorum and self.in_contact():
                return  # 4.2.3: neither the term is adopted nor the vote given
            self.enter(message.term)
        free = message.term == self.term and self.vote == NOBODY
        if free and self.up_to_date(message.last_index, message.last_term):
            self.vote = sender
        granted = message.term == self.term and self.vote == sender
        if granted:
            self.deadline = self.now + self.timeout_ns
        record = Voted(self.term, self.vote) if newer or (free and granted) else None
        self.persist(record, sender, RequestVoteReply(self.term, granted))

    def on_request_vote_reply(self, sender: int, message: RequestVoteReply) -> None:
        if message.term > self.term:
            self.adopt(message.term)
        elif self.role == CANDIDATE and message.term == self.term:
            self.count_vote(sender, message.granted)

    def count_vote(self, voter: int, granted: bool) -> None:
        result = self.votes.record(voter, granted)
        if result == "lost":
            self.become_follower()
        elif result == "won":
            if self.role == PRE_CANDIDATE:
                self.stand()
            else:
                self.lead()

    def lead(self) -> None:
        """Elected: a no-op of the new term brings along what earlier terms left uncommitted (3.6.2, 6.4)."""
        assert self.role == CANDIDATE and self.vote == self.id
        self.role = LEADER
        self.leader = self.id
        self.leading = True
        self.acks = AckTracker(self.quorum)
        self.followers = [Progress(peer, self.configuration.inflight_messages) for peer in self.peers]
        self.progress = {progress.peer: progress for progress in self.followers}
        self.round = 0
        self.term_start = self.log.append(self.term, b"")
        for progress in self.followers:
            progress.heard_ns = self.now
            self.probe(progress, self.term_start)
        self.persist_own(self.term_start, self.log.slice(self.term_start, self.term_start + 1))
        self.heartbeat_due_ns = self.quorum_due_ns = NEVER
        if self.peers:
            self.heartbeat_due_ns = self.now + self.heartbeat_ns
            if self.options.check_quorum:
                self.quorum_due_ns = self.now + self.timeout_low_ns
        self.deadline = min(self.heartbeat_due_ns, self.quorum_due_ns)

    def check_contact(self) -> None:
        """Step down unless a quorum was heard from within an election timeout (6.2)."""
        heard_ns = {progress.peer: progress.heard_ns for progress in self.followers}
        heard_ns[self.id] = self.now
        contact_ns = self.quorum.committed_index(heard_ns)  # the latest time that a quorum has reached
        if contact_ns + self.timeout_low_ns <= self.now:
            self.become_follower()
        else:
            self.quorum_due_ns = contact_ns + self.timeout_low_ns

    # ---- Replication, the leader's side (3.5)

    def replicate_new(self, prev: int, prev_term: int, last: int) -> None:
        """Send and persist what was just appended after ``prev``: one message for all who are up to there."""
        entries = self.log.slice(prev + 1, last + 1)
        message = None
        for progress in self.followers:
            if not progress.replicating or progress.inflight == progress.window:
                continue
            if progress.next == prev + 1 and len(entries) <= self.message_bytes:
                if message is None:
                    message = with_6(AppendEntries, self.committed, entries, prev, prev_term, self.round, self.term)
                progress.sent(last)
                self.send(progress.peer, message)
            else:
                self.replicate(progress)
        self.persist_own(prev + 1, entries)

    def persist_own(self, first: int, entries: bytes) -> None:
        """The leader counts itself once its own write is durable (10.2.1)."""
        self.write(first, entries, self.log.last, self.id)

    def write(self, first: int, entries: bytes, match: int, leader: int) -> None:
        """Persist what was appended from ``first`` on. Of one entry, the record and the promise share a number."""
        index: object = first
        reply = with_2(AppendEntriesReply, index if match == first else match, self.term)
        self.persist(with_2(Entries, entries, index), leader, reply)

    def replicate(self, progress: Progress) -> None:
        """Send all that the follower lacks, as far as its window allows."""
        while progress.next <= self.log.last and progress.inflight < progress.window:
            if progress.next <= self.log.base:
                self.send_snapshot(progress)
                return
            first = progress.next
            stop = self.log.stop_within(first, self.message_bytes)
            progress.sent(stop - 1)
            self.send_entries(progress, first, stop)

    def probe(self, progress: Progress, next_index: int) -> None:
        """Try one message from ``next_index`` on; nothing more until it is answered."""
        if next_index <= self.log.base:
            self.send_snapshot(progress)
            return
        empty = self.options.empty_probes
        stop = next_index if empty else self.log.stop_within(next_index, self.message_bytes)
        self.round += 1
        progress.probe(next_index, stop - 1, self.round)
        self.send_entries(progress, next_index, stop)

    def send_entries(self, progress: Progress, first: int, stop: int) -> None:
        prev_term = self.log.term(first - 1)
        entries = self.log.slice(first, stop)
        message = AppendEntries(self.term, self.round, first - 1, prev_term, entries, self.committed)
        self.send(progress.peer, message)

    def send_snapshot(self, progress: Progress) -> None:
        base = self.log.base
        self.round += 1
        progress.snapshot(base, self.round)
        self.send(progress.peer, InstallSnapshot(self.term, base, self.log.base_term, self.snapshot))

    def beat(self) -> None:
        self.round += 1
        self.heartbeat_due_ns = self.now + self.heartbeat_ns
        for progress in self.followers:
            commit = min(progress.match, self.committed)
            self.send(progress.peer, Heartbeat(self.term, self.round, progress.next - 1, commit))

    def still_leads(self, term: int) -> bool:
        """Whether an answer of this term is for the present leadership; a newer term ends it (3.3)."""
        if term > self.term:
            self.adopt(term)
        return self.leading and term == self.term

    def acknowledge(self, sender: int, match: int) -> None:
        """Commit what a quorum now holds, if it reaches into this term (3.6.2); send what the window kept."""
        assert match <= self.log.last, "a follower holds what was never sent"
        if self.acks.acknowledge(sender, match) and self.acks.committed >= self.term_start:
            self.commit_through(self.acks.committed)
        if sender != self.id:
            progress = self.progress[sender]
            progress.heard_ns = self.now
            progress.acknowledge(match)
            if progress.replicating and progress.next <= self.log.last:
                self.replicate(progress)

    def on_append_entries_reply(self, sender: int, message: AppendEntriesReply) -> None:
        if self.still_leads(message.term):
            self.acknowledge(sender, message.match)

    def on_install_snapshot_reply(self, sender: int, message: InstallSnapshotReply) -> None:
        if self.still_leads(message.term):
            self.acknowledge(sender, message.match)

    def on_heartbeat_reply(self, sender: int, message: HeartbeatReply) -> None:
        if not self.still_leads(message.term):
            return
        self.acknowledge(sender, message.match)
        progress = self.progress[sender]
        if message.round < progress.since:
            return
        if progress.snapshotting:
            self.send_snapshot(progress)
        elif not progress.replicating:
            self.probe(progress, progress.next)
        elif message.match < message.sent:
            self.probe(progress, progress.match + 1)

    def on_append_entries_conflict(self, sender: int, message: AppendEntriesConflict) -> None:
        if not self.still_leads(message.term):
            return
        progress = self.progress[sender]
        progress.heard_ns = self.now
        overtaken = progress.replicating and message.prev_index <= progress.match
        # One refusal a round is followed: over datagrams a whole window is refused when one message is
        # overtaken, and to send it again for each refusal, doubled at that, would never end.
        if message.round >= progress.since and not overtaken and not progress.snapshotting:
            self.probe(progress, self.back_up(message))

    def back_up(self, message: AppendEntriesConflict) -> int:
        """Where to probe next: past the whole term, or after the last entry of it here (end of 3.5)."""
        assert 0 < message.conflict_index <= message.prev_index, "backing up must move back"
        if message.conflict_term == 0 or message.prev_index <= self.log.base:
            return message.conflict_index
        index = self.first_of_term(message.conflict_term + 1, self.log.base + 1, message.prev_index) - 1
        return index + 1 if self.log.term(index) == message.conflict_term else message.conflict_index

    def first_of_term(self, term: int, low: int, high: int) -> int:
        """The first index in [low, high) of ``term`` or later, or ``high``. Terms never fall along a log."""
        while low < high:
            middle = low + (high - low) // 2
            if self.log.term(middle) < term:
                low = middle + 1
            else:
                high = middle
        return low

    # ---- Replication, the follower's side (3.5, 5.1)

    def on_append_entries(self, sender: int, message: AppendEntries) -> None:
        if not self.follow(sender, message.term):
            self.persist(None, sender, AppendEntriesReply(self.term, 0))
            return
        prev = message.prev_index
        prev_term = message.prev_term
        if prev == self.log.last and prev_term == self.log.last_term:
            self.accept(sender, prev + 1, message.entries)
        elif prev > self.log.last:
            self.refuse(sender, message, 0, self.log.last + 1)
            return
        elif prev >= self.log.base and self.log.term(prev) != prev_term:
            conflict_term = self.log.term(prev)
            first = self.first_of_term(conflict_term, self.verified + 1, prev)
            self.refuse(sender, message, conflict_term, first)
            return
        else:
            self.merge(sender, prev + 1, message.entries)
        commit = message.commit
        self.commit_through(min(commit, self.verified))

    def refuse(self, sender: int, message: AppendEntries, term: int, index: int) -> None:
        conflict = AppendEntriesConflict(self.term, message.round, message.prev_index, term, index)
        self.persist(None, sender, conflict)

    def accept(self, sender: int, first: int, entries: bytes) -> None:
        """``entries`` go on where the log ends."""
        self.verified = self.log.append_packed(entries)
        if entries:
            self.write(first, entries, self.verified, sender)
        else:
            self.persist(None, sender, AppendEntriesReply(self.term, self.verified))

    def merge(self, sender: int, first: int, entries: bytes) -> None:
        """Take what is new. Only an entry that differs drops the log from there on: messages may be old."""
        position = self.log.conflict(first, entries)
        end = first + count(entries)
        if position == end:
            self.verified = max(self.verified, end - 1)
            self.persist(None, sender, AppendEntriesReply(self.term, self.verified))
            return
        assert position > self.verified, "a leader never changes what it has sent"
        self.log.truncate(position)
        self.accept(sender, position, skip(entries, position - first))

    def on_heartbeat(self, sender: int, message: Heartbeat) -> None:
        current = self.follow(sender, message.term)
        match = self.verified if current else 0
        self.persist(None, sender, HeartbeatReply(self.term, message.round, message.sent, match))
        if current:
            commit = message.commit
            self.commit_through(min(commit, match))

    def on_install_snapshot(self, sender: int, message: InstallSnapshot) -> None:
        if not self.follow(sender, message.term):
            self.persist(None, sender, InstallSnapshotReply(self.term, 0))
            return
        index = message.last_index
        if index <= self.committed:
            self.persist(None, sender, InstallSnapshotReply(self.term, self.verified))
            return
        self.start_log_after(index, message.last_term, message.state)
        self.verified = max(self.verified, index)
        record = Snapshot(index, message.last_term, message.state)
        self.persist(record, sender, InstallSnapshotReply(self.term, self.verified))
        self.restore(index, message.state)

    def start_log_after(self, index: int, term: int, state: bytes) -> None:
        """Let the snapshot replace the log up to ``index``, and all of it where it is another log (5.1)."""
        if self.log.base <= index <= self.log.last and self.log.term(index) == term:
            self.log.compact(index)
        else:
            self.log.reset(index, term)
        self.snapshot = state

    HANDLERS = {  # noqa: RUF012  (Cython warns of a ClassVar)
        PreVote: on_pre_vote,
        PreVoteReply: on_pre_vote_reply,
        RequestVote: on_request_vote,
        RequestVoteReply: on_request_vote_reply,
        AppendEntries: on_append_entries,
        AppendEntriesReply: on_append_entries_reply,
        AppendEntriesConflict: on_append_entries_conflict,
        Heartbeat: on_heartbeat,
        HeartbeatReply: on_heartbeat_reply,
        InstallSnapshot: on_install_snapshot,
        InstallSnapshotReply: on_install_snapshot_reply,
    }
