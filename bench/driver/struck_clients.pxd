from bench.driver.lock_clients cimport LockClients

ctypedef unsigned long long u64
ctypedef long long i64


cdef class StruckClients(LockClients):
    cdef i64 errands_ns

    cpdef object ask(self, object tenant, u64 replica, bytes command)
    cdef void issue(self, Py_ssize_t client) except *
    cdef void retry(self, i64 argument) except *
    cdef void answered(self, Py_ssize_t client, i64 sequence, bytes result) except *
    cdef void redirected(self, Py_ssize_t client, i64 sequence, u64 leader) except *
    cpdef void reset(self, u64 replica) except *
