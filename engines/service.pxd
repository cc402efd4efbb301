cimport cython

ctypedef unsigned long long u64
ctypedef long long i64

cdef i64 NEVER


@cython.final
cdef class Propose:
    cdef readonly i64 origin
    cdef readonly bytes command


@cython.final
cdef class Answer:
    cdef readonly i64 client
    cdef readonly u64 sequence
    cdef readonly bytes result


@cython.final
cdef class LetGo:
    cdef readonly i64 client
    cdef readonly u64 sequence


cdef class Service:
    cdef readonly list effects
    cdef readonly i64 now
    cdef public i64 deadline
    cdef readonly i64 beliefs

    cpdef list led(self, i64 now)
    cpdef list deposed(self, i64 now)
    cpdef list request(self, i64 client, bytes command, i64 now)
    cpdef list applied(self, i64 origin, bytes command, bytes result, i64 now)
    cpdef list tick(self, i64 now)

    cpdef int begin(self, i64 now) except -1
    @cython.locals(effect=Propose)
    cpdef int propose(self, i64 origin, bytes command) except -1
    @cython.locals(effect=Answer)
    cpdef int answer(self, i64 client, u64 sequence, bytes result) except -1
    cpdef int let_go(self, i64 client, u64 sequence) except -1
