"""The history of a run, as JSON lines: what a linearizability checker reads.

One operation a line, in the order in which they were first sent:

    {"client": 3, "op": "write", "key": "17", "arg": 9, "ret": null, "call_ns": 1, "return_ns": 4, "ok": true}

Values are tokens: every written value has its own number, null is no value. A write's ``arg`` is its token, a
cas takes ``[expected, new]`` and returns whether it applied; a client that knows of no value expects 0, which
nobody writes, because the machine refuses a cas where there is no value. ``ok`` false: it certainly did not happen;
``ok`` and ``return_ns`` null: it may happen at any later time.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.metrics.trial import CAS, FAILED, KINDS, OK, READ, UNKNOWN, WRITE

CHUNK = 16_384


class Line(msgspec.Struct, gc=False):
    """A line; the field names are public."""

    client: int
    op: str
    key: str
    arg: Any
    ret: Any
    call_ns: int
    return_ns: int | None
    ok: bool | None


def write(path: Path, operations: np.ndarray) -> None:
    """Write every operation that was sent, gzipped, the same bytes for the same operations."""
    sent = operations[operations["started_ns"] >= 0]
    sent = sent[np.argsort(sent["started_ns"], kind="stable")]
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file, gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed:
        for first in range(0, len(sent), CHUNK):
            packed.write(encoder.encode_lines(_lines(sent[first : first + CHUNK])))


def _lines(operations: np.ndarray) -> list[Line]:
    kind, status = operations["kind"], operations["status"]
    names = np.array(KINDS, dtype=object)[kind]
    keys = map(str, operations["key"].tolist())
    returned = np.where(status == UNKNOWN, -1, operations["completed_ns"]).astype(object)
    returned[returned == -1] = None
    ok = np.empty(len(operations), dtype=object)
    ok[status == OK], ok[status == FAILED] = True, False
    columns = (operations["client"], names, keys, _arguments(operations), _results(operations))
    times = (operations["started_ns"], returned, ok)
    return list(map(Line, *(_values(column) for column in (*columns, *times))))


def _values(column: Any) -> Any:
    return column.tolist() if isinstance(column, np.ndarray) else column


def _arguments(operations: np.ndarray) -> np.ndarray:
    arguments = np.empty(len(operations), dtype=object)
    write, cas = operations["kind"] == WRITE, operations["kind"] == CAS
    arguments[write] = operations["value"][write]
    pairs = operations[cas]
    for place, expected, new in zip(
        np.flatnonzero(cas).tolist(), pairs["expected"].tolist(), pairs["value"].tolist(), strict=True
    ):
        arguments[place] = (expected, new)
    return arguments


def _results(operations: np.ndarray) -> np.ndarray:
    """Of what succeeded: the token that a read found, whether a cas applied."""
    results = np.empty(len(operations), dtype=object)
    done = operations["status"] == OK
    found = done & (operations["kind"] == READ) & (operations["returned"] != 0)
    results[found] = operations["returned"][found]
    applied = done & (operations["kind"] == CAS)
    results[applied] = operations["returned"][applied] != 0
    return results
