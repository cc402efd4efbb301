cimport cython

from bench.checkers.invariants cimport Agreement
from engines.machine cimport mix_part
from ext.columns cimport words_of
from ext.log cimport append_u64, bytes_pointer, load_u32, load_u64

ctypedef unsigned long long u64

cdef u64 RING, RING_LOW, RING_BYTES, DIGEST_BYTES, HEADER_BYTES


@cython.final
cdef class Reign:
    cdef readonly u64 term
    cdef readonly u64 start
    cdef readonly u64 previous
    cdef readonly u64 stop
    cdef bytearray digests

    @cython.locals(raw=bytes_pointer)
    cpdef u64 digest(self, u64 position) except? 0xFFFFFFFFFFFFFFFF


@cython.final
cdef class DiskLog:
    cdef readonly u64 base
    cdef readonly u64 base_term
    cdef readonly u64 base_digest
    cdef readonly bint base_known
    cdef readonly u64 last
    cdef readonly u64 last_term
    cdef readonly u64 run_start
    cdef readonly list runs
    cdef readonly Reign reign
    cdef readonly u64 digest
    cdef readonly bint known

    cpdef u64 term(self, u64 position) except? 0xFFFFFFFFFFFFFFFF
    cpdef bint holds(self, u64 position, u64 term) except -1


@cython.final
cdef class Logs:
    cdef readonly Agreement agreement
    cdef readonly str matching
    cdef readonly str order
    cdef readonly list disks
    cdef readonly dict reigns
    cdef readonly Reign newest
    cdef list entries
    cdef list columns
    cdef u64 *lasts
    cdef u64 *terms
    cdef u64 *before
    cdef u64 *after

    cdef DiskLog forget(self, u64 replica)
    @cython.locals(slot=Py_ssize_t, before=u64, term=u64)
    cpdef object extend(self, DiskLog log, bytes entries)
    @cython.locals(raw=bytes_pointer, offset=u64, size=u64, position=u64, term=u64, length=u64, reign=Reign)
    cdef int extend_by_each(self, DiskLog log, bytes entries) except -1
    @cython.locals(previous=u64, reign=Reign)
    cdef int turn(self, DiskLog log, u64 position, u64 term) except -1
    cpdef object truncate(self, DiskLog log, u64 last)
    cpdef object compact(self, DiskLog log, u64 position, u64 term, bytes state)
    @cython.locals(reign=Reign)
    cdef object read_base(self, DiskLog log, bytes state)
    @cython.locals(reign=Reign)
    cpdef bint knows(self, DiskLog log, u64 position) except -1
    @cython.locals(reign=Reign)
    cpdef u64 digest(self, DiskLog log, u64 position) except? 0xFFFFFFFFFFFFFFFF
    cpdef bint leads_to(self, DiskLog log, u64 position, u64 digest) except -1
    @cython.locals(most=int)
    cpdef int holders(self, u64 position, u64 digest) except -2
    @cython.locals(log=DiskLog, count=int)
    cdef int holders_of(self, Reign reign, u64 position, u64 digest) except -2
    @cython.locals(reign=Reign)
    cpdef u64 term_in_history(self, u64 term, u64 position) except? 0xFFFFFFFFFFFFFFFF
