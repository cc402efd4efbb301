cimport cython

from engines.core cimport Engine, i64, u64
from engines.paxos.fields cimport Accept, Accepted
from engines.paxos.slots cimport Slots
from engines.paxos.window cimport Told, Window, window_of
from ext.fields cimport with_3, with_4
from ext.log cimport Log
from ext.log cimport count, retag, skip, unpack
from ext.quorum cimport AckTracker, QuorumSystem, VoteTracker


cdef class Paxos(Engine):
    cdef list voters
    cdef readonly QuorumSystem phase1
    cdef readonly QuorumSystem phase2
    cdef bint inquire
    cdef i64 election_low_ns
    cdef i64 election_high_ns
    cdef i64 heartbeat_ns
    cdef u64 message_bytes

    cdef readonly Slots slots
    cdef readonly u64 promised
    cdef u64 recorded
    cdef u64 highest
    cdef readonly u64 matched
    cdef object snapshot
    cdef Told told

    cdef readonly str role
    cdef i64 patience_ns
    cdef i64 heard_at
    cdef u64 failed_candidacies
    cdef dict handed_over

    cdef readonly u64 ballot
    cdef VoteTracker votes
    cdef AckTracker acks
    cdef list windows
    cdef dict adopted
    cdef dict reported
    cdef dict known_decided
    cdef bint prepared
    cdef i64 stood_at
    cdef i64 ask_at
    cdef i64 elect_at
    cdef i64 heartbeat_at
    cdef u64 first_proposed

    cdef object dispatch(self, u64 sender, object message)
    cdef int become_proposer_of(self, u64 ballot) except -1
    cdef int rest(self) except -1
    cdef int retire(self) except -1
    cdef int follow(self, u64 ballot, u64 leader) except -1
    cdef int promise(self, u64 ballot) except -1
    cdef int leader_is_lost(self) except -1
    cdef u64 next_ballot(self) except? 0
    cdef int ask_others(self) except -1
    cdef int count_lost(self, u64 voter) except -1

    cdef int stand(self) except -1
    cdef object ask_again(self)
    cdef int answer(self, u64 sender, object message) except -1
    cdef object report(self, object asked)
    @cython.locals(slot=u64)
    cpdef object on_promise(self, u64 sender, object message)
    cdef int ask_on(self, u64 acceptor, u64 through) except -1
    @cython.locals(first=u64, decided=u64, window=Window)
    cdef int lead(self) except -1

    @cython.locals(log=Log, first=u64, stop=u64, entries=bytes, window=Window)
    cpdef list propose(self, list commands, i64 now)
    @cython.locals(first=u64, last=u64)
    cdef int persist_acceptance(self, Accept message) except -1
    @cython.locals(log=Log, stop=u64)
    cdef int fill(self, Window window) except -1
    @cython.locals(entries=bytes)
    cdef object accept(self, u64 first, u64 stop)
    @cython.locals(
        ballot=u64, first=u64, entries=bytes, beyond=u64, in_order=bint, one=bint, committed=u64, decided=u64
    )
    cpdef object on_accept(self, u64 sender, Accept message)
    @cython.locals(ballot=u64)
    cpdef object on_accepted(self, u64 sender, Accepted message)
    cdef int hear(self, Window window, u64 through, u64 beyond) except -1
    cdef int learn_accepted(self, u64 acceptor, u64 through) except -1

    @cython.locals(window=Window)
    cdef object lead_on(self)
    cdef int announce(self) except -1
    @cython.locals(window=Window)
    cdef bint within_reach(self) except -1
    cdef int send_again(self, Window window) except -1
    @cython.locals(first=u64, stop=u64)
    cdef object mend_hole(self, Window window)

    cdef object snapshot_message(self, u64 ballot)
    cdef int install(self, object message) except -1
