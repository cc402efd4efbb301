"""The event queue core: order, fields, limits, references, and a sorted list as the model of everything."""
import gc
import sys
import weakref

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

DELAYS = st.one_of(st.integers(0, 3), st.integers(0, 2**40))


class Payload:
    """Something that can be watched by a weak reference."""


def test_earliest_first_and_of_one_time_in_order_of_insertion(events):
    queue = events.EventQueue()
    for time, payload in [(5, "e"), (3, "b"), (3, "c"), (0, "a"), (5, "f"), (3, "d")]:
        queue.push(time, payload)
    assert len(queue) == 6
    assert queue.peek_time() == 0
    popped = [(queue.pop(), queue.time) for _ in range(6)]
    assert popped == [("a", 0), ("b", 3), ("c", 3), ("d", 3), ("e", 5), ("f", 5)]
    assert len(queue) == 0


def test_the_fields_of_the_popped_event(events):
    queue = events.EventQueue()
    queue.push(2**63 - 1, None, 2**32 - 1, 2**32 - 1, -(2**63))
    queue.push(4, "x", kind=1, target=2, argument=3)
    queue.push(5, "y")
    assert queue.pop() == "x"
    assert (queue.time, queue.kind, queue.target, queue.argument) == (4, 1, 2, 3)
    assert queue.pop() == "y"
    assert (queue.time, queue.kind, queue.target, queue.argument) == (5, 0, 0, 0)
    assert queue.pop() is None
    assert (queue.time, queue.kind, queue.target) == (2**63 - 1, 2**32 - 1, 2**32 - 1)
    assert queue.argument == -(2**63)


def test_an_empty_queue(events):
    queue = events.EventQueue()
    for call in (queue.pop, queue.peek_time):
        with pytest.raises(IndexError):
            call()
    queue.push(1, None)
    queue.pop()
    with pytest.raises(IndexError):
        queue.pop()
    assert queue.time == 1


@pytest.mark.parametrize(
    "fields",
    [
        (2**63,), (-(2**63) - 1,), (1, -1), (1, 2**32), (1, 0, -1), (1, 0, 2**32),
        (1, 0, 0, 2**63), (1, 0, 0, -(2**63) - 1),
    ],
)
def test_a_field_that_does_not_fit(events, fields):
    queue = events.EventQueue()
    time, *others = fields
    with pytest.raises(OverflowError):
        queue.push(time, None, *others)
    assert len(queue) == 0


def test_time_never_runs_backwards(events):
    queue = events.EventQueue()
    with pytest.raises(AssertionError):
        queue.push(-1, None)
    queue.push(10, None)
    queue.push(3, None)
    queue.pop()
    with pytest.raises(AssertionError):
        queue.push(2, None)
    queue.push(3, "now")
    assert queue.pop() == "now"
    queue.clear()
    with pytest.raises(AssertionError):
        queue.push(2, None)


def test_references_are_counted(events):
    queue = events.EventQueue()
    payload = Payload()
    before = sys.getrefcount(payload)
    for time in range(1000):
        queue.push(time, payload)
    assert sys.getrefcount(payload) == before + 1000
    for _ in range(400):
        queue.pop()
    assert sys.getrefcount(payload) == before + 600
    queue.clear()
    assert sys.getrefcount(payload) == before
    queue.push(1000, payload)
    assert sys.getrefcount(payload) == before + 1
    del queue
    assert sys.getrefcount(payload) == before


def test_none_is_counted_too(events):
    queue = events.EventQueue()
    before = sys.getrefcount(None)
    for time in range(20_000):
        queue.push(time, None)
        queue.pop()
    assert abs(sys.getrefcount(None) - before) < 1000


def test_a_cycle_through_a_payload_is_collected(events):
    queue = events.EventQueue()
    payload = Payload()
    payload.queue = queue
    queue.push(1, payload)
    gone = weakref.ref(payload)
    del queue, payload
    gc.collect()
    assert gone() is None


def test_a_payload_may_use_the_queue_while_it_is_let_go(events):
    queue = events.EventQueue()

    class Last:
        def __del__(self):
            queue.push(50, "from the grave")

    for time in range(100):
        queue.push(time, Last())
    queue.clear()
    assert len(queue) == 100
    assert {queue.pop() for _ in range(100)} == {"from the grave"}
    assert queue.time == 50


def test_clear_and_start_again(events):
    queue = events.EventQueue()
    for round_ in range(3):
        for time in range(200):
            queue.push(1000 * round_ + 200 - time, time)
        assert queue.pop() == 199
        queue.clear()
        assert len(queue) == 0
        with pytest.raises(IndexError):
            queue.pop()


class QueueModel(RuleBasedStateMachine):
    """The queue is a list sorted by (time, order of insertion)."""

    module = None

    @initialize()
    def start(self):
        self.queue = self.module.EventQueue()
        self.events = []
        self.pushed = 0
        self.now = 0

    @rule(delays=st.lists(DELAYS, min_size=1, max_size=40), kind=st.integers(0, 5))
    def push(self, delays, kind):
        for delay in delays:
            self.pushed += 1
            self.events.append((self.now + delay, self.pushed, kind))
            self.queue.push(self.now + delay, self.pushed, kind, self.pushed, -self.pushed)
        self.events.sort()

    @precondition(lambda self: self.pushed)
    @rule(times=st.integers(1, 60))
    def pop(self, times):
        for _ in range(min(times, len(self.events))):
            assert self.queue.peek_time() == self.events[0][0]
            self.now, order, kind = self.events.pop(0)
            assert self.queue.pop() == order
            fields = (self.queue.time, self.queue.kind, self.queue.target, self.queue.argument)
            assert fields == (self.now, kind, order, -order)
        assert len(self.queue) == len(self.events)

    @rule(really=st.integers(0, 9))
    def clear(self, really):
        if really == 0:
            self.queue.clear()
            self.events.clear()


def test_against_a_sorted_list(events):
    machine = type("QueueMachine", (QueueModel,), {"module": events})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=25))


# Fifo


def test_the_oldest_comes_first_with_its_number(events):
    fifo = events.Fifo()
    fifo.push("a", 1)
    fifo.push("b", -(2**63))
    fifo.push("c", 2**63 - 1)
    assert fifo.count == 3
    assert [(fifo.pop(), fifo.argument) for _ in range(3)] == [("a", 1), ("b", -(2**63)), ("c", 2**63 - 1)]
    with pytest.raises(IndexError):
        fifo.pop()
    assert fifo.count == 0


@pytest.mark.parametrize("ahead", [0, 1, 15, 16, 17, 33])
def test_a_fifo_widens_wherever_its_oldest_stands(events, ahead):
    """The ring begins with 16 places; a list is the model."""
    fifo, model = events.Fifo(), []
    for number in range(ahead):
        fifo.push(str(number), number)
        model.append(str(number))
    for number in range(ahead, 200):
        fifo.push(str(number), number)
        model.append(str(number))
        if number % 3 == 0:
            assert fifo.pop() == model.pop(0)
        assert fifo.count == len(model)
    assert [fifo.pop() for _ in range(fifo.count)] == model


def test_a_fifo_holds_what_waits_and_nothing_else(events):
    fifo = events.Fifo()
    payload = Payload()
    watch = weakref.ref(payload)
    fifo.push(payload, 0)
    del payload
    gc.collect()
    assert watch() is not None
    fifo.pop()
    assert watch() is None
    fifo.push(Payload(), 0)
    fifo.clear()
    assert fifo.count == 0
    with pytest.raises(IndexError):
        fifo.pop()


def test_the_slots_of_the_queue_are_used_again(events):
    """A ticket has room for the order of pushing above the slot: order wins, whatever the slot."""
    queue = events.EventQueue()
    for round in range(200):
        for number in range(3):
            queue.push(round, (round, number))
        assert [queue.pop() for _ in range(3)] == [(round, number) for number in range(3)]
