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
    cdef public object watcher

    @cython.locals(now=i64, due_ns=i64)
    cpdef object attend(self, object tenant)
    @cython.locals(link=Link, arrival=i64)
    cpdef object ask(self, object tenant, u64 replica, bytes command)
    cpdef object later(self, object tenant, Durations durations)
    cdef void issue(self, Py_ssize_t client) except *
    cdef void retry(self, i64 argument) except *
    cdef void answered(self, Py_ssize_t client, i64 sequence, bytes result) except *
    cdef void redirected(self, Py_ssize_t client, i64 sequence, u64 leader) except *
    cdef void let_go(self, Py_ssize_t client, i64 sequence) except *
    cpdef void start(self) except *
    cpdef void reset(self, u64 replica) except *
    cpdef void finish(self) except *
