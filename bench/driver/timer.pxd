cimport cython

ctypedef long long i64

cdef i64 NEVER


cdef class Alarm:
    cdef object loop
    cdef object ring
    cdef i64 at_ns
    cdef i64 armed_ns
    cdef int file
    cdef object handle
    cdef object library
    cdef object setting
    cdef object reference

    cpdef void set(self, i64 at_ns) except *
    cdef void _arm(self, i64 at_ns) except *
    cpdef void close(self) except *
    cpdef void _expired(self) except *
    cpdef void _rung(self) except *
