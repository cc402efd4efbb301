cimport cython

from bench.checkers.locks cimport Lock, LockLog
from engines.lock_service.tree cimport LockTree

ctypedef unsigned long long u64
ctypedef long long i64


cdef class LockWatcher:
    cdef readonly LockLog log
    cdef readonly object counts
    cdef readonly object options
    cdef readonly object replicas
    cdef readonly dict clients
    cdef public bint clocks
    cdef dict leases
    cdef dict states
    cdef dict beliefs
    cdef dict asked
    cdef dict acknowledged
    cdef set cached
    cdef dict holders
    cdef dict heard
    cdef readonly i64 grants

    @cython.locals(log=LockLog)
    cpdef object applied(self, LockTree tree, i64 now)
    cpdef object believed(self, u64 replica, i64 now)
    cpdef bint holds(self, object client, object handle, i64 now) except -1
    @cython.locals(holders=set)
    cpdef object granted(self, object client, object handle, i64 now)
    cpdef object attended(self, object client, i64 now)
    @cython.locals(lock=Lock, holders=set)
    cdef object check(self, object client, object handle, object opening, i64 now)
