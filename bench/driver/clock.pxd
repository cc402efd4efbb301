ctypedef long long i64


cdef class Clock:
    cdef readonly double rate
    cdef i64 base_ns
    cdef i64 set_ns

    cpdef i64 local(self, i64 now) noexcept
    cpdef i64 real(self, i64 local) noexcept
    cpdef object set_rate(self, double rate, i64 now)
