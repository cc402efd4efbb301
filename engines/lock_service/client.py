"""The client library of a cell (Burrows 2006, sections 2.6 to 2.9), as a state machine that is told what happens.

    client = Client(id, replicas, LockOptions())
    client.open_session(now)                     each call returns its number; effects wait in ``take``
    for effect in client.take(): ...
        Ask(replica, command)                    send this
        Completed(call, answer)                  a call is over
        Turned(state)                            the session is in another state
        Told(event)                              what a handle subscribes to has happened; or MASTER_FAILED_OVER

    client.answered(sequence, result, now)       what a replica said to the request of this number
    client.redirected(sequence, leader, now)     it does not lead
    client.disconnected(replica, now)            the connection to it broke
    client.connected(replica, now)               there is one again
    client.tick(now)                             ``deadline`` has come

States of a session, as the client sees it (2.8):

    NONE --open_session--> OPENING --> SAFE <--> JEOPARDY --grace period--> EXPIRED --open_session--> OPENING ...

In JEOPARDY the lease is over by the client's own clock, and it cannot know whether the master has ended the session: its cache is
empty and calls wait. What was true under the lease may be true again, if the session is SAFE again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from engines.core import NEVER, NOBODY
from engines.lock_service.commands import (
    ALREADY,
    CONTENTS_LIMIT_BYTES,
    EVENTS,
    EXISTING,
    INVALIDATED,
    NO_SESSION,
    Acquire,
    Answer,
    CheckSequencer,
    Close,
    Contents,
    Delete,
    Done,
    EndSession,
    Event,
    Extended,
    GetContents,
    Granted,
    KeepAlive,
    Open,
    Opened,
    OpenSession,
    Queued,
    Refused,
    Release,
    Request,
    Sequencer,
    SessionOpened,
    SetContents,
    decode_answer,
    encode_request,
    require_path,
)
from engines.lock_service.options import LockOptions
from engines.machine import MALFORMED, STALE

NONE, OPENING, SAFE, JEOPARDY, EXPIRED = "none", "opening", "safe", "jeopardy", "expired"
MASTER_FAILED_OVER = 32
SESSION_OVER = Refused(NO_SESSION)
ALREADY_HELD = Refused(ALREADY)
UNLOGGED = (GetContents, CheckSequencer)
# What is asked of a lock waits until these, asked of it earlier, are known to have been applied (but see ``must_wait``).
APPLIED_BEFORE: dict[Any, tuple[Any, ...]] = {Acquire: (Release, Close, Delete, EndSession), Release: (Acquire, Release)}
BACKOFFS = 16  # of which one follows a refusal that names no leader, in the time after which a client asks again


class Ask(NamedTuple):
    """Send a request to a replica."""

    replica: int
    command: bytes
    keep_alive: bool = False


class Completed(NamedTuple):
    """A call is over; ``waited`` says that the master first answered that it would take a while."""

    call: int
    answer: Answer
    waited: bool = False


class Turned(NamedTuple):
    """The session is in another state."""

    state: str


class Told(NamedTuple):
    """Something has happened (2.5)."""

    event: Event


Effect = Ask | Completed | Turned | Told


class Call:
    """What the application waits for, under the number that it was first sent with."""

    def __init__(self, number: int, request: Request, path: str) -> None:
        self.number = number
        self.request = request
        self.path = path
        self.again_ns = 0
        self.target = NOBODY
        self.queued = False
        self.waited = False
        self.spoiled = False  # what it brings must not be kept: it was invalidated, or released, meanwhile
        self.of_held = False  # of a Release: the lock is held until this is applied
        self.overtakes = False  # of an Acquire: it need not wait for such a Release


class Opening:
    """An open handle, and the lock that it holds."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.held: Sequencer | None = None
        self.shown: Sequencer | None = None  # by SetSequencer: what is asked on this handle fails once this is stale


class Client:
    """One client: one session at a time, any number of calls under way. Times are of its own clock."""

    def __init__(self, id: int, replicas: int, options: LockOptions, target: int = 0) -> None:
        self.id = id
        self.replicas = replicas
        self.options = options
        self.target = target
        self.broken: set[int] = set()  # replicas that no connection leads to
        self.effects: list[Effect] = []
        self.sequence = 0
        self.calls: dict[int, Call] = {}
        self.heard_ns = 0
        self.turned_ns = 0
        self.state = NONE
        self.handles: dict[int, Opening] = {}
        self.cache: dict[str, Contents] = {}
        self.hits = 0  # reads that the cache has answered
        self.begin_session(0)

    def begin_session(self, session: int) -> None:
        """Nothing is known of a session but its number."""
        self.session = session
        self.epoch = 0
        self.heard = 0  # the last event of this epoch
        self.lease_until_ns = 0
        self.keep_alive = 0  # the number of the KeepAlive under way; when it was sent, and to whom
        self.keep_alive_ns = 0
        self.keep_alive_target = self.target
        self.again_ns = NEVER  # then it is sent again

    def take(self) -> list[Effect]:
        """What is to be done, since it was last asked."""
        effects, self.effects = self.effects, []
        return effects

    # The application's calls (2.6)

    def open_session(self, now: int) -> int:
        """A new session; ValueError while there is one."""
        if self.state not in (NONE, EXPIRED):
            raise ValueError(f"the session is {self.state}; end it first")
        self.turn_to(OPENING)
        return self.call(OpenSession(), now)

    def end_session(self, now: int) -> int:
        """Close all handles and the session; locks are free at once."""
        for handle in self.handles:
            self.let_go(handle)
        return self.call(EndSession(self.session), now)

    def open(
        self, path: str, now: int, kind: int = EXISTING, contents: bytes = b"", lock_delay_ns: int = 0, events: int = 0
    ) -> int:
        """A handle on a node: answers Opened. ValueError where the path, the lock-delay or the events cannot be."""
        require_path(path)
        if not 0 <= lock_delay_ns <= self.options.lock_delay_ns:
            raise ValueError(f"a lock-delay of {lock_delay_ns} ns is not between 0 and {self.options.lock_delay_ns}")
        if events & ~EVENTS:
            raise ValueError(f"{events & ~EVENTS} are no events to subscribe to")
        return self.call(Open(self.session, path, kind, contents, lock_delay_ns, events), now, path)

    def close(self, handle: int, now: int) -> int:
        """Give up a handle, and its lock."""
        self.let_go(handle)
        return self.call(Close(self.session, handle), now)

    def acquire(self, handle: int, mode: int, now: int) -> int:
        """Answers Granted, however long that takes."""
        opening = self.opening(handle)
        return self.call(Acquire(self.session, handle, mode, True, opening.shown), now, opening.path)

    def try_acquire(self, handle: int, mode: int, now: int) -> int:
        """Answers Granted, or Refused where another holds the lock."""
        opening = self.opening(handle)
        return self.call(Acquire(self.session, handle, mode, False, opening.shown), now, opening.path)

    def release(self, handle: int, now: int) -> int:
        """Give up the lock. From this call on, and not from its answer, it is not held any more: it may be asked for again."""
        held = self.opening(handle).held is not None
        self.let_go(handle)
        return self.call(Release(self.session, handle), now, of_held=held)

    def get_contents(self, handle: int, now: int) -> int:
        """Answers Contents, at once where they are in the cache."""
        path = self.opening(handle).path
        cached = self.cache.get(path)
        if cached is not None and self.valid(now):
            self.sequence += 1
            self.hits += 1
            self.effects.append(Completed(self.sequence, cached))
            return self.sequence
        return self.call(GetContents(self.session, handle), now, path)

    def set_contents(self, handle: int, contents: bytes, now: int, generation: int = 0) -> int:
        """Write the file whole, if its content generation is this (0: whatever it is). Answers Written."""
        opening = self.opening(handle)
        if len(contents) > CONTENTS_LIMIT_BYTES:
            raise ValueError(f"a file of {len(contents)} bytes exceeds the limit of {CONTENTS_LIMIT_BYTES}")
        self.flush(opening.path)
        return self.call(SetContents(self.session, handle, contents, generation, opening.shown), now, opening.path)

    def delete(self, handle: int, now: int) -> int:
        """Delete the node; from this call on, the handle's lock is not believed to be held."""
        opening = self.opening(handle)
        self.let_go(handle)
        self.flush(opening.path)
        return self.call(Delete(self.session, handle, opening.shown), now, opening.path)

    def get_sequencer(self, handle: int) -> Sequencer | None:
        """Of the lock that the handle holds, for servers to check; None where it holds none."""
        return self.opening(handle).held

    def set_sequencer(self, handle: int, sequencer: Sequencer | None) -> None:
        """What is asked on this handle from now on fails where this sequencer is no longer valid."""
        self.opening(handle).shown = sequencer

    def check_sequencer(self, sequencer: Sequencer, now: int) -> int:
        """Answers Checked."""
        return self.call(CheckSequencer(self.session, sequencer), now)

    def opening(self, handle: int) -> Opening:
        """An open handle; ValueError where it is none."""
        opening = self.handles.get(handle)
        if opening is None:
            raise ValueError(f"{handle} is no open handle of this session")
        return opening

    def let_go(self, handle: int) -> None:
        """The handle's lock is not held, not even if that is what an earlier Acquire will be told."""
        self.opening(handle).held = None
        for call in self.calls.values():
            if type(call.request) is Acquire and call.request.handle == handle:
                call.spoiled = True

    # What the client believes

    def valid(self, now: int) -> bool:
        """Whether the master cannot have ended the session yet, by this client's clock."""
        return self.state == SAFE and now < self.lease_until_ns

    def holds(self, handle: int, now: int) -> bool:
        """Whether the handle's lock is certainly held."""
        opening = self.handles.get(handle)
        return opening is not None and opening.held is not None and self.valid(now)

    def busy(self, handle: int) -> bool:
        """Whether anything is under way with a handle, or the end of the session."""
        for call in self.calls.values():
            if type(call.request) is EndSession or getattr(call.request, "handle", 0) == handle:
                return True
        return False

    # What happens

    def answered(self, sequence: int, result: bytes, now: int) -> None:
        """A replica answered the request of this number."""
        self.heard_ns = now
        call = self.calls.get(sequence)
        if result in (STALE, MALFORMED):
            assert call is None or result != MALFORMED, "what a client sends is well-formed"
            return
        answer = decode_answer(result)
        if sequence == self.keep_alive:
            self.kept_alive(answer, now)
        elif call is not None and type(answer) is Queued:
            call.queued = call.waited = True
            call.again_ns = now + self.options.lease_ns
            self.go_on(now)
        elif call is not None:
            del self.calls[sequence]
            if call.overtakes and not call.spoiled and answer == ALREADY_HELD:
                call.overtakes = False
                self.begin(call, now)
            else:
                self.learn(call, answer, now)
                self.effects.append(Completed(call.number, answer, call.waited))
            self.go_on(now)

    def redirected(self, sequence: int, leader: int, now: int) -> None:
        """The replica does not lead, or no more: ask the one it names, or (NOBODY) another one after a while."""
        self.heard_ns = now
        call = self.calls.get(sequence)
        if call is None and sequence != self.keep_alive:
            return
        asked = self.keep_alive_target if call is None else call.target
        if asked != self.target:
            return  # it is about to be asked elsewhere
        pause_ns = self.options.request_ns // BACKOFFS
        if leader == self.target:
            # Another one's refusal of an earlier try, which comes late, or it is about to lead: there is nobody else to ask.
            self.ask_again(now + pause_ns)
            return
        known = leader != NOBODY and leader not in self.broken
        if known:
            self.target = leader
        else:
            self.turn_away()
        # While there is no leader, replicas send a client to and fro: at most one turn is taken at once.
        self.ask_again(now if known and now - self.turned_ns >= pause_ns else now + pause_ns)
        self.turned_ns = now

    def disconnected(self, replica: int, now: int) -> None:
        """What was under way to this replica, and from it, may be lost; it is not asked while others can be."""
        self.broken.add(replica)
        if replica == self.target:
            self.turn_away()
            self.ask_again(now + self.options.request_ns // BACKOFFS)

    def connected(self, replica: int, now: int) -> None:  # noqa: ARG002
        """This replica can be asked again."""
        self.broken.discard(replica)

    def tick(self, now: int) -> None:
        """The deadline has come. A call before the deadline changes nothing."""
        if self.state == SAFE and now >= self.lease_until_ns:
            self.cache.clear()
            self.turn_to(JEOPARDY)
        if self.state == JEOPARDY and now >= self.lease_until_ns + self.options.grace_ns:
            self.expire()
        if now >= self.again_ns:
            self.look_around(now)
            self.send_keep_alive(now)
        if self.state != JEOPARDY:
            for sequence, call in self.calls.items():
                if now >= call.again_ns:
                    if not call.queued:
                        self.look_around(now)
                    self.send(sequence, call, now)

    @property
    def deadline(self) -> int:
        """When ``tick`` is next due."""
        return self.next_deadline()

    def next_deadline(self) -> int:
        """As ``deadline``, for compiled callers."""
        due = self.again_ns
        if self.state == JEOPARDY:
            return min(due, self.lease_until_ns + self.options.grace_ns)
        if self.state == SAFE:
            due = min(due, self.lease_until_ns)
        for call in self.calls.values():
            due = min(due, call.again_ns)
        return due

    # The session

    def kept_alive(self, answer: Answer, now: int) -> None:
        """2.8: the lease counts from when the KeepAlive was sent, the most careful of all moments."""
        if type(answer) is not Extended:
            self.expire()
            return
        if answer.epoch != self.epoch:
            self.fail_over(answer.epoch, now)
        for event in answer.events:
            if event.number > self.heard:
                self.heard = event.number
                self.hear(event)
        until_ns = self.keep_alive_ns + self.options.shortest_ns(answer.valid_ns)
        self.lease_until_ns = max(self.lease_until_ns, until_ns)
        if self.state in (OPENING, JEOPARDY) and now < self.lease_until_ns:
            self.turn_to(SAFE)
            for sequence, call in self.calls.items():
                if now >= call.again_ns:
                    self.send(sequence, call, now)
        self.send_keep_alive(now)

    def send_keep_alive(self, now: int) -> None:
        """There is one at the master almost always (2.8). No answer is due before the lease is nearly over."""
        self.sequence += 1
        self.keep_alive, self.keep_alive_ns, self.keep_alive_target = self.sequence, now, self.target
        request = KeepAlive(self.session, self.epoch, self.heard)
        self.effects.append(Ask(self.target, encode_request(self.id, self.sequence, self.sequence, request), True))
        patience_ns = self.lease_until_ns - self.options.answer_before_ns // 2 - now
        self.again_ns = now + max(patience_ns, self.options.request_ns)

    def fail_over(self, epoch: int, now: int) -> None:
        """2.9.5: another master, which may not have told all that its predecessor would have."""
        self.cache.clear()
        if self.epoch:
            self.effects.append(Told(Event(0, MASTER_FAILED_OVER, 0, "")))
        for call in self.calls.values():
            call.again_ns = min(call.again_ns, now)
            call.spoiled = call.spoiled or type(call.request) is GetContents
        self.epoch = epoch
        self.heard = 0

    def hear(self, event: Event) -> None:
        """An event came with a KeepAlive; the next one acknowledges it."""
        if event.kind == INVALIDATED:
            self.flush(event.path)
        else:
            self.effects.append(Told(event))

    def flush(self, path: str) -> None:
        """The cache must not have this any more, nor get it from what is under way."""
        self.cache.pop(path, None)
        for call in self.calls.values():
            if type(call.request) is GetContents and call.path == path:
                call.spoiled = True

    def expire(self) -> None:
        """The session is over, or must be taken for it: so are its handles, its locks, and all calls."""
        self.cache.clear()
        self.handles.clear()
        calls, self.calls = self.calls, {}
        self.begin_session(0)
        self.turn_to(EXPIRED)
        for call in calls.values():
            self.effects.append(Completed(call.number, SESSION_OVER))

    def forget(self) -> None:
        """The process of this client has ended, and another one takes its place: all is lost but the numbers that were given."""
        self.expire()
        self.effects = []

    def turn_to(self, state: str) -> None:
        """Another state of the session."""
        self.state = state
        self.effects.append(Turned(state))

    def learn(self, call: Call, answer: Answer, now: int) -> None:
        """What an answer says of handles, locks and contents."""
        request: Any = call.request
        if type(answer) is SessionOpened:
            self.begin_session(answer.session)
            self.send_keep_alive(now)
        elif type(answer) is Opened:
            self.handles[answer.handle] = Opening(call.path)
        elif type(answer) is Granted:
            if request.handle in self.handles and not call.spoiled:
                self.opening(request.handle).held = Sequencer(call.path, request.mode, answer.generation)
        elif type(answer) is Contents:
            self.keep(call, answer, now)
        elif type(request) is Close:
            self.handles.pop(request.handle, None)
        elif type(request) is EndSession and type(answer) is Done:
            self.expire()

    def keep(self, call: Call, contents: Contents, now: int) -> None:
        """Cache what was read, unless it has been invalidated meanwhile, or is about to be by a write of our own."""
        if contents.cachable and contents.epoch == self.epoch and not call.spoiled and self.valid(now):
            for other in self.calls.values():
                if other.path == call.path and type(other.request) in (SetContents, Delete):
                    return
            self.cache[call.path] = contents

    # Asking

    def call(self, request: Request, now: int, path: str = "", of_held: bool = False) -> int:
        """Begin a call; its number."""
        call = Call(self.sequence + 1, request, path)
        call.of_held = of_held
        call.overtakes = type(request) is Acquire
        self.begin(call, now)
        return call.number

    def begin(self, call: Call, now: int) -> None:
        """Ask under the next number; in jeopardy it waits (2.8)."""
        self.sequence += 1
        if self.state in (NONE, EXPIRED):
            self.effects.append(Completed(call.number, SESSION_OVER))
            return
        self.calls[self.sequence] = call
        if self.state == JEOPARDY:
            call.again_ns = now
        else:
            self.send(self.sequence, call, now)

    def send(self, sequence: int, call: Call, now: int) -> None:
        """Ask the replica that is taken for the master, unless this has to wait for another answer."""
        if self.must_wait(sequence, call):
            call.again_ns = NEVER
            return
        call.target = self.target
        call.queued = False
        call.again_ns = now + self.options.request_ns
        lowest = sequence
        for number, each in self.calls.items():
            if number >= sequence or type(each.request) not in UNLOGGED:
                lowest = min(number, sequence)
                break
        command = encode_request(self.id, sequence, lowest, call.request)
        self.effects.append(Ask(self.target, command))

    def must_wait(self, sequence: int, call: Call) -> bool:
        """Whether what was asked of the same lock earlier could be applied later, as it is asked again until it is answered.

        What gives up a lock would then take away one that is believed in; and a Release that overtook its Acquire would
        leave the handle with a lock that nobody knows of. But an Acquire goes together with the Release of what its handle
        certainly holds: one that overtakes that is refused as ALREADY held, and then asked once more, in its turn.
        """
        request: Any = call.request
        before = APPLIED_BEFORE.get(type(request), ())
        if not before:
            return False
        for number, other in self.calls.items():
            if number >= sequence:
                break
            earlier = other.request
            queued = type(earlier) is Acquire and other.waited  # by the state machine: it was applied
            if type(earlier) not in before or queued or (other.of_held and call.overtakes):
                continue
            if getattr(earlier, "handle", request.handle) == request.handle:
                return True
        return False

    def go_on(self, now: int) -> None:
        """Something was answered: what waits may have waited for that."""
        for call in self.calls.values():
            if call.again_ns == NEVER:
                call.again_ns = now

    def ask_again(self, when_ns: int) -> None:
        """Everything, then."""
        for call in self.calls.values():
            call.again_ns = min(call.again_ns, when_ns)
        if self.keep_alive:
            self.again_ns = min(self.again_ns, when_ns)

    def look_around(self, now: int) -> None:
        """Try the next replica, where this one has been silent; the KeepAlive goes along, or a new master would wait for it."""
        if now - self.heard_ns >= self.options.request_ns:
            self.heard_ns = now
            self.turn_away()
            if self.keep_alive:
                self.again_ns = now

    def turn_away(self) -> None:
        """From now on ask the next replica that a connection leads to; of all, where none does."""
        for _ in range(self.replicas):
            self.target = (self.target + 1) % self.replicas
            if self.target not in self.broken:
                break
