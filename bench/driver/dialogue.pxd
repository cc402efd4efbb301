cimport cython

from bench.driver.clients cimport Population
from bench.metrics.recorder cimport Recorder
from ext.events cimport EventQueue

ctypedef unsigned long long u64
ctypedef long long i64

cdef int ACCEPTED, ANSWER, ISSUE, REDIRECTED, REQUEST, RETRY, ANSWER_BYTES
cdef i64 NEVER


cdef class Dialogue:
    cdef EventQueue queue
    cdef readonly Population clients
    cdef readonly Recorder recorder
    cdef readonly list outgoing
    cdef Py_ssize_t begun

    @cython.locals(client=Py_ssize_t, sequence=i64, result=bytes, arrival=i64)
    cpdef object hear(self, Py_ssize_t replica, list answers, i64 now)
    cpdef object reset(self, Py_ssize_t replica)
    cpdef object disconnected(self, Py_ssize_t replica)
    cpdef object dropped(self, list requests)
    @cython.locals(queue=EventQueue, clients=Population, kind=int)
    cpdef i64 turn(self, i64 now, int most) except? -1
