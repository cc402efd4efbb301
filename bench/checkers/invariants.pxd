cimport cython

from bench.metrics.recorder cimport Recorder
from ext.log cimport bytes_pointer, load_u64

ctypedef unsigned long long u64

cdef u64 RECENT, STRIDE, LOW, OPERATION_AT, KEY_AT, KEY_BYTES


cdef class Agreement:
    cdef u64[::1] recent
    cdef u64[::1] repeats
    cdef u64[::1] positions
    cdef u64[::1] reached
    cdef object sparse
    cdef public Recorder recorder
    cdef bytearray effective
    cdef u64 duplicates
    cdef readonly u64 highest
    cdef readonly u64 commands
    cdef readonly u64 answered
    cdef readonly list violations
    cdef dict counts
    cdef readonly dict leaders

    @cython.locals(slot=Py_ssize_t)
    cpdef bint applied(self, u64 replica, u64 position, u64 digest, u64 duplicates, bytes command) except -1
    @cython.locals(effective=bint, recorder=Recorder, size=u64, raw=bytes_pointer, sequence=u64)
    cdef void decided(self, u64 position, u64 duplicates, bytes command) except *
    @cython.locals(raw=bytes_pointer, recorder=Recorder, asked=bint)
    cdef bint asked(self, bytes command, Py_ssize_t row) except -1
    cdef void disagrees(self, u64 replica, u64 position) except *
    @cython.locals(slot=Py_ssize_t, digest=u64)
    cpdef u64 digest_at(self, u64 position) except? 0xFFFFFFFFFFFFFFFF
    cpdef void acknowledged(self, u64 position) except *
    cpdef void restarted(self, u64 replica) except *
    cpdef void led(self, u64 replica, u64 term) except *
    cpdef void finish(self, dict machines) except *
    cpdef void violated(self, str statement) except *


cdef class Watcher:
    cdef readonly Agreement agreement
    cdef readonly bint durable
    cdef readonly bint thorough
    cdef str alone
    cdef str forward
    cdef dict leaders
    cdef list elections
    cdef dict speakers
    cdef dict statuses

    cpdef object kept(self, u64 replica, object record)
    cpdef object promised(self, u64 replica, u64 to, object message)
    cpdef object sent(self, u64 replica, u64 to, object message)
    cpdef object chosen(self, u64 replica, u64 position, u64 digest, bytes command)
    cpdef object led(self, u64 replica, u64 term, u64 applied)
    cpdef object recovered(self, u64 replica, list records, object status)
    cpdef object seen(self, u64 replica, object status)
    @cython.locals(highest=u64)
    cdef tuple elected(self, u64 replica, u64 term)
    cdef void speaks(self, u64 replica, u64 term) except *
    cdef void violated(self, str name, str what) except *
