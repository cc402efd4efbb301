cimport cython

from bench.driver.cores cimport Process

ctypedef long long i64

cdef i64 NEVER


@cython.final
cdef class Disk:
    cdef double contention
    cdef readonly list active
    cdef i64 now

    cpdef object begin(self, Process process, double alone_ns, i64 now)
    @cython.locals(process=Process)
    cpdef list finished(self, i64 now)
    cpdef object abandon(self, Process process, i64 now)
    cpdef object next_ns(self)
    cdef double slowness(self) except? -1.0
    @cython.locals(process=Process, passed=double)
    cdef int advance(self, i64 now) except -1
