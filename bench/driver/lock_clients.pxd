cimport cython

from bench.driver.clients cimport Population
from bench.driver.network cimport Durations, Link

ctypedef unsigned long long u64
ctypedef long long i64

cdef int ISSUE, REQUEST, RETRY, REQUEST_BYTES, ACQUIRE, OK, RELEASE
cdef i64 NEVER, NOTHING
cdef u64 NOBODY


cdef class LockClients(Population):
    cdef readonly list tenants
    cdef i64 lock_delay_ns
    cdef object draw
    cdef Durations think
    cdef Durations hold
    cdef i64 stop_ns
    cdef list drawn

    @cython.locals(link=Link, now=i64, arrival=i64)
    cpdef object attend(self, object tenant)
    cpdef object later(self, object tenant, Durations durations)
    cdef object issue(self, Py_ssize_t client)
    cdef object retry(self, i64 argument)
    cdef object answered(self, Py_ssize_t client, i64 sequence, bytes result)
    cdef object redirected(self, Py_ssize_t client, i64 sequence, u64 leader)
    cdef object let_go(self, Py_ssize_t client, i64 sequence)
    cpdef object start(self)
    cpdef object reset(self, u64 replica)
    cpdef object finish(self)
