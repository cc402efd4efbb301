"""Raft: logs, commitment, flow control and snapshots. Sections are of Ongaro's thesis."""
from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.core import NOBODY, Persist, Send
from engines.raft import (
    AppendEntries,
    AppendEntriesConflict,
    AppendEntriesReply,
    Entries,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    InstallSnapshotReply,
    Raft,
    RaftOptions,
    RequestVote,
    RequestVoteReply,
    Snapshot,
    Voted,
)
from engines.raft.progress import Progress
from ext.log import pack, unpack
from tests.engines.cluster import MS, SECOND, Cluster
from tests.engines.raft_alone import Alone, Said, converse, packed

Logs = tuple[tuple[int, ...], tuple[int, ...]]


def leader(terms: tuple[int, ...] = (), term: int = 0, match: bool = True, **configuration: Any) -> Alone:
    """Replica 0, elected in term + 1 with these entries and a no-op; others hold them too where ``match``."""
    one = Alone(0, terms=terms, term=term, **configuration)
    one.elect()
    if match:
        for peer in one.engine.peers:
            one.hear(peer, AppendEntriesReply(one.engine.term, one.engine.log.last))
        assert one.engine.committed == one.engine.log.last
    return one


def appends(said: Said, to: int) -> list[AppendEntries]:
    return [message for peer, message in said if peer == to and isinstance(message, AppendEntries)]


def refusal(message: AppendEntries, conflict_term: int, conflict_index: int) -> AppendEntriesConflict:
    return AppendEntriesConflict(
        message.term, message.round, message.prev_index, conflict_term, conflict_index
    )


def spans(messages: list[AppendEntries]) -> list[tuple[int, int]]:
    """First and last index of each message."""
    return [(one.prev_index + 1, one.prev_index + len(unpack(one.entries))) for one in messages]


# ---- The consistency check


@pytest.mark.parametrize(
    ("prev_index", "prev_term", "conflict"),
    [(5, 3, (0, 5)), (9, 4, (0, 5)), (4, 4, (3, 3)), (3, 2, (3, 3)), (2, 3, (1, 1))],
)
def test_entries_are_refused_where_the_one_before_them_differs(
    prev_index: int, prev_term: int, conflict: tuple[int, int]
) -> None:
    """3.5; the refusal has the conflicting term and the first index of it. The log is 1, 1, 3, 3."""
    follower = Alone(1, terms=(1, 1, 3, 3), term=3)
    said = follower.hear(0, AppendEntries(4, 0, prev_index, prev_term, packed(4), 9))
    assert said == [(0, AppendEntriesConflict(4, 0, prev_index, *conflict))]
    assert (follower.terms, follower.commits) == ([1, 1, 3, 3], [])


FIGURE_3_6 = {
    "a": (1, 1, 1, 4, 4, 5, 5, 6, 6),
    "b": (1, 1, 1, 4),
    "c": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
    "d": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
    "e": (1, 1, 1, 4, 4, 4, 4),
    "f": (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
}


@pytest.mark.parametrize("empty_probes", [False, True])
@pytest.mark.parametrize("name", FIGURE_3_6)
def test_a_leader_brings_every_follower_of_figure_3_6_to_its_own_log(name: str, empty_probes: bool) -> None:
    """3.5: missing, extraneous, or both; one round trip per conflicting term at most."""
    options = RaftOptions(empty_probes=empty_probes)
    one = Alone(0, terms=(1, 1, 1, 4, 4, 5, 5, 6, 6, 6), term=7, options=options)
    other = Alone(1, terms=FIGURE_3_6[name], term=7)
    heard = converse(one, other, one.elect())
    assert other.log_bytes == one.log_bytes
    refusals = [message for _, message in heard if isinstance(message, AppendEntriesConflict)]
    assert len(refusals) == {"a": 1, "b": 1, "c": 0, "d": 0, "e": 2, "f": 2}[name]
    assert one.engine.committed == 11


def log_after(draw: Any, shared: tuple[int, ...], terms: list[int]) -> tuple[int, ...]:
    """A log that begins with ``shared`` and goes on with some of these terms, which never fall."""
    return shared + tuple(sorted(draw(st.lists(st.sampled_from(terms), max_size=12))))


@st.composite
def diverged(draw: Any) -> Logs:
    """Two logs that may come about: beyond what they share no term is in both, for it has one leader."""
    shared = tuple(sorted(draw(st.lists(st.integers(1, 3), max_size=6))))
    return log_after(draw, shared, [4, 6, 8]), log_after(draw, shared, [5, 7, 9])


@settings(max_examples=150, deadline=None)
@given(diverged(), st.sampled_from([1, 60, 1 << 20]), st.sampled_from([1, 2, 256]), st.booleans())
def test_backing_up_takes_at_most_one_refusal_per_conflicting_term(
    logs: Logs, message_bytes: int, inflight_messages: int, empty_probes: bool
) -> None:
    """End of 3.5, for any two logs and limits; one refusal more tells the length of a log that is shorter."""
    limits = {"message_bytes": message_bytes, "inflight_messages": inflight_messages}
    one = Alone(0, terms=logs[0], term=9, options=RaftOptions(empty_probes=empty_probes), **limits)
    other = Alone(1, terms=logs[1], term=9)
    heard = converse(one, other, one.elect())
    assert other.log_bytes == one.log_bytes
    refusals = [message for _, message in heard if isinstance(message, AppendEntriesConflict)]
    lengths = sum(refusal.conflict_term == 0 for refusal in refusals)
    assert lengths <= 1
    assert len(refusals) - lengths <= len(set(logs[1]) - {1, 2, 3}) + 1
    terms = [refusal.conflict_term for refusal in refusals]
    assert len(terms) == len(set(terms)), "a term is refused once"


def test_an_old_message_never_truncates_what_was_acknowledged() -> None:
    """3.5: only an entry that conflicts is deleted, with all that follow it."""
    follower = Alone(1)
    short = AppendEntries(2, 0, 0, 0, packed(1), 0)
    long = AppendEntries(2, 0, 0, 0, packed(1, 1, 2, 2), 0)
    assert follower.hear(0, long) == [(0, AppendEntriesReply(2, 4))]
    writes = len(follower.written)
    inner = AppendEntries(2, 0, 1, 1, packed(1, first=2), 0)
    for message in (short, long, AppendEntries(2, 0, 0, 0, b"", 0), inner):
        assert follower.hear(0, message) == [(0, AppendEntriesReply(2, 4))]
    assert (follower.terms, len(follower.written)) == ([1, 1, 2, 2], writes)


def test_a_conflicting_tail_is_removed_also_from_the_disk() -> None:
    """3.5: and the record of it says so, since recovery must remove it too."""
    follower = Alone(1, terms=(1, 1, 1, 1), term=1)
    said = follower.hear(0, AppendEntries(3, 0, 1, 1, packed(1, 2, first=2), 0))
    assert said == [(0, AppendEntriesReply(3, 3))]
    assert follower.terms == [1, 1, 2]
    assert follower.written == [Voted(3, NOBODY), Entries(3, packed(2, first=3))], "nothing shared"
    again = Alone(1, records=[Entries(1, packed(1, 1, 1, 1)), *follower.written])
    assert (again.log_bytes, again.engine.term) == (follower.log_bytes, 3)


@settings(max_examples=150, deadline=None)
@given(diverged(), st.data())
def test_a_follower_holds_what_it_acknowledged_whatever_the_network_does(logs: Logs, data: Any) -> None:
    """3.5, with messages lost, doubled and overtaken: what was acknowledged stays, and is the leader's."""
    terms = logs[0]
    entries = unpack(packed(*terms))
    follower = Alone(1, terms=logs[1], term=9)
    acknowledged = 0
    for _ in range(data.draw(st.integers(1, 20))):
        prev = data.draw(st.integers(0, len(terms)))
        stop = data.draw(st.integers(prev, len(terms)))
        commit = data.draw(st.integers(0, len(terms)))
        prev_term = terms[prev - 1] if prev else 0
        message = AppendEntries(10, 0, prev, prev_term, pack(entries[prev:stop]), commit)
        for _, answer in follower.hear(0, message):
            if isinstance(answer, AppendEntriesReply):
                assert answer.match >= stop
                acknowledged = max(acknowledged, answer.match)
        assert unpack(follower.log_bytes)[:acknowledged] == entries[:acknowledged]
        assert follower.engine.committed <= acknowledged


# ---- Commitment


def test_an_entry_of_an_older_term_is_not_committed_by_counting() -> None:
    """3.6.2, figure 3.7 (c): the entry of term 2 is on three of five, and not committed by term 4."""
    one = leader(terms=(1, 2), term=3, match=False, size=5)
    for peer in (1, 2, 3, 4):
        one.hear(peer, AppendEntriesReply(4, 2))
    assert one.commits == []
    one.hear(1, AppendEntriesReply(4, 3))
    assert one.commits == [], "the no-op is on two"
    one.hear(2, AppendEntriesReply(4, 3))
    assert one.commits == [1, 2, 3], "figure 3.7 (e): with an entry of term 4, all before it are committed"


def test_acknowledgements_of_older_terms_are_not_counted() -> None:
    """3.3: the entries acknowledged then may be others by now."""
    one = leader(terms=(1, 2), term=3, match=False)
    for message in (AppendEntriesReply(3, 3), HeartbeatReply(3, 9, 9, 3), InstallSnapshotReply(3, 3)):
        assert one.hear(1, message) == []
    assert one.hear(1, AppendEntriesConflict(3, 0, 2, 0, 1)) == []
    assert one.engine.committed == 0
    one.hear(0, AppendEntriesReply(3, 3))
    assert one.engine.committed == 0


def test_a_follower_commits_no_further_than_its_log_is_the_leaders() -> None:
    """3.5: min(leader's commit index, index of last new entry). The log's tail is another leader's."""
    follower = Alone(1, terms=(1, 1, 1, 1, 1), term=1)
    follower.hear(0, AppendEntries(2, 0, 2, 1, b"", 5))
    assert follower.commits == [1, 2]
    follower.hear(0, Heartbeat(2, 1, 5, 5))
    assert follower.commits == [1, 2]
    follower.hear(0, AppendEntries(2, 0, 2, 1, packed(2, first=3), 5))
    assert (follower.commits, follower.terms) == ([1, 2, 3], [1, 1, 2])


def test_a_new_leader_makes_a_follower_verify_its_log_anew() -> None:
    """3.5: what equals one leader's log may differ from the next one's, but for what is committed."""
    follower = Alone(1)
    follower.hear(0, AppendEntries(1, 0, 0, 0, packed(1, 1, 1), 1))
    assert follower.hear(0, Heartbeat(1, 1, 3, 1)) == [(0, HeartbeatReply(1, 1, 3, 3))]
    assert follower.hear(2, Heartbeat(2, 1, 3, 3)) == [(2, HeartbeatReply(2, 1, 3, 1))]
    assert follower.commits == [1]


def test_the_leaders_disk_works_in_parallel_and_counts_when_it_is_done() -> None:
    """10.2.1: the leader may commit an entry before it has written it, if a quorum of followers has."""
    cluster = Cluster(Raft, 3, initial_leader=0)
    cluster.settle()
    cluster.propose(0, cluster.put(b"x", b"1"))
    cluster.deliver(0, 1)
    cluster.sync(1)
    cluster.deliver(1, 0)
    assert cluster.engine(0).committed == 1, "one durable copy of three"
    cluster.sync(0)
    assert cluster.engine(0).committed == 2, "with the leader's own, two"
    cluster.settle()
    cluster.propose(0, cluster.put(b"x", b"2"))
    for follower in (1, 2):
        cluster.deliver(0, follower)
        cluster.sync(follower)
        cluster.deliver(follower, 0)
    assert cluster.engine(0).committed == 3
    assert cluster.replicas[0].unsynced, "the leader has not written it"


def test_entries_are_written_before_they_are_acknowledged() -> None:
    """3.8: also where the write is an earlier one, which may still be under way."""
    follower = Alone(1)
    message = AppendEntries(1, 0, 0, 0, packed(1, 1), 2)
    for record in (Entries(1, packed(1, 1)), None):
        effects = follower.engine.step(0, message, 1)
        assert not any(isinstance(effect, Send) for effect in effects)
        writes = [effect for effect in effects if isinstance(effect, Persist)]
        assert writes[-1].record == record
        assert writes[-1].then.message == AppendEntriesReply(1, 2)


def test_what_a_crash_takes_was_never_counted() -> None:
    """3.8: who crashes before its disk is done comes back without the entry, and gets it again."""
    cluster = Cluster(Raft, 3, initial_leader=0)
    cluster.settle()
    cluster.partition([0, 1])
    cluster.propose(0, cluster.put(b"x", b"1"))
    cluster.sync(0)
    cluster.deliver(0, 1)
    cluster.crash(1)
    cluster.restart(1)
    assert (cluster.engine(0).committed, cluster.engine(1).log.last) == (1, 1)
    cluster.run(SECOND // 2)
    assert (cluster.engine(0).committed, cluster.engine(1).committed) == (2, 2)
    assert cluster.engine(0).term == 1


# ---- Cost and flow control


@pytest.mark.parametrize("size", [2, 3, 5, 7, 33])
def test_a_command_costs_two_messages_a_follower(size: int) -> None:
    """3.5: AppendEntries and its answer; the commit index rides on what is sent anyway."""
    cluster = Cluster(Raft, size, initial_leader=0, instant_disk=True)
    cluster.settle()
    kinds: list[str] = []

    def observe(_what: str, replica: int, detail: Any) -> None:
        if isinstance(detail, Send) and detail.to != replica:
            kinds.append(type(detail.message).__name__)

    cluster.observe = observe
    for number in range(10):
        cluster.propose(0, cluster.put(b"x", b"%d" % number))
        cluster.settle()
    assert cluster.engine(0).committed == 11
    assert kinds.count("AppendEntries") == kinds.count("AppendEntriesReply") == 10 * (size - 1)
    assert len(kinds) == 20 * (size - 1)
    cluster.tick(0)
    cluster.settle()
    assert kinds[20 * (size - 1):] == ["Heartbeat"] * (size - 1) + ["HeartbeatReply"] * (size - 1)
    assert {cluster.engine(id).committed for id in cluster.ids} == {11}


def test_proposals_are_sent_at_once_and_a_batch_is_one_message() -> None:
    one = leader()
    said = one.propose(b"a", b"b", b"c")
    message = appends(said, 1)[0]
    assert said == [(1, message), (2, message)]
    assert (message.prev_index, message.prev_term, message.commit) == (1, 1, 1)
    assert unpack(message.entries) == [(1, b"a"), (1, b"b"), (1, b"c")]
    assert spans(appends(one.propose(b"d"), 1)) == [(5, 5)], "on trust that the batch arrives"


def test_the_window_bounds_what_is_under_way() -> None:
    """10.2.2 pipelining, within inflight_messages: what waits goes in one message when there is room."""
    one = leader(inflight_messages=2)
    sent = [spans(appends(one.propose(b"%d" % number), 1)) for number in range(5)]
    assert sent == [[(2, 2)], [(3, 3)], [], [], []]
    said = one.hear(1, AppendEntriesReply(1, 2))
    assert (spans(appends(said, 1)), appends(said, 2)) == ([(4, 6)], [])
    assert spans(appends(one.propose(b"5"), 1)) == []
    assert spans(appends(one.hear(1, AppendEntriesReply(1, 6)), 1)) == [(7, 7)]


def test_message_bytes_bound_a_message_but_one_entry_always_goes() -> None:
    one = leader(message_bytes=64)
    said = one.propose(bytes(20), bytes(20), bytes(20), bytes(500), bytes(20))
    assert spans(appends(said, 1)) == [(2, 3), (4, 4), (5, 5), (6, 6)]
    assert spans(appends(said, 2)) == spans(appends(said, 1))


def test_an_empty_probe_is_answered_before_anything_is_sent() -> None:
    """3.5, to save bandwidth; a tail that was not compared is neither acknowledged nor committed."""
    one = Alone(0, terms=(1, 1), term=1, options=RaftOptions(empty_probes=True))
    said = one.elect()
    assert spans(appends(said, 1)) == [(3, 2)]
    follower = Alone(1, terms=(1, 1, 1, 1), term=1)
    [(_, answer)] = follower.hear(0, AppendEntries(2, 1, 2, 1, b"", 4))
    assert answer == AppendEntriesReply(2, 2)
    assert follower.commits == [1, 2] and follower.terms == [1, 1, 1, 1]
    assert spans(appends(one.hear(1, answer), 1)) == [(3, 3)]


def test_a_probe_is_one_message_until_it_is_answered() -> None:
    one = Alone(0, terms=(1, 1), term=1)
    said = one.elect()
    assert spans(appends(said, 1)) == [(3, 3)]
    assert one.propose(b"a") == []
    assert spans(appends(one.hear(1, AppendEntriesReply(2, 3)), 1)) == [(4, 4)]
    assert spans(appends(one.propose(b"b"), 1)) == [(5, 5)]
    refused = refusal(appends(said, 2)[0], 0, 1)
    assert spans(appends(one.hear(2, refused), 2)) == [(1, 5)]
    assert one.hear(2, refused) == [], "an answer that comes twice"


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4), st.lists(st.integers(0, 12), max_size=40))
def test_the_window_against_a_model(window: int, acknowledgements: list[int]) -> None:
    """The model is a deque of the last indices under way."""
    progress, model, last = Progress(1, window), deque[int](), 0
    progress.acknowledge(0)
    assert progress.flow == "replicate"
    for match in acknowledgements:
        while len(model) < window:
            last += 1
            model.append(last)
            progress.sent(last)
        progress.acknowledge(min(match, last))
        while model and model[0] <= min(match, last):
            model.popleft()
        assert (progress.inflight, progress.next) == (len(model), last + 1)


def heartbeat(one: Alone) -> Heartbeat:
    """The heartbeat to follower 1 at the next heartbeat interval."""
    return next(message for to, message in one.time_out() if to == 1 and isinstance(message, Heartbeat))


def answer(beat: Heartbeat, match: int) -> HeartbeatReply:
    return HeartbeatReply(beat.term, beat.round, beat.sent, match)


def test_a_lost_message_is_sent_again_after_a_heartbeat() -> None:
    """3.5: the leader retries; here the answer to a heartbeat tells when."""
    one = leader()
    one.propose(b"a")
    one.propose(b"b")
    first = heartbeat(one)
    assert (first.sent, first.commit) == (3, 1)
    assert spans(appends(one.hear(1, answer(first, 1)), 1)) == [(2, 3)]
    assert one.hear(1, answer(first, 1)) == [], "an old heartbeat"
    assert spans(appends(one.hear(1, answer(heartbeat(one), 1)), 1)) == [(2, 3)], "the probe was lost, too"


def test_a_lost_answer_is_made_good_by_a_heartbeat_without_sending_again() -> None:
    one = leader()
    one.propose(b"a")
    assert one.hear(1, answer(heartbeat(one), 2)) == []
    assert one.engine.committed == 2


def test_a_heartbeat_sends_nothing_again_while_acknowledgements_are_on_their_way() -> None:
    one = leader()
    one.propose(b"a")
    beat = heartbeat(one)
    one.propose(b"b")
    assert one.hear(1, answer(beat, 2)) == [], "b left after that heartbeat"


def test_a_heartbeat_commits_only_what_the_follower_is_known_to_hold() -> None:
    one = leader()
    one.propose(b"a")
    one.hear(2, AppendEntriesReply(1, 2))
    assert one.engine.committed == 2
    beats = {to: message.commit for to, message in one.time_out() if isinstance(message, Heartbeat)}
    assert beats == {1: 1, 2: 2}


def test_an_overtaken_message_is_made_good_by_its_refusal() -> None:
    """Datagrams: the refusal of the later message brings the rest at once, in one message."""
    one = leader()
    one.propose(b"a")
    later = appends(one.propose(b"b"), 1)[0]
    said = one.hear(1, refusal(later, 0, 2))
    assert spans(appends(said, 1)) == [(2, 3)]
    assert one.hear(1, refusal(later, 0, 2)) == [], "one refusal a round"
    assert one.propose(b"c")[0][0] == 2, "nothing to follower 1 while its probe is under way"
    assert one.hear(1, AppendEntriesReply(1, 2)) == [], "the overtaken one has arrived, the probe has not"
    assert spans(appends(one.hear(1, AppendEntriesReply(1, 3)), 1)) == [(4, 4)]
    assert one.hear(1, refusal(later, 0, 2)) == [], "belated"
    assert one.hear(1, refusal(appends(said, 1)[0], 0, 1)) == [], "overtaken by an acknowledgement"


def test_a_refused_window_is_sent_again_once() -> None:
    """Datagrams: the first message is lost, all others are refused, and every refusal comes twice."""
    one = leader()
    window = [appends(one.propose(b"%d" % number), 1)[0] for number in range(20)]
    refusals = [refusal(message, 0, 2) for message in window[1:]]
    again = [message for one_refusal in refusals * 2 for message in appends(one.hear(1, one_refusal), 1)]
    assert spans(again) == [(2, 21)]


def test_a_broken_connection_is_probed_once_a_heartbeat_is_answered() -> None:
    one = leader()
    one.propose(b"a")
    assert one.perform(one.engine.disconnect(1, one.now)) == []
    assert one.engine.progress[1].flow == "probe"
    assert [to for to, _ in one.propose(b"b")] == [2]
    assert spans(appends(one.hear(1, answer(heartbeat(one), 1)), 1)) == [(2, 3)]


def test_a_connection_that_breaks_during_a_probe_does_not_send_the_log_from_its_beginning() -> None:
    """A new leader knows nothing of its followers; that is no reason to start from nothing."""
    one = Alone(0, terms=(1,) * 9, term=1)
    one.elect()
    one.perform(one.engine.disconnect(1, one.now))
    assert spans(appends(one.hear(1, answer(heartbeat(one), 0)), 1)) == [(10, 10)]


# ---- Snapshots


def compacted(position: int = 3, **configuration: Any) -> Alone:
    """A leader in term 2 with the entries 1, 1, 2, 2, 2, of which a snapshot has those up to ``position``."""
    one = leader(terms=(1, 1), term=1, **configuration)
    one.propose(b"a", b"b")
    for peer in (1, 2):
        one.hear(peer, AppendEntriesReply(2, 5))
    assert one.engine.committed == 5
    one.written.clear()
    assert one.perform(one.engine.compact(position, b"state", one.now)) == []
    return one


def test_compaction_restates_all_that_is_needed() -> None:
    """5.1: the log's prefix goes; term, vote, snapshot and the rest of the log are found again."""
    one = compacted()
    assert one.written == [Snapshot(3, 2, b"state"), Voted(2, 0), Entries(4, pack([(2, b"a"), (2, b"b")]))]
    again = Alone(0, records=one.written)
    assert again.restored == [(3, b"state")]
    assert (again.engine.committed, again.engine.log.base, again.engine.log.base_term) == (3, 3, 2)
    assert (again.log_bytes, again.engine.term, again.engine.vote) == (one.log_bytes, 2, 0)
    assert again.hear(2, RequestVote(2, 9, 2)) == [(2, RequestVoteReply(2, False))]
    assert compacted(5).written == [Snapshot(5, 2, b"state"), Voted(2, 0)]


def test_old_records_before_the_snapshot_do_no_harm() -> None:
    """Storage may still have them after a crash."""
    one = compacted()
    older = [Voted(1, 1), Entries(1, packed(1, 1)), Voted(2, 0), Entries(3, packed(2, 2, 2, first=3))]
    assert Alone(0, records=[*older, *one.written]).log_bytes == one.log_bytes


def test_a_follower_behind_the_log_is_sent_the_snapshot_and_then_the_log() -> None:
    """5.1 and 5.3: whole, in one message."""
    one = compacted()
    one.perform(one.engine.disconnect(1, one.now))
    other = Alone(1)
    one.engine.progress[1].probe(1, 0, 0)
    said = one.hear(1, answer(heartbeat(one), 0))
    assert [message for _, message in said] == [InstallSnapshot(2, 3, 2, b"state")]
    assert one.engine.progress[1].flow == "snapshot"
    assert [to for to, _ in one.propose(b"c")] == [2], "nothing else while it is under way"
    heard = [message for _, message in converse(one, other, said)]
    assert [type(message).__name__ for message in heard] == [
        "InstallSnapshot", "InstallSnapshotReply", "AppendEntries", "AppendEntriesReply",
    ]
    assert other.restored == [(3, b"state")]
    assert other.written[1] == Snapshot(3, 2, b"state")
    assert (other.log_bytes, other.engine.committed) == (one.log_bytes, 5)


def test_a_lost_snapshot_is_sent_again_after_a_heartbeat() -> None:
    one = compacted()
    one.engine.progress[1].probe(2, 1, 0)
    first = heartbeat(one)
    assert [type(message) for _, message in one.hear(1, answer(first, 0))] == [InstallSnapshot]
    assert one.hear(1, answer(first, 0)) == [], "an old heartbeat"
    again = one.hear(1, answer(heartbeat(one), 0))
    assert [type(message) for _, message in again] == [InstallSnapshot]


def test_a_snapshot_replaces_another_log_and_keeps_what_follows_in_the_same_one() -> None:
    """5.3: if the log has the snapshot's last entry, what follows it is kept; else all of it goes."""
    same = Alone(1, terms=(1, 1, 2, 2), term=2)
    assert same.hear(0, InstallSnapshot(3, 3, 2, b"s")) == [(0, InstallSnapshotReply(3, 3))]
    assert (same.terms, same.restored, same.engine.log.base) == ([2], [(3, b"s")], 3)
    other = Alone(1, terms=(1, 1, 1, 1), term=2)
    assert other.hear(0, InstallSnapshot(3, 3, 2, b"s")) == [(0, InstallSnapshotReply(3, 3))]
    assert (other.terms, other.engine.log.last, other.engine.log.last_term) == ([], 3, 2)
    for replica in (same, other):
        restored = list(replica.restored)
        assert replica.hear(0, InstallSnapshot(3, 2, 1, b"older")) == [(0, InstallSnapshotReply(3, 3))]
        assert replica.restored == restored, "what is committed is not restored again"


def test_a_message_from_before_the_snapshot_is_acknowledged() -> None:
    """5.3: what is compacted was committed, and so is the leader's, too."""
    follower = Alone(1)
    follower.hear(0, InstallSnapshot(2, 3, 2, b"s"))
    assert follower.hear(0, AppendEntries(2, 0, 0, 0, packed(1, 1), 3)) == [(0, AppendEntriesReply(2, 3))]
    across = AppendEntries(2, 0, 1, 1, packed(1, 2, 2, first=2), 4)
    assert follower.hear(0, across) == [(0, AppendEntriesReply(2, 4))]
    assert (follower.terms, follower.commits) == ([2], [4])


def test_a_follower_that_was_down_catches_up_over_the_snapshot() -> None:
    cluster = Cluster(Raft, 3, initial_leader=0)
    cluster.run(SECOND)
    cluster.crash(2)
    for number in range(20):
        cluster.propose(0, cluster.put(b"x", b"%d" % number))
    cluster.run(100 * MS)
    cluster.compact(0)
    cluster.propose(0, cluster.put(b"x", b"last"))
    cluster.restart(2)
    cluster.run(SECOND)
    assert cluster.engine(2).committed == cluster.engine(0).committed == 22
    assert cluster.engine(2).log.base == 21
