cimport cython

from bench.checkers.beliefs cimport Believer, LockWatcher
from bench.driver.clients cimport Population, Session
from bench.driver.network cimport Chances, Durations, Link
from engines.lock_service.client cimport Client

ctypedef unsigned long long u64
ctypedef long long i64

cdef int ISSUE, REQUEST, RETRY, REQUEST_BYTES, TOKEN_BYTES, NAME_BITS, EXCLUSIVE, SHARED
cdef int ACQUIRE, ACQUIRE_SHARED, RELEASE, RELEASE_SHARED, READ, WRITE, OK, FAILED
cdef i64 NEVER, NOTHING
cdef u64 NOBODY


cdef class Tenant(Believer):
    cdef readonly Session session
    cdef object state
    cdef public i64 wakes_ns
    cdef public i64 due_ns
    cdef dict handles
    cdef i64 lock
    cdef bint reading
    cdef int mode
    cdef i64 call
    cdef i64 row
    cdef dict left
    cdef public object held
    cdef i64 granted_ns
    cdef bint to_write
    cdef tuple late
    cdef readonly i64 lease_until_ns
    cdef readonly i64 requests
    cdef readonly i64 keep_alives
    cdef readonly i64 cache_hits

    cpdef i64 real(self, i64 local) noexcept


cdef class LockClients(Population):
    cdef i64 part
    cdef i64 parts
    cdef readonly list tenants
    cdef readonly object habits
    cdef i64 first_ns
    cdef i64 last_ns
    cdef list drawn
    cdef list moments
    cdef list lost
    cdef object acknowledged
    cdef public LockWatcher watcher

    cpdef Tenant new_tenant(self, Session session, object options)
    cdef object told(self, Tenant tenant, object event)
    cdef i64 now(self) except? -1
    cdef Session session_of(self, Py_ssize_t client)
    cdef object begin(self, Tenant tenant)
    @cython.locals(chances=Chances)
    cdef bint happens(self, double share) except -1
    cdef i64 next_lock(self, Tenant tenant) except -1
    cdef object use(self, Tenant tenant)
    cdef object acquire(self, Tenant tenant)
    @cython.locals(library=Client, now=i64, hits=i64)
    cdef object read(self, Tenant tenant)
    cdef object end_hold(self, Tenant tenant, object held)
    @cython.locals(library=Client, size=Py_ssize_t)
    cdef object write(self, Tenant tenant, object sequencer)
    @cython.locals(call=i64)
    cdef object release(self, Tenant tenant, object held)
    @cython.locals(now=i64)
    cdef object operate(self, Tenant tenant, int kind, i64 size)
    @cython.locals(client=u64, row=i64)
    cdef object completed(self, Tenant tenant, object effect)
    cdef object refused(self, Tenant tenant, object answer)
    cdef object written(self, Tenant tenant, int status)
    cdef object succeed(self, Tenant tenant, u64 returned)
    cdef object later(self, Tenant tenant, Durations durations)
    @cython.locals(now=i64)
    cdef object die(self, Tenant tenant, object held)
    cdef object come_back(self, Tenant tenant)
    cdef object expired(self, Tenant tenant)
    cdef object begin_anew(self, Tenant tenant)
    cdef object open_session(self, Tenant tenant)
    cdef object lose(self, Tenant tenant, object held, i64 since_ns, int why)
    cdef object happened(self, i64 now, Tenant tenant, int what)
    cdef object turned(self, Tenant tenant, object state)
    @cython.locals(library=Client, now=i64, due_ns=i64)
    cdef object attend(self, Tenant tenant)
    @cython.locals(link=Link, now=i64, arrival=i64)
    cdef object ask(self, Tenant tenant, object effect)
    @cython.locals(tenant=Tenant)
    cdef object issue(self, Py_ssize_t client)
    @cython.locals(tenant=Tenant)
    cdef object retry(self, i64 argument)
    @cython.locals(tenant=Tenant)
    cdef object answered(self, Py_ssize_t client, i64 sequence, bytes result)
    @cython.locals(tenant=Tenant)
    cdef object redirected(self, Py_ssize_t client, i64 sequence, u64 leader)
    cdef object let_go(self, Py_ssize_t client, i64 sequence)
    @cython.locals(tenant=Tenant)
    cpdef object start(self)
    @cython.locals(tenant=Tenant)
    cpdef object disconnected(self, u64 replica)
    @cython.locals(tenant=Tenant)
    cpdef object reset(self, u64 replica)
    @cython.locals(tenant=Tenant)
    cpdef object finish(self)
    @cython.locals(each=Tenant)
    cpdef object record(self)
