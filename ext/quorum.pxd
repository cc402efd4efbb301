cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free

ctypedef unsigned long long u64
ctypedef u64 *u64_pointer


cdef inline u64 *allocate(u64 count) except NULL:
    cdef void *room = PyMem_Calloc(count if count else 1, sizeof(u64))
    if room == NULL:
        raise MemoryError
    return <u64 *>room


cdef inline void release(u64 *room) noexcept:
    PyMem_Free(room)


cdef class QuorumSystem:
    cdef readonly tuple voters

    cpdef bint holds(self, set members) except -1
    cpdef object committed_index(self, object acked)
    cpdef str vote_result(self, object votes)


cdef class FlexibleQuorum(QuorumSystem):
    cdef readonly u64 size
    cdef u64 *largest

    @cython.locals(largest=u64_pointer, size=u64, kept=u64, index=u64, rank=u64)
    cdef u64 ranked(self, dict acked) except? 0xFFFFFFFFFFFFFFFF


cdef class MajorityQuorum(FlexibleQuorum):
    pass


cdef class JointQuorum(QuorumSystem):
    cdef readonly MajorityQuorum incoming
    cdef readonly MajorityQuorum outgoing


cdef class WeightedQuorum(QuorumSystem):
    cdef readonly dict weights
    cdef object total


cdef class GridQuorum(QuorumSystem):
    cdef readonly list rows


@cython.final
cdef class AckTracker:
    cdef readonly QuorumSystem quorum
    cdef readonly u64 committed
    cdef u64 count
    cdef bint counted
    cdef u64 rank
    cdef u64 *ids
    cdef u64 *positions
    cdef u64 *ranked

    cpdef object reset(self)
    @cython.locals(low=u64, high=u64, middle=u64)
    cdef u64 slot(self, u64 voter) noexcept
    @cython.locals(slot=u64)
    cpdef u64 position(self, u64 voter)
    @cython.locals(slot=u64, before=u64, committed=u64)
    cpdef bint acknowledge(self, u64 voter, u64 position) except -1
    @cython.locals(ranked=u64_pointer, last=u64, rank=u64)
    cdef u64 raise_rank(self, u64 before, u64 position) noexcept
    @cython.locals(slot=u64)
    cdef u64 asked(self, u64 before, u64 position) except? 0xFFFFFFFFFFFFFFFF


@cython.final
cdef class VoteTracker:
    cdef readonly QuorumSystem quorum
    cdef readonly str result
    cdef dict votes

    cpdef object reset(self)
    cpdef str record(self, u64 voter, bint granted)
    cpdef bint answered(self, u64 voter) except -1
