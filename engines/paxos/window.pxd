cimport cython

from ext.quorum cimport allocate, release

ctypedef unsigned long long u64
ctypedef long long i64

cdef i64 NEVER

@cython.final
cdef class Window:
    cdef readonly u64 id
    cdef readonly u64 limit
    cdef readonly i64 retry_ns
    cdef readonly i64 round_trip_ns
    cdef public i64 heard_at
    cdef public i64 retry_at
    cdef readonly u64 matched
    cdef readonly u64 next
    cdef public bint active
    cdef u64 *stops
    cdef u64 head
    cdef readonly u64 under_way
    cdef readonly u64 reports
    cdef readonly u64 hole_stop
    cdef readonly u64 state_stop
    cdef i64 state_at

    cpdef bint room(self)
    @cython.locals(at=u64)
    cpdef object sent(self, u64 stop, i64 now)
    cpdef object sent_state(self, u64 position, i64 now)
    cpdef bint state_lost(self, u64 through, i64 asked_at)
    cpdef i64 due_at(self)
    cpdef object acknowledged(self, u64 through, i64 now)
    cpdef bint hole_reported(self, u64 beyond)
    cpdef object rewind(self)
    cpdef object close(self)
    cpdef object measured(self, i64 round_trip_ns, i64 least_ns)


@cython.locals(window=Window, count=u64, at=Py_ssize_t)
cpdef Window window_of(list windows, u64 acceptor)


@cython.final
cdef class Told:
    cdef i64 state_wait_ns
    cdef i64 entries_wait_ns
    cdef dict last

    @cython.locals(again_at=i64, wait_ns=i64, longest_ns=i64)
    cpdef bint due(self, u64 candidate, object what, i64 now) except -1
    cpdef object forget(self, u64 candidate)
