cimport cython
from cpython.mem cimport PyMem_Realloc
from libc.string cimport memset

from ext.quorum cimport allocate, release

ctypedef unsigned long long u64

cdef u64 ALL, MIXER, ENTRY


cdef inline u64 *enlarge(u64 *room, u64 before, u64 count) except NULL:
    cdef u64 *larger = <u64 *>PyMem_Realloc(room, count * sizeof(u64))
    if larger == NULL:
        raise MemoryError
    memset(larger + before, 0, (count - before) * sizeof(u64))
    return larger


@cython.final
cdef class Configurations:
    cdef u64 words
    cdef readonly u64 stride
    cdef readonly u64 count
    cdef readonly u64 room
    cdef u64 *entries
    cdef u64 *heads

    @cython.locals(mixed=u64, word=u64, link=u64, at=u64, bucket=u64)
    cdef bint add(self, u64 where, u64 *done, u64 *optional) except -1
    @cython.locals(word=u64, kept=u64)
    cdef bint covers(self, u64 at, u64 *done, u64 *optional) noexcept
    @cython.locals(room=u64, index=u64, at=u64, bucket=u64)
    cdef int double(self) except -1
