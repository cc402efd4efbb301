cimport cython

from ext.fields cimport slot_offset, slot_value

ctypedef long long i64


@cython.final
cdef class Kind:
    cdef readonly str name
    cdef readonly bint heartbeat
    cdef public i64 count
    cdef public i64 bytes
    cdef i64 fixed
    cdef bint has_payload
    cdef Py_ssize_t payload
    cdef list payloads
    cdef list encoded
    cdef bint simple

    @cython.locals(size=i64, payload=bytes)
    cpdef i64 size(self, object message) except 0
    @cython.locals(size=i64, payload=bytes)
    cdef i64 rest(self, object message) except? 0
