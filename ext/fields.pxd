cimport cython

cdef extern from *:
    """
    #include "structmember.h"

    static Py_ssize_t slot_offset(PyObject *member) {
        if (!PyObject_TypeCheck(member, &PyMemberDescr_Type)) {
            PyErr_SetString(PyExc_TypeError, "not a member that objects of the class keep in a slot");
            return -1;
        }
        return ((PyMemberDescrObject *)member)->d_member->offset;
    }

    static inline PyObject *slot_value(PyObject *holder, Py_ssize_t offset) {
        PyObject *value = *(PyObject **)((char *)holder + offset);
        Py_XINCREF(value);
        return value;
    }
    """
    Py_ssize_t slot_offset(object member) except -1
    object slot_value(object holder, Py_ssize_t offset)


cdef Py_ssize_t HEAD_BYTES, SLOT_BYTES

@cython.locals(expected=Py_ssize_t)
cpdef object require_layout(object kind)
