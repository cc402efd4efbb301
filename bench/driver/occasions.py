"""The kinds of event that the simulated world knows, and the outcomes that a client is told."""

(
    ARRIVE, PROCESS, SYNCED, WAKE, REQUEST, PROCESS_REQUEST, ANSWER, REDIRECTED, ISSUE, RETRY, BREAK, ACTION, STOP
) = range(13)  # fmt: skip

ACCEPTED, REFUSED = 0, 1
