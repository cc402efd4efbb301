from engines.machine cimport Machine

ctypedef unsigned long long u64


cdef class LockTree(Machine):
    cdef readonly u64 epoch
    cdef readonly dict nodes
    cdef readonly dict handles
    cdef readonly dict tenancies
    cdef readonly object request
    cdef readonly list news

    cpdef u64 body_of(self, bytes command) except? 0xFFFFFFFFFFFFFFFF
    cpdef bytes perform(self, bytes command, u64 body_from)
    cpdef bytes snapshot(self)
    cpdef object restore(self, u64 position, bytes state)

    cpdef object node_of(self, object opened)
    cpdef tuple target(self, u64 session, u64 handle)
    cpdef object notify(self, object node, u64 kind)
    cpdef bint admits(self, object node, u64 mode) except -1
    cpdef object grant(self, object node, u64 handle, u64 mode)
    cpdef object let_go(self, object node, u64 handle, long long owed_ns)
    cpdef object hand_over(self, object node)
    cpdef bint holds(self, object sequencer) except -1
