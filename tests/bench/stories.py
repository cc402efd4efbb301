"""Short stories of what replicas write, send and apply: in each a statement of their protocol does not hold, in one all do."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.checkers import statements
from bench.checkers.invariants import Agreement, Watcher
from bench.checkers.statements import name_of
from bench.checkers.watchers import watchers
from engines import raft, zab
from engines.core import NOBODY, Status
from engines.machine import PUT, KeyValue, encode_command
from engines.paxos.messages import Accept, Accepted, AcceptedSlots, Compacted, HeartbeatReply, Prepare, Promise, Promised
from ext.log import pack


def command(sequence: int, client: int = 0, key: int = 1) -> bytes:
    return encode_command(client, sequence, sequence, PUT, key.to_bytes(8, "little"), b"value")


def packed(*terms: int, start: int = 1) -> bytes:
    """Entries of these terms; the command at a position is that of the same sequence number."""
    return pack([(term, command(position)) for position, term in enumerate(terms, start)])


A, B = command(7), command(8)


class Story:
    """Replicas as their watcher sees them. Machines apply ``command(position)``."""

    def __init__(self, engine: str, replicas: int = 3, thorough: bool = False) -> None:
        self.agreement = Agreement(replicas)
        level = statements.THOROUGH if thorough else statements.ALL
        found = watchers(engine, replicas, self.agreement, level)
        assert found is not None
        self.watcher: Watcher = found
        self.machines = [KeyValue() for _ in range(replicas)]

    def kept(self, records: list[Any], *replicas: int) -> None:
        for replica in replicas:
            for record in records:
                self.watcher.kept(replica, record)

    def applies(self, replica: int, *commands: bytes) -> None:
        machine = self.machines[replica]
        for each in commands or (command(machine.applied + 1),):
            position = machine.applied + 1
            machine.apply(position, each)
            if self.agreement.applied(replica, position, machine.digest, machine.duplicates, each):
                self.watcher.chosen(replica, position, machine.digest, each)

    def names(self) -> set[str]:
        return {name_of(violation) for violation in self.agreement.violations}


def status(term: int = 0, commit: int = 0, last: int = 0, role: str = "follower") -> Status:
    return Status(role, None, term, commit, last)


# -- Raft


def elected(story: Story, leader: int = 0, term: int = 1) -> None:
    """Everybody votes for the leader."""
    story.kept([raft.Voted(term, leader)], 0, 1, 2)
    story.watcher.led(leader, term, 0)


def raft_is_sound(story: Story) -> None:
    """An election, two entries, an answer, a snapshot, a restart, another leader who resolves a conflict."""
    elected(story)
    story.kept([raft.Entries(1, packed(1, 1))], 0, 1)
    story.watcher.promised(1, 0, raft.AppendEntriesReply(1, 2))
    story.applies(0)
    story.applies(0)
    story.applies(1)
    story.kept([raft.Entries(3, packed(1, start=3))], 0)
    story.kept([raft.Snapshot(2, 1, story.machines[0].snapshot()), raft.Voted(1, 0), raft.Entries(3, packed(1, start=3))], 0)
    story.watcher.recovered(1, [raft.Voted(1, 0), raft.Entries(1, packed(1, 1))], status(1, 0, 2))
    story.kept([raft.Voted(2, 1)], 1, 2)
    story.watcher.promised(2, 1, raft.RequestVoteReply(2, True))
    story.watcher.led(1, 2, 2)
    story.kept([raft.Entries(3, packed(2, start=3))], 1)
    story.kept([raft.Voted(2, NOBODY), raft.Entries(3, packed(2, start=3))], 0)
    story.watcher.promised(0, 1, raft.AppendEntriesReply(2, 3))
    votes_come_late(story)


def votes_come_late(story: Story) -> None:
    """Replica 0 has won term 3, and learns that when term 4 has decided more."""
    story.kept([raft.Voted(3, 0)], 0, 1)
    story.kept([raft.Voted(4, 2), raft.Entries(1, packed(1, 1, 2))], 1, 2)
    story.watcher.led(2, 4, 2)
    story.kept([raft.Entries(4, packed(4, start=4))], 1, 2)
    for _ in range(3):
        story.applies(1)
    story.watcher.led(0, 3, 2)


def election_without_a_quorum(story: Story) -> None:
    story.kept([raft.Voted(1, 0)], 0)
    story.watcher.led(0, 1, 0)


def two_elected(story: Story) -> None:
    elected(story)
    story.kept([raft.Voted(2, 1)], 0, 1, 2)
    story.watcher.led(1, 1, 0)


def two_speak(story: Story) -> None:
    elected(story)
    story.watcher.sent(0, 1, raft.AppendEntries(1, 0, 0, 0, b"", 0))
    story.watcher.sent(2, 1, raft.Heartbeat(1, 0, 0, 0))


def leader_overwrites(story: Story) -> None:
    elected(story)
    story.kept([raft.Entries(1, packed(1, 1))], 0)
    story.kept([raft.Entries(2, packed(1, start=2) + packed(1, start=3)), raft.Entries(2, packed(1, start=2))], 0)


def logs_do_not_match(story: Story) -> None:
    elected(story)
    story.kept([raft.Entries(1, pack([(1, A), (1, A)]))], 0)
    story.kept([raft.Entries(1, pack([(1, A), (1, B)]))], 1)


def terms_begin_at_two_places(story: Story) -> None:
    story.kept([raft.Entries(1, packed(1, 2))], 0)
    story.kept([raft.Entries(1, packed(2, 2))], 1)


def leader_is_incomplete(story: Story) -> None:
    elected(story)
    story.kept([raft.Entries(1, packed(1))], 0, 1)
    story.applies(0)
    story.kept([raft.Voted(2, 2)], 0, 1, 2)
    story.watcher.led(2, 2, 0)


def entry_of_an_older_term_is_committed_by_counting(story: Story) -> None:
    """Ongaro, Figure 3.7: of three, replica 1 has a later entry of its own, and the vote of 2 would be its."""
    story.kept([raft.Voted(2, 0), raft.Entries(1, pack([(2, A)]))], 0)
    story.kept([raft.Voted(3, 1), raft.Entries(1, pack([(3, B)]))], 1)
    story.kept([raft.Voted(3, 1), raft.Voted(4, 0), raft.Entries(1, pack([(2, A)]))], 2)
    story.applies(0, A)


def leader_has_something_else(story: Story) -> None:
    elected(story)
    story.kept([raft.Entries(1, packed(1))], 0, 1)
    story.applies(0)
    story.kept([raft.Voted(2, 2), raft.Entries(1, pack([(2, B)]))], 2)
    story.kept([raft.Voted(2, 2)], 0)
    story.watcher.led(2, 2, 0)


def raft_applies_what_is_in_no_log(story: Story) -> None:
    elected(story)
    story.kept([raft.Entries(1, packed(1))], 0, 1, 2)
    story.applies(0, A)


def terms_go_back(story: Story) -> None:
    story.kept([raft.Voted(3, NOBODY), raft.Voted(2, NOBODY)], 0)


def terms_fall_along_a_log(story: Story) -> None:
    story.kept([raft.Entries(1, packed(2, 1))], 0)


def terms_go_back_in_statuses(story: Story) -> None:
    story.watcher.seen(0, status(3))
    story.watcher.seen(0, status(2))


def two_votes_on_disk(story: Story) -> None:
    story.kept([raft.Voted(1, 0), raft.Voted(1, 2)], 0)


def two_votes_in_messages(story: Story) -> None:
    story.kept([raft.Voted(1, 2)], 0)
    story.watcher.promised(0, 2, raft.RequestVoteReply(1, True))
    story.watcher.promised(0, 1, raft.RequestVoteReply(1, True))


def raft_promise_of(*promises: tuple[int, Any]) -> Callable[[Story], None]:
    def fails(story: Story) -> None:
        elected(story)
        story.kept([raft.Entries(1, packed(1))], 0, 1)
        for to, message in promises:
            story.watcher.promised(1, to, message)

    return fails


def raft_acknowledges_another_log(story: Story) -> None:
    """Index 2 is on the follower's disk, but of a term that the leader's history does not have there."""
    story.kept([raft.Voted(1, 0), raft.Entries(1, packed(1, 1))], 1)
    story.kept([raft.Voted(1, 0), raft.Entries(1, packed(1)), raft.Voted(2, 0), raft.Entries(2, packed(2, start=2))], 0)
    story.kept([raft.Voted(2, 0)], 1)
    story.watcher.promised(1, 0, raft.AppendEntriesReply(2, 2))


def raft_forgets(story: Story) -> None:
    elected(story)
    story.kept([raft.Entries(1, packed(1, 1))], 0)
    story.watcher.recovered(0, [raft.Voted(1, 0), raft.Entries(1, packed(1))], status(1, 0, 2))


def raft_forgets_its_vote(story: Story) -> None:
    elected(story)
    story.watcher.recovered(0, [raft.Voted(1, NOBODY)], status(1, 0, 0))


def raft_commits_without_a_quorum(story: Story) -> None:
    elected(story)
    story.kept([raft.Entries(1, packed(1))], 0)
    story.applies(0)


def no_ops_of_two_terms(story: Story) -> None:
    """The leader of term 1 is heard by one replica; that of term 2, which has not heard of its no-op, by none."""
    elected(story)
    story.kept([raft.Entries(1, pack([(1, b"")]))], 0, 1)
    story.kept([raft.Voted(2, 2), raft.Entries(1, pack([(2, b"")]))], 2)
    story.applies(0, b"")


def raft_commit_goes_back(story: Story) -> None:
    story.watcher.seen(0, status(1, 5))
    story.watcher.seen(0, status(1, 4))


RAFT_STORIES = [
    (statements.ELECTION_SAFETY, election_without_a_quorum),
    (statements.ELECTION_SAFETY, two_elected),
    (statements.ELECTION_SAFETY, two_speak),
    (statements.APPEND_ONLY, leader_overwrites),
    (statements.LOG_MATCHING, logs_do_not_match),
    (statements.LOG_MATCHING, terms_begin_at_two_places),
    (statements.COMPLETENESS, leader_is_incomplete),
    (statements.COMPLETENESS, leader_has_something_else),
    (statements.COMPLETENESS, entry_of_an_older_term_is_committed_by_counting),
    (statements.MACHINE_SAFETY, raft_applies_what_is_in_no_log),
    (statements.TERMS, terms_go_back),
    (statements.TERMS, terms_fall_along_a_log),
    (statements.TERMS, terms_go_back_in_statuses),
    (statements.ONE_VOTE, two_votes_on_disk),
    (statements.ONE_VOTE, two_votes_in_messages),
    (statements.DURABILITY, raft_promise_of((0, raft.AppendEntriesReply(1, 2)))),
    (statements.DURABILITY, raft_promise_of((0, raft.HeartbeatReply(2, 0, 0, 0)))),
    (statements.DURABILITY, raft_promise_of((2, raft.RequestVoteReply(2, True)))),
    (statements.DURABILITY, raft_promise_of((2, raft.RequestVote(2, 0, 0)))),
    (statements.DURABILITY, raft_acknowledges_another_log),
    (statements.DURABILITY, raft_forgets),
    (statements.DURABILITY, raft_forgets_its_vote),
    (statements.DURABILITY, raft_commits_without_a_quorum),
    (statements.MONOTONE, raft_commit_goes_back),
]


# -- Paxos

LOW, HIGH = 1 << 16, 2 << 16 | 1


def paxos_is_sound(story: Story) -> None:
    """A ballot, two slots, a hole that is filled, a higher ballot that proposes the chosen values again, a restart."""
    story.kept([Promised(LOW, 0)], 0, 1)
    story.watcher.promised(1, 0, Promise(LOW, 1, 1, b"", 0, 0))
    story.watcher.led(0, LOW, 0)
    first, second = AcceptedSlots(LOW, 1, packed(LOW), 0), AcceptedSlots(LOW, 2, packed(LOW, start=2), 0)
    story.kept([first, second], 0)
    story.kept([second, first], 1)
    story.watcher.promised(1, 0, Accepted(LOW, 2, 0))
    story.applies(0)
    story.applies(0)
    story.kept([Promised(HIGH, 0)], 1, 2)
    story.watcher.led(1, HIGH, 0)
    again = AcceptedSlots(HIGH, 1, packed(HIGH, HIGH), 2)
    story.kept([again], 1, 2)
    story.watcher.promised(2, 1, Accepted(HIGH, 2, 0))
    story.watcher.recovered(2, [Promised(HIGH, 0), again], status(HIGH, 2, 2))
    story.kept([Compacted(2, HIGH, b""), Promised(HIGH, 2)], 1)


def promise_is_broken_on_disk(story: Story) -> None:
    story.kept([Promised(HIGH, 0), AcceptedSlots(LOW, 1, packed(LOW), 0)], 0)


def promise_is_broken_in_messages(story: Story) -> None:
    story.kept([Promised(HIGH, 0)], 0)
    story.watcher.promised(0, 1, Promise(HIGH, 1, 1, b"", 0, 0))
    story.watcher.sent(0, 2, Accepted(LOW, 1, 0))


def promise_tells_of_too_little(story: Story) -> None:
    story.kept([AcceptedSlots(LOW, 1, packed(LOW), 0), AcceptedSlots(LOW, 3, packed(LOW, start=3), 0), Promised(HIGH, 0)], 0)
    story.watcher.promised(0, 1, Promise(HIGH, 1, 1, packed(LOW), 1, 0))


def promise_is_forgotten(story: Story) -> None:
    story.kept([Promised(HIGH, 0)], 0)
    story.watcher.recovered(0, [Promised(HIGH, 0)], status(LOW))


def two_values_in_a_ballot(story: Story) -> None:
    story.kept([AcceptedSlots(LOW, 1, pack([(LOW, A)]), 0)], 0)
    story.kept([AcceptedSlots(LOW, 1, pack([(LOW, B)]), 0)], 1)


def two_values_in_messages(story: Story) -> None:
    story.watcher.sent(0, 1, Accept(LOW, 1, pack([(LOW, A)]), 0))
    story.watcher.sent(0, 2, Accept(LOW, 1, pack([(LOW, B)]), 0))


def chosen_value_is_overwritten(story: Story) -> None:
    story.kept([AcceptedSlots(LOW, 1, packed(LOW), 0)], 0, 1)
    story.applies(0)
    story.kept([AcceptedSlots(HIGH, 1, pack([(HIGH, B)]), 0)], 2)


def what_nobody_proposed_is_applied(story: Story) -> None:
    story.kept([AcceptedSlots(LOW, 1, packed(LOW), 0)], 0, 1)
    story.applies(0, B)


def accepted_above_the_promise(story: Story) -> None:
    story.kept([AcceptedSlots(LOW, 1, packed(HIGH), 0)], 0)


def led_without_promises(story: Story) -> None:
    story.kept([Promised(LOW, 0)], 0)
    story.watcher.led(0, LOW, 0)


def two_speak_in_a_ballot(story: Story) -> None:
    story.watcher.sent(0, 1, Accept(LOW, 1, b"", 0))
    story.watcher.sent(2, 1, Accept(LOW, 1, b"", 0))


def paxos_promise_of(message: Any) -> Callable[[Story], None]:
    def fails(story: Story) -> None:
        story.kept([AcceptedSlots(LOW, 1, packed(LOW), 0), AcceptedSlots(LOW, 3, packed(LOW, start=3), 0)], 0)
        story.watcher.promised(0, 1, message)

    return fails


def paxos_acknowledges_an_older_ballot(story: Story) -> None:
    """Slot 1 is accepted, but not at the ballot that is promised now."""
    story.kept([AcceptedSlots(LOW, 1, packed(LOW), 0), Promised(HIGH, 0)], 0)
    story.watcher.promised(0, 1, Accepted(HIGH, 1, 0))


def paxos_forgets(story: Story) -> None:
    story.kept([AcceptedSlots(LOW, 1, packed(LOW), 0)], 0)
    story.watcher.recovered(0, [Promised(LOW, 0)], status(LOW))


def paxos_commits_without_a_quorum(story: Story) -> None:
    story.kept([AcceptedSlots(LOW, 1, packed(LOW), 0)], 0)
    story.applies(0)


def paxos_commit_goes_back(story: Story) -> None:
    story.watcher.seen(0, status(1, 5))
    story.watcher.seen(0, status(1, 4))


PAXOS_STORIES = [
    (statements.PROMISE, promise_is_broken_on_disk),
    (statements.PROMISE, promise_is_broken_in_messages),
    (statements.PROMISE, promise_is_forgotten),
    (statements.PROMISE, promise_tells_of_too_little),
    (statements.ONE_VALUE, two_values_in_a_ballot),
    (statements.ONE_VALUE, two_values_in_messages),
    (statements.CHOSEN, chosen_value_is_overwritten),
    (statements.CHOSEN, what_nobody_proposed_is_applied),
    (statements.ACCEPTED, accepted_above_the_promise),
    (statements.ACCEPTED, led_without_promises),
    (statements.ONE_LEADER, two_speak_in_a_ballot),
    (statements.DURABILITY, paxos_promise_of(Accepted(LOW, 2, 0))),
    (statements.DURABILITY, paxos_promise_of(HeartbeatReply(HIGH, 0, 0))),
    (statements.DURABILITY, paxos_promise_of(Promise(HIGH, 1, 1, b"", 0, 0))),
    (statements.DURABILITY, paxos_promise_of(Prepare(HIGH, 1))),
    (statements.DURABILITY, paxos_acknowledges_an_older_ballot),
    (statements.DURABILITY, paxos_forgets),
    (statements.DURABILITY, paxos_commits_without_a_quorum),
    (statements.MONOTONE, paxos_commit_goes_back),
]


# -- Zab


def joined(epoch: int) -> list[Any]:
    return [zab.AcceptedEpoch(epoch), zab.CurrentEpoch(epoch)]


def zab_is_sound(story: Story) -> None:
    """An epoch with two proposals; a restart; a later epoch whose leader has a follower cut the end of its history; then one
    whose leader has delivered, and is still writing, what the disks of its quorum have; and one that learns of its
    acknowledgements when a later epoch has delivered more.
    """
    story.kept(joined(1), 0, 1)
    story.watcher.promised(1, 0, zab.AckNewLeader(1, 1, 0))
    story.watcher.led(0, 1, 0)
    story.kept([zab.Appended(packed(1)), zab.Appended(packed(1, start=2))], 0)
    story.kept([zab.Appended(packed(1))], 1)
    story.watcher.promised(1, 0, zab.Ack(1, 1, 1))
    story.applies(0)
    story.applies(1)
    story.watcher.recovered(1, [*joined(1), zab.Appended(packed(1))], status(1, 0, 1))
    story.kept([zab.AcceptedEpoch(2), zab.Appended(packed(1)), zab.CurrentEpoch(2)], 2)
    story.kept(joined(2), 1)
    story.watcher.led(1, 2, 1)
    story.kept([zab.AcceptedEpoch(2), zab.Truncated(1), zab.CurrentEpoch(2), zab.Appended(packed(2, start=2))], 0)
    story.kept([zab.Snapshot(1, 1, story.machines[1].snapshot(), 2, 2, b""), zab.Appended(packed(2, start=2))], 1)
    story.watcher.promised(0, 1, zab.Ack(1, 2, 2))
    story.applies(0)
    story.kept(joined(3), 0, 1)
    story.watcher.led(2, 3, 2)
    story.kept(joined(4), 0, 1)
    story.kept(joined(5), 1, 2)
    story.kept([zab.Appended(packed(2, start=2))], 2)
    story.watcher.led(1, 5, 2)
    story.kept([zab.Appended(packed(5, start=3))], 1, 2)
    story.applies(1)
    story.applies(1)
    story.watcher.led(0, 4, 2)


def established(story: Story) -> None:
    story.kept(joined(1), 0, 1)
    story.watcher.led(0, 1, 0)


def zab_delivers_what_was_not_broadcast(story: Story) -> None:
    established(story)
    story.kept([zab.Appended(packed(1))], 0, 1)
    story.applies(0, B)


def zab_orders_differ(story: Story) -> None:
    established(story)
    story.kept([zab.Appended(pack([(1, A), (1, B)]))], 0)
    story.kept([zab.Appended(pack([(1, B), (1, A)]))], 1)


def zab_has_a_gap(story: Story) -> None:
    established(story)
    story.kept([zab.Appended(packed(1, 1))], 0)
    story.kept([zab.Appended(pack([(1, command(2))]))], 1)


def zab_epochs_interleave(story: Story) -> None:
    story.kept([zab.Appended(packed(2, 1))], 0)


def zab_primary_has_not_delivered(story: Story) -> None:
    established(story)
    story.kept([zab.Appended(packed(1))], 0, 1)
    story.applies(0)
    story.kept(joined(2), 1, 2)
    story.watcher.led(1, 2, 0)


def zab_primary_has_another_history(story: Story) -> None:
    story.kept([*joined(1), zab.Appended(pack([(1, A)]))], 2)
    story.kept(joined(2), 0, 1)
    story.watcher.led(0, 2, 0)
    story.kept([zab.Appended(packed(2))], 0, 1)
    story.applies(0)
    story.kept(joined(3), 1, 2)
    story.watcher.led(2, 3, 1)


def zab_counts_who_is_not_in_the_epoch(story: Story) -> None:
    """The leader of epoch 3 is followed by replica 1, whose disk says epoch 1: replica 2, in epoch 2, could lead them both."""
    story.kept(joined(1), 0, 1, 2)
    story.kept(joined(2), 0, 2)
    story.watcher.led(0, 2, 0)
    story.kept([zab.Appended(packed(2)), *joined(3)], 0)
    story.kept([zab.AcceptedEpoch(3), zab.Appended(packed(2))], 1)
    story.applies(0)


def zab_joins_an_older_epoch(story: Story) -> None:
    established(story)
    story.kept([zab.AcceptedEpoch(2)], 1)
    story.watcher.promised(1, 0, zab.Ack(1, 1, 0))


def zab_epochs_go_back(story: Story) -> None:
    story.kept([zab.AcceptedEpoch(2), zab.AcceptedEpoch(1)], 0)


def zab_is_in_an_epoch_it_did_not_accept(story: Story) -> None:
    story.kept([zab.CurrentEpoch(1)], 0)


def zab_epochs_go_back_in_statuses(story: Story) -> None:
    story.watcher.seen(0, status(2))
    story.watcher.seen(0, status(1))


def zab_is_established_without_a_quorum(story: Story) -> None:
    story.kept(joined(1), 0)
    story.watcher.led(0, 1, 0)


def zab_two_established(story: Story) -> None:
    established(story)
    story.watcher.led(1, 1, 0)


def zab_two_speak(story: Story) -> None:
    story.watcher.sent(0, 1, zab.Proposal(1, 1, b""))
    story.watcher.sent(2, 1, zab.NewLeader(1))


def zab_promise_of(message: Any) -> Callable[[Story], None]:
    def fails(story: Story) -> None:
        established(story)
        story.kept([zab.Appended(packed(1))], 1)
        story.watcher.promised(1, 0, message)

    return fails


def zab_acknowledges_another_history(story: Story) -> None:
    story.kept([*joined(1), zab.Appended(packed(1, 1))], 1)
    story.kept([*joined(1), zab.Appended(packed(1)), *joined(2), zab.Appended(packed(2, start=2))], 0)
    story.kept([zab.AcceptedEpoch(2)], 1)
    story.watcher.promised(1, 0, zab.Ack(1, 2, 2))


def zab_forgets(story: Story) -> None:
    established(story)
    story.watcher.recovered(0, [zab.AcceptedEpoch(1)], status(1))


def zab_delivers_without_a_quorum(story: Story) -> None:
    established(story)
    story.kept([zab.Appended(packed(1))], 0)
    story.applies(0)


ZAB_STORIES = [
    (statements.INTEGRITY, zab_delivers_what_was_not_broadcast),
    (statements.LOCAL_ORDER, zab_orders_differ),
    (statements.LOCAL_ORDER, zab_has_a_gap),
    (statements.GLOBAL_ORDER, zab_epochs_interleave),
    (statements.PRIMARY, zab_primary_has_not_delivered),
    (statements.PRIMARY, zab_primary_has_another_history),
    (statements.PRIMARY, zab_counts_who_is_not_in_the_epoch),
    (statements.EPOCHS, zab_joins_an_older_epoch),
    (statements.EPOCHS, zab_epochs_go_back),
    (statements.EPOCHS, zab_is_in_an_epoch_it_did_not_accept),
    (statements.EPOCHS, zab_epochs_go_back_in_statuses),
    (statements.ONE_ESTABLISHED, zab_is_established_without_a_quorum),
    (statements.ONE_ESTABLISHED, zab_two_established),
    (statements.ONE_ESTABLISHED, zab_two_speak),
    (statements.DURABILITY, zab_promise_of(zab.Ack(1, 1, 2))),
    (statements.DURABILITY, zab_promise_of(zab.Ack(1, 2, 1))),
    (statements.DURABILITY, zab_promise_of(zab.AckNewLeader(1, 2, 1))),
    (statements.DURABILITY, zab_promise_of(zab.AckEpoch(1, True, 1, 1, 2))),
    (statements.DURABILITY, zab_acknowledges_another_history),
    (statements.DURABILITY, zab_forgets),
    (statements.DURABILITY, zab_delivers_without_a_quorum),
]

STORIES = {"raft": RAFT_STORIES, "paxos": PAXOS_STORIES, "zab": ZAB_STORIES}
SOUND = {"raft": raft_is_sound, "paxos": paxos_is_sound, "zab": zab_is_sound}
