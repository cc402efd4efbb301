# The messages and records of the steady state as C sees them: fields in alphabetical order (see ext.fields).


cdef extern class engines.paxos.messages.Accept [object AcceptObject, check_size error]:
    cdef object ballot
    cdef object committed
    cdef bytes entries
    cdef object first


cdef extern class engines.paxos.messages.Accepted [object AcceptedObject, check_size error]:
    cdef object ballot
    cdef object beyond
    cdef object through


cdef extern class engines.paxos.messages.AcceptedSlots [object AcceptedSlotsObject, check_size error]:
    cdef object ballot
    cdef object committed
    cdef bytes entries
    cdef object first
