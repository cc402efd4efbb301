cimport cython

from ext.quorum cimport allocate, release

ctypedef unsigned long long u64
ctypedef long long i64


@cython.final
cdef class Progress:
    cdef readonly u64 peer
    cdef readonly u64 match
    cdef readonly u64 next
    cdef readonly bint replicating
    cdef readonly bint snapshotting
    cdef readonly u64 awaited
    cdef readonly u64 since
    cdef public i64 heard_ns
    cdef u64 *ends
    cdef readonly int window
    cdef int oldest
    cdef readonly int inflight

    cpdef object probe(self, u64 next_index, u64 last, u64 round)
    cpdef object snapshot(self, u64 index, u64 round)
    @cython.locals(slot=int)
    cpdef object sent(self, u64 last)
    @cython.locals(end=u64)
    cpdef object acknowledge(self, u64 match)
