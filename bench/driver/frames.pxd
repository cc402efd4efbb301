cimport cython

from engines.machine cimport client_of

cdef Py_ssize_t LENGTH_BYTES


@cython.locals(genuine=bint, requests=list)
cpdef list decode_requests(body)
@cython.locals(body=bytes)
cpdef bytes encode(object message)
@cython.locals(frame=bytearray, size=Py_ssize_t, half=Py_ssize_t)
cpdef list encode_messages(list messages, Py_ssize_t limit=*)


@cython.final
cdef class Frames:
    cdef public Py_ssize_t limit
    cdef bytearray rest
    cdef Py_ssize_t wanted

    @cython.locals(size=Py_ssize_t, at=Py_ssize_t, length=Py_ssize_t, bodies=list)
    cpdef list feed(self, data)
