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

    cpdef object set(self, i64 at_ns)
    cdef object _arm(self, i64 at_ns)
    cpdef object close(self)
    cpdef object _expired(self)
    cpdef object _rung(self)
