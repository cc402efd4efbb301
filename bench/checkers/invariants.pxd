cimport cython

ctypedef unsigned long long u64

cdef u64 RECENT, STRIDE, LOW


cdef class Agreement:
    cdef u64[::1] recent
    cdef u64[::1] positions
    cdef object sparse
    cdef readonly u64 highest
    cdef readonly u64 commands
    cdef readonly u64 answered
    cdef readonly list violations
    cdef readonly dict leaders

    @cython.locals(slot=Py_ssize_t)
    cpdef bint applied(self, u64 replica, u64 position, u64 digest, bint empty) except -1
    cdef void disagrees(self, u64 replica, u64 position) except *
    cpdef void acknowledged(self, u64 position) except *
    cpdef void led(self, u64 replica, u64 term) except *
    cpdef void finish(self, dict applied) except *
    cpdef void violated(self, str statement) except *
