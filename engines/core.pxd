cimport cython

from ext.log cimport Log


cdef extern from *:
    """
    static inline PyObject *empty_effects(PyObject *effects) {
        if (Py_REFCNT(effects) > 2)
            return PyList_New(0);
        for (Py_ssize_t at = PyList_GET_SIZE(effects); at > 0; at--) {
            Py_SET_SIZE(effects, at - 1);
            Py_DECREF(PyList_GET_ITEM(effects, at - 1));
        }
        Py_INCREF(effects);
        return effects;
    }

    static inline int add_effect(PyObject *effects, PyObject *effect) {
        PyListObject *list = (PyListObject *)effects;
        Py_ssize_t size = PyList_GET_SIZE(effects);
        if (size == list->allocated)
            return PyList_Append(effects, effect);
        Py_INCREF(effect);
        PyList_SET_ITEM(effects, size, effect);
        Py_SET_SIZE(list, size + 1);
        return 0;
    }
    """
    # A new list; or this one, emptied but with its room, where nobody holds it beside the engine, and Cython for this
    # call: the host has performed what was in it. Most lists go that way, and 6 % of a simulation's time with them.
    list empty_effects(list effects)
    # As append does, and without a call where there is room: Cython's own shortcut takes only lists that are half full.
    int add_effect(list effects, object effect) except -1


ctypedef unsigned long long u64
ctypedef long long i64


@cython.final
cdef class Send:
    cdef readonly u64 to
    cdef readonly object message


@cython.final
cdef class Persist:
    cdef readonly object record
    cdef readonly Send then


@cython.final
cdef class Commit:
    cdef readonly u64 position
    cdef readonly bytes command


cdef class Redirect:
    cdef readonly u64 leader
    cdef readonly list commands


cdef class Restore:
    cdef readonly u64 position
    cdef readonly bytes state


@cython.locals(effect=Send)
cpdef Send send(u64 to, object message)


cdef class Engine:
    cdef readonly u64 id
    cdef readonly object configuration
    cdef readonly object dice
    cdef readonly list peers
    cdef dict handlers
    cdef readonly Log log
    cdef list effects
    cdef readonly i64 now
    cdef readonly i64 deadline
    cdef readonly u64 committed
    cdef readonly u64 leader
    cdef readonly bint leading

    cpdef list step(self, u64 sender, object message, i64 now)
    cdef object dispatch(self, u64 sender, object message)
    cpdef list tick(self, i64 now)
    cpdef list propose(self, list commands, i64 now)
    cpdef list recover(self, list records, i64 now)
    cpdef list disconnect(self, u64 peer, i64 now)
    cpdef list compact(self, u64 position, bytes state, i64 now)
    cpdef object status(self)

    cdef int begin(self, i64 now) except -1
    cdef object send(self, u64 to, object message)
    cdef int broadcast(self, object message) except -1
    @cython.locals(effect=Persist)
    cdef object persist(self, object record, u64 to, object promise)
    @cython.locals(effect=Persist)
    cdef int persist_only(self, object record) except -1
    cdef int redirect(self, list commands) except -1
    cdef int restore(self, u64 position, bytes state) except -1
    @cython.locals(effect=Commit)
    cdef int commit_through(self, u64 position) except -1
