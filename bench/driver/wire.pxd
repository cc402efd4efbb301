cimport cython

ctypedef long long i64


cdef class Kind:
    cdef readonly str name
    cdef readonly bint heartbeat
    cdef public i64 count
    cdef public i64 bytes
    cdef i64 fixed
    cdef list payloads
    cdef list encoded

    @cython.locals(size=i64, payload=bytes)
    cpdef i64 size(self, object message) except -1
