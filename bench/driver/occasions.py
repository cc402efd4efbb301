"""The kinds of event that the simulated world knows."""

(
    ARRIVE, PROCESS, SYNCED, WAKE, REQUEST, PROCESS_REQUEST, ANSWER, REDIRECTED, ISSUE, RETRY, BREAK, ACTION, STOP
) = range(13)  # fmt: skip
