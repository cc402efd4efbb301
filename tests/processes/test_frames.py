"""Frames and the handshake: whatever bytes arrive, only whole frames of known shape come out, and nobody gets in unproved."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.driver.frames import (
    FRAME_LIMIT_BYTES,
    HANDSHAKE_LIMIT_BYTES,
    Answer,
    Challenge,
    Do,
    Done,
    Door,
    FrameError,
    Frames,
    Greeting,
    HandshakeError,
    Hello,
    PeerMessages,
    Request,
    decode_answers,
    decode_dones,
    decode_dos,
    decode_requests,
    encode,
    encode_messages,
)
from bench.driver.host import Forward, ForwardAnswer
from bench.driver.protocols import PROTOCOLS
from engines.core import NOBODY
from engines.machine import PUT, encode_command
from engines.raft import Raft
from engines.raft.messages import AppendEntries, AppendEntriesReply, Heartbeat
from tests.processes.fuzz import mutate, new_dice, times

SECRET = b"s" * 32


def bodies(data: bytes, limit: int = FRAME_LIMIT_BYTES) -> list[bytes]:
    return [bytes(body) for body in Frames(limit).feed(data)]


def shake(door: Door, greeting: Greeting) -> Hello:
    """A whole handshake, bytes carried by hand."""
    [challenge] = bodies(door.open())
    [hello] = bodies(greeting.answer(challenge))
    who = door.admit(hello)
    [welcome] = bodies(door.welcome(who))
    assert greeting.answer(welcome) == b""
    return who


@given(st.lists(st.binary(max_size=2000), max_size=20), st.lists(st.integers(1, 700), min_size=1, max_size=30))
def test_frames_come_out_as_they_went_in_however_they_are_cut(contents: list[bytes], steps: list[int]) -> None:
    stream = b"".join(len(content).to_bytes(4, "little") + content for content in contents)
    frames, found, at, turn = Frames(4096), [], 0, 0
    while at < len(stream):
        step = steps[turn % len(steps)]
        found += [bytes(body) for body in frames.feed(stream[at : at + step])]
        at, turn = at + step, turn + 1
    assert found == contents


def test_a_frame_beyond_the_limit_is_refused_by_its_length_alone() -> None:
    with pytest.raises(FrameError, match="too long"):
        Frames(100).feed((101).to_bytes(4, "little"))
    assert Frames(100).feed((100).to_bytes(4, "little") + bytes(100)) == [memoryview(bytes(100))]


def test_a_limit_may_rise_between_two_frames() -> None:
    frames = Frames(10)
    assert len(frames.feed(encode(b"abc") + b"\xc8\0")) == 1
    frames.limit = 1000
    assert len(frames.feed(b"\0\0" + bytes(100))) == 0
    assert len(frames.feed(bytes(100))) == 1


@pytest.mark.parametrize("role", ["peer", "client", "control"])
def test_both_ends_prove_that_they_know_the_secret(role: str) -> None:
    greeting = Greeting(SECRET, role, 7, 2)  # type: ignore[arg-type]
    who = shake(Door(SECRET, 2), greeting)
    assert greeting.done
    assert (who.role, who.id) == (role, 7)


def test_a_stranger_is_not_admitted() -> None:
    door, greeting = Door(SECRET, 0), Greeting(b"x" * 32, "client", 7, 0)
    [challenge] = bodies(door.open())
    [hello] = bodies(greeting.answer(challenge))
    with pytest.raises(HandshakeError, match="secret"):
        door.admit(hello)


def test_a_replica_that_does_not_know_the_secret_is_not_believed() -> None:
    impostor, greeting = Door(b"x" * 32, 0), Greeting(SECRET, "client", 7, 0)
    [challenge] = bodies(impostor.open())
    greeting.answer(challenge)
    [welcome] = bodies(impostor.welcome(Hello("client", 7, greeting.nonces[32:], b"")))
    with pytest.raises(HandshakeError, match="secret"):
        greeting.answer(welcome)
    assert not greeting.done


def test_a_proof_is_good_for_one_challenge_one_role_and_one_id() -> None:
    """Neither a hello that was overheard nor one with a better role gets in; nor is a hello its own welcome."""
    door = Door(SECRET, 0)
    [challenge] = bodies(door.open())
    greeting = Greeting(SECRET, "client", 7, 0)
    [overheard] = bodies(greeting.answer(challenge))
    hello = door.admit(overheard)
    with pytest.raises(HandshakeError):
        Door(SECRET, 0).admit(overheard)
    for role, id in (("control", 7), ("client", 8)):
        [forged] = bodies(encode(Hello(role, id, hello.nonce, hello.mac)))  # type: ignore[arg-type]
        with pytest.raises(HandshakeError):
            door.admit(forged)
    assert hello.mac not in door.welcome(hello)


def test_the_wrong_replica_at_an_address_is_noticed() -> None:
    door, greeting = Door(SECRET, 1), Greeting(SECRET, "peer", 2, 0)
    [challenge] = bodies(door.open())
    [hello] = bodies(greeting.answer(challenge))
    [welcome] = bodies(door.welcome(door.admit(hello)))
    with pytest.raises(HandshakeError, match="replica 1 is where replica 0 should be"):
        greeting.answer(welcome)


def test_another_version_is_refused() -> None:
    [challenge] = bodies(encode(Challenge(99, bytes(32))))
    with pytest.raises(HandshakeError, match="version 99"):
        Greeting(SECRET, "client", 1, 0).answer(challenge)


def test_the_handshake_fits_its_limit() -> None:
    door, greeting = Door(SECRET, 2**63 - 1), Greeting(SECRET, "control", 2**63 - 1, 2**63 - 1)
    challenge = door.open()
    hello = greeting.answer(bodies(challenge)[0])
    welcome = door.welcome(door.admit(bodies(hello)[0]))
    assert max(len(challenge), len(hello), len(welcome)) <= HANDSHAKE_LIMIT_BYTES


def test_messages_of_all_kinds_survive_the_wire() -> None:
    messages = [
        AppendEntries(2**64 - 1, 0, 1, 2, b"entries", 3),
        AppendEntriesReply(1, 2),
        Heartbeat(1, 2, 3, 4),
        Forward((b"one", b"two")),
        ForwardAnswer(5, 6, 1, NOBODY, b"result"),
    ]
    [frame] = encode_messages(messages)
    [body] = bodies(bytes(frame))
    assert PeerMessages(Raft).decode(body) == messages
    answers = [Answer(1, 2, 0, NOBODY, b"\1value"), Answer(2, 2**64 - 1, 1, 0, b"")]
    assert decode_answers(bodies(bytes(encode_messages(answers)[0]))[0]) == answers


def test_what_exceeds_a_frame_is_sent_in_several_and_a_single_giant_is_refused() -> None:
    big = [Answer(n, n, 0, 0, bytes(FRAME_LIMIT_BYTES // 3)) for n in range(4)]
    frames = encode_messages(big)
    assert len(frames) > 1
    assert [answer.client for frame in frames for answer in decode_answers(memoryview(frame)[4:])] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="a Answer of"):
        encode_messages([Answer(1, 1, 0, 0, bytes(FRAME_LIMIT_BYTES))])


@given(st.binary(max_size=400))
def test_no_bytes_hurt_the_decoders(data: bytes) -> None:
    for decode in (decode_requests, decode_answers, decode_dos, PeerMessages(Raft).decode, Door(SECRET, 0).admit):
        try:
            decode(data)
        except FrameError:
            continue


@given(st.data())
@settings(max_examples=200)
def test_no_mutated_frame_hurts_the_decoders(data: st.DataObject) -> None:
    """A frame of real messages, with bytes changed, cut out or put in: a list of known messages, or a FrameError."""
    kind = data.draw(st.sampled_from(["messages", "requests", "dos"]))
    messages = {
        "messages": [AppendEntries(1, 2, 3, 4, b"entries", 5), Forward((b"command",))],
        "requests": [Request(1, b"command"), Request(2, b"")],
        "dos": [Do("block", {"to": 1})],
    }[kind]
    decode = {"messages": PeerMessages(Raft).decode, "requests": decode_requests, "dos": decode_dos}[kind]
    frame = bytearray(encode_messages(messages)[0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not frame:
            return
    try:
        decoded = [message for body in Frames(4096).feed(bytes(frame)) for message in decode(body)]
    except FrameError:
        return
    known = {type(message) for message in messages} | set(Raft.HANDLERS) | {ForwardAnswer}
    assert {type(message) for message in decoded} <= known


def whole_frames() -> list[tuple[bytes, Callable[[memoryview], Any]]]:
    """A frame of each kind of conversation, of every engine's messages too, and what decodes it."""
    samples: dict[str, Any] = {"int": 3, "bool": True, "bytes": b"entries"}
    found: list[tuple[bytes, Callable[[memoryview], Any]]] = [
        (encode(Hello("client", 7, bytes(32), bytes(32))), Door(SECRET, 0).admit),
        (Door(SECRET, 0).open(), lambda body: Greeting(SECRET, "client", 7, 0).answer(body)),
        (encode([Request(5, encode_command(5, 6, 6, PUT, b"key", b"value"))]), decode_requests),
        (encode([Answer(5, 6, 1, NOBODY, b"result")]), decode_answers),
        (encode([Do("clock", {"rate": 1.5})]), decode_dos),
        (encode([Done("status", {"applied": 1, "led": [[5, 6]]})]), decode_dones),
    ]
    for engine_class, _ in PROTOCOLS.values():
        messages = [Forward((b"x",)), ForwardAnswer(5, 6, 1, NOBODY, b"result")]
        messages += [cls(*map(samples.get, cls.__annotations__.values())) for cls in engine_class.HANDLERS]
        found.append((encode(messages), PeerMessages(engine_class).decode))
    return found


def test_mutated_frames_in_bulk() -> None:
    """Hundreds of times as many as hypothesis would try: ``make fuzz`` for the longer run."""
    dice, whole = new_dice(), whole_frames()
    for frame, decode in whole[2:]:
        [body] = Frames(4096).feed(frame)
        decode(body)
    good = bad = 0
    for _ in range(times(20_000)):
        frame, decode = dice.choice(whole)
        mutated = mutate(frame, dice)
        try:
            for body in Frames(4096).feed(mutated):
                decode(body)
                good += 1
        except FrameError:
            bad += 1
    assert good and bad


def test_deep_nesting_is_malformed_and_no_crash() -> None:
    for decode in (decode_dos, PeerMessages(Raft).decode):
        with pytest.raises(FrameError):
            decode(b"\x91" * 100_000)
    with pytest.raises(FrameError):
        decode_dos(b"\x91\x92\xa6status\x81\xa1x" + b"\x91" * 100_000)


@pytest.mark.parametrize("engine", PROTOCOLS)
def test_every_engine_has_a_codec(engine: str) -> None:
    assert PeerMessages(PROTOCOLS[engine][0]).decode(b"\x90") == []


@pytest.mark.parametrize("client", [-1, 2**63, "1"])
def test_ids_are_in_range(client: object) -> None:
    with pytest.raises(FrameError):
        decode_requests(encode([(client, b"")])[4:])
