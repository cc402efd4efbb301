"""The state machine against a model that a child could check, and the sessions of Ongaro's thesis, section
6.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.machine import (
    APPEND,
    APPLIED,
    CAS,
    GET,
    MALFORMED,
    PUT,
    REFUSED,
    STALE,
    Command,
    KeyValue,
    client_of,
    decode_command,
    encode_command,
    mix,
    sequence_of,
)

U64 = st.integers(0, 2**64 - 1)
TEXTS = st.binary(max_size=40)


@st.composite
def commands(draw: st.DrawFn) -> Command:
    sequence = draw(U64)
    return Command(
        client=draw(U64),
        sequence=sequence,
        lowest=max(0, sequence - draw(st.integers(0, 2**32 - 1))),
        operation=draw(st.sampled_from([GET, PUT, CAS, APPEND])),
        key=draw(TEXTS),
        value=draw(TEXTS),
        expected=draw(TEXTS),
    )


def encoded(command: Command) -> bytes:
    return encode_command(
        command.client,
        command.sequence,
        command.lowest,
        command.operation,
        command.key,
        command.value,
        command.expected,
    )


class Shop:
    """A KeyValue with a client that numbers its commands."""

    def __init__(self) -> None:
        self.machine = KeyValue()
        self.sequence = 0

    def __call__(self, operation: int, key: bytes, value: bytes = b"", expected: bytes = b"") -> bytes:
        self.sequence += 1
        command = encode_command(1, self.sequence, self.sequence, operation, key, value, expected)
        return self.machine.apply(self.machine.applied + 1, command)


@given(commands())
def test_a_command_reads_as_it_was_written(command: Command) -> None:
    raw = encoded(command)
    assert decode_command(raw) == command
    assert client_of(raw) == command.client
    assert sequence_of(raw) == command.sequence
    assert len(raw) == 27 + len(command.key) + len(command.expected) + len(command.value)


def test_the_bytes_of_a_command_are_these() -> None:
    raw = encode_command(0x0102, 0x0304, 0x0303, CAS, b"key", b"new", b"old")
    assert raw.hex(" ") == (
        "02 01 00 00 00 00 00 00 04 03 00 00 00 00 00 00 01 00 00 00 02 03 00 03 00 00 00 "
        "6b 65 79 6f 6c 64 6e 65 77"
    )


def test_widest_fields_fit() -> None:
    raw = encode_command(2**64 - 1, 2**64 - 1, 2**64 - 2**32, PUT, bytes(65535), b"v")
    read = decode_command(raw)
    assert (read.client, read.sequence, read.lowest, len(read.key)) == (
        2**64 - 1,
        2**64 - 1,
        2**64 - 2**32,
        65535,
    )


@pytest.mark.parametrize(
    "fields",
    [(1, 5, 6, PUT, b"k"), (1, 2**40, 0, PUT, b"k"), (1, 1, 1, 4, b"k"), (1, 1, 1, PUT, bytes(65536))],
    ids=["lowest beyond sequence", "window too wide", "unknown operation", "key too long"],
)
def test_what_cannot_be_a_command_is_refused(fields: tuple[int, int, int, int, bytes]) -> None:
    with pytest.raises(ValueError, match=r"must be|is none of"):
        encode_command(*fields)


@pytest.mark.parametrize(("read", "least"), [(client_of, 20), (sequence_of, 20), (decode_command, 27)])
def test_a_command_without_its_envelope_or_header_is_refused(read: Callable[[bytes], Any], least: int) -> None:
    read(bytes(least))
    with pytest.raises(ValueError, match="malformed"):
        read(bytes(least - 1))


def test_get_put_cas_append() -> None:
    shop = Shop()
    assert shop(GET, b"x") == REFUSED
    assert shop(PUT, b"x", b"1") == APPLIED
    assert shop(GET, b"x") == APPLIED + b"1"
    assert shop(CAS, b"x", b"2", expected=b"0") == REFUSED
    assert shop(CAS, b"x", b"2", expected=b"1") == APPLIED
    assert shop(GET, b"x") == APPLIED + b"2"
    assert shop(APPEND, b"x", b"3") == APPLIED
    assert shop(APPEND, b"y", b"4") == APPLIED
    assert shop(GET, b"x") == APPLIED + b"23"
    assert shop(GET, b"y") == APPLIED + b"4"
    assert shop.machine.data == {b"x": b"23", b"y": b"4"}


def test_a_cas_of_an_absent_key_is_refused_even_where_nothing_is_expected() -> None:
    shop = Shop()
    assert shop(CAS, b"x", b"1", expected=b"") == REFUSED
    assert shop(PUT, b"x", b"") == APPLIED
    assert shop(GET, b"x") == APPLIED
    assert shop(CAS, b"x", b"1", expected=b"") == APPLIED


@given(
    st.lists(
        st.tuples(
            st.sampled_from([GET, PUT, CAS, APPEND]),
            st.sampled_from([b"", b"x", b"y"]),
            st.sampled_from([b"", b"1", b"22"]),
            st.sampled_from([b"", b"1", b"22", b"11"]),
        ),
        max_size=60,
    )
)
def test_it_does_what_a_dictionary_does(story: list[tuple[int, bytes, bytes, bytes]]) -> None:
    shop, model = Shop(), {}
    for operation, key, value, expected in story:
        held = model.get(key)
        answer = APPLIED
        if operation == GET:
            answer = REFUSED if held is None else APPLIED + held
        elif operation == PUT:
            model[key] = value
        elif operation == APPEND:
            model[key] = (held or b"") + value
        elif held == expected:
            model[key] = value
        else:
            answer = REFUSED
        assert shop(operation, key, value, expected) == answer
    assert shop.machine.data == model


def test_a_no_op_moves_the_position_and_the_digest_only() -> None:
    machine = KeyValue()
    assert machine.apply(1, b"") == b""
    assert machine.applied == 1
    assert machine.digest != 0
    assert not machine.data
    assert not machine.sessions.by_client


def test_commands_are_applied_in_order_each_once() -> None:
    machine = KeyValue()
    machine.apply(1, b"")
    for position in (0, 1, 3):
        with pytest.raises(AssertionError):
            machine.apply(position, b"")


# -- sessions ------------------------------------------------------------------------------------------------


def put(client: int, sequence: int, lowest: int, value: bytes = b"v") -> bytes:
    return encode_command(client, sequence, lowest, APPEND, b"x", value)


def test_a_retried_command_returns_its_first_result_and_is_not_applied_again() -> None:
    """Section 6.3: the server saves the response of each command, and returns it for a duplicate."""
    machine = KeyValue()
    cas = encode_command(7, 1, 1, CAS, b"x", b"2", b"1")
    machine.apply(1, encode_command(8, 1, 1, PUT, b"x", b"1"))
    assert machine.apply(2, cas) == APPLIED
    assert machine.apply(3, cas) == APPLIED
    assert machine.duplicates == 1
    assert machine.data == {b"x": b"2"}


def test_sessions_of_different_clients_have_nothing_to_do_with_each_other() -> None:
    machine = KeyValue()
    for position, client in enumerate((1, 2, 2**64 - 1), 1):
        assert machine.apply(position, put(client, 1, 1)) == APPLIED
    assert machine.data == {b"x": b"vvv"}
    assert machine.duplicates == 0


def test_commands_of_a_window_are_committed_in_any_order() -> None:
    """Section 6.3: with concurrent requests, the session keeps a set of (sequence, response) pairs."""
    machine = KeyValue()
    for position, sequence in enumerate((3, 1, 2, 1, 3), 1):
        assert machine.apply(position, put(7, sequence, 1, b"%d" % sequence)) == APPLIED
    assert machine.data == {b"x": b"312"}
    assert machine.duplicates == 2


def test_what_the_client_has_answers_for_is_forgotten_and_then_stale() -> None:
    """Section 6.3: each request carries the lowest sequence number without a response; lower ones are
    discarded.
    """
    machine = KeyValue()
    for sequence in (1, 2, 3):
        machine.apply(machine.applied + 1, put(7, sequence, 1))
    machine.apply(4, put(7, 4, 3))
    assert [sequence for sequence, _ in machine.sessions.of(7).results()] == [3, 4]
    assert machine.apply(5, put(7, 2, 1)) == STALE
    assert machine.apply(6, put(7, 3, 1)) == APPLIED
    assert machine.data == {b"x": b"vvvv"}
    assert machine.duplicates == 2


def test_a_command_that_was_overtaken_by_its_clients_progress_is_stale_though_it_was_never_applied() -> None:
    machine = KeyValue()
    machine.apply(1, put(7, 5, 5))
    assert machine.apply(2, put(7, 4, 4)) == STALE
    assert machine.data == {b"x": b"v"}


def test_a_closed_loop_client_costs_one_result() -> None:
    machine = KeyValue()
    for sequence in range(1, 100):
        machine.apply(sequence, put(7, sequence, sequence))
    session = machine.sessions.of(7)
    assert session.others is None
    assert session.results() == [(99, APPLIED)]


class ModelSession:
    """All results, and a lowest number below which nothing is answered."""

    def __init__(self) -> None:
        self.lowest = 0
        self.results: dict[int, bytes] = {}

    def apply(self, sequence: int, lowest: int, result: bytes) -> bytes:
        if sequence < self.lowest:
            return STALE
        if sequence not in self.results:
            self.results[sequence] = result
            self.lowest = max(self.lowest, lowest)
            self.results = {number: kept for number, kept in self.results.items() if number >= self.lowest}
        return self.results[sequence]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 2**40, 2**64 - 30]),
            st.integers(0, 20),
            st.integers(0, 20),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_sessions_do_what_the_model_does(story: list[tuple[int, int, int, bool]]) -> None:
    machine, model = KeyValue(), ModelSession()
    for position, (epoch, offset, window, through_snapshot) in enumerate(story, 1):
        sequence = epoch + offset
        lowest = max(sequence - window, 0)
        token = b"%d;" % position
        command = encode_command(7, sequence, lowest, CAS if position % 3 else APPEND, b"x", token)
        result = APPLIED if position % 3 == 0 else REFUSED
        known, duplicates = machine.known(command), machine.duplicates
        answer = machine.apply(position, command)
        assert answer == model.apply(sequence, lowest, result)
        assert known == (answer if machine.duplicates > duplicates else None)
        session = machine.sessions.of(7)
        assert dict(session.results()) == model.results
        assert session.lowest == model.lowest
        if through_snapshot:
            other = KeyValue()
            other.restore(position, machine.snapshot())
            machine = other


# -- malformed commands --------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=60))
def test_any_bytes_are_answered_alike_and_stop_nobody(command: bytes) -> None:
    one, other = KeyValue(), KeyValue()
    assert one.known(command) is None
    assert one.apply(1, command) == other.apply(1, command)
    assert one.snapshot() == other.snapshot()


@pytest.mark.parametrize(
    "command",
    [
        b"x",
        bytes(26),
        encode_command(1, 5, 5, PUT, b"key")[:-1],
        put(1, 5, 5)[:20] + b"\x04" + put(1, 5, 5)[21:],
        put(1, 5, 5)[:16] + b"\x06" + put(1, 5, 5)[17:],
        put(1, 5, 5)[:23] + b"\xff\xff\xff\xff" + put(1, 5, 5)[27:],
    ],
    ids=["short", "no header", "key cut off", "operation", "window below zero", "expected beyond the end"],
)
def test_a_malformed_command_changes_nothing_but_the_digest(command: bytes) -> None:
    machine = KeyValue()
    assert machine.apply(1, command) == MALFORMED
    assert not machine.data
    assert not machine.sessions.by_client
    assert machine.digest == mix(0, 1, command)
    with pytest.raises(ValueError, match="malformed"):
        decode_command(command)


# -- digest and snapshot -------------------------------------------------------------------------------------


def model_mix(digest: int, position: int, command: bytes) -> int:
    """The formula once more, in whole words."""
    mask, golden = 2**64 - 1, 0x9E3779B97F4A7C15
    state, whole = digest ^ position, len(command) // 8 * 8
    for word in (
        0,
        len(command),
        *(int.from_bytes(command[at : at + 8], "little") for at in range(0, whole, 8)),
    ):
        state = (state ^ word) * golden & mask
        state ^= state >> 32
    state = (state ^ int.from_bytes(command[whole:], "little")) * 0xFF51AFD7ED558CCD & mask
    return state ^ state >> 29


@given(U64, U64, st.binary(max_size=70))
def test_the_digest_is_the_same_compiled_and_pure(digest: int, position: int, command: bytes) -> None:
    assert mix(digest, position, command) == model_mix(digest, position, command)


def test_the_digest_of_a_known_history_is_this() -> None:
    """A changed formula would make results of different versions look like diverged replicas."""
    machine = KeyValue()
    machine.apply(1, b"")
    machine.apply(2, encode_command(7, 1, 1, PUT, b"key", bytes(100)))
    assert machine.digest == model_mix(
        model_mix(0, 1, b""), 2, encode_command(7, 1, 1, PUT, b"key", bytes(100))
    )
    assert machine.digest == 3102384404616200296


@given(st.binary(min_size=1, max_size=40), st.data())
def test_the_digest_sees_a_changed_bit_and_a_changed_length(command: bytes, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, len(command) * 8 - 1))
    changed = bytearray(command)
    changed[bit // 8] ^= 1 << bit % 8
    seen = {mix(1, 2, command), mix(1, 2, bytes(changed)), mix(1, 2, command + b"\0"), mix(1, 3, command)}
    assert len(seen) == 4


def test_the_digest_sees_the_order() -> None:
    one, other = KeyValue(), KeyValue()
    for position, (first, second) in enumerate(zip((b"a", b"b"), (b"b", b"a"), strict=True), 1):
        one.apply(position, first)
        other.apply(position, second)
    assert one.digest != other.digest


def test_a_snapshot_carries_everything() -> None:
    machine = KeyValue()
    machine.apply(1, put(7, 1, 1, b"1"))
    machine.apply(2, put(7, 3, 1, b"3"))
    machine.apply(3, put(8, 1, 1, b"8"))
    machine.apply(4, put(8, 1, 1, b"8"))
    other = KeyValue()
    other.apply(1, put(1, 1, 1))
    other.restore(4, machine.snapshot())
    assert (other.data, other.digest, other.applied, other.duplicates) == (machine.data, machine.digest, 4, 1)
    assert other.sessions.dump() == machine.sessions.dump()
    for position, command in enumerate((put(7, 3, 1, b"3"), put(7, 2, 1, b"2"), b""), 5):
        assert other.apply(position, command) == machine.apply(position, command)
    assert other.snapshot() == machine.snapshot()
    assert machine.data == {b"x": b"1382"}


def test_snapshots_of_equal_machines_are_equal_bytes() -> None:
    """Neither the order of insertion nor a way through other snapshots shows."""
    story = [put(client, sequence, 1) for client in (9, 3, 5) for sequence in (2, 1, 3)]
    straight, through = KeyValue(), KeyValue()
    for position, command in enumerate(story, 1):
        straight.apply(position, command)
        through.apply(position, command)
        through.restore(position, through.snapshot())
    assert straight.snapshot() == through.snapshot()


def test_a_snapshot_of_another_position_is_refused() -> None:
    machine = KeyValue()
    machine.apply(1, b"")
    with pytest.raises(ValueError, match="position 1 cannot restore position 2"):
        KeyValue().restore(2, machine.snapshot())


def test_bytes_that_are_no_snapshot_are_refused() -> None:
    machine = KeyValue()
    with pytest.raises(msgspec.DecodeError):
        machine.restore(1, b"nothing")
    assert machine.applied == 0
