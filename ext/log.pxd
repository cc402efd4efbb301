cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy, memset

ctypedef unsigned int u32
ctypedef unsigned long long u64
ctypedef const unsigned char *bytes_pointer


# Byte by byte, so that the format is the same on every machine; the C compiler merges them into one access.
cdef inline u64 load_u64(const unsigned char *raw, u64 at) noexcept:
    raw += at
    return (
        <u64>raw[0] | <u64>raw[1] << 8 | <u64>raw[2] << 16 | <u64>raw[3] << 24
        | <u64>raw[4] << 32 | <u64>raw[5] << 40 | <u64>raw[6] << 48 | <u64>raw[7] << 56
    )


cdef inline u64 load_u32(const unsigned char *raw, u64 at) noexcept:
    raw += at
    return <u64>raw[0] | <u64>raw[1] << 8 | <u64>raw[2] << 16 | <u64>raw[3] << 24


cdef inline void store_u64(unsigned char *raw, u64 value) noexcept:
    raw[0] = <unsigned char>value
    raw[1] = <unsigned char>(value >> 8)
    raw[2] = <unsigned char>(value >> 16)
    raw[3] = <unsigned char>(value >> 24)
    raw[4] = <unsigned char>(value >> 32)
    raw[5] = <unsigned char>(value >> 40)
    raw[6] = <unsigned char>(value >> 48)
    raw[7] = <unsigned char>(value >> 56)


cdef inline bytes cut(const unsigned char *raw, u64 start, u64 stop):
    return PyBytes_FromStringAndSize(<const char *>raw + start, <Py_ssize_t>(stop - start))


# The number, and zeros behind it up to ``size`` bytes, which must be at least 8.
cdef inline bytes pack_u64(u64 value, Py_ssize_t size):
    cdef bytes packed = PyBytes_FromStringAndSize(NULL, size)
    cdef unsigned char *raw = <unsigned char *>PyBytes_AS_STRING(packed)
    store_u64(raw, value)
    memset(raw + 8, 0, size - 8)
    return packed


cdef extern from *:
    """
    #if defined(__linux__)
    #include <sys/mman.h>
    #endif
    #ifndef MADV_POPULATE_WRITE
    #define MADV_POPULATE_WRITE 23
    #endif
    #define LARGE_BYTES (1 << 18)
    #define AT_ONCE_BYTES (8 << 20)
    /* A large buffer has room for an eighth more after a resize: its pages are asked for at once, which costs half of a fault
       for each. Where the system does not know how, they come one by one. */
    static inline void have_room(PyObject *object) {
    #if defined(__linux__)
        PyByteArrayObject *buffer = (PyByteArrayObject *)object;
        if (buffer->ob_alloc >= LARGE_BYTES) {
            uintptr_t start = ((uintptr_t)buffer->ob_start + Py_SIZE(buffer) + 4095) & ~(uintptr_t)4095;
            uintptr_t stop = ((uintptr_t)buffer->ob_bytes + buffer->ob_alloc) & ~(uintptr_t)4095;
            if (start < stop)
                (void)madvise((void *)start, stop - start < AT_ONCE_BYTES ? stop - start : AT_ONCE_BYTES, MADV_POPULATE_WRITE);
        }
    #endif
    }
    static inline int extend_in_place(PyObject *object, Py_ssize_t size) {
        PyByteArrayObject *buffer = (PyByteArrayObject *)object;
        if (buffer->ob_exports || (buffer->ob_start - buffer->ob_bytes) + size >= buffer->ob_alloc)
            return 0;
        Py_SET_SIZE(buffer, size);
        buffer->ob_start[size] = 0;
        return 1;
    }
    """
    # What a resize comes to where there is room: whether there was.
    bint extend_in_place(bytearray buffer, Py_ssize_t size)
    void have_room(bytearray buffer)


cdef inline unsigned char *grow(bytearray buffer, Py_ssize_t more) except NULL:
    cdef Py_ssize_t size = PyByteArray_GET_SIZE(buffer)
    if size == 0 or not extend_in_place(buffer, size + more):
        PyByteArray_Resize(buffer, size + more)
        have_room(buffer)
    return <unsigned char *>PyByteArray_AS_STRING(buffer) + size


cdef inline int append_u64(bytearray buffer, u64 value) except -1:
    store_u64(grow(buffer, 8), value)
    return 0


cdef inline int append_bytes(bytearray buffer, bytes more) except -1:
    cdef Py_ssize_t length = PyBytes_GET_SIZE(more)
    memcpy(grow(buffer, length), PyBytes_AS_STRING(more), length)
    return 0


cdef inline int append_entry(bytearray buffer, u64 term, bytes payload) except -1:
    cdef Py_ssize_t length = PyBytes_GET_SIZE(payload)
    cdef unsigned char *raw = grow(buffer, 12 + length)
    store_u64(raw, term)
    raw[8] = <unsigned char>length
    raw[9] = <unsigned char>(length >> 8)
    raw[10] = <unsigned char>(length >> 16)
    raw[11] = <unsigned char>(length >> 24)
    memcpy(raw + 12, PyBytes_AS_STRING(payload), length)
    return 0


cdef u64 HEADER_BYTES
cdef u64 INDEX_BYTES
cdef u64 POSITION_LIMIT
cdef Py_ssize_t PAYLOAD_LIMIT_BYTES


@cython.final
cdef class Log:
    cdef readonly u64 base
    cdef readonly u64 base_term
    cdef readonly u64 last
    cdef readonly u64 last_term
    cdef u64 dropped
    cdef bytearray buffer
    cdef bytearray index

    cpdef object reset(self, u64 base, u64 base_term)
    @cython.locals(raw=bytes_pointer)
    cdef u64 start(self, u64 position) except? 0xFFFFFFFFFFFFFFFF
    cdef int require(self, u64 first, u64 stop) except -1
    @cython.locals(start=u64)
    cpdef u64 append(self, u64 term, bytes payload)
    cpdef u64 extend(self, u64 term, list payloads)
    @cython.locals(raw=bytes_pointer, entries=u64, end=u64, offset=u64, newest=u64)
    cpdef u64 append_packed(self, bytes packed)
    @cython.locals(raw=bytes_pointer)
    cpdef bytes slice(self, u64 first, u64 stop)
    @cython.locals(start=u64, low=u64, high=u64, middle=u64)
    cpdef u64 stop_within(self, u64 first, u64 max_bytes)
    @cython.locals(raw=bytes_pointer, offset=u64)
    cpdef bytes payload(self, u64 position)
    @cython.locals(raw=bytes_pointer, offset=u64, length=u64, found=list)
    cpdef list payloads(self, u64 first, u64 stop)
    @cython.locals(raw=bytes_pointer)
    cpdef u64 term(self, u64 position)
    cpdef object truncate(self, u64 position)
    @cython.locals(drop=u64)
    cpdef object compact(self, u64 position)
    @cython.locals(raw=bytes_pointer, stored=bytes_pointer, size=u64, position=u64, offset=u64, following=u64)
    cpdef u64 conflict(self, u64 first, bytes packed)


@cython.locals(following=u64)
cdef u64 after(const unsigned char *raw, u64 offset, u64 size) except? 0xFFFFFFFFFFFFFFFF

@cython.locals(raw=bytes_pointer, size=u64, offset=u64, entries=u64)
cpdef u64 count(bytes packed)

@cython.locals(raw=bytes_pointer, size=u64, offset=u64)
cpdef bytes skip(bytes packed, u64 entries)

@cython.locals(packed=bytearray, term=u64, payload=bytes)
cpdef bytes pack(list entries)

@cython.locals(raw=bytes_pointer, size=u64, entries=list, offset=u64, following=u64)
cpdef list unpack(bytes packed)

cpdef bytes retag(bytes packed, u64 term)
