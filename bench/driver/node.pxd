cimport cython

from bench.driver.clock cimport Clock
from bench.driver.host cimport Host
from bench.driver.network cimport Durations
from bench.driver.wire cimport Kind
from ext.events cimport Fifo

ctypedef unsigned long long u64
ctypedef long long i64

cdef i64 NEVER


@cython.final
cdef class Node(Clock):
    cdef readonly u64 id
    cdef readonly Host host
    cdef readonly bint up
    cdef readonly i64 incarnation
    cdef public list links
    cdef readonly Durations per_message
    cdef object sent_class
    cdef Kind sent_kind
    cdef object written_class
    cdef Kind written_kind
    cdef bint busy
    cdef i64 cpu_free_ns
    cdef i64 nic_free_ns
    cdef readonly Fifo waiting
    cdef readonly bint paused
    cdef bint working
    cdef list deferred
    cdef Durations fsync
    cdef public double fsync_factor
    cdef readonly i64 fsyncs
    cdef readonly i64 fsync_bytes
    cdef public object on_write
    cdef readonly list stable
    cdef Py_ssize_t compaction_from
    cdef i64 wake_at_ns
    cdef i64 armed_for

    cdef int idle(self) except -1
    cdef int disarm(self) except -1
    cdef bint has_more(self) noexcept
