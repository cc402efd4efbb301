cimport cython

from ext.log cimport Log
from ext.quorum cimport AckTracker, QuorumSystem, VoteTracker

ctypedef unsigned long long u64
ctypedef long long i64


@cython.final
cdef class Learner:
    cdef readonly u64 id
    cdef readonly u64 session
    cdef public int stage
    cdef public u64 last_epoch
    cdef public u64 last_position
    cdef public u64 next
    cdef public u64 told
    cdef public u64 inflight
    cdef public i64 heard


cdef class Learners:
    cdef readonly dict by_id
    cdef readonly list followers
    cdef public u64 newest
    cdef readonly VoteTracker joined
    cdef readonly VoteTracker promised
    cdef readonly VoteTracker synchronised
    cdef readonly AckTracker acks
    cdef readonly AckTracker heard

    cdef int reset(self) except -1
    @cython.locals(learner=Learner)
    cdef Learner add(self, u64 id, u64 session, i64 now)
    @cython.locals(learner=Learner)
    cdef int drop(self, u64 id) except -1
    @cython.locals(learner=Learner)
    cdef Learner find(self, u64 id, u64 session, i64 now)
    @cython.locals(learner=Learner)
    cdef i64 quorum_heard_at(self) except -1


@cython.locals(low=u64, high=u64, middle=u64)
cpdef u64 common_position(Log log, u64 epoch, u64 position)
