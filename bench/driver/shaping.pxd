cimport cython

from bench.driver.network cimport Link

ctypedef long long i64

cdef i64 LOST, NEVER, SECOND_NS, SLICE_BYTES


cdef class Shaper:
    cdef readonly dict links
    cdef readonly bint tcp
    cdef bint free
    cdef double byte_ns
    cdef double nic_free_ns
    cdef set connected
    cdef readonly set open
    cdef readonly set holding
    cdef readonly dict kept_bytes
    cdef readonly dict slowed
    cdef readonly dict longest_bytes
    cdef readonly list parcels
    cdef list slices
    cdef readonly dict under_way
    cdef i64 order

    @cython.locals(link=Link)
    cpdef object send(self, int to, object message, i64 size, i64 now)
    @cython.locals(parcels=list, link=Link, release_ns=i64, epoch=i64, size=i64, to=int)
    cpdef list due(self, i64 now)
    @cython.locals(soonest=i64, link=Link)
    cpdef i64 next_ns(self) except? -1
    cpdef list starving(self, i64 now)
    cpdef object connect(self, int peer, i64 now)
    cpdef object disconnect(self, int peer, i64 now)
    cpdef object block(self, int peer)
    @cython.locals(link=Link)
    cpdef object unblock(self, int peer, i64 now)
    cpdef object slow(self, int peer, i64 extra_ns)
    cdef object _leave(self, int to, Link link, object message, i64 size, i64 now)
    cdef int _line_up(self, i64 at_ns, int to, list leaving) except -1
    @cython.locals(at_ns=i64, to=int, leaving=list, link=Link, gone_ns=i64, size=i64)
    cdef int _send_slices(self, i64 now) except -1
    cdef int _hold(self, int to, Link link, object message, i64 size, i64 now) except -1
    cdef i64 _depart(self, i64 size, i64 now) except? -1
    @cython.locals(arrival_ns=i64)
    cdef object _carry(self, int to, Link link, object message, i64 size, i64 depart_ns)
    cdef int _put(self, int to, Link link, object message, i64 size, i64 release_ns) except -1
    @cython.locals(link=Link, held=list, size=i64)
    cdef int _release(self, int peer, i64 at_ns) except -1
    @cython.locals(link=Link)
    cdef int _reopen(self, int peer) except -1
