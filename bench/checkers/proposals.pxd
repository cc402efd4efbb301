cimport cython

from bench.checkers.invariants cimport Agreement
from engines.machine cimport same
from ext.columns cimport words_of
from ext.log cimport append_u64, bytes_pointer, load_u32, load_u64

ctypedef unsigned long long u64

cdef u64 RING, RING_LOW, RING_BYTES, DIGEST_BYTES, HEADER_BYTES, ABSENT, MASK, GOLDEN, STEP


@cython.locals(found=u64, factor=u64)
cdef u64 fingerprint(const unsigned char *raw, u64 start, u64 stop) noexcept


@cython.final
cdef class Values:
    cdef readonly u64 start
    cdef readonly u64 stop
    cdef bytearray column
    cdef dict others

    @cython.locals(raw=bytes_pointer)
    cpdef u64 at(self, u64 slot) except? 0xFFFFFFFFFFFFFFFF
    cpdef object add(self, u64 slot, u64 value)


@cython.final
cdef class Proposals:
    cdef readonly Agreement agreement
    cdef dict values
    cdef u64 highest
    cdef Values newest
    cdef bytearray chosen
    cdef readonly u64 decided
    cdef list bounds
    cdef u64 bound
    cdef list entries
    cdef list columns
    cdef u64 *firsts
    cdef u64 *stops
    cdef u64 *ballots
    cdef u64 *found
    cdef u64 value

    @cython.locals(slot=Py_ssize_t, stop=u64)
    cpdef u64 note(self, u64 ballot, u64 first, bytes entries) except? 0xFFFFFFFFFFFFFFFF
    @cython.locals(raw=bytes_pointer, offset=u64, slot=u64, size=u64, uniform=bint, own=u64, length=u64, value=u64)
    cdef u64 note_each(self, u64 ballot, u64 first, bytes entries) except? 0xFFFFFFFFFFFFFFFF
    @cython.locals(values=Values, known=u64)
    cpdef object propose(self, u64 ballot, u64 slot, u64 value)
    cdef Values of(self, u64 ballot, u64 slot)
    @cython.locals(value=u64)
    cpdef object choose(self, u64 slot, bytes command)
    @cython.locals(at=Py_ssize_t, entries=bytes, raw=bytes_pointer, known=u64)
    cdef u64 value_of(self, u64 slot, bytes command) except? 0
    @cython.locals(raw=bytes_pointer)
    cdef u64 value_chosen(self, u64 slot) except? 0xFFFFFFFFFFFFFFFF
    cdef u64 bound_of(self, u64 slot) except? 0xFFFFFFFFFFFFFFFF
