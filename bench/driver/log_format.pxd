cimport cython

ctypedef unsigned long long u64
ctypedef long long i64

cdef Py_ssize_t CHECKED_FROM
cdef i64 RECORD_LIMIT_BYTES


cpdef bytes frame_record(int kind, u64 sequence, u64 group, bytes payload)
@cython.locals(header=bytes)
cpdef bytes frame_header(int kind, u64 sequence, u64 group, bytes payload)
