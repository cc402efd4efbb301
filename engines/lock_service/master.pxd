cimport cython

from engines.lock_service.tree cimport LockTree
from engines.service cimport Service

ctypedef unsigned long long u64
ctypedef long long i64

cdef i64 NEVER, OWN


@cython.final
cdef class Lease:
    cdef readonly u64 session
    cdef readonly i64 until_ns
    cdef readonly i64 granted_ns
    cdef readonly bint expiring
    cdef bint alarmed
    cdef tuple held
    cdef list events
    cdef u64 numbered
    cdef set cached
    cdef dict awaited


@cython.final
cdef class Barrier:
    cdef set sessions
    cdef list writes
    cdef Py_ssize_t proposed


cdef class Master(Service):
    cdef readonly u64 id
    cdef readonly LockTree tree
    cdef readonly object options
    cdef readonly object stage
    cdef readonly u64 epoch
    cdef readonly i64 lease_until_ns
    cdef object renewals
    cdef list alarms
    cdef i64 alarm_count
    cdef dict early
    cdef readonly dict leases
    cdef readonly set unaware
    cdef dict caching
    cdef dict barriers
    cdef dict writing
    cdef dict waiting

    cpdef list led(self, i64 now)
    @cython.locals(lease=Lease, barrier=Barrier)
    cpdef list deposed(self, i64 now)
    cpdef list request(self, i64 client, bytes command, i64 now)
    cpdef list applied(self, i64 origin, bytes command, bytes result, i64 now)
    cpdef list tick(self, i64 now)
    cpdef list ready(self)
    cpdef object alarm(self, i64 due_ns, int kind, object about=*)
    cpdef bint leased(self) noexcept
    @cython.locals(sequence=u64)
    cpdef object take(self, i64 client, bytes command)
    cpdef object conclude(self, i64 client, u64 sequence, object request, bytes result)
    cpdef object tell(self)
    @cython.locals(lease=Lease)
    cpdef object notice(self, object news)
    @cython.locals(lease=Lease)
    cpdef object catch_up(self)
    @cython.locals(lease=Lease)
    cpdef object keep_alive(self, i64 client, u64 sequence, object request)
    @cython.locals(lease=Lease)
    cpdef object ended(self, object news)
    @cython.locals(lease=Lease)
    cpdef object get_contents(self, i64 client, u64 sequence, object request)
    @cython.locals(barrier=Barrier)
    cpdef object write(self, i64 client, u64 sequence, object request, bytes command)
    cpdef object begin_lease(self, Lease lease)
    cpdef object acknowledged(self, Lease lease, u64 heard)
    @cython.locals(due_ns=i64)
    cpdef object reply_if_due(self, Lease lease, bint at_once=*)
    cpdef object reply_in_time(self, Lease lease)
    cpdef object reply(self, Lease lease)
    cpdef u64 post(self, Lease lease, u64 kind, u64 handle, object path) except? 0
    cpdef object expire(self, Lease lease)
    @cython.locals(lease=Lease)
    cpdef object invalidate(self, object path, Barrier barrier, u64 writer)
    @cython.locals(barrier=Barrier)
    cpdef object rid(self, Lease lease, object path)
    cpdef object rid_of_all(self, Lease lease)
    cpdef object pass_barrier(self, Barrier barrier)
    @cython.locals(barrier=Barrier)
    cpdef object written(self, object path)
