cimport cython
from cpython.list cimport PyList_GET_ITEM, PyList_SET_ITEM
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.ref cimport Py_DECREF, Py_INCREF

from ext.quorum cimport allocate, release, u64_pointer

ctypedef long long i64
ctypedef unsigned int u32
ctypedef unsigned long long u64


cdef Py_ssize_t FIFO_ROOM

cdef enum:
    SLOT_BITS = 24
    SLOTS = 1 << SLOT_BITS


# What the heap moves about is only this; the rest of an event stays in its slot, of ``details`` and of ``payloads``.
# A ticket is the order of pushing and, in its low SLOT_BITS, the slot.
cdef struct Due:
    i64 time
    u64 ticket


cdef struct Detail:
    i64 argument
    u32 kind
    u32 target


@cython.final
cdef class EventQueue:
    cdef readonly i64 time
    cdef readonly i64 argument
    cdef readonly u32 kind
    cdef readonly u32 target
    cdef u64 order
    cdef u64 used
    cdef u64 room
    # heap[:used] is a heap of four children a node; the tickets of heap[used:room] keep the slots that are free.
    cdef Due *heap
    cdef Detail *details
    cdef list payloads

    cpdef object push(self, i64 time, object payload, u32 kind=*, u32 target=*, i64 argument=*)
    cpdef object pop(self)
    cpdef i64 peek_time(self)
    cpdef object clear(self)


cdef inline void clear_events(EventQueue queue) noexcept:
    PyMem_Free(queue.heap)
    PyMem_Free(queue.details)
    queue.heap = NULL
    queue.details = NULL
    queue.used = 0
    queue.room = 0


cdef inline u64 pending_events(EventQueue queue) noexcept:
    return queue.used


cdef inline i64 earliest_event(EventQueue queue):
    if queue.used == 0:
        raise IndexError("no event is pending")
    return queue.heap[0].time


cdef inline bint _before(const Due *left, const Due *right) noexcept:
    # No shortcuts: which of two is first is a coin toss, and a branch on it would be mispredicted half of the time.
    return (left.time < right.time) | ((left.time == right.time) & (left.ticket < right.ticket))


cdef inline int _grow(EventQueue queue) except -1:
    cdef u64 room = 2 * queue.room if queue.room else 64
    cdef u64 slot
    if room > SLOTS:
        raise MemoryError("more events are pending than the queue has slots for")
    cdef Due *heap = <Due *>PyMem_Realloc(queue.heap, room * sizeof(Due))
    if heap == NULL:
        raise MemoryError
    queue.heap = heap
    cdef Detail *details = <Detail *>PyMem_Realloc(queue.details, room * sizeof(Detail))
    if details == NULL:
        raise MemoryError
    queue.details = details
    queue.payloads.extend([None] * <Py_ssize_t>(room - queue.room))
    for slot in range(queue.room, room):
        heap[slot].ticket = slot
    queue.room = room
    return 0


# A slot is below ``room``, which is the length of ``payloads``: no index needs to be checked. What is replaced is None,
# or held by the caller as well: no destructor runs here.
cdef inline void _put(list payloads, u64 slot, object payload) noexcept:
    Py_DECREF(<object>PyList_GET_ITEM(payloads, <Py_ssize_t>slot))
    Py_INCREF(payload)
    PyList_SET_ITEM(payloads, <Py_ssize_t>slot, payload)


cdef inline int push_event(
    EventQueue queue, i64 time, object payload, u32 kind, u32 target, i64 argument
) except -1:
    assert time >= queue.time, "an event lies in the past"
    if queue.used == queue.room:
        _grow(queue)
    cdef Due *heap = queue.heap
    cdef u64 hole = queue.used
    cdef u64 slot = heap[hole].ticket & (SLOTS - 1)
    cdef u64 parent
    queue.details[slot].argument = argument
    queue.details[slot].kind = kind
    queue.details[slot].target = target
    _put(queue.payloads, slot, payload)
    cdef u64 ticket = queue.order << SLOT_BITS | slot
    queue.order += 1
    queue.used += 1
    while hole > 0:
        parent = (hole - 1) >> 2
        if heap[parent].time <= time:
            break
        heap[hole] = heap[parent]
        hole = parent
    heap[hole].time = time
    heap[hole].ticket = ticket
    return 0


cdef inline void _settle(Due *heap, u64 used, const Due *last) noexcept:
    # Let the hole at the root sink to where ``last`` belongs.
    cdef u64 hole = 0
    cdef u64 child, left, right, least
    while True:
        child = 4 * hole + 1
        if child >= used:
            break
        if child + 4 <= used:
            left = child + _before(&heap[child + 1], &heap[child])
            right = child + 2 + _before(&heap[child + 3], &heap[child + 2])
            least = right if _before(&heap[right], &heap[left]) else left
        else:
            least = child
            for left in range(child + 1, used):
                least = left if _before(&heap[left], &heap[least]) else least
        if _before(last, &heap[least]):
            break
        heap[hole] = heap[least]
        hole = least
    heap[hole] = last[0]


cdef inline object pop_event(EventQueue queue):
    if queue.used == 0:
        raise IndexError("no event is pending")
    cdef Due *heap = queue.heap
    cdef u64 slot = heap[0].ticket & (SLOTS - 1)
    cdef Detail *detail = &queue.details[slot]
    cdef Due last
    queue.time = heap[0].time
    queue.kind = detail.kind
    queue.target = detail.target
    queue.argument = detail.argument
    queue.used -= 1
    if queue.used:
        last = heap[queue.used]
        _settle(heap, queue.used, &last)
    heap[queue.used].ticket = slot
    payload = <object>PyList_GET_ITEM(queue.payloads, <Py_ssize_t>slot)
    _put(queue.payloads, slot, None)
    return payload


@cython.final
cdef class Fifo:
    cdef readonly u64 argument
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t first
    cdef Py_ssize_t room
    cdef list payloads
    cdef u64 *arguments

    @cython.locals(at=Py_ssize_t)
    cpdef void push(self, object payload, u64 argument) except *
    @cython.locals(at=Py_ssize_t)
    cpdef object pop(self)
    @cython.locals(at=Py_ssize_t, arguments=u64_pointer)
    cdef void widen(self) except *
    cpdef void clear(self) except *
