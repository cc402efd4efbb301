ctypedef unsigned long long u64

cdef class Log:
    cdef readonly u64 base
    cdef readonly u64 base_term
    cdef readonly u64 last
    cpdef bytes payload(self, u64 position)
