"""Bytes that have been harmed: changed, cut out, put in. REPLBENCH_FUZZ says how often (``make fuzz``), REPLBENCH_FUZZ_SEED
in which way.
"""
from __future__ import annotations

import os
import random

SIZES = (0, 1, 1, 1, 2, 9)


def times(few: int) -> int:
    """How often to try: a few times, unless asked for more."""
    return int(os.environ.get("REPLBENCH_FUZZ", few))


def new_dice() -> random.Random:
    return random.Random(int(os.environ.get("REPLBENCH_FUZZ_SEED", "1")))


def mutate(whole: bytes, dice: random.Random) -> bytes:
    """One to three changes, each of up to nine bytes; never all of it gone."""
    harmed = bytearray(whole)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(harmed))
        harmed[at : at + dice.choice(SIZES)] = dice.randbytes(dice.choice(SIZES))
        harmed = harmed or bytearray(whole)
    return bytes(harmed)
