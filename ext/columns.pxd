from cpython.buffer cimport PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer

ctypedef unsigned long long u64
ctypedef long long i64
ctypedef unsigned int u32
ctypedef unsigned short u16
ctypedef unsigned char u8


cdef inline void *numbers_of(object array, Py_ssize_t size) except NULL:
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_FORMAT)
    cdef void *numbers = view.buf
    cdef Py_ssize_t own = view.itemsize
    PyBuffer_Release(&view)
    if own != size:
        raise TypeError(f"the numbers of this array have {own} bytes, not {size}")
    return numbers


cdef inline u64 *words_of(object array) except NULL:
    return <u64 *>numbers_of(array, sizeof(u64))


cdef inline i64 *integers_of(object array) except NULL:
    return <i64 *>numbers_of(array, sizeof(i64))


cdef inline u32 *halves_of(object array) except NULL:
    return <u32 *>numbers_of(array, sizeof(u32))


cdef inline u16 *shorts_of(object array) except NULL:
    return <u16 *>numbers_of(array, sizeof(u16))


cdef inline u8 *bytes_of(object array) except NULL:
    return <u8 *>numbers_of(array, sizeof(u8))


cdef inline double *reals_of(object array) except NULL:
    return <double *>numbers_of(array, sizeof(double))
