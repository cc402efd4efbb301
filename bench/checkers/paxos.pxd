cimport cython

from bench.checkers.invariants cimport Agreement, Watcher
from bench.checkers.proposals cimport Proposals
from engines.paxos.fields cimport Accepted, AcceptedSlots
from ext.columns cimport words_of
from ext.log cimport bytes_pointer, load_u32, load_u64

ctypedef unsigned long long u64

cdef u64 HEADER_BYTES


@cython.final
cdef class PaxosDisk:
    cdef readonly u64 ballot
    cdef readonly u64 decided
    cdef readonly u64 matched
    cdef readonly u64 held
    cdef readonly set islands
    cdef readonly set beyond

    cpdef object promise(self, u64 ballot, u64 decided)
    cpdef object decide(self, u64 decided)
    cdef int close_gaps(self) except -1
    cpdef object accept(self, u64 first, u64 stop)
    cpdef object hold(self, u64 first, u64 stop)


cdef class PaxosWatcher(Watcher):
    cdef object phase1
    cdef object phase2
    cdef u64 majority
    cdef readonly list disks
    cdef readonly Proposals proposals
    cdef dict promises
    cdef object column
    cdef u64 *given

    @cython.locals(disk=PaxosDisk)
    cpdef object kept(self, u64 replica, object record)
    @cython.locals(ballot=u64, first=u64, committed=u64, stop=u64)
    cdef int accepted(self, u64 replica, PaxosDisk disk, AcceptedSlots record) except -1
    @cython.locals(raw=bytes_pointer, offset=u64, slot=u64, own=u64)
    cdef int restated(self, u64 replica, PaxosDisk disk, u64 ballot, u64 first, bytes entries) except -1
    cdef int has_promised(self, u64 replica, PaxosDisk disk, u64 ballot) except -1
    @cython.locals(before=PaxosDisk, disk=PaxosDisk)
    cpdef object recovered(self, u64 replica, list records, object status)
    @cython.locals(accepted=Accepted)
    cpdef object promised(self, u64 replica, u64 to, object message)
    cpdef object sent(self, u64 replica, u64 to, object message)
    @cython.locals(disk=PaxosDisk)
    cdef int holds(self, u64 replica, u64 ballot, u64 through) except -1
    cdef int lacks(self, u64 replica, PaxosDisk disk, u64 ballot, u64 through) except -1
    @cython.locals(disk=PaxosDisk, accepted=u64)
    cdef int tells(self, u64 replica, u64 last) except -1
    cpdef object led(self, u64 replica, u64 term, u64 applied)
    @cython.locals(disk=PaxosDisk, holders=u64)
    cpdef object chosen(self, u64 replica, u64 position, u64 digest, bytes command)


cdef bint disk_holds(PaxosDisk disk, u64 slot) except -1
