cimport cython

from bench.checkers.invariants cimport Agreement, Watcher
from bench.checkers.logs cimport DiskLog, Logs
from engines.raft.fields cimport AppendEntriesReply, Entries

ctypedef unsigned long long u64


@cython.final
cdef class RaftDisk:
    cdef readonly u64 term
    cdef readonly u64 vote
    cdef readonly DiskLog log


cdef class RaftWatcher(Watcher):
    cdef readonly list disks
    cdef readonly Logs logs
    cdef dict votes
    cdef dict granted

    @cython.locals(disk=RaftDisk, entries=Entries, first=u64)
    cpdef object kept(self, u64 replica, object record)
    @cython.locals(log=DiskLog)
    cdef object overwrite(self, u64 replica, RaftDisk disk, u64 first, bytes entries)
    cdef int voted(self, u64 replica, RaftDisk disk, u64 term, u64 vote) except -1
    cdef int note_vote(self, dict votes, u64 replica, u64 term, u64 candidate) except -1
    @cython.locals(before=RaftDisk, disk=RaftDisk, log=DiskLog, old=DiskLog)
    cpdef object recovered(self, u64 replica, list records, object status)
    @cython.locals(reply=AppendEntriesReply)
    cpdef object promised(self, u64 replica, u64 to, object message)
    cpdef object sent(self, u64 replica, u64 to, object message)
    @cython.locals(disk=RaftDisk, log=DiskLog, expected=u64)
    cdef object holds(self, u64 replica, u64 term, u64 match)
    cdef int has_voted(self, u64 replica, u64 term, u64 candidate) except -1
    @cython.locals(log=DiskLog, disk=RaftDisk, highest=u64)
    cpdef object led(self, u64 replica, u64 term, u64 applied)
    @cython.locals(holders=int)
    cpdef object chosen(self, u64 replica, u64 position, u64 digest, bytes command)
