cimport cython

cdef extern from *:
    """
    #include "structmember.h"

    static CYTHON_UNUSED Py_ssize_t slot_offset(PyObject *member) {
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

    static inline PyObject **new_slots(PyObject *kind, Py_ssize_t count, PyObject **made) {
        PyTypeObject *type = (PyTypeObject *)kind;
        if (type->tp_basicsize != (Py_ssize_t)(sizeof(PyObject) + count * sizeof(PyObject *))) {
            PyErr_SetString(PyExc_TypeError, "the class has another number of fields");
            return NULL;
        }
        *made = _PyObject_New(type);
        return *made == NULL ? NULL : (PyObject **)(*made + 1);
    }

    static inline PyObject *with_2(PyObject *kind, PyObject *a, PyObject *b) {
        PyObject *made = NULL, **slots = new_slots(kind, 2, &made);
        if (slots == NULL) return NULL;
        slots[0] = Py_NewRef(a); slots[1] = Py_NewRef(b);
        return made;
    }

    static inline PyObject *with_3(PyObject *kind, PyObject *a, PyObject *b, PyObject *c) {
        PyObject *made = NULL, **slots = new_slots(kind, 3, &made);
        if (slots == NULL) return NULL;
        slots[0] = Py_NewRef(a); slots[1] = Py_NewRef(b); slots[2] = Py_NewRef(c);
        return made;
    }

    static inline PyObject *with_4(PyObject *kind, PyObject *a, PyObject *b, PyObject *c, PyObject *d) {
        PyObject *made = NULL, **slots = new_slots(kind, 4, &made);
        if (slots == NULL) return NULL;
        slots[0] = Py_NewRef(a); slots[1] = Py_NewRef(b); slots[2] = Py_NewRef(c); slots[3] = Py_NewRef(d);
        return made;
    }

    static inline PyObject *with_6(
        PyObject *kind, PyObject *a, PyObject *b, PyObject *c, PyObject *d, PyObject *e, PyObject *f
    ) {
        PyObject *made = NULL, **slots = new_slots(kind, 6, &made);
        if (slots == NULL) return NULL;
        slots[0] = Py_NewRef(a); slots[1] = Py_NewRef(b); slots[2] = Py_NewRef(c);
        slots[3] = Py_NewRef(d); slots[4] = Py_NewRef(e); slots[5] = Py_NewRef(f);
        return made;
    }
    """
    Py_ssize_t slot_offset(object member) except -1
    object slot_value(object holder, Py_ssize_t offset)
    object with_2(object kind, object a, object b)
    object with_3(object kind, object a, object b, object c)
    object with_4(object kind, object a, object b, object c, object d)
    object with_6(object kind, object a, object b, object c, object d, object e, object f)


cdef Py_ssize_t HEAD_BYTES, SLOT_BYTES

@cython.locals(expected=Py_ssize_t)
cpdef object require_layout(object kind)
