from engines.core cimport Engine

ctypedef unsigned long long u64
ctypedef long long i64


cdef class Unreplicated(Engine):
    cdef readonly bint serving

    cdef object drop_through(self, u64 position)
