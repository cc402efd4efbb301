cimport cython

from engines.core cimport Engine
from engines.zab.election cimport Election
from engines.zab.fields cimport Ack, CommitProposal, Proposal
from engines.zab.learner cimport Learner, Learners, common_position

ctypedef unsigned long long u64
ctypedef long long i64

cdef int DISCOVERY, SYNCHRONISATION, BROADCAST
cdef int JOINED, INFORMED, DISCOVERED, SYNCING, SYNCED, ACTIVE


cdef class Zab(Engine):
    cdef readonly object options
    cdef u64 inflight_limit
    cdef readonly u64 accepted_epoch
    cdef readonly u64 current_epoch
    cdef bytes snapshot
    cdef readonly int state
    cdef int phase
    cdef readonly u64 epoch
    cdef readonly u64 session
    cdef i64 init_ns
    cdef i64 sync_ns
    cdef i64 limit_ns
    cdef readonly int patience
    cdef readonly Election election
    cdef dict waiting
    cdef readonly Learners learners
    cdef i64 phase_ends_at

    cdef object dispatch(self, u64 sender, object message)
    cpdef object on_ack(self, u64 sender, Ack message)
    cpdef object on_proposal(self, u64 sender, Proposal message)
    cpdef object on_commit(self, u64 sender, CommitProposal message)
    @cython.locals(first=u64, last=u64, entries=bytes, learner=Learner)
    cpdef list propose(self, list commands, i64 now)

    cdef object restatement(self)
    cdef int look(self) except -1
    cdef int look_in_vain(self) except -1
    cdef tuple own_vote(self)
    cdef object notification(self)
    cdef bint left_by_leader(self, object message) except -1
    @cython.locals(elected=u64)
    cdef int conclude(self) except -1
    cdef int follow(self, u64 leader) except -1
    cdef int lead(self) except -1
    @cython.locals(learner=Learner)
    cdef object admit(self, u64 id, u64 session, u64 accepted_epoch)
    cdef int inform(self, Learner learner) except -1
    cdef object ack_epoch(self, bint promised)
    @cython.locals(learner=Learner)
    cdef int begin_synchronisation(self) except -1
    @cython.locals(common=u64)
    cdef int synchronise(self, Learner learner) except -1
    cdef object pump(self, Learner learner)
    @cython.locals(first=u64, stop=u64)
    cdef object send_slice(self, Learner learner)
    cdef int send_up_to_date(self, Learner learner) except -1
    cdef int accept(self, u64 epoch, u64 first, bytes entries) except -1
    cdef object count(self, Learner learner, u64 epoch, u64 position)
    cdef object deliver(self, u64 epoch, u64 position)
    @cython.locals(last=u64)
    cdef int append(self, bytes entries) except -1
    @cython.locals(position=u64, learner=Learner)
    cdef int advance(self) except -1
    @cython.locals(position=u64)
    cdef int tell(self, Learner learner) except -1
    cdef bint heard_leader(self, u64 sender) except -1
    @cython.locals(learner=Learner)
    cdef object tick_leading(self)
