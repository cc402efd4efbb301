"""The search for a linearization: of one register, mutex or string, and all that clients did with it.

    search = Search(kinds, first, second, calls, returns)
    search.run(steps, most_bytes)       one of ANSWERS; "running" where the steps did not suffice

An operation is a place in five lists of equal length: its kind (an index into ``ext.timeline.KINDS``), one or
two values, when it was called, and when it returned (None: unknown, it may take effect at any time from its
call on, or never). Values are small numbers; 0 is what the register holds at first, 1 any value that nobody
observes. Intervals are closed: an operation that returns at the time of another's call overlaps it.

    read v         observes v
    write v        sets v
    cas e, n       observes e and sets n
    refused e      a cas that did not apply: observes that the value is not e
    append p       appends piece p; ``strings`` then says what that makes of a value (see ``Search``)

The algorithm is Wing and Gong's (1993) in the form of Lowe's just-in-time linearization ("Testing for
linearizability", 2017): calls and returns are walked in the order of time; only where an operation returns
that has not been linearized is there a choice, of which operations to linearize up to it. A configuration is
(position in the walk, value, set of the open operations that are linearized); none is entered twice. What
keeps them few:

- What only observes is linearized as soon as it can be: that closes no way.
- Of operations that do the same, the one that returns first goes first, and those that never return go last.
- An unknown operation is used only where somebody is waiting to observe what it does, and is forgotten when
  the last operation that could observe it has returned. Having used fewer of them is never worse: such a
  configuration stands for all that used more.
- A value is not overwritten while it must still be observed and nobody is left to write it again.
- Before a write, other open writes take effect unseen where nobody will be able to observe them later.

Each of these keeps at least one linearization if there is any; the tests compare with the definition.
"""

from __future__ import annotations

from typing import Any, Protocol

import cython

from ext.timeline import KINDS, slots, walk

if not cython.compiled:
    from ext import build
    from ext.memory import allocate, enlarge, release

    Configurations = build.interpreted("ext.configurations").Configurations

ANSWERS = ("running", "linearizable", "not linearizable", "too large")
READ, WRITE, CAS, REFUSED, APPEND = range(len(KINDS))
CALL, RETURN, RETIRE = range(3)
RUNNING, FOUND, NONE_EXISTS, TOO_LARGE = range(4)
ONE = 1
ALL = (1 << 64) - 1
FRAME = 4  # words before the set: position, value, first choice, operations so far


class Strings(Protocol):
    """What appending does to values, where there are appends."""

    def append(self, value: int, piece: int) -> int: ...
    def begins(self, value: int, whole: int) -> bool: ...


class Search:
    """See the module. ``strings`` (see ``Strings``) is needed where there are appends.

    ``steps`` counts the work done so far, the same on every machine; ``bytes_held()`` what the search holds.
    With ``explain`` it looks for a linearization of as much as there is one of: ``stuck`` is the operation
    whose return was the furthest that could not be passed (None: all were), ``prefix`` the order found up to
    there. With ``boundless`` an unknown operation may take effect any number of times: an easier question,
    whose answer "not linearizable" holds for the other.
    """

    def __init__(
        self, kinds: Any, first: Any, second: Any, calls: Any, returns: Any,
        strings: Strings | None = None, explain: bool = False, boundless: bool = False,
    ) -> None:  # fmt: skip
        self.count = len(kinds)
        self.strings = strings
        self.explain = explain
        self.boundless = boundless
        self.prefix: list[int] = []
        self.steps = 0
        self.status = RUNNING
        self.position = self.value = self.ordered = self.open_count = 0
        self.furthest = self.stamp = self.refusals_left = 0
        self.has_appends = False
        self.take(kinds, first, second, returns)
        self.place_events(walk(kinds, first, second, calls, returns))
        self.count_observers()
        if self.has_appends:
            self.find_reads()
        self.prepare()

    def take(self, kinds: Any, first: Any, second: Any, returns: Any) -> None:
        """Copy the operations; number those alike."""
        count = self.count
        self.kind = allocate(count)
        self.first = allocate(count)
        self.second = allocate(count)
        self.unknown = allocate(count)
        self.alike = allocate(count)
        numbers: dict[Any, int] = {}
        self.values = 2
        for operation in range(count):
            what = (kinds[operation], first[operation], second[operation])
            self.kind[operation], self.first[operation], self.second[operation] = what
            self.unknown[operation] = returns[operation] is None
            self.alike[operation] = numbers.setdefault(what, len(numbers))
            if self.kind[operation] == APPEND:
                self.has_appends = True
            else:
                self.values = max(self.values, self.first[operation] + 1, self.second[operation] + 1)
        assert not self.has_appends or self.strings is not None, "appends need strings"
        self.groups = len(numbers)

    def place_events(self, events: list[int]) -> None:
        """The walk, where in it each operation begins and ends, and its bit in the sets."""
        bits = slots(events, self.count)
        self.words = (max(bits, default=0) + 64) >> 6
        self.event_count = len(events)
        self.events = allocate(self.event_count)
        self.start = allocate(self.count)
        self.due = allocate(self.count)
        self.slot = allocate(self.count)
        for place in range(self.event_count):
            event = events[place]
            self.events[place] = event
            if event & 3 == CALL:
                self.start[event >> 2] = place
            else:
                self.due[event >> 2] = place
        for operation in range(self.count):
            self.slot[operation] = bits[operation]

    def find_reads(self) -> None:
        """From each place on, where the next read returns."""
        self.next_read = allocate(self.event_count + 1)
        following = self.event_count
        self.next_read[following] = following
        for place in range(self.event_count - 1, -1, -1):
            event = self.events[place]
            if event & 3 == RETURN and self.kind[event >> 2] == READ:
                following = place
            self.next_read[place] = following

    def count_observers(self) -> None:
        """Of each value: how many operations that are still to be called need it, observe it, make it."""
        self.needs = allocate(self.values)
        self.observes = allocate(self.values)
        self.makes = allocate(self.values)
        self.refuses = allocate(self.values)
        for place in range(self.event_count):
            if self.events[place] & 3 == CALL:
                self.to_be_called(self.events[place] >> 2, 1)

    def to_be_called(self, operation: int, change: int) -> None:
        """Add an operation to those that are still to be called, or (-1) take it away."""
        kind, value = self.kind[operation], self.first[operation]
        if kind == READ:
            self.needs[value] += change
            self.observes[value] += change
        elif kind == WRITE:
            self.makes[value] += change
        elif kind == CAS:
            self.observes[value] += change
            self.makes[self.second[operation]] += change
            if not self.unknown[operation]:
                self.needs[value] += change
        elif kind == REFUSED:
            self.refuses[value] += change
            self.refusals_left += change

    def prepare(self) -> None:
        """The working memory, and the first configuration."""
        count = self.count
        self.after = allocate(count + 2)
        self.before = allocate(count + 2)
        for head in range(count, count + 2):
            self.after[head] = self.before[head] = head
        self.done = allocate(self.words)
        self.optional = allocate(self.words)
        self.order = allocate(count)
        self.observed = allocate(self.values)
        self.expected = allocate(self.values)
        self.foremost = allocate(self.groups)
        self.foremost_stamp = allocate(self.groups)
        self.entered = Configurations(self.words)
        self.frame_room = self.choice_room = 64
        self.frame_count = self.choice_count = 0
        self.frames = allocate(self.frame_room * (FRAME + self.words))
        self.choices = allocate(self.choice_room)
        self.arrive()

    def __dealloc__(self) -> None:
        release(self.kind)
        release(self.first)
        release(self.second)
        release(self.unknown)
        release(self.alike)
        release(self.events)
        release(self.start)
        release(self.due)
        release(self.next_read)
        release(self.slot)
        release(self.needs)
        release(self.observes)
        release(self.makes)
        release(self.refuses)
        release(self.after)
        release(self.before)
        release(self.done)
        release(self.optional)
        release(self.order)
        release(self.observed)
        release(self.expected)
        release(self.foremost)
        release(self.foremost_stamp)
        release(self.frames)
        release(self.choices)

    # What a caller may ask.

    def run(self, steps: int, most_bytes: int) -> str:
        """Search on for about so many steps; one of ANSWERS. It may be called again while the answer is
        "running".
        """
        limit = self.steps + steps
        while self.status == RUNNING and self.steps < limit:
            if self.bytes_held() > most_bytes:
                self.status = TOO_LARGE
            elif not self.choose():
                self.status = NONE_EXISTS
            else:
                self.arrive()
        return ANSWERS[self.status]

    @property
    def configurations(self) -> int:
        """How many configurations were entered."""
        return int(self.entered.count)

    @property
    def stuck(self) -> int | None:
        """The operation whose return is the furthest that could not be passed."""
        if self.status == FOUND or self.furthest == 0:
            return None
        return int(self.events[self.furthest - 1] >> 2)

    def bytes_held(self) -> int:
        """The memory held by what grows with the search."""
        words = self.entered.room * (self.entered.stride + 1) + self.choice_room
        return int(8 * (words + self.frame_room * (FRAME + self.words)))

    # Configurations: going forward and back.

    def arrive(self) -> None:
        """Walk on from a configuration to the next choice; forget it where that is none that is new."""
        if self.advance():
            self.status = FOUND
            self.remember()
        elif self.entered.add(self.position << 32 | self.value, self.done, self.optional):
            if self.position >= self.furthest:
                self.furthest = self.position + 1
                self.remember()
            self.open_frame()

    def remember(self) -> None:
        """Keep the order found so far, for who wants it explained."""
        if self.explain:
            self.prefix = [self.order[place] for place in range(self.ordered)]

    def advance(self) -> bool:
        """Walk on to the next operation that returns without having been linearized; True where there is
        none.
        """
        while self.position < self.event_count:
            event = self.events[self.position]
            operation = event >> 2
            slot = self.slot[operation]
            if event & 3 == CALL:
                self.called(operation)
                kind = self.kind[operation]
                if (kind == READ and self.first[operation] == self.value) or (
                    kind == REFUSED and self.first[operation] != self.value
                ):
                    self.linearize(operation)
            else:
                bit = ONE << (slot & 63)
                if event & 3 == RETURN and not self.done[slot >> 6] & bit:
                    return False
                self.done[slot >> 6] = self.done[slot >> 6] & (ALL ^ bit)
                self.unlink(operation)
                if event & 3 == RETIRE:
                    self.optional[slot >> 6] = self.optional[slot >> 6] & (ALL ^ bit)
            self.position += 1
            self.steps += 1
        return True

    def rewind(self, position: int) -> None:
        """Walk back to an earlier position."""
        while self.position > position:
            self.position -= 1
            event = self.events[self.position]
            operation = event >> 2
            slot = self.slot[operation]
            bit = ONE << (slot & 63)
            if event & 3 == CALL:
                self.unlink(operation)
                self.to_be_called(operation, 1)
                self.optional[slot >> 6] = self.optional[slot >> 6] & (ALL ^ bit)
            else:
                # Its links still say between which two it was, as everything after it has been undone.
                self.after[self.before[operation]] = operation
                self.before[self.after[operation]] = operation
                self.open_count += 1
                if event & 3 == RETIRE:
                    self.optional[slot >> 6] = self.optional[slot >> 6] | bit
            self.steps += 1

    def called(self, operation: int) -> None:
        """Put an operation among the open ones, by its return; the mandatory and the unknown are apart."""
        self.to_be_called(operation, -1)
        head = self.count + self.unknown[operation]
        place = self.before[head]
        while place != head and self.due[place] > self.due[operation]:
            place = self.before[place]
        self.before[operation] = place
        self.after[operation] = self.after[place]
        self.before[self.after[operation]] = operation
        self.after[place] = operation
        self.open_count += 1
        if self.unknown[operation]:
            slot = self.slot[operation]
            self.optional[slot >> 6] = self.optional[slot >> 6] | (ONE << (slot & 63))

    def unlink(self, operation: int) -> None:
        """Take an operation from the open ones."""
        self.after[self.before[operation]] = self.after[operation]
        self.before[self.after[operation]] = self.before[operation]
        self.open_count -= 1

    def pending(self, operation: int) -> bool:
        """Whether this open operation has not been linearized."""
        slot = self.slot[operation]
        return self.done[slot >> 6] & (ONE << (slot & 63)) == 0

    def linearize(self, operation: int) -> None:
        """This operation takes effect now."""
        if self.boundless and self.unknown[operation]:
            return
        slot = self.slot[operation]
        self.done[slot >> 6] = self.done[slot >> 6] | (ONE << (slot & 63))
        self.order[self.ordered] = operation
        self.ordered += 1

    # Choices: which open operation takes effect next, where one returns that has not.

    def open_frame(self) -> None:
        """Remember this configuration, and what can be done next in it, the best last."""
        stride = FRAME + self.words
        if self.frame_count == self.frame_room:
            self.frames = enlarge(self.frames, self.frame_room * stride, 2 * self.frame_room * stride)
            self.frame_room *= 2
        at = self.frame_count * stride
        self.frame_count += 1
        self.frames[at] = self.position
        self.frames[at + 1] = self.value
        self.frames[at + 2] = self.choice_count
        self.frames[at + 3] = self.ordered
        for word in range(self.words):
            self.frames[at + FRAME + word] = self.done[word]
        self.survey()
        returning = self.events[self.position] >> 2
        for preferred in (False, True):
            operation = self.before[self.count + 1]
            while operation < self.count:
                self.offer(operation, returning, preferred)
                operation = self.before[operation]
            operation = self.before[self.count]
            while operation < self.count:
                self.offer(operation, returning, preferred)
                operation = self.before[operation]

    def survey(self) -> None:
        """Mark which values the open operations wait for, and which of those alike is the foremost."""
        self.stamp += 1
        self.steps += 3 * self.open_count + 1
        self.needed = self.needs[self.value] if self.value < self.values else 0
        self.makers = self.makes[self.value] if self.value < self.values else 0
        self.refused_open = 0
        for head in range(self.count, self.count + 2):
            operation = self.after[head]
            while operation < self.count:
                if self.pending(operation):
                    self.survey_one(operation)
                operation = self.after[operation]

    def survey_one(self, operation: int) -> None:
        """One of the pending operations."""
        kind, value = self.kind[operation], self.first[operation]
        alike = self.alike[operation]
        if self.foremost_stamp[alike] != self.stamp:
            self.foremost_stamp[alike] = self.stamp
            self.foremost[alike] = operation
        if kind == READ:
            self.observed[value] = self.stamp
        elif kind == CAS:
            self.observed[value] = self.stamp
            if value == self.value and not self.unknown[operation]:
                self.needed += 1
            if self.second[operation] == self.value:
                self.makers += 1
        elif kind == WRITE:
            if value == self.value:
                self.makers += 1
        elif kind == REFUSED:
            self.refused_open += 1

    def offer(self, operation: int, returning: int, preferred: bool) -> None:
        """Add an open operation to the choices, if it can be one and is as much preferred as that."""
        kind, value = self.kind[operation], self.first[operation]
        if kind in (READ, REFUSED) or not self.pending(operation):
            return
        if self.foremost[self.alike[operation]] != operation or (kind == CAS and value != self.value):
            return
        target = self.second[operation] if kind == CAS else value
        if kind != APPEND and not self.worthwhile(operation, target):
            return
        wanted = operation == returning
        awaited = self.kind[returning]
        if kind != APPEND and (awaited == READ or (awaited == CAS and self.first[returning] != self.value)):
            wanted = target == self.first[returning]
        if wanted != preferred:
            return
        if kind == WRITE and self.refusals_left > 0:
            self.choose_later(operation << 1 | 1)
        self.choose_later(operation << 1)

    def worthwhile(self, operation: int, target: int) -> bool:
        """Whether setting this value now can be of use, and closes no way."""
        unknown = self.unknown[operation]
        if target == self.value:
            return not unknown
        if self.has_appends:
            return True
        if unknown and self.observed[target] != self.stamp and self.refused_open == 0:
            return False  # nobody would see that it happened
        needed = self.needed
        if self.kind[operation] == CAS and not unknown:
            needed -= 1
        # Otherwise what must still be observed would be gone for good; which, explained, is no mistake yet.
        return needed == 0 or self.makers > 0 or self.explain

    def choose_later(self, choice: int) -> None:
        """Put a choice on top of the others."""
        if self.choice_count == self.choice_room:
            self.choices = enlarge(self.choices, self.choice_room, 2 * self.choice_room)
            self.choice_room *= 2
        self.choices[self.choice_count] = choice
        self.choice_count += 1

    def choose(self) -> bool:
        """Go back to the last configuration with choices left, and do the first of them; False where there
        is none.
        """
        stride = FRAME + self.words
        while self.frame_count > 0:
            at = (self.frame_count - 1) * stride
            if self.choice_count > self.frames[at + 2]:
                self.rewind(self.frames[at])
                self.value = self.frames[at + 1]
                self.ordered = self.frames[at + 3]
                for word in range(self.words):
                    self.done[word] = self.frames[at + FRAME + word]
                self.choice_count -= 1
                choice = self.choices[self.choice_count]
                if self.choice_count == self.frames[at + 2]:
                    self.frame_count -= 1
                if self.take_effect(choice >> 1, choice & 1 == 1):
                    return True
            else:
                self.frame_count -= 1
        return False

    def take_effect(self, operation: int, strict: bool) -> bool:
        """An operation changes the value, and all that wait for the new one observe it; False where that is
        hopeless, which, explained, is no mistake yet.
        """
        kind = self.kind[operation]
        self.steps += self.open_count + 1
        if kind == WRITE:
            if not self.has_appends and self.open_count > 1:
                self.absorb(operation, strict)
            self.value = self.first[operation]
        elif kind == CAS:
            self.value = self.second[operation]
        else:
            self.value = self.strings.append(self.value, self.first[operation])  # type: ignore[union-attr]
        self.linearize(operation)
        self.observe(self.value)
        return not self.has_appends or self.explain or self.hopeful()

    def observe(self, value: int) -> None:
        """All open operations that this value satisfies are linearized."""
        operation = self.after[self.count]
        while operation < self.count:
            kind = self.kind[operation]
            if kind == READ:
                if self.first[operation] == value and self.pending(operation):
                    self.linearize(operation)
            elif kind == REFUSED and self.first[operation] != value and self.pending(operation):
                self.linearize(operation)
            operation = self.after[operation]

    def absorb(self, writing: int, strict: bool) -> None:
        """Before ``writing`` takes effect, other open writes do, where what they write can be missed later.

        That is so where every operation that observes their value is open already and does so at once. An
        operation still to be called that must find another value than some e could miss them, too: ``strict``
        respects that.
        """
        self.stamp += 1
        self.steps += 2 * self.open_count
        self.refused_open = 0
        for head in range(self.count, self.count + 2):
            operation = self.after[head]
            while operation < self.count:
                kind = self.kind[operation]
                if kind != WRITE and self.pending(operation):
                    if kind == REFUSED:
                        self.refused_open += 1
                    else:
                        self.observed[self.first[operation]] = self.stamp
                        if kind == CAS:
                            self.expected[self.first[operation]] = self.stamp
                operation = self.after[operation]
        for head in range(self.count, self.count + 2):
            operation = self.after[head]
            while operation < self.count:
                if operation != writing and self.kind[operation] == WRITE and self.pending(operation):
                    self.absorb_one(operation, strict)
                operation = self.after[operation]

    def absorb_one(self, operation: int, strict: bool) -> None:
        """One of the pending writes, if it can be missed."""
        value = self.first[operation]
        if self.observes[value] > 0 or self.expected[value] == self.stamp:
            return
        if strict and self.refusals_left > self.refuses[value]:
            return
        if self.unknown[operation] and (self.boundless or self.observed[value] != self.stamp):
            return
        self.linearize(operation)
        if self.observed[value] == self.stamp or (self.refused_open > 0 and value != self.value):
            self.steps += self.open_count
            self.observe(value)

    # Strings.

    def hopeful(self) -> bool:
        """Whether the value begins that of the next read to return, or one that may yet be written before
        it.
        """
        place = self.next_read[self.position]
        while place < self.event_count:
            read = self.events[place] >> 2
            if self.start[read] >= self.position or self.pending(read):
                wanted = self.first[read]
                return self.begins(self.value, wanted) or self.begun_by_another(wanted, place)
            place = self.next_read[place + 1]
            self.steps += 1
        return True

    def begins(self, value: int, whole: int) -> bool:
        """Whether one value is the beginning of another."""
        return self.strings.begins(value, whole)  # type: ignore[union-attr]

    def begun_by_another(self, wanted: int, until: int) -> bool:
        """Whether an operation that sets the value, open now or called up to then, gives a beginning of the
        wanted.
        """
        for head in range(self.count, self.count + 2):
            operation = self.after[head]
            while operation < self.count:
                if self.pending(operation) and self.sets_beginning(operation, wanted):
                    return True
                operation = self.after[operation]
        for place in range(self.position, until):
            self.steps += 1
            if self.events[place] & 3 == CALL and self.sets_beginning(self.events[place] >> 2, wanted):
                return True
        return False

    def sets_beginning(self, operation: int, wanted: int) -> bool:
        """Whether it is a write or cas of such a value."""
        kind = self.kind[operation]
        if kind == WRITE:
            return self.begins(self.first[operation], wanted)
        return kind == CAS and self.begins(self.second[operation], wanted)
