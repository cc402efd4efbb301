"""The numbers of an array, read and written as C does.

    words_of(array)      its u64; so integers_of (i64), halves_of (u32), shorts_of (u16), bytes_of (u8) and reals_of (double)

Compiled, these are pointers, and whoever keeps the array sees to it that it is neither resized nor let go while they are in
use. A memoryview would do as well, but every module that knows a class with one compiles some 900 kB of C for it.
"""
from __future__ import annotations

import cython

if not cython.compiled:
    words_of = integers_of = halves_of = shorts_of = bytes_of = reals_of = memoryview
