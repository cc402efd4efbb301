cimport cython

from bench.checkers.invariants cimport Agreement
from engines.lock_service.tree cimport LockTree

ctypedef unsigned long long u64
ctypedef long long i64


@cython.final
cdef class Opened:
    cdef readonly object session
    cdef readonly str path
    cdef readonly u64 instance
    cdef readonly i64 lock_delay_ns


@cython.final
cdef class Lock:
    cdef readonly u64 mode
    cdef readonly u64 generation
    cdef readonly list holders
    cdef readonly i64 since_ns
    cdef readonly i64 free_ns
    cdef i64 owed_ns
    cdef i64 not_before_ns


cdef class LockLog:
    cdef readonly Agreement agreement
    cdef readonly object options
    cdef readonly bint clocks
    cdef readonly object counts
    cdef readonly u64 epoch
    cdef readonly dict clients
    cdef readonly set expired
    cdef readonly dict handles
    cdef dict open
    cdef readonly dict locks
    cdef dict ephemeral
    cdef set vanished
    cdef readonly object notices
    cdef readonly dict ended
    cdef readonly dict lost

    cpdef object applied(self, LockTree tree, i64 now=*)
    @cython.locals(opened=Opened, fenced=bint)
    cdef object asked(self, LockTree tree, object request, i64 now)
    @cython.locals(lock=Lock)
    cpdef Lock lock(self, str path)
    @cython.locals(lock=Lock)
    cpdef bint holds(self, object sequencer) except -1
    @cython.locals(lock=Lock, before=list, holders=list, lost=list, gained=list, was_free=bint)
    cdef object compare(self, LockTree tree, str path, object request, bint fenced, i64 now)
    @cython.locals(opened=Opened, leaving=bint)
    cdef object let_go(self, object handle, Lock lock, str path, object request)
    @cython.locals(position=u64, opened=Opened, generation=u64)
    cdef object gain(self, Lock lock, str path, LockTree tree, list gained, bint was_free, i64 now)
