"""Reading a history for a checker: the JSON lines that ``bench.metrics.history`` describes, from anybody.

Beside read, write and cas there are get and put (the same as read and write), append (of a string), acquire
and release. Fields that the format does not name are ignored; ``key``, ``arg`` and ``ret`` may be left out
for null.
"""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import msgspec

STANDARD_INPUT = "-"
GZIPPED = b"\x1f\x8b"
READS, WRITES = ("read", "get"), ("write", "put")
MODELS: dict[str, tuple[str, ...]] = {
    "register": (*READS, *WRITES),
    "cas-register": (*READS, *WRITES, "cas"),
    "key-value": (*READS, *WRITES, "cas", "append"),
    "mutex": ("acquire", "release"),
}

Nanoseconds = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]


class HistoryError(ValueError):
    """What is wrong with a history, in one line that names the file and the line."""


class Operation(msgspec.Struct, gc=False, kw_only=True):
    """A line of a history; ``line`` is its number in the file, from 1."""

    client: int
    op: Literal["read", "get", "write", "put", "cas", "append", "acquire", "release"]
    key: str | int | None = None
    arg: Any = None
    ret: Any = None
    call_ns: Nanoseconds
    return_ns: Nanoseconds | None
    ok: bool | None
    line: int = 0

    @property
    def unknown(self) -> bool:
        """Whether nobody was told if it happened."""
        return self.ok is None


Histories = dict[str | int | None, list[Operation]]


def read(source: str, model: str) -> Histories:
    """The operations of each key, in the order of the file; ``source`` is a path, or - for standard input.

    Gzip is understood, whatever the name. HistoryError where it cannot be read, where a line is not an
    operation of the model, contradicts itself or repeats another, and where there is nothing in it.
    """
    name = "standard input" if source == STANDARD_INPUT else source
    try:
        with _opened(source) as file:
            found = parse(file, name, model)
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        remedy = "give one of JSON lines, such as history-0.jsonl.gz of a result"
        raise HistoryError(f"{name}: cannot be read: {why}; {remedy}") from None
    if not found:
        raise HistoryError(f"{name}: holds no operations; expected JSON lines, one operation a line")
    return found


def _opened(source: str) -> IO[bytes]:
    file: Any = sys.stdin.buffer if source == STANDARD_INPUT else Path(source).open("rb")  # noqa: SIM115
    if not hasattr(file, "peek"):
        file = io.BufferedReader(file)
    return gzip.open(file) if file.peek(2)[:2] == GZIPPED else file  # type: ignore[return-value]


def parse(lines: Iterable[bytes], name: str, model: str) -> Histories:
    """As ``read``, from lines; ``name`` is what errors call their source."""
    histories: Histories = {}
    allowed = MODELS[model]
    decode = msgspec.json.Decoder(Operation).decode
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            operation = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HistoryError(f"{name}, line {number}: {_readable(str(error), allowed)}") from None
        wrong = _contradiction(operation)
        if operation.op not in allowed:
            wrong = f"{operation.op} is no operation of the model {model} ({', '.join(allowed)})"
        if wrong:
            raise HistoryError(f"{name}, line {number}: {wrong}")
        operation.line = number
        histories.setdefault(operation.key, []).append(operation)
    for operations in histories.values():
        for number, wrong in _clashes(operations):
            raise HistoryError(f"{name}, line {number}: {wrong}")
    return histories


def _readable(message: str, allowed: tuple[str, ...]) -> str:
    """msgspec's message without its notation of paths, and what would be right."""
    what, at, path = message.partition(" - at `$.")
    if not at:
        remedy = "; each has client, op, call_ns, return_ns and ok" if "missing" in message else ""
        return f"not an operation: {message}{remedy}"
    remedy = f"; of this model there are {', '.join(allowed)}" if path == "op`" else ""
    return f"{path.rstrip('`')}: {what}{remedy}"


def _contradiction(operation: Operation) -> str | None:
    """What an operation says that cannot be so, by itself."""
    wrong = None
    if operation.ok and operation.return_ns is None:
        wrong = "ok is true and return_ns null; give the time of its return, or make ok null for unknown"
    elif operation.ok is None and operation.return_ns is not None:
        wrong = "ok is null, for unknown, and return_ns is not; make return_ns null"
    elif operation.return_ns is not None and operation.return_ns < operation.call_ns:
        wrong = f"returns at {operation.return_ns} ns, before its call at {operation.call_ns} ns"
    return wrong or _wrong_values(operation)


def _wrong_values(operation: Operation) -> str | None:
    """What is no argument or result of such an operation."""
    op, arg, ret = operation.op, operation.arg, operation.ret
    wrong = None
    if op in READS:
        wrong = f"arg of a {op} is null" if arg is not None else None
    elif op == "cas":
        if not isinstance(arg, list) or len(arg) != 2:
            wrong = "arg of a cas is [old, new]"
        elif operation.ok and not isinstance(ret, bool):
            wrong = "ret of a completed cas is true where it applied and false where it found another value"
    elif op == "append" and not isinstance(arg, str):
        wrong = "arg of an append is a string"
    elif operation.ok and ret is not None and ret is not True:
        wrong = f"ret of a completed {op} is null"
    return wrong


def _clashes(operations: list[Operation]) -> Iterator[tuple[int, str]]:
    """(line, what is wrong) where operations of one key contradict one another."""
    seen: dict[tuple[int, int, str, str], int] = {}
    for operation in operations:
        identity = (operation.client, operation.call_ns, operation.op, repr(operation.arg))
        line = seen.setdefault(identity, operation.line)
        if line != operation.line:
            again = f"completes the {operation.op} of client {operation.client} at {operation.call_ns} ns"
            yield operation.line, f"{again} a second time, after line {line}; an operation has one line"
    if any(operation.op == "append" for operation in operations):
        for operation in operations:
            for value in _values(operation):
                if value is not None and not isinstance(value, str):
                    wrong = f"{operation.op} of {value!r} where others append to the same key"
                    yield operation.line, f"{wrong}; its values are strings"


def _values(operation: Operation) -> list[Any]:
    """The values that an operation names."""
    if operation.op in READS:
        return [operation.ret] if operation.ok else []
    return operation.arg if operation.op == "cas" else [operation.arg]


def write(path: Path, operations: Iterable[Operation]) -> None:
    """Write operations as a history that ``read`` understands, without their line numbers."""
    encoder = msgspec.json.Encoder()
    rows = []
    for operation in operations:
        row = msgspec.structs.asdict(operation)
        del row["line"]
        rows.append(row)
    path.write_bytes(encoder.encode_lines(rows))
