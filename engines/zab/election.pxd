ctypedef unsigned long long u64
ctypedef long long i64


cdef class Election:
    cdef readonly u64 id
    cdef readonly u64 size
    cdef readonly i64 finalize_wait_ns
    cdef readonly tuple resend_range_ns
    cdef readonly i64 finalize_at
    cdef readonly i64 resend_at
    cdef i64 resend_ns
    cdef readonly u64 round
    cdef tuple own
    cdef readonly tuple vote
    cdef readonly dict votes
    cdef readonly dict settled
