cimport cython

from ext.events cimport Fifo

ctypedef long long i64


@cython.final
cdef class Process:
    cdef readonly int number
    cdef public int state
    cdef readonly i64 epoch
    cdef public i64 turns
    cdef public double spent_ns
    cdef public double busy_ns
    cdef public i64 write_bytes
    cdef public double sync_left_ns
    cdef readonly Fifo inbox
    cdef list heard_in
    cdef public bint due
    cdef public bint resuming
    cdef public bint to_sync

    cdef bint reads_from(self, int source) except -1
    cpdef bint wants_a_turn(self) noexcept
    cpdef object end(self)


@cython.final
cdef class Cores:
    cdef readonly int free
    cdef Fifo queue

    cpdef bint acquire(self, Process process) except -1
    @cython.locals(process=Process)
    cpdef Process pass_on(self)
