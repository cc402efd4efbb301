cimport cython

from bench.driver.frames cimport Frames

ctypedef long long i64


@cython.final
cdef class Channel:
    cdef object address
    cdef bytes secret
    cdef str role
    cdef readonly i64 id
    cdef readonly int replica
    cdef object socket
    cdef readonly int file
    cdef object buffer
    cdef object greeting
    cdef object credentials
    cdef object session
    cdef readonly str trouble
    cdef Frames frames
    cdef readonly bint open
    cdef readonly i64 opened
    cdef i64 act_at_ns
    cdef bytearray unwritten

    cpdef bint writing(self) except -1
    cpdef object tend(self, i64 now)
    cpdef object close(self, i64 now)
    @cython.locals(sent=Py_ssize_t)
    cpdef bint write(self, frame, i64 now) except -1
    cdef int _say(self, data) except -1
    cdef Py_ssize_t send(self, data, i64 now) except -1
    @cython.locals(sent=Py_ssize_t)
    cpdef object writable(self, i64 now)
    @cython.locals(size=Py_ssize_t)
    cpdef list readable(self, i64 now)
    cdef list _join(self, list bodies)
