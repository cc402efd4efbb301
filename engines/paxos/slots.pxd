cimport cython

from ext.log cimport Log

ctypedef unsigned long long u64


@cython.final
cdef class Slots:
    cdef readonly Log log
    cdef readonly dict islands

    cpdef u64 last(self)
    cpdef bint follows(self, u64 first)
    @cython.locals(log=Log, stop=u64, tail=bytes)
    cpdef object place(self, u64 first, bytes packed)
    @cython.locals(log=Log, ballot=u64)
    cpdef object close_gap(self)
    @cython.locals(log=Log)
    cpdef u64 through(self, u64 start, u64 ballot)
    @cython.locals(log=Log)
    cpdef tuple run(self, u64 asked, u64 max_bytes)
    cpdef object skip_to(self, u64 position, u64 ballot)
    cpdef object replace_from(self, u64 first, u64 ballot, list payloads)
