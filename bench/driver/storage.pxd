cimport cython

ctypedef unsigned long long u64
ctypedef long long i64

cdef int SEGMENT, RECORD, COMPACTED
cdef Py_ssize_t CHECKED_FROM, HEADER_BYTES
cdef i64 RECORD_LIMIT_BYTES


@cython.locals(header=bytes)
cpdef bytes frame_record(int kind, u64 sequence, u64 group, bytes payload)


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
    cdef i64 compaction_from
    cdef bint broken

    cpdef list recover(self, object engine_class)
    @cython.locals(start=Py_ssize_t, at=Py_ssize_t, ends=bint, payloads=list)
    cpdef object write(self, list records, object first=*, object last=*)
    cpdef object close(self)
    @cython.locals(room=i64, payload=bytes)
    cdef i64 _room(self, list payloads) except -1
    @cython.locals(room=i64, group=u64, payload=bytes, parts=list)
    cdef object _append(self, list payloads, bint closes_compaction)
    @cython.locals(count=i64)
    cdef int _put(self, bytes data) except -1
    @cython.locals(began_ns=i64)
    cpdef object _sync(self)
    @cython.locals(opening=bytes)
    cdef int _open_segment(self, i64 room) except -1
    cdef int _drop_before(self, i64 number) except -1
