cimport cython

from bench.driver.clock cimport Clock
from bench.driver.host cimport Host, World
from bench.driver.shaping cimport Shaper
from bench.driver.storage cimport WriteAheadLog
from bench.driver.wire cimport Kind
from engines.core cimport Persist

ctypedef unsigned long long u64
ctypedef long long i64

cdef i64 NEVER, QUEUE_LEAST, QUEUE_MOST
cdef u64 DIGEST_EVERY


cdef class Reality(World):
    cdef readonly object scenario
    cdef readonly str engine
    cdef readonly int id
    cdef readonly object seed
    cdef readonly i64 incarnation
    cdef readonly WriteAheadLog log
    cdef readonly Clock clock
    cdef readonly Shaper shaper
    cdef readonly dict kinds
    cdef public object host
    cdef public list inbox
    cdef readonly dict peers
    cdef dict clients
    cdef set audience
    cdef dict outboxes
    cdef list answering
    cdef readonly bint pending
    cdef readonly bint paused
    cdef public double disk_factor
    cdef readonly i64 disk_delay_ns
    cdef i64 pace_ns
    cdef i64 paced_ns
    cdef i64 paced_commands
    cdef i64 pace
    cdef readonly i64 requests
    cdef i64 request_bytes
    cdef readonly i64 commands
    cdef readonly dict sent
    cdef readonly i64 sent_bytes
    cdef readonly list leaderships
    cdef readonly list noticed
    cdef readonly list digests

    @cython.locals(now=i64, local=i64, inbox=list, what=int, content=list)
    cpdef object turn(self)
    @cython.locals(deadline=i64)
    cpdef i64 next_ns(self) except? -1
    @cython.locals(clients=dict, command=bytes)
    cdef int serve(self, object connection, list requests, i64 now) except -1
    cdef object deliver(self, object connection, list messages, i64 now)
    cdef int refuse(self, int peer, object forward) except -1
    cdef object peer_up(self, object connection, i64 now)
    cdef int peer_down(self, object connection, i64 now) except -1
    cdef int forsake(self, int peer, i64 now) except -1

    @cython.locals(kind=Kind, size=i64)
    cpdef object transmit(self, Host host, u64 to, object message)
    cpdef object answer(
        self, Host host, i64 client, u64 sequence, int outcome, u64 leader, bytes result
    )
    cdef object release(self, i64 now)
    @cython.locals(outbox=list)
    cdef int leave(self) except -1
    @cython.locals(limit=i64, queued=i64)
    cdef int balance(self) except -1
    @cython.locals(passed=i64)
    cdef int keep_pace(self, i64 now) except -1
    @cython.locals(each=i64)
    cdef i64 queue_limit(self) except -1

    cpdef bint compacting(self) except -1
    cpdef object write(self, Host host, list persists)
    @cython.locals(persists=list)
    cdef object make_durable(self)
    @cython.locals(persist=Persist, records=list, before_ns=i64, delay_ns=i64)
    cdef object save(self, list persists)
    cpdef object applied(self, Host host, u64 position, bytes command, bint answered)
    cpdef object led(self, Host host)
    cpdef object lost_leader(self, Host host)
