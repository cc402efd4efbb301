cimport cython

from bench.checkers.locks cimport Lock, LockLog
from engines.lock_service.client cimport Client, Opening
from engines.lock_service.tree cimport LockTree

ctypedef unsigned long long u64
ctypedef long long i64


cdef class Believer:
    cdef public object id
    cdef public Client library
    cdef public bint up
    cdef object seen_state
    cdef u64 seen_session
    cdef readonly i64 seen_until_ns
    cdef dict asked
    cdef set cached
    cdef u64 cached_session
    cdef u64 cached_epoch

    cpdef i64 local(self, i64 now) except? -1


cdef class LockWatcher:
    cdef readonly LockLog log
    cdef readonly object counts
    cdef readonly object options
    cdef readonly object replicas
    cdef readonly dict clients
    cdef public bint clocks
    cdef dict beliefs
    cdef dict acknowledged
    cdef dict holders
    cdef dict heard
    cdef readonly i64 grants
    cdef readonly i64 cache_reads

    @cython.locals(log=LockLog, person=Believer, opening=Opening)
    cpdef object applied(self, LockTree tree, i64 now)
    cpdef object believed(self, u64 replica, i64 now)
    cdef bint believes(self, Believer client, i64 now) except -1
    @cython.locals(library=Client)
    cpdef object begins(self, Believer client, str name, object argument, i64 now)
    @cython.locals(library=Client)
    cdef object reads(self, Believer client, str path, object number)
    cpdef object completed(self, Believer client, object call, object answer, i64 now)
    @cython.locals(library=Client, opening=Opening, holders=dict)
    cpdef object granted(self, Believer client, object handle, i64 now)
    cpdef object told(self, Believer client, object event)
    cpdef object turned(self, Believer client, str state, i64 now)
    @cython.locals(library=Client, opening=Opening)
    cpdef object attended(self, Believer client, i64 now)
    @cython.locals(lock=Lock, holders=dict, person=Believer, theirs=Opening)
    cdef object check(self, Believer client, object handle, Opening opening, i64 now)
