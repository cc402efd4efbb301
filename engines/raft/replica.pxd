cimport cython

from engines.core cimport Engine
from engines.raft.fields cimport AppendEntries, AppendEntriesReply
from engines.raft.progress cimport Progress
from ext.fields cimport with_2, with_6
from ext.log cimport Log, count, skip
from ext.quorum cimport AckTracker, MajorityQuorum, VoteTracker

ctypedef unsigned long long u64
ctypedef long long i64

cdef int FOLLOWER, PRE_CANDIDATE, CANDIDATE, LEADER


cdef class Raft(Engine):
    cdef readonly object options
    cdef MajorityQuorum quorum
    cdef i64 timeout_low_ns
    cdef i64 timeout_high_ns
    cdef i64 heartbeat_ns
    cdef u64 message_bytes
    cdef readonly u64 term
    cdef readonly u64 vote
    cdef readonly bytes snapshot
    cdef int role
    cdef readonly i64 timeout_ns
    cdef readonly u64 verified
    cdef i64 heard_ns
    cdef VoteTracker votes
    cdef readonly u64 term_start
    cdef AckTracker acks
    cdef readonly list followers
    cdef readonly dict progress
    cdef u64 round
    cdef i64 heartbeat_due_ns
    cdef i64 quorum_due_ns

    cdef object dispatch(self, u64 sender, object message)
    @cython.locals(prev=u64, prev_term=u64, last=u64)
    cpdef list propose(self, list commands, i64 now)
    @cython.locals(progress=Progress, next_index=u64)
    cpdef list disconnect(self, u64 peer, i64 now)
    @cython.locals(term=u64)
    cpdef list compact(self, u64 position, bytes state, i64 now)

    cdef int draw_timeout(self) except -1
    cdef int become_follower(self) except -1
    cdef int enter(self, u64 term) except -1
    cdef int adopt(self, u64 term) except -1
    cdef bint follow(self, u64 leader, u64 term) except -1
    cdef bint in_contact(self) except -1
    @cython.locals(own=u64)
    cdef bint up_to_date(self, u64 last_index, u64 last_term) except -1

    cdef object campaign(self)
    cdef int begin_election(self, int role) except -1
    cdef int stand(self) except -1
    cpdef object on_pre_vote(self, u64 sender, object message)
    cpdef object on_pre_vote_reply(self, u64 sender, object message)
    @cython.locals(newer=bint, free=bint, granted=bint)
    cpdef object on_request_vote(self, u64 sender, object message)
    cpdef object on_request_vote_reply(self, u64 sender, object message)
    cdef int count_vote(self, u64 voter, bint granted) except -1
    @cython.locals(progress=Progress)
    cdef int lead(self) except -1
    @cython.locals(progress=Progress, heard_ns=dict, contact_ns=i64)
    cdef int check_contact(self) except -1

    @cython.locals(progress=Progress, entries=bytes)
    cdef int replicate_new(self, u64 prev, u64 prev_term, u64 last) except -1
    cdef int persist_own(self, u64 first, bytes entries) except -1
    @cython.locals(index=object, reply=AppendEntriesReply)
    cdef object write(self, u64 first, bytes entries, u64 match, u64 leader)
    @cython.locals(first=u64, stop=u64)
    cdef object replicate(self, Progress progress)
    @cython.locals(stop=u64)
    cdef object probe(self, Progress progress, u64 next_index)
    @cython.locals(prev_term=u64, entries=bytes)
    cdef int send_entries(self, Progress progress, u64 first, u64 stop) except -1
    @cython.locals(base=u64)
    cdef int send_snapshot(self, Progress progress) except -1
    @cython.locals(progress=Progress, commit=u64)
    cdef int beat(self) except -1
    cdef bint still_leads(self, u64 term) except -1
    @cython.locals(progress=Progress)
    cdef int acknowledge(self, u64 sender, u64 match) except -1
    cpdef object on_append_entries_reply(self, u64 sender, AppendEntriesReply message)
    cpdef object on_install_snapshot_reply(self, u64 sender, object message)
    @cython.locals(progress=Progress)
    cpdef object on_heartbeat_reply(self, u64 sender, object message)
    @cython.locals(progress=Progress, overtaken=bint)
    cpdef object on_append_entries_conflict(self, u64 sender, object message)
    @cython.locals(index=u64)
    cdef u64 back_up(self, object message) except 0
    @cython.locals(middle=u64)
    cdef u64 first_of_term(self, u64 term, u64 low, u64 high) except 0

    @cython.locals(prev=u64, prev_term=u64, conflict_term=u64, first=u64, commit=u64)
    cpdef object on_append_entries(self, u64 sender, AppendEntries message)
    cdef int refuse(self, u64 sender, object message, u64 term, u64 index) except -1
    @cython.locals(record=object)
    cdef int accept(self, u64 sender, u64 first, bytes entries) except -1
    @cython.locals(position=u64, end=u64)
    cdef object merge(self, u64 sender, u64 first, bytes entries)
    @cython.locals(current=bint, match=u64, commit=u64)
    cpdef object on_heartbeat(self, u64 sender, object message)
    @cython.locals(index=u64)
    cpdef object on_install_snapshot(self, u64 sender, object message)
    cdef int start_log_after(self, u64 index, u64 term, bytes state) except -1
