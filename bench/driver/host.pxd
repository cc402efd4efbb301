cimport cython

from engines.core cimport Commit, Engine, Persist, Redirect, Restore, Send
from engines.machine cimport Machine, client_of, sequence_of
from engines.service cimport Answer, LetGo, Propose, Service
from ext.events cimport Fifo

ctypedef unsigned long long u64
ctypedef long long i64

cdef i64 NEVER
cdef u64 NOBODY
cdef int ACCEPTED, REFUSED, UNDECIDED, FSYNC, BATCH_INTERVAL
cdef u64 WEIGH_EVERY
cdef i64 ELSEWHERE, OWN


cdef class World:
    cpdef object transmit(self, Host host, u64 to, object message)
    cpdef object answer(
        self, Host host, i64 client, u64 sequence, int outcome, u64 leader, bytes result
    )
    cpdef object write(self, Host host, list persists)
    cpdef object applied(self, Host host, u64 position, bytes command, bint answered)
    cpdef object led(self, Host host)
    cpdef object lost_leader(self, Host host)
    cpdef object believed(self, Host host)
    cpdef bint compacting(self) except -1


@cython.final
cdef class Batch:
    cdef u64 start
    cdef u64 stop


@cython.final
cdef class Host:
    cdef World world
    cdef readonly u64 id
    cdef readonly Engine engine
    cdef readonly Machine machine
    cdef readonly Service service
    cdef int durability
    cdef i64 interval_ns
    cdef Py_ssize_t group
    cdef Py_ssize_t max_commands
    cdef i64 max_delay_ns
    cdef Py_ssize_t pipeline
    cdef bint forward
    cdef u64 compact_after_bytes
    cdef u64 compact_at_bytes
    cdef u64 weighed_at
    cdef readonly i64 now
    cdef readonly i64 deadline
    cdef readonly bint leading
    cdef readonly Fifo queue
    cdef i64 queued_since_ns
    cdef Batch front
    cdef Fifo proposed
    cdef Fifo behind
    cdef Fifo own
    cdef list unsynced
    cdef readonly list writing
    cdef bint sync_in_flight
    cdef i64 next_sync_ns
    cdef readonly object compaction_first
    cdef readonly object compaction_last
    cdef i64 beliefs

    cpdef object start(self, list records, i64 now)
    cpdef int receive(self, u64 sender, object message, i64 now, bint more) except -1
    cpdef int request(self, i64 client, bytes command, i64 now, bint more) except -1
    cpdef int wake(self, i64 now) except -1
    @cython.locals(persist=Persist)
    cpdef int synced(self, i64 now) except -1
    cpdef list gather(self)
    @cython.locals(persist=Persist, room=Py_ssize_t, count=Py_ssize_t)
    cdef Py_ssize_t covered(self) except -1
    @cython.locals(followed=bint)
    cpdef object disconnected(self, u64 peer, i64 now)

    cdef bint forwarded(self, u64 sender, object message, bint more) except -1
    cdef int enqueue(self, i64 origin, bytes command, bint more) except -1
    cdef bint has_room(self) except -1
    @cython.locals(leader=u64)
    cdef int refuse(self, i64 origin, bytes command) except -1
    @cython.locals(client=i64, sequence=u64, leader=u64)
    cdef int reply(self, i64 origin, bytes command, int outcome, bytes result) except -1
    @cython.locals(count=Py_ssize_t, behind=bint, commands=list, command=bytes)
    cdef object pump(self, bint more)
    @cython.locals(result=bytes)
    cdef bint answered_again(self, i64 origin, bytes command) except -1
    @cython.locals(start=u64, stop=u64, batch=Batch)
    cdef int propose(self, list commands) except -1
    cdef int perform(self, list effects) except -1
    cdef int dispatch(self, Send send) except -1
    cdef int hear_oneself(self) except -1
    cdef object persist(self, Persist persist)
    @cython.locals(batch=Batch, position=u64, command=bytes, answered=bint, origin=i64)
    cdef int apply(self, Commit commit) except -1
    cdef int serve(self, list effects) except -1
    cdef object attend(self, Service service, bint more)
    @cython.locals(batch=Batch, index=Py_ssize_t, command=bytes)
    cdef int deposed(self) except -1
    cdef Batch next_batch(self)
    cdef int settle(self, bint more) except -1
    cdef object flush(self)
    cdef int weigh(self) except -1
    cdef object compact(self)
