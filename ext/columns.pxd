from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

ctypedef unsigned long long u64
ctypedef long long i64
ctypedef unsigned int u32
ctypedef unsigned short u16
ctypedef unsigned char u8


cdef inline void *numbers_of(object array) except NULL:
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    cdef void *numbers = view.buf
    PyBuffer_Release(&view)
    return numbers


cdef inline u64 *words_of(object array) except NULL:
    return <u64 *>numbers_of(array)


cdef inline i64 *integers_of(object array) except NULL:
    return <i64 *>numbers_of(array)


cdef inline u32 *halves_of(object array) except NULL:
    return <u32 *>numbers_of(array)


cdef inline u16 *shorts_of(object array) except NULL:
    return <u16 *>numbers_of(array)


cdef inline u8 *bytes_of(object array) except NULL:
    return <u8 *>numbers_of(array)


cdef inline double *reals_of(object array) except NULL:
    return <double *>numbers_of(array)
