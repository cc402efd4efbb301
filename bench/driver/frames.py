"""What real processes say to each other: frames, the handshake at the door, and the messages of clients and orchestrator.

A frame is the length of its body (u32, little-endian) and the body, msgpack. After the handshake each body is an array of
messages of the one kind that its connection carries:

    replica <-> replica     the messages of the engine, and those by which hosts forward commands
    client -> replica       Request;  back: Answer
    orchestrator -> replica Do;       back: Done

Nothing is decoded before both ends have proved that they know the secret of the run, each over a nonce of the other:

    accepting                              connecting
        | -- Challenge(version, nonce) --------> |
        | <-- Hello(role, id, nonce, mac) ------ |
        | -- Welcome(id, mac) -----------------> |

There is no socket in this module: bytes go in, bytes come out.
"""
from __future__ import annotations

import hashlib
import hmac
import os
from typing import Annotated, Any, Literal

import msgspec

from bench.driver.host import Forward, ForwardAnswer
from engines.core import Engine
from engines.machine import client_of

VERSION = 1
LENGTH_BYTES = 4
FRAME_LIMIT_BYTES = 64 << 20
PEER_FRAME_LIMIT_BYTES = 2 << 30  # between replicas, where one message may carry the whole state
HANDSHAKE_LIMIT_BYTES = 1024
NONCE_BYTES = 32
Role = Literal["peer", "client", "control"]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
encoder = msgspec.msgpack.Encoder()


class FrameError(ValueError):
    """The other end broke the rules of the wire; its connection cannot go on."""


class HandshakeError(FrameError):
    """The other end did not prove that it knows the secret."""


class Challenge(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Accepting to connecting end, first of all: prove that you know the secret."""

    version: int
    nonce: bytes


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Connecting to accepting end: who I am, and the proof; prove it too, over my nonce."""

    role: Role
    id: Id
    nonce: bytes
    mac: bytes


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Accepting to connecting end: replica ``id`` knows the secret; what follows are messages."""

    id: Id
    mac: bytes


class Request(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Client to replica: have this command decided."""

    client: Id
    command: bytes


class Answer(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Replica to client: ACCEPTED with the result, or REFUSED; ``leader`` where known, else NOBODY."""

    client: int
    sequence: int
    outcome: int
    leader: int
    result: bytes


class Do(msgspec.Struct, frozen=True, array_like=True):
    """Orchestrator to replica: perform this action."""

    action: str
    arguments: dict[str, Any]


class Done(msgspec.Struct, frozen=True, array_like=True):
    """Replica to orchestrator: the action is done, or refused with ``{"error": why}``."""

    action: str
    result: dict[str, Any]


_challenge = msgspec.msgpack.Decoder(Challenge)
_hello = msgspec.msgpack.Decoder(Hello)
_welcome = msgspec.msgpack.Decoder(Welcome)
_requests = msgspec.msgpack.Decoder(list[Request])
_answers = msgspec.msgpack.Decoder(list[Answer])
_dos = msgspec.msgpack.Decoder(list[Do])
_dones = msgspec.msgpack.Decoder(list[Done])


def encode(message: Any) -> bytes:
    """One frame: of a message of the handshake, or of a list of messages. ValueError beyond the limit."""
    body = encoder.encode(message)
    if len(body) > FRAME_LIMIT_BYTES:
        raise ValueError(f"a frame of {len(body)} bytes exceeds the limit of {FRAME_LIMIT_BYTES}")
    return len(body).to_bytes(LENGTH_BYTES, "little") + body


def encode_messages(messages: list[Any], limit: int = FRAME_LIMIT_BYTES) -> list[bytes | bytearray]:
    """The frames of these messages: one, or several where one would exceed the limit. FrameError where a single one does."""
    frame = bytearray(LENGTH_BYTES)
    encoder.encode_into(messages, frame, LENGTH_BYTES)
    size = len(frame) - LENGTH_BYTES
    if size > limit:
        half = len(messages) // 2
        if half == 0:
            raise FrameError(f"message too long: a {type(messages[0]).__name__} of {size} bytes exceeds the limit of {limit}")
        return encode_messages(messages[:half], limit) + encode_messages(messages[half:], limit)
    frame[:LENGTH_BYTES] = size.to_bytes(LENGTH_BYTES, "little")
    return [frame]


def _decoded(decoder: msgspec.msgpack.Decoder[Any], body: bytes | memoryview) -> Any:
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"malformed frame: {error}") from None


def decode_requests(body: bytes | memoryview) -> list[Request]:
    """What a client sent; FrameError where it is malformed, or a command is not its client's."""
    requests: list[Request] = _decoded(_requests, body)
    for request in requests:
        try:
            genuine = client_of(request.command) == request.client
        except ValueError:
            genuine = False
        if not genuine:
            raise FrameError("a command that is not its client's")
    return requests


def decode_answers(body: bytes | memoryview) -> list[Answer]:
    """What a replica answered; FrameError where it is malformed."""
    answers: list[Answer] = _decoded(_answers, body)
    return answers


def decode_dos(body: bytes | memoryview) -> list[Do]:
    """What the orchestrator wants; FrameError where it is malformed."""
    dos: list[Do] = _decoded(_dos, body)
    return dos


def decode_dones(body: bytes | memoryview) -> list[Done]:
    """What a replica has done; FrameError where it is malformed."""
    dones: list[Done] = _decoded(_dones, body)
    return dones


class PeerMessages:
    """Decodes what replicas that run this engine send to each other."""

    def __init__(self, engine_class: type[Engine]) -> None:
        union: Any = Forward | ForwardAnswer
        for message_class in engine_class.HANDLERS:
            union = union | message_class
        self.decoder = msgspec.msgpack.Decoder(list[union])

    def decode(self, body: bytes | memoryview) -> list[Any]:
        """The messages of a body; FrameError where it is malformed."""
        messages: list[Any] = _decoded(self.decoder, body)
        return messages


class Frames:
    """Cuts a stream of bytes into the bodies of frames. ``limit`` bounds a body; it may be raised between two feeds."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rest = bytearray()
        self.wanted = LENGTH_BYTES

    def feed(self, data: bytes | memoryview) -> list[memoryview]:
        """The bodies that are complete with these bytes, as views of them; FrameError where a frame is longer than the limit.
        Behind others such a frame is left for the next feed: they may raise the limit.
        """
        if self.rest:
            self.rest += data
            if len(self.rest) < self.wanted:
                return []
            data, self.rest = bytes(self.rest), bytearray()
        view, size, at = memoryview(data), len(data), 0
        bodies: list[memoryview] = []
        self.wanted = LENGTH_BYTES
        while size - at >= LENGTH_BYTES:
            length = int.from_bytes(view[at : at + LENGTH_BYTES], "little")
            if length > self.limit:
                if bodies:
                    break
                raise FrameError(f"frame too long: {length} bytes, and the limit is {self.limit}")
            if size - at - LENGTH_BYTES < length:
                self.wanted = LENGTH_BYTES + length
                break
            bodies.append(view[at + LENGTH_BYTES : at + LENGTH_BYTES + length])
            at += LENGTH_BYTES + length
        if at < size:
            self.rest += view[at:]
        return bodies


def _prove(secret: bytes, label: str, role: str, id: int, nonces: bytes) -> bytes:
    return hmac.digest(secret, f"replbench {label} {role} {id} ".encode() + nonces, hashlib.sha256)


class Door:
    """The accepting end of a handshake, at replica ``id``."""

    def __init__(self, secret: bytes, id: int) -> None:
        self.secret = secret
        self.id = id
        self.challenge = Challenge(VERSION, os.urandom(NONCE_BYTES))

    def open(self) -> bytes:
        """The first frame."""
        return encode(self.challenge)

    def admit(self, body: bytes | memoryview) -> Hello:
        """Who knocks; HandshakeError where it does not prove that it knows the secret."""
        hello: Hello = _decoded(_hello, body)
        nonces = self.challenge.nonce + hello.nonce
        proof = _prove(self.secret, "hello", hello.role, hello.id, nonces)
        if len(hello.nonce) != NONCE_BYTES or not hmac.compare_digest(proof, hello.mac):
            raise HandshakeError("wrong secret")
        return hello

    def welcome(self, hello: Hello) -> bytes:
        """The last frame of the handshake."""
        nonces = self.challenge.nonce + hello.nonce
        return encode(Welcome(self.id, _prove(self.secret, "welcome", hello.role, self.id, nonces)))


class Greeting:
    """The connecting end of a handshake, as ``role`` ``id`` at replica ``replica``; ``done`` when it has succeeded."""

    def __init__(self, secret: bytes, role: Role, id: int, replica: int) -> None:
        self.secret = secret
        self.role = role
        self.id = id
        self.replica = replica
        self.nonces = b""
        self.done = False

    def answer(self, body: bytes | memoryview) -> bytes:
        """What to send when this body arrived (nothing at the end); HandshakeError where the other end is not the replica."""
        assert not self.done, "the handshake is over"
        if not self.nonces:
            return self._hello(_decoded(_challenge, body))
        welcome: Welcome = _decoded(_welcome, body)
        proof = _prove(self.secret, "welcome", self.role, self.replica, self.nonces)
        if welcome.id != self.replica:
            raise HandshakeError(f"replica {welcome.id} is where replica {self.replica} should be")
        if not hmac.compare_digest(proof, welcome.mac):
            raise HandshakeError("wrong secret")
        self.done = True
        return b""

    def _hello(self, challenge: Challenge) -> bytes:
        if challenge.version != VERSION or len(challenge.nonce) != NONCE_BYTES:
            raise HandshakeError(f"the other end speaks version {challenge.version}, not {VERSION}")
        nonce = os.urandom(NONCE_BYTES)
        self.nonces = challenge.nonce + nonce
        mac = _prove(self.secret, "hello", self.role, self.id, self.nonces)
        return encode(Hello(self.role, self.id, nonce, mac))
