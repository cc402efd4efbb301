cimport cython

from ext.columns cimport integers_of, reals_of

ctypedef long long i64

cdef int NO_LOSS, INDEPENDENT
cdef i64 MAX_RETRANSMIT_NS, NEVER, SEGMENT_BYTES


cdef class Durations:
    cdef readonly object distribution
    cdef object random
    cdef readonly bint constant
    cdef readonly i64 value
    cdef object block
    cdef i64 *view
    cdef Py_ssize_t size
    cdef Py_ssize_t used

    @cython.locals(draw=i64)
    cpdef i64 next(self) except? -1
    cdef int refill(self) except -1


cdef class Chances:
    cdef object random
    cdef object block
    cdef double *view
    cdef Py_ssize_t size
    cdef Py_ssize_t used

    @cython.locals(draw=double)
    cpdef double next(self) except? -1.0


cdef class LossModel:
    cdef readonly int model
    cdef double probability, p, r, h, k
    cdef bint bad
    cdef Chances chances

    cpdef bint lost(self) except? -1
    @cython.locals(lost=i64)
    cpdef i64 lost_of(self, i64 packets) except? -1


cpdef i64 segments(i64 size) except? -1


cdef class Link:
    cdef public i64 base_ns
    cdef Durations latency
    cdef Durations jitter
    cdef LossModel loss
    cdef Chances chances
    cdef readonly bint tcp
    cdef i64 retransmit_ns
    cdef double duplicate, reorder
    cdef readonly i64 user_timeout_ns
    cdef public i64 extra_ns
    cdef public int blocks
    cdef public bint broken
    cdef public i64 held_since_ns
    cdef i64 lost_since_ns
    cdef readonly i64 epoch
    cdef readonly i64 last_arrival_ns
    cdef public list held
    cdef public list leaving
    cdef readonly i64 unsent
    cdef readonly i64 carried
    cdef readonly i64 lost_messages
    cdef public i64 blocked_messages
    cdef readonly i64 doubled_messages
    cdef readonly i64 overtaken_messages

    @cython.locals(arrival_ns=i64, delay_ns=i64)
    cpdef i64 carry(self, i64 depart_ns, i64 size) except? -2
    @cython.locals(delay_ns=i64, timeout_ns=i64, missing=i64)
    cdef i64 retransmission_ns(self, i64 size) except? -2
    cpdef bint leave(self, object message, i64 size, i64 ready_ns) except? -1
    @cython.locals(size=i64)
    cpdef i64 next_slice(self) except -1
    cpdef tuple left(self)
    @cython.locals(since_ns=i64)
    cpdef i64 gives_up_ns(self) except? -1
    @cython.locals(resume_ns=i64, timeout_ns=i64)
    cpdef i64 resume_ns(self, i64 now_ns) except? -2
    cpdef bint duplicated(self) except? -1
    cpdef object reset(self, i64 now_ns)
