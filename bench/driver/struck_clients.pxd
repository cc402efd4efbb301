from bench.driver.clients cimport Session
from bench.driver.lock_clients cimport LockClients, Tenant

ctypedef unsigned long long u64
ctypedef long long i64

cdef int ISSUE, RETRY
cdef i64 NEVER


cdef class StruckClients(LockClients):
    cpdef Tenant new_tenant(self, Session session, object options)
    cdef object come_back(self, Tenant tenant)
    cdef object ask(self, Tenant tenant, object effect)
    cdef object issue(self, Py_ssize_t client)
    cdef object retry(self, i64 argument)
    cdef object answered(self, Py_ssize_t client, i64 sequence, bytes result)
    cdef object redirected(self, Py_ssize_t client, i64 sequence, u64 leader)
    cpdef object reset(self, u64 replica)
    cdef object completed(self, Tenant tenant, object effect)
    cdef object turned(self, Tenant tenant, object state)
