cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy, memset

from ext.log cimport bytes_pointer, cut, load_u32, load_u64, store_u64

ctypedef unsigned long long u64


cdef inline u64 load_u16(const unsigned char *raw, u64 at) noexcept:
    return <u64>raw[at] | <u64>raw[at + 1] << 8


cdef inline void store_u32(unsigned char *raw, u64 value) noexcept:
    raw[0] = <unsigned char>value
    raw[1] = <unsigned char>(value >> 8)
    raw[2] = <unsigned char>(value >> 16)
    raw[3] = <unsigned char>(value >> 24)


cdef inline bytes join(
    u64 client, u64 sequence, u64 window, u64 operation, bytes key, bytes expected, bytes value
):
    cdef Py_ssize_t key_bytes = PyBytes_GET_SIZE(key)
    cdef Py_ssize_t expected_bytes = PyBytes_GET_SIZE(expected)
    cdef Py_ssize_t value_bytes = PyBytes_GET_SIZE(value)
    cdef bytes command = PyBytes_FromStringAndSize(NULL, 27 + key_bytes + expected_bytes + value_bytes)
    cdef unsigned char *raw = <unsigned char *>PyBytes_AS_STRING(command)
    store_u64(raw, client)
    store_u64(raw + 8, sequence)
    store_u32(raw + 16, window)
    raw[20] = <unsigned char>operation
    raw[21] = <unsigned char>key_bytes
    raw[22] = <unsigned char>(key_bytes >> 8)
    store_u32(raw + 23, expected_bytes)
    raw += 27
    memcpy(raw, PyBytes_AS_STRING(key), key_bytes)
    memcpy(raw + key_bytes, PyBytes_AS_STRING(expected), expected_bytes)
    memcpy(raw + key_bytes + expected_bytes, PyBytes_AS_STRING(value), value_bytes)
    return command


cdef inline bytes join_numbers(
    u64 client, u64 sequence, u64 window, u64 operation, u64 key, u64 value, Py_ssize_t value_bytes, u64 expected,
    Py_ssize_t expected_bytes
):
    cdef bytes command = PyBytes_FromStringAndSize(NULL, 35 + expected_bytes + value_bytes)
    cdef unsigned char *raw = <unsigned char *>PyBytes_AS_STRING(command)
    store_u64(raw, client)
    store_u64(raw + 8, sequence)
    store_u32(raw + 16, window)
    raw[20] = <unsigned char>operation
    raw[21] = 8
    raw[22] = 0
    store_u32(raw + 23, expected_bytes)
    store_u64(raw + 27, key)
    raw += 35
    if expected_bytes:
        store_u64(raw, expected)
        memset(raw + 8, 0, expected_bytes - 8)
        raw += expected_bytes
    if value_bytes:
        store_u64(raw, value)
        memset(raw + 8, 0, value_bytes - 8)
    return command


cdef inline bint same(bytes known, const unsigned char *raw, u64 start, u64 stop) noexcept:
    return <u64>PyBytes_GET_SIZE(known) == stop - start and memcmp(PyBytes_AS_STRING(known), raw + start, stop - start) == 0


cdef inline bytes found(bytes value):
    cdef Py_ssize_t value_bytes = PyBytes_GET_SIZE(value)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, 1 + value_bytes)
    cdef unsigned char *raw = <unsigned char *>PyBytes_AS_STRING(result)
    raw[0] = 1
    memcpy(raw + 1, PyBytes_AS_STRING(value), value_bytes)
    return result


cdef u64 _ENVELOPE
cdef u64 HEADER_BYTES
cdef u64 NUMBER_BYTES
cdef u64 KEYS_BITS
cdef u64 NOBODY
cdef Py_ssize_t FOUND
cdef u64 WINDOW_LIMIT
cdef u64 KEY_LIMIT_BYTES
cdef u64 COMMAND_LIMIT_BYTES
cdef u64 _GET
cdef u64 _PUT
cdef u64 _APPEND
cdef u64 MASK
cdef u64 GOLDEN
cdef u64 MURMUR


@cython.locals(size=u64, key_bytes=u64)
cpdef bytes encode_command(
    u64 client, u64 sequence, u64 lowest, u64 operation, bytes key, bytes value=*, bytes expected=*
)
cpdef bytes encode_numbers(
    u64 client, u64 sequence, u64 lowest, u64 operation, u64 key, u64 value, Py_ssize_t value_bytes, u64 expected,
    Py_ssize_t expected_bytes
)
@cython.locals(value_from=u64, expected_from=u64, sequence=u64)
cpdef object decode_command(bytes command)
@cython.locals(size=u64)
cpdef u64 client_of(bytes command) except? 0xFFFFFFFFFFFFFFFF
@cython.locals(size=u64)
cpdef u64 sequence_of(bytes command) except? 0xFFFFFFFFFFFFFFFF
@cython.locals(size=u64, raw=bytes_pointer, value_from=u64)
cdef u64 end_of_expected(bytes command) except? 0xFFFFFFFFFFFFFFFF
cpdef u64 mix(u64 digest, u64 position, bytes command) except? 0xFFFFFFFFFFFFFFFF
@cython.locals(size=u64, state=u64, at=u64, word=u64, shift=u64, byte=u64)
cdef u64 mix_part(u64 digest, u64 position, const unsigned char *raw, u64 start, u64 stop) noexcept


@cython.final
cdef class Session:
    cdef readonly u64 client
    cdef readonly u64 lowest
    cdef readonly u64 latest
    cdef readonly bytes result
    cdef readonly dict others

    cpdef bytes answer(self, u64 sequence)
    cpdef object remember(self, u64 sequence, u64 lowest, bytes result)
    @cython.locals(others=dict, sequence=u64, kept=u64)
    cdef object forget_below(self, u64 lowest)
    cpdef list results(self)


@cython.final
cdef class Sessions:
    cdef readonly dict by_client
    cdef list found

    @cython.locals(session=Session, place=Py_ssize_t)
    cpdef Session of(self, u64 client)
    @cython.locals(session=Session)
    cpdef bytes result_of(self, u64 client, u64 sequence)
    cpdef list dump(self)
    cpdef object load(self, list dumped)


cdef class Machine:
    cdef readonly Sessions sessions
    cdef readonly u64 applied
    cdef readonly u64 digest
    cdef readonly u64 duplicates

    @cython.locals(
        size=u64, body_from=u64, raw=bytes_pointer, client=u64, sequence=u64, window=u64, session=Session, result=bytes
    )
    cpdef bytes apply(self, u64 position, bytes command)
    cpdef bytes known(self, bytes command)
    cpdef u64 body_of(self, bytes command) except? 0xFFFFFFFFFFFFFFFF
    cpdef bytes perform(self, bytes command, u64 body_from)
    cpdef bytes snapshot(self)
    cpdef object restore(self, u64 position, bytes state)
    cpdef object resume(self, u64 position, u64 applied, u64 digest, u64 duplicates)


cdef class KeyValue(Machine):
    cdef readonly dict data
    cdef list keys

    cpdef u64 body_of(self, bytes command) except? 0xFFFFFFFFFFFFFFFF
    @cython.locals(raw=bytes_pointer, place=Py_ssize_t, key=bytes)
    cdef bytes key_of(self, bytes command, u64 stop)
    @cython.locals(
        raw=bytes_pointer, size=u64, operation=u64, expected_from=u64, key=bytes, current=bytes, added=bytes
    )
    cpdef bytes perform(self, bytes command, u64 value_from)
    cpdef bytes snapshot(self)
    cpdef object restore(self, u64 position, bytes state)
