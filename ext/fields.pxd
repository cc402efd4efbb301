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

    static inline PyObject *emptied(PyObject *list) {
        if (Py_REFCNT(list) > 2)  // more than the attribute that it was read from, and Cython for this call
            return PyList_New(0);
        for (Py_ssize_t at = PyList_GET_SIZE(list); at > 0; at--) {
            Py_SET_SIZE(list, at - 1);
            Py_DECREF(PyList_GET_ITEM(list, at - 1));
        }
        Py_INCREF(list);
        return list;
    }
    """
    Py_ssize_t slot_offset(object member) except -1
    object slot_value(object holder, Py_ssize_t offset)
    # An empty list: this one with the room that it has, where nobody but the caller's attribute holds it, else a new one.
    list emptied(list list)


cdef Py_ssize_t HEAD_BYTES, SLOT_BYTES

@cython.locals(expected=Py_ssize_t)
cpdef object require_layout(object kind)
