# The messages and records of the steady state as C sees them: fields in alphabetical order (see ext.fields).


cdef extern class engines.raft.messages.AppendEntries [object AppendEntriesObject, check_size error]:
    cdef object commit
    cdef bytes entries
    cdef object prev_index
    cdef object prev_term
    cdef object round
    cdef object term


cdef extern class engines.raft.messages.AppendEntriesReply [object AppendEntriesReplyObject, check_size error]:
    cdef object match
    cdef object term


cdef extern class engines.raft.messages.Entries [object EntriesObject, check_size error]:
    cdef bytes entries
    cdef object first
