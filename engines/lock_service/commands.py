"""What clients ask, what masters have decided, and what is answered: one class each, msgpack behind the envelope of
engines.machine.
"""

from __future__ import annotations

import struct
from typing import Any, Union

import msgspec

from engines.core import NOBODY
from engines.machine import ENVELOPE_BYTES

FREE, SHARED, EXCLUSIVE = 0, 1, 2
EXISTING, FILE, EPHEMERAL, DIRECTORY = 0, 1, 2, 3
# Events that a handle may subscribe to (2.5), as bits; INVALIDATED is the master's own, for caches.
CONTENTS_CHANGED, CHILD_CHANGED, LOCK_ACQUIRED, CONFLICTING_REQUEST, INVALIDATED = 1, 2, 4, 8, 16
EVENTS = CONTENTS_CHANGED | CHILD_CHANGED | LOCK_ACQUIRED | CONFLICTING_REQUEST
# Why something was refused.
NO_SESSION, NO_HANDLE, NO_NODE, STALE_EPOCH = "no session", "no handle", "no node", "stale epoch"
NOT_A_DIRECTORY, IS_A_DIRECTORY, NOT_EMPTY = "not in a directory", "a directory", "not empty"
CONFLICT, ALREADY, NOT_HELD, WITHDRAWN = "held by another", "held already", "not held", "withdrawn"
STALE_SEQUENCER, CHANGED, TOO_LONG = "stale sequencer", "changed", "too long"
CONTENTS_LIMIT_BYTES = 256 * 1024  # 2.3: Chubby is not for large files

_envelope = struct.Struct("<QQI")
_encoder = msgspec.msgpack.Encoder()


class Request(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a client asks of the master, or the master of the log."""


class Sequencer(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The state of a lock just after it was acquired (2.4): a server that is shown it can ask whether it still holds."""

    path: str
    mode: int
    generation: int


class OpenSession(Request, frozen=True, tag=0):
    """Client: a session, whose lease begins with its first KeepAlive. Answer: SessionOpened."""


class EndSession(Request, frozen=True, tag=1):
    """Client: close all handles and end the session. Answer: Done."""

    session: int


class Open(Request, frozen=True, tag=2):
    """Client: a handle on a node, which is created as ``kind`` with these ``contents`` unless that is EXISTING. Answer: Opened.

    ``lock_delay_ns`` is for locks of this handle; ``events`` are the bits it subscribes to.
    """

    session: int
    path: str
    kind: int
    contents: bytes
    lock_delay_ns: int
    events: int


class Close(Request, frozen=True, tag=3):
    """Client: give up a handle, and what is held or waited for by it. Answer: Done."""

    session: int
    handle: int


class Acquire(Request, frozen=True, tag=4):
    """Client: the handle's node as a lock, SHARED or EXCLUSIVE. Answer: Granted; where another holds it, Queued and later
    Granted if ``wait``, else Refused.
    """

    session: int
    handle: int
    mode: int
    wait: bool
    sequencer: Sequencer | None


class Release(Request, frozen=True, tag=5):
    """Client: give up what the handle holds or waits for. Answer: Done."""

    session: int
    handle: int


class SetContents(Request, frozen=True, tag=6):
    """Client: write the file whole, if its content generation is ``generation`` (0: whatever it is). Answer: Written."""

    session: int
    handle: int
    contents: bytes
    generation: int
    sequencer: Sequencer | None


class Delete(Request, frozen=True, tag=7):
    """Client: delete the node, which has no children and is not locked by another handle. Answer: Done."""

    session: int
    handle: int
    sequencer: Sequencer | None


class KeepAlive(Request, frozen=True, tag=8):
    """Client: hold this until my lease is nearly over. I know of this epoch, and of its events up to ``heard``.
    Answer: Extended.
    """

    session: int
    epoch: int
    heard: int


class GetContents(Request, frozen=True, tag=9):
    """Client: read from the master's memory, to be cached. Answer: Contents."""

    session: int
    handle: int


class CheckSequencer(Request, frozen=True, tag=10):
    """Client: is this lock still held as it was? Answer: Checked."""

    session: int
    sequencer: Sequencer


class TakeOver(Request, frozen=True, tag=11):
    """New master to the log: from here on another epoch, whose number is this position. Result: Taken."""

    replica: int


class Renew(Request, frozen=True, tag=12):
    """Master to the log: my lease goes on, if this is still my epoch. Result: Done."""

    epoch: int


class Expire(Request, frozen=True, tag=13):
    """Master to the log: this session's lease is over, and its holder has failed. Result: Done."""

    epoch: int
    session: int


class EndDelay(Request, frozen=True, tag=14):
    """Master to the log: the lock-delay of this node is over. Result: Done."""

    epoch: int
    path: str
    instance: int


class Answer(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What is answered."""


class Done(Answer, frozen=True, tag=0):
    """It was done."""


class Refused(Answer, frozen=True, tag=1):
    """It was not, because of this."""

    why: str


class SessionOpened(Answer, frozen=True, tag=2):
    """The session's number."""

    session: int


class Opened(Answer, frozen=True, tag=3):
    """The handle; of which instance of the node, and whether that was created."""

    handle: int
    instance: int
    created: bool


class Queued(Answer, frozen=True, tag=4):
    """Not yet: the answer follows, without another request."""


class Granted(Answer, frozen=True, tag=5):
    """The lock is held, in this generation."""

    generation: int


class Written(Answer, frozen=True, tag=6):
    """The new content generation."""

    generation: int


class Contents(Answer, frozen=True, tag=7):
    """A node's contents and generations; it may be cached under the lease of a session of this epoch, if ``cachable``."""

    epoch: int
    contents: bytes
    instance: int
    generation: int
    lock_generation: int
    cachable: bool


class Checked(Answer, frozen=True, tag=8):
    """Whether the sequencer holds."""

    valid: bool


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The ``number``-th thing that a session is told in this epoch; the handle is 0 where it concerns a cached path."""

    number: int
    kind: int
    handle: int
    path: str


class Extended(Answer, frozen=True, tag=9):
    """The lease: ``valid_ns`` of the master's clock from when the KeepAlive reached it; events that were not yet heard."""

    epoch: int
    valid_ns: int
    events: tuple[Event, ...]


class Taken(Answer, frozen=True, tag=10):
    """The new epoch, and the one before it (0: there was none)."""

    epoch: int
    before: int


_requests: Any = msgspec.msgpack.Decoder(Union[tuple(Request.__subclasses__())])  # noqa: UP007 (made at run time)
_answers: Any = msgspec.msgpack.Decoder(Union[tuple(Answer.__subclasses__())])  # noqa: UP007
DONE, QUEUED = _encoder.encode(Done()), _encoder.encode(Queued())


def encode_request(client: int, sequence: int, lowest: int, request: Request) -> bytes:
    """The bytes of a request, as engines.machine wants commands; ``lowest`` as it is said there."""
    return _envelope.pack(client, sequence, sequence - lowest) + _encoder.encode(request)


def encode_own(request: Request) -> bytes:
    """The bytes of a master's own command."""
    return encode_request(NOBODY, 0, 0, request)


def decode_request(command: bytes) -> Request:
    """The reverse; msgspec.DecodeError (a ValueError) where it is none."""
    request: Request = _requests.decode(command[ENVELOPE_BYTES:])
    return request


def encode_answer(answer: Answer) -> bytes:
    """The bytes of an answer."""
    return _encoder.encode(answer)


def decode_answer(result: bytes) -> Answer:
    """The reverse; msgspec.DecodeError (a ValueError) where it is none."""
    answer: Answer = _answers.decode(result)
    return answer


def require_path(path: str) -> None:
    """ValueError where this is no name of a node below the root."""
    if not valid_path(path):
        raise ValueError(f"{path!r} names no node; write /name or /directory/name")


def valid_path(path: str) -> bool:
    """Whether this names a node below the root."""
    return path.startswith("/") and all(path[1:].split("/"))
