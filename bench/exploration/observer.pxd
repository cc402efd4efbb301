cimport cython

from bench.driver.node cimport Node
from engines.core cimport Engine
from engines.machine cimport Machine
from ext.log cimport Log

ctypedef unsigned long long u64

cdef u64 ENDLESS


@cython.final
cdef class Seen:
    cdef str role
    cdef u64 term
    cdef bint leading
    cdef u64 last
    cdef u64 last_term
    cdef u64 base
    cdef u64 committed
    cdef u64 applied
    cdef u64 duplicates
    cdef str event
    cdef bint torn


cdef class Observer:
    cdef str engine
    cdef bint one_log
    cdef readonly object counts
    cdef list seen
    cdef set leading
    cdef u64 ticks

    @cython.locals(seen=Seen)
    cpdef object watch(self, str event, Node node, object detail)
    @cython.locals(seen=Seen)
    cdef int _rare(self, str event, Node node, object detail) except -1
    cdef int _deposed(self, Node node, Seen seen) except -1
    @cython.locals(seen=Seen, engine=Engine, log=Log, machine=Machine)
    cdef int _compare(self, Node node) except -1
    cdef bint _gave_up(self, Seen seen, str role, u64 term) except -1
    @cython.locals(seen=Seen, duplicates=u64)
    cdef int _applied(self, Node node, u64 position) except -1
