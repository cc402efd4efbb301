cimport cython

from ext.configurations cimport Configurations, enlarge
from ext.quorum cimport allocate, release

ctypedef unsigned long long u64
ctypedef long long i64
ctypedef u64 *u64_pointer

cdef u64 READ, WRITE, CAS, REFUSED, APPEND
cdef u64 CALL, RETURN, RETIRE
cdef u64 RUNNING, FOUND, NONE_EXISTS, TOO_LARGE
cdef u64 ONE, ALL, FRAME


@cython.final
cdef class Search:
    cdef u64 count
    cdef object strings
    cdef bint explain
    cdef bint boundless
    cdef readonly list prefix
    cdef readonly u64 steps
    cdef u64 status
    # The operations. ``due`` is where the walk ends it, ``alike`` is equal for those that do the same.
    cdef u64 *kind
    cdef u64 *first
    cdef u64 *second
    cdef u64 *unknown
    cdef u64 *alike
    cdef u64 *start
    cdef u64 *due
    cdef u64 *slot
    cdef u64 groups
    cdef bint has_appends
    # The walk: an event is an operation and what becomes of it.
    cdef u64 *events
    cdef u64 event_count
    cdef u64 *next_read
    cdef u64 position
    # Of each value, how many operations still to be called need, observe, make or must not find it.
    cdef u64 values
    cdef u64 *needs
    cdef u64 *observes
    cdef u64 *makes
    cdef u64 *refuses
    cdef u64 refusals_left
    # The open operations, in two rings by their end: behind ``count`` the mandatory, then the unknown.
    cdef u64 *after
    cdef u64 *before
    cdef u64 open_count
    # The configuration, by slots: which are linearized, and which need not be.
    cdef u64 value
    cdef u64 words
    cdef u64 *done
    cdef u64 *optional
    cdef u64 *order
    cdef u64 ordered
    # What a look at the open operations found; marks of earlier looks have an older stamp.
    cdef u64 stamp
    cdef u64 *observed
    cdef u64 *expected
    cdef u64 *foremost
    cdef u64 *foremost_stamp
    cdef u64 needed
    cdef u64 makers
    cdef u64 refused_open
    # Where to go back to.
    cdef Configurations entered
    cdef u64 *frames
    cdef u64 frame_count
    cdef u64 frame_room
    cdef u64 *choices
    cdef u64 choice_count
    cdef u64 choice_room
    cdef u64 furthest

    @cython.locals(count=u64, operation=u64)
    cdef object take(self, object kinds, object first, object second, object returns)
    @cython.locals(place=u64, event=u64, operation=u64)
    cdef int place_events(self, list events) except -1
    @cython.locals(place=i64, following=u64, event=u64)
    cdef int find_reads(self) except -1
    @cython.locals(place=u64)
    cdef int count_observers(self) except -1
    @cython.locals(kind=u64, value=u64)
    cdef void to_be_called(self, u64 operation, i64 change) noexcept
    @cython.locals(count=u64, head=u64)
    cdef int prepare(self) except -1
    @cython.locals(limit=u64)
    cpdef str run(self, u64 steps, u64 most_bytes)
    @cython.locals(words=u64)
    cpdef u64 bytes_held(self)
    cdef object arrive(self)
    cdef int remember(self) except -1
    @cython.locals(event=u64, operation=u64, slot=u64, kind=u64, bit=u64)
    cdef bint advance(self) noexcept
    @cython.locals(event=u64, operation=u64, slot=u64, bit=u64)
    cdef void rewind(self, u64 position) noexcept
    @cython.locals(head=u64, place=u64, slot=u64)
    cdef void called(self, u64 operation) noexcept
    cdef void unlink(self, u64 operation) noexcept
    @cython.locals(slot=u64)
    cdef bint pending(self, u64 operation) noexcept
    @cython.locals(slot=u64)
    cdef void linearize(self, u64 operation) noexcept
    @cython.locals(stride=u64, at=u64, word=u64, returning=u64, preferred=bint, operation=u64)
    cdef int open_frame(self) except -1
    @cython.locals(head=u64, operation=u64)
    cdef void survey(self) noexcept
    @cython.locals(kind=u64, value=u64, alike=u64)
    cdef void survey_one(self, u64 operation) noexcept
    @cython.locals(unknown=u64, needed=u64)
    cdef bint worthwhile(self, u64 operation, u64 target) noexcept
    @cython.locals(kind=u64, value=u64, target=u64, wanted=bint, awaited=u64)
    cdef object offer(self, u64 operation, u64 returning, bint preferred)
    cdef int choose_later(self, u64 choice) except -1
    @cython.locals(stride=u64, at=u64, word=u64, choice=u64)
    cdef bint choose(self) except -1
    @cython.locals(kind=u64)
    cdef bint take_effect(self, u64 operation, bint strict) except -1
    @cython.locals(operation=u64, kind=u64)
    cdef void observe(self, u64 value) noexcept
    @cython.locals(head=u64, operation=u64, kind=u64)
    cdef void absorb(self, u64 writing, bint strict) noexcept
    @cython.locals(value=u64)
    cdef void absorb_one(self, u64 operation, bint strict) noexcept
    @cython.locals(place=u64, read=u64, wanted=u64)
    cdef bint hopeful(self) except -1
    cdef bint begins(self, u64 value, u64 whole) except -1
    @cython.locals(head=u64, operation=u64, place=u64)
    cdef bint begun_by_another(self, u64 wanted, u64 until) except -1
    @cython.locals(kind=u64)
    cdef bint sets_beginning(self, u64 operation, u64 wanted) except -1
