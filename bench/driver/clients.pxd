cimport cython

from bench.driver.network cimport Durations, Link
from bench.metrics.recorder cimport Recorder
from engines.machine cimport encode_numbers
from ext.columns cimport bytes_of, halves_of, integers_of
from ext.events cimport EventQueue, push_event
from ext.log cimport load_u64

ctypedef unsigned long long u64
ctypedef long long i64

cdef int ISSUE, REQUEST, RETRY, REQUEST_BYTES, CAS, FAILED, OK, READ, WRITE
cdef int TOKEN_BYTES, APPLIED, STALE, LEADER, ROUND_ROBIN, DRAWN, SWEEP
cdef u64 NOBODY


@cython.final
cdef class Session:
    cdef readonly unsigned int id
    cdef public u64 target
    cdef readonly list links_to
    cdef readonly list links_from
    cdef object waiting
    cdef i64 heard_ns
    cdef i64 turned_ns


cdef class Population:
    cdef EventQueue queue
    cdef readonly list sessions
    cdef readonly Recorder recorder
    cdef public i64 clock_ns

    cpdef object start(self)
    cdef object issue(self, Py_ssize_t client)
    cdef object retry(self, i64 argument)
    cdef object answered(self, Py_ssize_t client, i64 sequence, bytes result)
    cdef object redirected(self, Py_ssize_t client, i64 sequence, u64 leader)
    cdef object let_go(self, Py_ssize_t client, i64 sequence)
    cpdef object reset(self, u64 replica)
    cpdef object disconnected(self, u64 replica)
    cpdef object finish(self)
    cpdef object record(self)
    cdef int never_sent(self, Py_ssize_t client, i64 sequence) except -1
    cdef Session session_of(self, Py_ssize_t client)
    @cython.locals(session=Session, link=Link)
    cdef i64 answer_arrives(self, Py_ssize_t client, Py_ssize_t replica, i64 depart_ns, i64 size) except -1


cdef class Clients(Population):
    cdef object operations
    cdef bint closed
    cdef object planned
    cdef i64 *schedule
    cdef Py_ssize_t arrival
    cdef Durations think
    cdef int routing
    cdef u64 replicas
    cdef i64 request_ns
    cdef i64 operation_ns
    cdef i64 backoff_ns
    cdef i64 stop_ns
    cdef bint refusals_are_exact
    cdef i64 part
    cdef i64 parts
    cdef dict foreign_sizes
    cdef dict seen
    cdef bint uses_cas
    cdef bint uses_chains
    cdef set chained
    cdef dict refusals
    cdef set given_up
    cdef set pausing
    cdef bint sweeping
    cdef Py_ssize_t cursor
    cdef object retries
    cdef Py_ssize_t used
    cdef list drawn
    cdef unsigned char *kinds
    cdef unsigned int *keys
    cdef unsigned int *sizes
    cdef unsigned char *chains

    @cython.locals(session=Session)
    cpdef object start(self)
    cdef int refill(self) except -1
    @cython.locals(session=Session)
    cdef object issue(self, Py_ssize_t client)
    @cython.locals(at=Py_ssize_t, row=Py_ssize_t)
    cdef int next_operation(self, Session session) except -1
    @cython.locals(now=i64, row=Py_ssize_t)
    cdef Py_ssize_t begin(self, Session session, int kind, u64 key, i64 size) except -1
    @cython.locals(command=bytes, link=Link, arrival=i64)
    cdef object send(self, Session session, Py_ssize_t row)
    @cython.locals(recorder=Recorder, kind=int, lowest=Py_ssize_t, number=i64, size=i64, token=u64)
    cdef bytes command(self, Session session, Py_ssize_t row)
    cdef i64 number_of(self, Py_ssize_t row) except -1
    cdef Py_ssize_t row_of(self, i64 number) except? -1
    cdef Session session_of(self, Py_ssize_t client)
    cdef bint settled(self, Py_ssize_t row) except -1
    cdef i64 size_of(self, i64 token) except -1
    @cython.locals(row=Py_ssize_t, session=Session, kind=int, returned=u64)
    cdef object answered(self, Py_ssize_t client, i64 sequence, bytes result)
    @cython.locals(key=u64)
    cdef int learn(self, Py_ssize_t row, int kind, u64 returned) except -1
    @cython.locals(think_ns=i64)
    cdef int think_then_issue(self, Session session) except -1
    @cython.locals(row=Py_ssize_t, session=Session, refusals=int)
    cdef object redirected(self, Py_ssize_t client, i64 sequence, u64 leader)
    @cython.locals(session=Session)
    cdef object let_go(self, Py_ssize_t client, i64 sequence)
    cdef int turn(self, Session session, u64 target) except -1
    @cython.locals(row=Py_ssize_t)
    cdef int never_sent(self, Py_ssize_t client, i64 sequence) except -1
    @cython.locals(session=Session)
    cpdef object reset(self, u64 replica)
    cdef object pause(self, i64 sequence, int refusals)
    @cython.locals(session=Session)
    cdef object resend(self, Py_ssize_t row)
    @cython.locals(refusals=int)
    cdef bint certainly_refused(self, Py_ssize_t row) except -1
    cdef int give_up(self, Session session, Py_ssize_t row) except -1
    @cython.locals(now=i64, next_ns=i64, first_ns=i64, row=Py_ssize_t, sent_ns=i64)
    cdef object retry(self, i64 sequence)
    @cython.locals(session=Session, now=i64)
    cdef object timed_out(self, Py_ssize_t row, i64 sent_ns)
    cpdef object finish(self)
