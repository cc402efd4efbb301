# The messages and records of the steady state as C sees them: fields in alphabetical order (see ext.fields).


cdef extern class engines.zab.messages.Proposal [object ProposalObject, check_size error]:
    cdef bytes entries
    cdef object epoch
    cdef object first


cdef extern class engines.zab.messages.Ack [object AckObject, check_size error]:
    cdef object epoch
    cdef object position
    cdef object session


cdef extern class engines.zab.messages.CommitProposal [object CommitProposalObject, check_size error]:
    cdef object epoch
    cdef object position


cdef extern class engines.zab.messages.Appended [object AppendedObject, check_size error]:
    cdef bytes entries
