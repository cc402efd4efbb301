cimport cython

ctypedef unsigned long long u64
ctypedef long long i64

cdef i64 BACKOFFS


@cython.final
cdef class Call:
    cdef readonly u64 number
    cdef object request
    cdef object path
    cdef i64 again_ns
    cdef u64 target
    cdef bint queued
    cdef bint waited
    cdef bint spoiled
    cdef bint of_held
    cdef bint overtakes


@cython.final
cdef class Opening:
    cdef readonly object path
    cdef public object held
    cdef readonly object shown


cdef class Client:
    cdef readonly u64 id
    cdef readonly u64 replicas
    cdef readonly object options
    cdef readonly u64 target
    cdef set broken
    cdef list effects
    cdef public u64 sequence
    cdef dict calls
    cdef i64 heard_ns
    cdef i64 turned_ns
    cdef public object state
    cdef readonly dict handles
    cdef readonly dict cache
    cdef readonly i64 hits
    cdef public u64 session
    cdef public u64 epoch
    cdef u64 heard
    cdef public i64 lease_until_ns
    cdef readonly u64 keep_alive
    cdef readonly i64 keep_alive_ns
    cdef u64 keep_alive_target
    cdef i64 again_ns
    @cython.locals(call=Call, due=i64)
    cpdef i64 next_deadline(self) except? -1

    cpdef list take(self)
    cpdef Opening opening(self, u64 handle)
    @cython.locals(call=Call)
    cpdef object let_go(self, u64 handle)
    cpdef bint valid(self, i64 now) except -1
    @cython.locals(opening=Opening)
    cpdef bint holds(self, u64 handle, i64 now) except -1
    @cython.locals(call=Call)
    cpdef bint busy(self, u64 handle) except -1
    @cython.locals(call=Call)
    cpdef object answered(self, u64 sequence, bytes result, i64 now)
    @cython.locals(call=Call, asked=u64, pause_ns=i64, known=bint)
    cpdef object redirected(self, u64 sequence, u64 leader, i64 now)
    @cython.locals(call=Call, sequence=u64)
    cpdef object tick(self, i64 now)
    @cython.locals(call=Call)
    cpdef object expire(self)
    @cython.locals(call=Call, sequence=u64, until_ns=i64)
    cpdef object kept_alive(self, object answer, i64 now)
    @cython.locals(call=Call)
    cpdef object flush(self, object path)
    @cython.locals(call=Call)
    cpdef object fail_over(self, u64 epoch, i64 now)
    @cython.locals(other=Call)
    cpdef object keep(self, Call call, object contents, i64 now)
    @cython.locals(patience_ns=i64)
    cpdef object send_keep_alive(self, i64 now)
    cpdef object learn(self, Call call, object answer, i64 now)
    @cython.locals(call=Call)
    cpdef u64 call(self, object request, i64 now, object path=*, bint of_held=*) except? 0
    cpdef object begin(self, Call call, i64 now)
    @cython.locals(each=Call, lowest=u64, number=u64)
    cpdef object send(self, u64 sequence, Call call, i64 now)
    @cython.locals(other=Call, number=u64)
    cpdef bint must_wait(self, u64 sequence, Call call) except -1
    @cython.locals(call=Call)
    cpdef object go_on(self, i64 now)
    @cython.locals(call=Call)
    cpdef object ask_again(self, i64 when_ns)
    cpdef object turn_away(self)
