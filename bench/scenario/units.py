"""Quantities as people write them: "35ms", "256B", "10Gbit/s"; exact in both directions."""

from __future__ import annotations

import re
from decimal import Decimal

DURATIONS_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
}
SIZES_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KiB": 2**10,
    "MB": 10**6,
    "MiB": 2**20,
    "GB": 10**9,
    "GiB": 2**30,
}
RATES_BYTES_PER_S = {
    "bit/s": Decimal(1) / 8,
    "kbit/s": Decimal(10**3) / 8,
    "Mbit/s": Decimal(10**6) / 8,
    "Gbit/s": Decimal(10**9) / 8,
    "B/s": Decimal(1),
    "kB/s": Decimal(10**3),
    "MB/s": Decimal(10**6),
    "GB/s": Decimal(10**9),
}
# Longer than any run, and far from the end of a signed 64-bit count of nanoseconds.
LONGEST_NS = 1000 * DURATIONS_NS["h"]
LARGEST_BYTES = 2**40
FASTEST_BYTES_PER_S = 10**15

_QUANTITY = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]+)?|\.[0-9]+) ?([A-Za-zµμ/]+)")


def _parse(text: object, units: dict[str, int] | dict[str, Decimal], noun: str, example: str) -> Decimal:
    known = ", ".join(units)
    if isinstance(text, int | float) and not isinstance(text, bool):
        raise ValueError(
            f'{text} has no unit; write {noun} as a string with one of {known}, such as "{example}"'
        )
    if not isinstance(text, str):
        raise ValueError(f'{text!r} is not {noun}; write a string such as "{example}"')
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'"{text}" is not {noun}; write a number and one of {known}, such as "{example}"')
    sign, number, unit = match.groups()
    unit = unit.replace("µ", "u").replace("μ", "u")
    if unit not in units:
        raise ValueError(f'"{text}" has no unit of {noun}; use one of {known}, such as "{example}"')
    if sign == "-" and Decimal(number):
        raise ValueError(f'"{text}" is negative; give zero or more, such as "{example}"')
    return Decimal(number) * units[unit]


def _whole(value: Decimal, text: object, noun: str, example: str) -> int:
    if value != int(value):
        raise ValueError(f'"{text}" is not a whole number of {noun}; round it, to "{example}" for instance')
    return int(value)


def duration_ns(text: object) -> int:
    """Whole nanoseconds of "35ms"; ValueError with the remedy otherwise."""
    return _whole(duration_fine_ns(text), text, "nanoseconds", "1ns")


def duration_fine_ns(text: object) -> Decimal:
    """Nanoseconds of "0.8ns", fractions kept: for a cost per byte."""
    value = _parse(text, DURATIONS_NS, "a duration", "35ms")
    if value > LONGEST_NS:
        raise ValueError(f'"{text}" is longer than 1000h; give a shorter duration')
    return value


def size_bytes(text: object) -> int:
    """Bytes of "64MiB"; ValueError with the remedy otherwise."""
    value = _whole(_parse(text, SIZES_BYTES, "a size", "256B"), text, "bytes", "256B")
    if value > LARGEST_BYTES:
        raise ValueError(f'"{text}" is more than 1024GiB; give a smaller size')
    return value


def rate_bytes_per_s(text: object) -> float:
    """Bytes a second of "10Gbit/s", 0 of "unlimited"; ValueError with the remedy otherwise."""
    if text == "unlimited":
        return 0.0
    value = _parse(text, RATES_BYTES_PER_S, "a data rate", "10Gbit/s")
    if not 0 < value <= FASTEST_BYTES_PER_S:
        raise ValueError(f'"{text}" is not between zero and 8 000 000Gbit/s; give a rate, or "unlimited"')
    return float(value)


def _text(value: Decimal, units: dict[str, int] | dict[str, Decimal]) -> str:
    """In the largest unit that the value reaches and that writes it exactly."""
    shortest = ""
    for unit, scale in units.items():
        amount = value / scale
        text = format(amount.normalize(), "f") + unit
        if Decimal(format(amount.normalize(), "f")) * scale == value and (
            not shortest or len(text) <= len(shortest)
        ):
            shortest = text
    return shortest


def duration_text(value_ns: float) -> str:
    """ "35ms" of 35 000 000, exactly."""
    if not value_ns:
        return "0s"
    seconds = {unit: DURATIONS_NS[unit] for unit in ("ns", "us", "ms", "s")}
    return _text(Decimal(repr(value_ns)), seconds)


def size_text(value_bytes: int) -> str:
    """ "64MiB" of 67 108 864, exactly."""
    return _text(Decimal(value_bytes), SIZES_BYTES) if value_bytes else "0B"


def rate_text(value_bytes_per_s: float) -> str:
    """ "10Gbit/s" of 1.25e9, exactly; "unlimited" of 0."""
    if not value_bytes_per_s:
        return "unlimited"
    bits = {unit: RATES_BYTES_PER_S[unit] for unit in ("bit/s", "kbit/s", "Mbit/s", "Gbit/s")}
    return _text(Decimal(repr(value_bytes_per_s)), bits)


def counted(number: int, what: str) -> str:
    """So many of these: "1 operation", "2,000 operations"."""
    return f"{number:,} {what}{'s' * (number != 1)}"
