cimport cython

from ext.log cimport Log

ctypedef unsigned long long u64
ctypedef long long i64


cdef class Learner:
    cdef readonly u64 id
    cdef readonly u64 session
    cdef public int stage
    cdef public u64 last_epoch
    cdef public u64 last_position
    cdef public u64 next
    cdef public u64 told
    cdef public u64 inflight
    cdef public i64 heard


@cython.locals(low=u64, high=u64, middle=u64)
cpdef u64 common_position(Log log, u64 epoch, u64 position)
