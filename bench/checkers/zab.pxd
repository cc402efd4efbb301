cimport cython

from bench.checkers.invariants cimport Agreement, Watcher
from bench.checkers.logs cimport DiskLog, Logs
from engines.zab.fields cimport Ack, Appended

ctypedef unsigned long long u64


@cython.final
cdef class ZabDisk:
    cdef readonly u64 accepted_epoch
    cdef readonly u64 current_epoch
    cdef readonly DiskLog log


cdef class ZabWatcher(Watcher):
    cdef readonly list disks
    cdef readonly Logs logs
    cdef dict members

    @cython.locals(disk=ZabDisk, appended=Appended)
    cpdef object kept(self, u64 replica, object record)
    cdef int enter(self, u64 replica, ZabDisk disk, u64 accepted_epoch, u64 current_epoch) except -1
    @cython.locals(log=DiskLog)
    cdef object truncated(self, u64 replica, ZabDisk disk, u64 position)
    @cython.locals(before=ZabDisk, disk=ZabDisk, log=DiskLog, old=DiskLog)
    cpdef object recovered(self, u64 replica, list records, object status)
    @cython.locals(ack=Ack, disk=ZabDisk, log=DiskLog)
    cpdef object promised(self, u64 replica, u64 to, object message)
    cpdef object sent(self, u64 replica, u64 to, object message)
    @cython.locals(disk=ZabDisk, log=DiskLog, expected=u64)
    cdef object holds(self, u64 replica, u64 epoch, u64 position)
    @cython.locals(log=DiskLog, disk=ZabDisk, highest=u64)
    cpdef object led(self, u64 replica, u64 term, u64 applied)
    @cython.locals(holders=int)
    cpdef object chosen(self, u64 replica, u64 position, u64 digest, bytes command)
