cimport cython

from bench.driver.channel cimport Channel
from bench.driver.dialogue cimport Dialogue
from bench.driver.frames cimport encode_messages

ctypedef long long i64

cdef double SECOND_NS


cdef class Exchange:
    cdef readonly Dialogue dialogue
    cdef readonly list channels
    cdef int parent
    cdef list opened
    cdef list linked
    cdef public i64 start_ns
    cdef i64 patience_ns
    cdef list waiting
    cdef readonly i64 lost_requests
    cdef readonly i64 dropped_requests
    cdef public i64 lag_ns

    cpdef i64 now(self) except? -1
    @cython.locals(channel=Channel, replica=Py_ssize_t, requests=list)
    cpdef object flush(self)
    cdef object write(self, Channel channel, list requests)
    @cython.locals(now=i64, since_ns=i64, requests=list)
    cdef int relieve(self, Py_ssize_t replica, Channel channel) except -1
    @cython.locals(channel=Channel, replica=Py_ssize_t, reading=list, writing=list, readable=list, writable=list, now=i64)
    cpdef object wait(self, i64 until_ns)
    cdef int read(self, Py_ssize_t replica, Channel channel, i64 now) except -1
