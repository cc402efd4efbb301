"""The kinds of event that the simulated world knows, and the outcomes that a client is told."""

(
    ARRIVE, PROCESS, SYNCED, WAKE, REQUEST, PROCESS_REQUEST, ANSWER, REDIRECTED, LET_GO, ISSUE, RETRY, BREAK, ACTION, STOP
) = range(14)  # fmt: skip

# Decided and applied; certainly not taken by this replica; taken, but leadership was lost before it was decided.
ACCEPTED, REFUSED, UNDECIDED = range(3)

# What a replica is handed carries where it came from: a client's number with this bit, or size, epoch and number of a replica.
FROM_CLIENT = 1 << 62
CLIENT = (1 << 32) - 1

# A command's name in one number: its client's above these bits of its own.
NAME_BITS = 32
