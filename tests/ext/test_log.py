"""The log core: examples, limits, malformed batches, and a list of pairs as the model of everything."""
import struct
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ext import build

HEADER_BYTES = 12
INDEX_BYTES = 8

TERMS = st.one_of(st.integers(0, 3), st.integers(2**64 - 2, 2**64 - 1))
PAYLOADS = st.binary(max_size=40)
BATCHES = st.lists(st.tuples(TERMS, PAYLOADS), max_size=6)


def packed_by_hand(entries):
    return b"".join(struct.pack("<QI", term, len(payload)) + payload for term, payload in entries)


def filled(log, entries, base=0, base_term=0):
    made = log.Log(base, base_term)
    for term, payload in entries:
        made.append(term, payload)
    return made


def contents(made):
    return [(made.term(at), made.payload(at)) for at in range(made.base + 1, made.last + 1)]


def test_a_leaders_log_replicated_to_a_follower(log):
    leader = log.Log()
    assert leader.append(1, b"a") == 1
    assert leader.extend(2, [b"b", b"", b"cc"]) == 4
    follower = log.Log()
    assert follower.append_packed(leader.slice(1, 3)) == 2
    assert follower.append_packed(leader.slice(3, 5)) == 4
    assert contents(follower) == contents(leader) == [(1, b"a"), (2, b"b"), (2, b""), (2, b"cc")]
    assert follower.last_term == 2
    assert follower.nbytes == 4 * HEADER_BYTES + 4


def test_a_conflicting_tail_is_found_and_replaced(log):
    follower = filled(log, [(1, b"a"), (1, b"b"), (2, b"x"), (2, b"y")])
    batch = log.pack([(1, b"b"), (3, b"c"), (3, b"d")])
    position = follower.conflict(2, batch)
    assert position == 3
    follower.truncate(position)
    assert (follower.last, follower.last_term) == (2, 1)
    assert follower.append_packed(log.skip(batch, position - 2)) == 4
    assert contents(follower) == [(1, b"a"), (1, b"b"), (3, b"c"), (3, b"d")]
    assert follower.conflict(2, batch) == 5


def test_conflict_takes_what_is_compacted_as_equal(log):
    follower = filled(log, [(1, b"a"), (1, b"b"), (2, b"c")])
    follower.compact(2)
    assert follower.conflict(1, log.pack([(7, b"a"), (7, b"b"), (2, b"c"), (2, b"d")])) == 4
    assert follower.conflict(1, log.pack([(7, b"a"), (7, b"b"), (3, b"c")])) == 3
    assert follower.conflict(9, log.pack([(1, b"a")])) == 9
    assert follower.conflict(3, b"") == 3


def test_compaction_remembers_the_term_of_its_position(log):
    made = filled(log, [(1, b"a"), (5, b"b"), (6, b"c")])
    made.compact(2)
    assert (made.base, made.base_term, made.term(2)) == (2, 5, 5)
    assert contents(made) == [(6, b"c")]
    made.compact(1)
    assert made.base == 2
    made.compact(3)
    assert (made.base, made.last, made.last_term, made.nbytes) == (3, 3, 6, 0)
    assert made.append(6, b"d") == 4
    with pytest.raises(IndexError):
        made.compact(5)


def test_a_log_goes_on_after_a_snapshot(log):
    made = filled(log, [(1, b"a")])
    made.reset(2**63 - 10, 2**64 - 1)
    assert (made.last, made.last_term, made.nbytes) == (2**63 - 10, 2**64 - 1, 0)
    assert made.append(2**64 - 1, b"z") == 2**63 - 9
    assert made.payload(2**63 - 9) == b"z"
    with pytest.raises(ValueError):
        made.reset(2**63, 1)
    with pytest.raises(ValueError):
        log.Log(2**64 - 1)
    assert contents(made) == [(2**64 - 1, b"z")]


@pytest.mark.parametrize("position", [0, 2, 6, 2**63, 2**64 - 1])
def test_positions_outside_the_log(log, position):
    made = filled(log, [(4, b"a"), (4, b"b")], base=2, base_term=3)
    made.append(4, b"c")
    for call in (made.payload, lambda at: made.slice(at, 5), lambda at: made.payloads(at, 5)):
        with pytest.raises(IndexError):
            call(position)
    if position != made.base:
        with pytest.raises(IndexError):
            made.term(position)
    assert made.slice(6, 6) == b"" and made.payloads(6, 6) == []
    with pytest.raises(IndexError):
        made.slice(4, 7)
    with pytest.raises(IndexError):
        made.slice(5, 4)


def test_truncation_never_takes_back_what_is_compacted(log):
    made = filled(log, [(4, b"a"), (4, b"b")], base=2, base_term=3)
    for position in (0, 2):
        with pytest.raises(ValueError):
            made.truncate(position)
    made.truncate(5)
    assert made.last == 4
    made.truncate(3)
    assert (made.last, made.last_term) == (2, 3)


def test_stop_within(log):
    made = filled(log, [(1, b"x" * 8), (1, b""), (1, b"y" * 100)])
    assert [made.stop_within(1, size) for size in (0, 20, 31, 32, 143, 144, 2**63)] == [2, 2, 2, 3, 3, 4, 4]
    assert made.stop_within(4, 0) == made.stop_within(4, 2**63) == 4
    assert [made.stop_within(first, 2**64 - 1) for first in (1, 2, 3, 4)] == [4] * 4
    with pytest.raises(IndexError):
        made.stop_within(5, 10)


def test_a_batch_is_stored_whole_or_not_at_all(log):
    made = filled(log, [(1, b"a")])
    with pytest.raises(TypeError):
        made.extend(2, [b"b", "text", b"c"])
    with pytest.raises(TypeError):
        made.append(2, "text")
    assert contents(made) == [(1, b"a")]
    assert made.append(2, b"b") == 2
    assert contents(made) == [(1, b"a"), (2, b"b")]


MALFORMED = [
    b"\0",
    struct.pack("<QI", 1, 0)[:-1],
    struct.pack("<QI", 1, 1),
    struct.pack("<QI", 1, 2**32 - 1) + b"x",
    struct.pack("<QI", 1, 1) + b"x" + b"\0" * 11,
    struct.pack("<QI", 1, 1) + b"x" + struct.pack("<QI", 1, 3) + b"xx",
]


@pytest.mark.parametrize("packed", MALFORMED)
def test_malformed_batches_change_nothing(log, packed):
    made = filled(log, [(1, b"a"), (2, b"b")])
    readers = [log.count, log.unpack, lambda it: log.retag(it, 1), lambda it: log.skip(it, 2)]
    for call in (made.append_packed, *readers):
        with pytest.raises(ValueError, match="malformed"):
            call(packed)
    assert contents(made) == [(1, b"a"), (2, b"b")]
    assert made.append(3, b"c") == 3
    assert made.slice(1, 4) == packed_by_hand([(1, b"a"), (2, b"b"), (3, b"c")])


@given(packed=st.binary(max_size=64))
@example(packed=b"\0" * 24)
def test_any_bytes_are_a_batch_or_refused(packed):
    answers = []
    for module in modules():
        made = module.Log()
        try:
            made.append_packed(packed)
        except ValueError:
            assert (made.last, made.nbytes) == (0, 0)
            answers.append(None)
        else:
            assert made.slice(1, made.last + 1) == packed
            assert module.count(packed) == made.last
            answers.append(contents(made))
    assert answers.count(answers[0]) == len(answers)


@given(entries=BATCHES, term=TERMS)
def test_packing(entries, term):
    for module in modules():
        packed = module.pack(entries)
        assert packed == packed_by_hand(entries)
        assert module.unpack(packed) == entries
        assert module.count(packed) == len(entries)
        assert module.retag(packed, term) == packed_by_hand([(term, payload) for _, payload in entries])
        for first in range(len(entries) + 1):
            assert module.skip(packed, first) == packed_by_hand(entries[first:])
        with pytest.raises(ValueError):
            module.skip(packed, len(entries) + 1)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_terms_are_unsigned_64_bit(log, value):
    made = filled(log, [(1, b"a")])
    with pytest.raises((OverflowError, struct.error)):
        made.append(value, b"b")
    with pytest.raises((OverflowError, struct.error)):
        made.extend(value, [b"b"])
    assert contents(made) == [(1, b"a")]
    assert made.append(2, b"b") == 2
    assert contents(made) == [(1, b"a"), (2, b"b")]


def test_a_million_entries_in_and_out_again(log):
    number = 1_000_000
    payloads = [b"%064d" % at for at in range(1000)] * (number // 1000)
    first = log.Log()
    assert first.extend(7, payloads) == number
    packed = first.slice(1, number + 1)
    assert len(packed) == number * 76 == first.nbytes
    second = log.Log()
    assert second.append_packed(packed) == number
    assert second.payloads(1, number + 1) == payloads
    assert second.slice(1, number + 1) == packed


def test_an_entry_costs_at_most_24_bytes_beside_its_payload(log):
    packed = log.pack([(1, b"x" * 64)] * 1000)
    tracemalloc.start()
    made = log.Log()
    for _ in range(100):
        made.append_packed(packed)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    without_slack = made.nbytes + made.last * INDEX_BYTES
    assert without_slack - 64 * made.last <= 24 * made.last
    assert without_slack <= held <= without_slack * 9 / 8 + 4096


def test_compaction_gives_memory_back(log):
    made = log.Log()
    tracemalloc.start()
    for _ in range(200):
        made.extend(1, [b"x" * 1000] * 100)
        made.compact(made.last - 50)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made.last - made.base == 50
    assert held < 4 * 50 * 1032
    assert peak < 4 * 150 * 1032


def modules():
    """The forms of the log that are there: for properties, which take no fixture."""
    forms = [build.interpreted("ext.log")]
    if build.compiled():
        from ext import log as compiled

        forms.append(compiled)
    return forms


class LogModel(RuleBasedStateMachine):
    """The log is a list of (term, payload) behind a base."""

    module = None

    @initialize(base=st.sampled_from([0, 5, 2**62]), base_term=TERMS)
    def start(self, base, base_term):
        self.base, self.base_term = base, base_term
        self.entries = []
        self.log = self.module.Log(base, base_term)

    def pick(self, data, low, high):
        return data.draw(st.integers(low, high))

    @rule(term=TERMS, payload=PAYLOADS)
    def append(self, term, payload):
        self.entries.append((term, payload))
        assert self.log.append(term, payload) == self.base + len(self.entries)

    @rule(term=TERMS, payloads=st.lists(PAYLOADS, max_size=5))
    def extend(self, term, payloads):
        self.entries += [(term, payload) for payload in payloads]
        assert self.log.extend(term, payloads) == self.base + len(self.entries)

    @rule(entries=BATCHES)
    def append_packed(self, entries):
        self.entries += entries
        assert self.log.append_packed(packed_by_hand(entries)) == self.base + len(self.entries)

    @rule(data=st.data())
    def truncate(self, data):
        kept = self.pick(data, 0, len(self.entries))
        del self.entries[kept:]
        self.log.truncate(self.base + kept + 1)

    @rule(data=st.data())
    def compact(self, data):
        dropped = self.pick(data, 0, len(self.entries))
        self.log.compact(self.base + dropped)
        if dropped:
            self.base_term = self.entries[dropped - 1][0]
        del self.entries[:dropped]
        self.base += dropped

    @rule(data=st.data(), entries=BATCHES)
    def conflict(self, data, entries):
        offset = self.pick(data, 0, len(self.entries))
        batch = self.entries[offset:offset + self.pick(data, 0, 4)] + entries
        here = [term for term, _ in self.entries[offset:]]
        same = 0
        while same < len(batch) and same < len(here) and here[same] == batch[same][0]:
            same += 1
        first = self.base + offset + 1
        assert self.log.conflict(first, packed_by_hand(batch)) == first + same

    @rule(data=st.data())
    def read(self, data):
        low = self.pick(data, 0, len(self.entries))
        high = self.pick(data, low, len(self.entries))
        first, stop = self.base + low + 1, self.base + high + 1
        assert self.log.slice(first, stop) == packed_by_hand(self.entries[low:high])
        assert self.log.payloads(first, stop) == [payload for _, payload in self.entries[low:high]]
        limit = self.pick(data, 0, 200)
        end = len(self.entries)
        fitting = [at for at in range(low, end + 1) if len(packed_by_hand(self.entries[low:at])) <= limit]
        assert self.log.stop_within(first, limit) == self.base + 1 + max([*fitting, min(low + 1, end)])

    @invariant()
    def same(self):
        if not hasattr(self, "log"):
            return
        assert (self.log.base, self.log.base_term) == (self.base, self.base_term)
        assert self.log.last == self.base + len(self.entries)
        assert self.log.last_term == (self.entries[-1][0] if self.entries else self.base_term)
        assert self.log.term(self.base) == self.base_term
        assert contents(self.log) == self.entries
        assert self.log.nbytes == len(packed_by_hand(self.entries))


def test_against_a_list_of_pairs(log):
    machine = type("LogMachine", (LogModel,), {"module": log})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=25))
