cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc

from ext.quorum cimport allocate, release, u64_pointer

ctypedef long long i64
ctypedef unsigned int u32
ctypedef unsigned long long u64


cdef Py_ssize_t FIFO_ROOM

cdef enum:
    SLOT_BITS = 24
    SLOTS = 1 << SLOT_BITS


cdef extern from *:
    """
    static inline void put_payload(PyObject *payloads, Py_ssize_t at, PyObject *payload) {
        PyObject *before = PyList_GET_ITEM(payloads, at);
        Py_INCREF(payload);
        PyList_SET_ITEM(payloads, at, payload);
        Py_DECREF(before);
    }

    static inline PyObject *take_payload(PyObject *payloads, Py_ssize_t at) {
        PyObject *payload = PyList_GET_ITEM(payloads, at);
        Py_INCREF(Py_None);
        PyList_SET_ITEM(payloads, at, Py_None);
        return payload;
    }
    """
    # Both trust the index: a slot of the queue, and a place of a Fifo, lie within the list by construction. ``put`` finds
    # None there, so that no destructor runs.
    void put_payload(list payloads, Py_ssize_t at, object payload)
    object take_payload(list payloads, Py_ssize_t at)


cdef extern from *:
    """
    typedef unsigned __int128 event_due;
    """
    # What the heap moves about is only this: the time in the upper half, the ticket in the lower one, so that one
    # comparison decides. A ticket is the order of pushing and, in its low SLOT_BITS, the slot; the rest of an event stays
    # in its slot, of ``details`` and of ``payloads``. (To Cython a due is any unsigned number.)
    ctypedef u64 due "event_due"


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
    # heap[:used] is a heap of four children a node; the tickets of heap[used:room] keep the slots that are free. Where it
    # is ``hollow``, its root has been popped, and keeps the slot that is free by that: as a rule an event pushes the next
    # one, which then takes that place and sinks, and the heap is put in order once for both.
    cdef due *heap
    cdef bint hollow
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
    queue.hollow = False


cdef inline u64 pending_events(EventQueue queue) noexcept:
    return queue.used - queue.hollow


cdef inline i64 earliest_event(EventQueue queue):
    if queue.hollow:
        _fill(queue)
    if queue.used == 0:
        raise IndexError("no event is pending")
    return <i64>(queue.heap[0] >> 64)


cdef inline int _grow(EventQueue queue) except -1:
    cdef u64 room = 2 * queue.room if queue.room else 64
    cdef u64 slot
    if room > SLOTS:
        raise MemoryError("more events are pending than the queue has slots for")
    cdef due *heap = <due *>PyMem_Realloc(queue.heap, room * sizeof(due))
    if heap == NULL:
        raise MemoryError
    queue.heap = heap
    cdef Detail *details = <Detail *>PyMem_Realloc(queue.details, room * sizeof(Detail))
    if details == NULL:
        raise MemoryError
    queue.details = details
    queue.payloads.extend([None] * <Py_ssize_t>(room - queue.room))
    for slot in range(queue.room, room):
        heap[slot] = slot
    queue.room = room
    return 0


cdef inline void _sink(due *heap, u64 used, due sinking) noexcept:
    # From the root, which is hollow. Which child is the least is a coin toss, so that it is computed, and no branch on it is
    # mispredicted.
    cdef due *hole = heap
    cdef due *child = heap + 1
    cdef due *end = heap + used
    cdef due *least
    cdef due *other
    while child < end:
        if child + 4 <= end:
            least = child + (child[1] < child[0])
            other = child + 2 + (child[3] < child[2])
            least = other if other[0] < least[0] else least
        else:
            least = child
            other = child + 1
            while other < end:
                least = other if other[0] < least[0] else least
                other += 1
        if sinking < least[0]:
            break
        hole[0] = least[0]
        hole = least
        child = heap + 4 * (hole - heap) + 1
    hole[0] = sinking


cdef inline void _fill(EventQueue queue) noexcept:
    # Nothing was pushed since the root was popped: the last takes its place, and the free slot that of the last.
    cdef due root = queue.heap[0]
    queue.hollow = False
    queue.used -= 1
    if queue.used:
        _sink(queue.heap, queue.used, queue.heap[queue.used])
    queue.heap[queue.used] = root


cdef inline int push_event(
    EventQueue queue, i64 time, object payload, u32 kind, u32 target, i64 argument
) except -1:
    assert time >= queue.time, "an event lies in the past"
    if queue.used == queue.room and not queue.hollow:
        _grow(queue)
    cdef due *heap = queue.heap
    cdef u64 hole = 0 if queue.hollow else queue.used
    cdef u64 slot = <u64>heap[hole] & (SLOTS - 1)
    cdef u64 parent
    cdef Detail *detail = &queue.details[slot]
    detail.argument = argument
    detail.kind = kind
    detail.target = target
    put_payload(queue.payloads, <Py_ssize_t>slot, payload)
    cdef due pushed = <due>time << 64 | (queue.order << SLOT_BITS | slot)
    queue.order += 1
    if queue.hollow:
        queue.hollow = False
        _sink(heap, queue.used, pushed)
        return 0
    queue.used += 1
    while hole > 0:
        parent = (hole - 1) >> 2
        if heap[parent] < pushed:
            break
        heap[hole] = heap[parent]
        hole = parent
    heap[hole] = pushed
    return 0


cdef inline object pop_event(EventQueue queue):
    if queue.hollow:
        _fill(queue)
    if queue.used == 0:
        raise IndexError("no event is pending")
    cdef due *heap = queue.heap
    cdef u64 slot = <u64>heap[0] & (SLOTS - 1)
    cdef Detail *detail = &queue.details[slot]
    queue.time = <i64>(heap[0] >> 64)
    queue.kind = detail.kind
    queue.target = detail.target
    queue.argument = detail.argument
    queue.hollow = True
    return take_payload(queue.payloads, <Py_ssize_t>slot)


@cython.final
cdef class Fifo:
    cdef readonly i64 argument
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t first
    cdef Py_ssize_t room
    cdef list payloads
    cdef u64 *arguments

    @cython.locals(at=Py_ssize_t)
    cpdef int push(self, object payload, i64 argument) except -1
    @cython.locals(at=Py_ssize_t)
    cpdef object pop(self)
    @cython.locals(at=Py_ssize_t, arguments=u64_pointer)
    cdef int widen(self) except -1
    cpdef object clear(self)
