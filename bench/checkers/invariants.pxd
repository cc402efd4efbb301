cimport cython

from bench.metrics.recorder cimport Recorder
from ext.columns cimport words_of
from ext.log cimport bytes_pointer, load_u64

ctypedef unsigned long long u64

cdef u64 RECENT, STRIDE, LOW, OPERATION_AT, KEY_AT, KEY_BYTES


@cython.final
cdef class Agreement:
    cdef list columns
    cdef u64 *recent
    cdef u64 *repeats
    cdef u64 *positions
    cdef u64 *reached
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
    cdef object decided(self, u64 position, u64 duplicates, bytes command)
    @cython.locals(raw=bytes_pointer, recorder=Recorder, asked=bint)
    cdef bint asked(self, bytes command, Py_ssize_t row) except -1
    cdef int disagrees(self, u64 replica, u64 position) except -1
    @cython.locals(slot=Py_ssize_t, digest=u64)
    cpdef u64 digest_at(self, u64 position) except? 0xFFFFFFFFFFFFFFFF
    cpdef object acknowledged(self, u64 position)
    cpdef object restarted(self, u64 replica)
    cpdef object led(self, u64 replica, u64 term)
    cpdef object finish(self, dict machines)
    cpdef object violated(self, str statement)


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
    cdef int speaks(self, u64 replica, u64 term) except -1
    cdef int violated(self, str name, str what) except -1
