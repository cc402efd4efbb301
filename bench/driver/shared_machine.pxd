cimport cython

from bench.driver.cores cimport Cores, Process
from bench.driver.dialogue cimport Dialogue
from bench.driver.disk cimport Disk
from bench.driver.host cimport Host
from bench.driver.network cimport Durations, Link
from bench.driver.node cimport Node
from bench.driver.simulation cimport Simulation
from bench.driver.wire cimport Kind
from engines.core cimport Persist
from ext.events cimport EventQueue, Fifo, push_event

ctypedef unsigned long long u64
ctypedef long long i64

cdef int IDLE, RUNNING, SYNCING, ACTION, ANSWER_BYTES, REQUEST_BYTES, TURN
cdef i64 BLOCK_BYTES, CLIENT, FROM_CLIENT, NEVER


@cython.final
cdef class SharedMachine(Simulation):
    cdef double per_turn_ns, per_frame_ns, per_message_ns, per_byte_ns, per_command_ns, per_sync_ns
    cdef double client_per_turn_ns, client_per_message_ns
    cdef double per_new_block_ns, sync_byte_ns, new_block_ns
    cdef Durations wake_up
    cdef readonly Cores cores
    cdef int client_number
    cdef readonly list processes
    cdef list outboxes
    cdef list answers
    cdef list pending
    cdef Dialogue dialogue
    cdef i64 alarm_ns
    cdef Disk disk
    cdef i64 syncs
    cdef object begin_action, over_action, written_action, disk_action, alarm_action

    cdef object rouse(self, Process process)
    cdef int later(self, i64 delay, object action, Process process) except -1
    @cython.locals(process=Process)
    cdef Process living(self, i64 argument)
    @cython.locals(process=Process)
    cpdef object begin_event(self, i64 argument)
    @cython.locals(spent=i64)
    cdef int begin(self, Process process) except -1
    @cython.locals(process=Process, spent=double)
    cpdef object over_event(self, i64 argument)
    @cython.locals(process=Process)
    cpdef object written_event(self, i64 argument)
    @cython.locals(process=Process)
    cdef int pass_core_on(self) except -1

    @cython.locals(
        node=Node, host=Host, persist=Persist, local=i64, inbox=Fifo, argument=i64, sender=Py_ssize_t, sending=Node, link=Link
    )
    cdef int turn(self, Process process) except -1
    @cython.locals(node=Node)
    cdef int resume(self, Process process) except -1
    cdef int charge_read(self, Process process, int source, i64 size) except -1
    @cython.locals(node=Node, process=Process)
    cdef int leave(self, Node node) except -1
    @cython.locals(node=Node, size=i64, alone=double)
    cdef object sync(self, Process process)
    @cython.locals(node=Node, written=i64)
    cdef bint begins_block(self, Process process) except -1
    @cython.locals(next_ns=i64)
    cdef int expect_sync(self) except -1
    @cython.locals(process=Process)
    cpdef object disk_event(self, i64 argument)
    cdef int durable(self, Process process) except -1

    @cython.locals(inbox=Fifo, size=i64, next_ns=i64)
    cdef int clients_turn(self, Process process) except -1
    @cython.locals(node=Node, process=Process, replica=Py_ssize_t)
    cdef int clients_leave(self) except -1
    cdef int set_alarm(self, i64 next_ns) except -1
    @cython.locals(process=Process)
    cpdef object alarm_event(self, i64 argument)
