cimport cython

from ext.columns cimport bytes_of, halves_of, integers_of, shorts_of, words_of

ctypedef unsigned long long u64
ctypedef long long i64

cdef Py_ssize_t SHIFT, MASK
cdef i64 PENDING
cdef int OK, FAILED, UNKNOWN


@cython.final
cdef class Chunk:
    cdef readonly dict columns
    cdef i64 *intended_ns
    cdef i64 *started_ns
    cdef i64 *completed_ns
    cdef u64 *value
    cdef u64 *expected
    cdef u64 *returned
    cdef unsigned int *key
    cdef unsigned int *client
    cdef unsigned int *size
    cdef unsigned short *attempts
    cdef unsigned char *kind
    cdef unsigned char *status


cdef class Recorder:
    cdef i64 window_start_ns
    cdef i64 window_stop_ns
    cdef list chunks
    cdef readonly Py_ssize_t count
    cdef readonly i64 outstanding
    cdef readonly i64 outstanding_ns
    cdef i64 changed_ns

    @cython.locals(row=Py_ssize_t, at=Py_ssize_t, chunk=Chunk)
    cpdef Py_ssize_t begin(
        self, i64 now, i64 intended_ns, unsigned int client, int kind, unsigned int key, unsigned int size
    ) except -1
    @cython.locals(chunk=Chunk)
    cpdef object set_values(self, Py_ssize_t row, u64 value, u64 expected)
    @cython.locals(chunk=Chunk)
    cpdef object sent(self, Py_ssize_t row, i64 now)
    @cython.locals(chunk=Chunk, at=Py_ssize_t)
    cpdef object complete(self, Py_ssize_t row, i64 now, int status, u64 returned)
    @cython.locals(chunk=Chunk)
    cpdef object retried(self, Py_ssize_t row)
    @cython.locals(chunk=Chunk, pending=bint)
    cpdef bint pending(self, Py_ssize_t row) except -1
    @cython.locals(chunk=Chunk, attempts=int)
    cpdef int attempts_of(self, Py_ssize_t row) except -1
    @cython.locals(chunk=Chunk, client=i64)
    cpdef i64 client_of(self, Py_ssize_t row) except -1
    @cython.locals(chunk=Chunk, kind=int)
    cpdef int kind_of(self, Py_ssize_t row) except -1
    @cython.locals(chunk=Chunk, key=u64)
    cpdef u64 key_of(self, Py_ssize_t row) except? 0
    @cython.locals(chunk=Chunk, at=Py_ssize_t, same=bint)
    cpdef bint asked(self, Py_ssize_t row, u64 client, int kind, u64 key) except -1
    @cython.locals(chunk=Chunk, size=i64)
    cpdef i64 size_of(self, Py_ssize_t row) except -1
    @cython.locals(chunk=Chunk, expected=u64)
    cpdef u64 expected_of(self, Py_ssize_t row) except? 0
    @cython.locals(chunk=Chunk, started=i64)
    cpdef i64 started_ns(self, Py_ssize_t row) except? -1
    @cython.locals(start=i64, stop=i64)
    cpdef object advance(self, i64 now)
