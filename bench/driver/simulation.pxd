cimport cython

from bench.checkers.beliefs cimport LockWatcher
from bench.checkers.invariants cimport Agreement, Watcher
from bench.driver.clients cimport Population
from bench.driver.host cimport Host, World
from bench.driver.network cimport Link
from bench.driver.node cimport Node
from bench.driver.wire cimport Kind
from engines.core cimport Persist
from ext.events cimport EventQueue, Fifo, pop_event, push_event

ctypedef unsigned long long u64
ctypedef long long i64

cdef int ACTION, ANSWER, ARRIVE, BREAK, ISSUE, LET_GO, PROCESS, PROCESS_REQUEST, REDIRECTED, REQUEST, RETRY, STOP, SYNCED, WAKE
cdef int ACCEPTED, REFUSED, ANSWER_BYTES, REQUEST_BYTES
cdef i64 LOST, SLICE_BYTES, FEMTOSECONDS, FROM_CLIENT, CLIENT

cdef i64 whole_ns(u64 femtoseconds) noexcept


cdef class Simulation(World):
    cdef readonly EventQueue queue
    cdef readonly EventQueue client_queue
    cdef readonly i64 now
    cdef readonly list nodes
    cdef object new_host
    cdef readonly dict kinds
    cdef i64 cpu_byte_fs
    cdef i64 nic_byte_fs
    cdef i64 disk_byte_fs
    cdef bint free_cpu
    cdef dict record_kinds
    cdef readonly Agreement agreement
    cdef public Watcher watcher
    cdef public LockWatcher lock_watcher
    cdef public Population clients
    cdef readonly list leaders
    cdef readonly list noticed
    cdef readonly i64 requests
    cdef readonly i64 events
    cdef public bint keeps_records
    cdef bint releasing
    cdef public object trace

    @cython.locals(node=Node)
    cpdef object set_clock_rate(self, u64 id, double rate)
    @cython.locals(node=Node)
    cpdef object boot(self, u64 id)
    @cython.locals(node=Node, peer=Node, persist=Persist)
    cpdef object crash(self, u64 id, Py_ssize_t survivors)
    @cython.locals(node=Node)
    cpdef object halt(self, u64 id)
    @cython.locals(node=Node)
    cpdef object go_on(self, u64 id)
    @cython.locals(queue=EventQueue, nodes=list, clients=Population, kind=int, argument=i64)
    cpdef object run(self, i64 until)
    cpdef object at(self, i64 time, object action, i64 argument=*)

    @cython.locals(kind=Kind, size=i64, node=Node)
    cpdef object transmit(self, Host host, u64 to, object message)
    @cython.locals(arrival=i64, argument=i64)
    cdef object convey(self, Node node, u64 to, Link link, object message, i64 size, i64 depart)
    @cython.locals(link=Link, ready=i64)
    cdef object send(self, Node node, u64 to, object message, i64 size)
    @cython.locals(gone=i64, size=i64)
    cpdef object send_slice(self, Node node, Link link, list leaving, u64 to)
    @cython.locals(depart=i64)
    cdef i64 depart(self, Node node, i64 size) except -1
    @cython.locals(done=i64)
    cdef i64 pay_cpu(self, Node node, i64 size) except -1
    @cython.locals(depart=i64)
    cdef i64 pay_nic(self, Node node, i64 size, i64 ready) except -1
    @cython.locals(own=i64)
    cdef i64 cpu_cost(self, Node node, i64 size) except -1
    @cython.locals(link=Link, source=Node)
    cdef object arrive(self, Node node, i64 argument, object message)
    @cython.locals(start=i64, finish=i64, size=i64, kind=int, command=bytes)
    cdef object take(self, Node node, object payload, i64 argument)
    @cython.locals(waiting=Fifo)
    cdef int take_next(self, Node node) except -1
    cdef int process(self, Node node, i64 argument, object message) except -1
    cdef int handle(self, Node node, u64 sender, object message) except -1

    cdef int hold(self, u64 sender, u64 to, Link link, object message, i64 size) except -1
    @cython.locals(link=Link)
    cdef int schedule_break(self, u64 one, u64 other, i64 at_ns) except -1
    cdef object break_if_dead(self, u64 one, i64 argument)
    cpdef object break_connection(self, u64 one, u64 other, i64 only=*)
    cpdef object tell_disconnected(self, Node node, u64 peer)
    cpdef object renew(self, u64 id)
    cpdef object block(self, u64 one, u64 other)
    cpdef object unblock(self, u64 one, u64 other)
    @cython.locals(link=Link, arrival=i64)
    cdef object release(self, u64 one, u64 other)

    @cython.locals(node=Node, persist=Persist, size=i64, duration=i64)
    cpdef object write(self, Host host, list persists)
    @cython.locals(kind=Kind, size=i64)
    cdef i64 record_size(self, Node node, object record) except -1
    @cython.locals(persist=Persist, watcher=Watcher)
    cdef int synced(self, Node node, i64 incarnation) except -1
    cdef object keep(self, Node node, object record)

    @cython.locals(deadline=i64, wake_at=i64)
    cdef int arm(self, Node node) except -1
    @cython.locals(local=i64)
    cdef object wake(self, Node node, i64 incarnation)

    cdef object requested(self, Node node, i64 client, bytes command)
    cdef int process_request(self, Node node, i64 argument, bytes command) except -1
    cdef int serve(self, Node node, i64 client, bytes command) except -1
    @cython.locals(node=Node, size=i64, depart=i64, arrival=i64)
    cpdef object answer(
        self, Host host, i64 client, u64 sequence, int outcome, u64 leader, bytes result
    )

    @cython.locals(digest=u64, first=bint)
    cpdef object applied(self, Host host, u64 position, bytes command, bint answered)
    cpdef object led(self, Host host)
    cpdef object lost_leader(self, Host host)
    cpdef object believed(self, Host host)
