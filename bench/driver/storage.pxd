cimport cython

from bench.driver.log_format cimport frame_record

ctypedef unsigned long long u64
ctypedef long long i64

cdef int SEGMENT, REUSED, RECORD
cdef Py_ssize_t HEADER_BYTES, EDGES_BYTES


cdef class WriteAheadLog:
    cdef readonly object folder
    cdef i64 segment_bytes
    cdef readonly str torn
    cdef readonly i64 syncs
    cdef readonly i64 sync_ns
    cdef readonly i64 written_bytes
    cdef int file
    cdef int lock
    cdef int directory
    cdef readonly i64 number
    cdef readonly i64 at
    cdef i64 capacity
    cdef u64 sequence
    cdef bytes opening
    cdef readonly bytes end
    cdef i64 prepared_after
    cdef i64 compaction_from
    cdef readonly object segments
    cdef bint broken

    cpdef list recover(self, object engine_class)
    @cython.locals(start=Py_ssize_t, ends=bint, payloads=list)
    cpdef object write(self, list records, object first=*, object last=*)
    cpdef object close(self)
    cdef int _begin_compaction(self, list payloads, object first, i64 room) except -1
    @cython.locals(room=i64, payload=bytes)
    cdef i64 _room(self, list payloads) except -1
    @cython.locals(room=i64, group=u64, payload=bytes, parts=list, data=bytes)
    cdef object _append(self, list payloads)
    @cython.locals(began_ns=i64)
    cpdef object _sync(self)
    @cython.locals(reused=bint, file=int)
    cdef int _advance(self, i64 room) except -1
