# cython: boundscheck=False, wraparound=False
"""The state machines that commands are applied to, and the sessions that keep a retried command from counting
twice.

A command is opaque to the engines; this module gives it its shape, little-endian. The same for every machine, the
envelope comes first:

    client u64 | sequence u64 | sequence - lowest u32

``lowest`` is the lowest sequence number that the client has no answer for yet. What follows is the machine's own;
for KeyValue, which makes 27 bytes before its texts:

    operation u8 | key length u16 | expected length u32 | key | expected | value

Each result of a KeyValue opens with a byte:
``APPLIED`` (1), ``REFUSED`` (0: nothing there, or a cas whose expectation did not hold), ``STALE`` (2: the
session has forgotten this sequence number, because the client had its answer) or ``MALFORMED`` (3: no command
at all, or an unknown operation). A malformed command changes neither data nor sessions: replicas refuse it
alike, and go on.

A session outlives its client: no command says that a client has gone, and a replica that forgot a session on
its own would answer a late retry differently from the others.
"""

from __future__ import annotations

import cython
import msgspec

if not cython.compiled:
    import struct

    from ext.memory import cut, load_u32, load_u64, pack_u64

    _HEADER = struct.Struct("<QQIBHI")

    def load_u16(raw: bytes, at: int) -> int:
        """The unsigned 16-bit little-endian integer at this offset."""
        return raw[at] | raw[at + 1] << 8

    def join(
        client: int, sequence: int, window: int, operation: int, key: bytes, expected: bytes, value: bytes
    ) -> bytes:
        """The header and the texts of a command in one piece."""
        return (
            _HEADER.pack(client, sequence, window, operation, len(key), len(expected))
            + key
            + expected
            + value
        )


    def join_numbers(
        client: int, sequence: int, window: int, operation: int, key: int, value: int, value_bytes: int, expected: int,
        expected_bytes: int,
    ) -> bytes:  # fmt: skip
        """The same of texts that are numbers, followed by zeros; without one where the text is empty."""
        texts = [pack_u64(number, size) if size else b"" for number, size in ((expected, expected_bytes), (value, value_bytes))]
        return join(client, sequence, window, operation, pack_u64(key, NUMBER_BYTES), *texts)

    def same(known: bytes, raw: bytes, start: int, stop: int) -> bool:
        """Whether these are the bytes of [start, stop)."""
        return known == raw[start:stop]

    def found(value: bytes) -> bytes:
        """The result of a get that found this value."""
        return APPLIED + value


GET, PUT, CAS, APPEND = 0, 1, 2, 3
OPERATIONS = ("get", "put", "cas", "append")
REFUSED, APPLIED, STALE, MALFORMED = b"\x00", b"\x01", b"\x02", b"\x03"
# The codes once more, as C integers in the compiled module: those above are objects, which Python can import.
_GET, _PUT, _APPEND = GET, PUT, APPEND

ENVELOPE_BYTES = 20
_ENVELOPE = ENVELOPE_BYTES
HEADER_BYTES = 27
NUMBER_BYTES = 8
FOUND = 256
KEYS_BITS = 10
WINDOW_LIMIT = 2**32
KEY_LIMIT_BYTES = 2**16
COMMAND_LIMIT_BYTES = 2**32
NOBODY = 2**64 - 1  # as in engines.core, which no client's number is
MASK = 2**64 - 1
# Odd, with bits set all over: the 64-bit golden ratio, and a multiplier of MurmurHash3's finaliser.
GOLDEN = 0x9E3779B97F4A7C15
MURMUR = 0xFF51AFD7ED558CCD


class Command(msgspec.Struct, frozen=True):
    """A command as people read it: for histories and tests."""

    client: int
    sequence: int
    lowest: int
    operation: int
    key: bytes
    value: bytes = b""
    expected: bytes = b""


def encode_command(
    client: int,
    sequence: int,
    lowest: int,
    operation: int,
    key: bytes,
    value: bytes = b"",
    expected: bytes = b"",
) -> bytes:
    """The bytes of one command; client and sequence are unsigned 64-bit.

    Raises ValueError where ``lowest`` lies beyond ``sequence`` or 2**32 or more below it, where the operation
    is unknown, or where the key has 64 KiB or the whole 4 GiB or more.
    """
    size = HEADER_BYTES + len(key) + len(expected) + len(value)
    key_bytes = len(key)
    if lowest > sequence or sequence - lowest >= WINDOW_LIMIT:
        raise ValueError(f"lowest {lowest} must be at most sequence {sequence}, and less than 2**32 below it")
    if operation > _APPEND:
        raise ValueError(f"operation {operation} is none of {OPERATIONS}")
    if key_bytes >= KEY_LIMIT_BYTES or size >= COMMAND_LIMIT_BYTES:
        raise ValueError("a key must be below 64 KiB, and a command below 4 GiB")
    return join(client, sequence, sequence - lowest, operation, key, expected, value)


def encode_numbers(
    client: int,
    sequence: int,
    lowest: int,
    operation: int,
    key: int,
    value: int,
    value_bytes: int,
    expected: int,
    expected_bytes: int,
) -> bytes:
    """The command whose key is a number of eight bytes, and whose texts are numbers followed by zeros, or empty.

    The caller answers for what ``encode_command`` checks, and for texts of 0 or at least 8 bytes.
    """
    return join_numbers(
        client, sequence, sequence - lowest, operation, key, value, value_bytes, expected, expected_bytes
    )


def decode_command(command: bytes) -> Command:
    """The reverse of ``encode_command``; ValueError where it is malformed."""
    value_from = end_of_expected(command)
    if value_from == 0:
        raise ValueError(f"malformed command {command!r}")
    sequence = load_u64(command, 8)
    expected_from = HEADER_BYTES + load_u16(command, 21)
    return Command(
        client=load_u64(command, 0),
        sequence=sequence,
        lowest=sequence - load_u32(command, 16),
        operation=command[20],
        key=command[HEADER_BYTES:expected_from],
        value=command[value_from:],
        expected=command[expected_from:value_from],
    )


def client_of(command: bytes) -> int:
    """The client that sent the command; ValueError where there is no envelope."""
    size = len(command)
    if size < _ENVELOPE:
        raise ValueError(f"malformed command {command!r}")
    return load_u64(command, 0)


def sequence_of(command: bytes) -> int:
    """The command's number among those of its client; ValueError where there is no envelope."""
    size = len(command)
    if size < _ENVELOPE:
        raise ValueError(f"malformed command {command!r}")
    return load_u64(command, 8)


def end_of_expected(command: bytes) -> int:
    """The offset of the value in a well-formed command, 0 where it is malformed."""
    size = len(command)
    if size < HEADER_BYTES:
        return 0
    raw = command
    value_from = HEADER_BYTES + load_u16(raw, 21) + load_u32(raw, 23)
    if value_from > size or raw[20] > _APPEND or load_u32(raw, 16) > load_u64(raw, 8):
        return 0
    return value_from


def mix(digest: int, position: int, command: bytes) -> int:
    """The next value of a running 64-bit digest: a multiply and an xor-shift for each eight bytes.

    It tells replicas apart that applied different commands, by mistake; it withstands no adversary.
    """
    return mix_part(digest, position, command, 0, len(command))


def mix_part(digest: int, position: int, raw: bytes, start: int, stop: int) -> int:
    """``mix`` of the command that stands in [start, stop) of ``raw``."""
    size = stop - start
    state = ((digest ^ position) * GOLDEN) & MASK
    state ^= state >> 32
    state = ((state ^ size) * GOLDEN) & MASK
    state ^= state >> 32
    at = start
    while at + 8 <= stop:
        state = ((state ^ load_u64(raw, at)) * GOLDEN) & MASK
        state ^= state >> 32
        at += 8
    word = 0
    shift = 0
    while at < stop:
        byte = raw[at]
        word |= byte << shift
        shift += 8
        at += 1
    state = ((state ^ word) * MURMUR) & MASK
    return state ^ state >> 29


class Session:
    """What is remembered of one client, after Ongaro, "Consensus: Bridging Theory and Practice", section 6.3.

    Results are kept of every sequence number from ``lowest`` on. Commands of a window may be committed in any
    order. A client that waits for each answer has one result here, the latest; ``others`` is made only for a
    client that has more commands under way.
    """

    def __init__(self, client: int) -> None:
        self.client = client
        self.lowest = 0
        self.latest = 0
        self.result: bytes | None = None
        self.others: dict[int, bytes] | None = None

    def answer(self, sequence: int) -> bytes | None:
        """The first result of a retried command, STALE where it is forgotten, None where it is yet to be
        applied.
        """
        if self.result is not None and sequence == self.latest:
            return self.result
        if sequence < self.lowest:
            return STALE
        return None if self.others is None else self.others.get(sequence)

    def remember(self, sequence: int, lowest: int, result: bytes) -> None:
        """Keep the result of a command that was just applied, and forget what its client has answers for."""
        if self.result is not None and self.latest >= lowest and self.latest >= self.lowest:
            if self.others is None:
                self.others = {}
            self.others[self.latest] = self.result
        if lowest > self.lowest:
            if self.others is not None:
                self.forget_below(lowest)
            self.lowest = lowest
        self.latest = sequence
        self.result = result

    def forget_below(self, lowest: int) -> None:
        """Drop other results below ``lowest``; costs as many steps as there are numbers passed, or results
        kept.
        """
        others = self.others
        assert others is not None
        kept = len(others)
        if lowest - self.lowest <= kept:
            sequence = self.lowest
            while sequence < lowest:
                others.pop(sequence, None)
                sequence += 1
        else:
            for number in [number for number in others if number < lowest]:
                del others[number]
        if not others:
            self.others = None

    def results(self) -> list[tuple[int, bytes]]:
        """All that is remembered, by sequence number."""
        assert self.result is not None, "a session begins with a result"
        return sorted([*(self.others or {}).items(), (self.latest, self.result)])


class Sessions:
    """The sessions of all clients: any state machine can stand behind them."""

    def __init__(self) -> None:
        self.by_client: dict[int, Session] = {}
        self.found: list[Session | None] = [None] * FOUND

    def of(self, client: int) -> Session:
        """The client's session, which its first command opens. ``found`` has the ones that were asked for last."""
        place = client & (FOUND - 1)
        session = self.found[place]
        if session is None or session.client != client:
            session = self.by_client.get(client)
            if session is None:
                session = Session(client)
                self.by_client[client] = session
            self.found[place] = session
        return session

    def result_of(self, client: int, sequence: int) -> bytes | None:
        """As Session.answer, of a client that may have no session, and gets none by that."""
        session = self.found[client & (FOUND - 1)]
        if session is None or session.client != client:
            session = self.by_client.get(client)
        return None if session is None else session.answer(sequence)

    def dump(self) -> list[tuple[int, int, list[tuple[int, bytes]]]]:
        """(client, lowest, results) by client: equal histories give equal lists."""
        return [
            (client, session.lowest, session.results()) for client, session in sorted(self.by_client.items())
        ]

    def load(self, dumped: list[tuple[int, int, list[tuple[int, bytes]]]]) -> None:
        """Replace all sessions by what ``dump`` gave."""
        self.by_client = {}
        self.found = [None] * FOUND
        for client, lowest, results in dumped:
            session = self.of(client)
            for sequence, result in results:
                session.remember(sequence, lowest, result)


class Machine:
    """What every state machine does: commands in the order of the log, each client's each once, whatever they say.

    ``applied`` is the last position, ``digest`` says which commands came before it, in which order, and
    ``duplicates`` counts retries that were answered without being applied again. A subclass says what a command
    means: ``body_of``, ``perform``, ``snapshot`` and ``restore``. Commands of NOBODY are the replicas' own (see
    engines.service), which say for themselves what a second one means.
    """

    def __init__(self) -> None:
        self.sessions = Sessions()
        self.applied = 0
        self.digest = 0
        self.duplicates = 0

    def apply(self, position: int, command: bytes) -> bytes:
        """Apply the command at the next position; its result, which is empty for an empty command."""
        assert position == self.applied + 1, "commands are applied in order, each once"
        self.applied = position
        self.digest = mix(self.digest, position, command)
        size = len(command)
        if size == 0:
            return b""
        body_from = self.body_of(command)
        if body_from == 0:
            return MALFORMED
        raw = command
        client = load_u64(raw, 0)
        if client == NOBODY:
            return self.perform(command, body_from)
        sequence = load_u64(raw, 8)
        window = load_u32(raw, 16)
        session = self.sessions.of(client)
        result = session.answer(sequence)
        if result is not None:
            self.duplicates += 1
            return result
        result = self.perform(command, body_from)
        session.remember(sequence, sequence - window, result)
        return result

    def known(self, command: bytes) -> bytes | None:
        """What ``apply`` would answer without applying anything: the result of a retried command; None of a new one."""
        if self.body_of(command) == 0 or client_of(command) == NOBODY:
            return None
        return self.sessions.result_of(client_of(command), sequence_of(command))

    def body_of(self, command: bytes) -> int:
        """The offset that ``perform`` is told, which is 0 where the command is malformed."""
        raise NotImplementedError

    def perform(self, command: bytes, body_from: int) -> bytes:
        """Do what a well-formed command says; its result."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """Everything, as bytes that are the same wherever the same commands were applied."""
        raise NotImplementedError

    def restore(self, position: int, state: bytes) -> None:
        """Become what ``snapshot`` described; msgspec.DecodeError where ``state`` is none, ValueError where
        it is of another position.
        """
        raise NotImplementedError

    def resume(self, position: int, applied: int, digest: int, duplicates: int) -> None:
        """Take the counters of a snapshot; ValueError where it is of another position than ``position``."""
        if applied != position:
            raise ValueError(f"a snapshot of position {applied} cannot restore position {position}")
        self.applied = applied
        self.digest = digest
        self.duplicates = duplicates


class KeyValueState(msgspec.Struct, array_like=True, frozen=True):
    """A snapshot of a KeyValue; pairs in the order in which their keys were first written, sessions by client."""

    applied: int
    digest: int
    duplicates: int
    pairs: dict[bytes, bytes]
    sessions: list[tuple[int, int, list[tuple[int, bytes]]]]


class KeyValue(Machine):
    """A dictionary with get, put, cas and append. ``keys`` has those that were asked for last, each with its hash."""

    def __init__(self) -> None:
        super().__init__()
        self.data: dict[bytes, bytes] = {}
        self.keys: list[bytes] = [b""] * (1 << KEYS_BITS)

    def body_of(self, command: bytes) -> int:
        """The offset of the value; 0 where the command is malformed."""
        return end_of_expected(command)

    def key_of(self, command: bytes, stop: int) -> bytes:
        """The key of a command, which ends at ``stop``: hashing it anew for each would be a third of ``perform``."""
        raw = command
        place = ((load_u64(raw, stop - NUMBER_BYTES) * GOLDEN) & MASK) >> (64 - KEYS_BITS)
        key = self.keys[place]
        if not same(key, raw, HEADER_BYTES, stop):
            key = cut(raw, HEADER_BYTES, stop)
            self.keys[place] = key
        return key

    def perform(self, command: bytes, value_from: int) -> bytes:
        """Do what a well-formed command says."""
        raw = command
        size = len(command)
        operation = raw[20]
        expected_from = HEADER_BYTES + load_u16(raw, 21)
        key = self.key_of(command, expected_from)
        if operation == _PUT:
            self.data[key] = cut(raw, value_from, size)
            return APPLIED
        current = self.data.get(key)
        if operation == _GET:
            return REFUSED if current is None else found(current)
        if operation == _APPEND:
            added = cut(raw, value_from, size)
            self.data[key] = added if current is None else current + added
            return APPLIED
        if current is None or current != cut(raw, expected_from, value_from):
            return REFUSED
        self.data[key] = cut(raw, value_from, size)
        return APPLIED

    def snapshot(self) -> bytes:
        """As Machine says. A replica does nothing else meanwhile, so that this must be quick: nothing is sorted or copied."""
        return msgspec.msgpack.encode(
            KeyValueState(self.applied, self.digest, self.duplicates, self.data, self.sessions.dump())
        )

    def restore(self, position: int, state: bytes) -> None:
        """As Machine says."""
        read = msgspec.msgpack.decode(state, type=KeyValueState)
        self.resume(position, read.applied, read.digest, read.duplicates)
        self.data = read.pairs
        self.sessions.load(read.sessions)
