"""What is checked of every run beside linearizability: the statements, in words, with their sources and their needs.

A watcher reports a violation as ``NAME: what was seen``. ``judge`` makes the answer of each statement of a run out of that.

    Ongaro      Diego Ongaro, "Consensus: Bridging Theory and Practice", Stanford 2014
    PMS         Leslie Lamport, "Paxos Made Simple", 2001
    Burrows     Mike Burrows, "The Chubby lock service for loosely-coupled distributed systems", OSDI 2006
    Zab         Junqueira, Reed, Serafini, "Zab: High-performance broadcast for primary-backup systems", DSN 2011
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

# How much is watched: what costs nothing; every statement; and every message and status, not only promises.
CHEAP, ALL, THOROUGH = "cheap", "all", "thorough"
TURNED_OFF = "turned off"
# What a statement needs: replicas' own word; the records of each, in order; to be there when it happens, with all disks in view.
STATUSES, RECORDS, MOMENTS = "statuses", "records", "moments"


class Statement(msgspec.Struct, frozen=True):
    """What must hold.

    ``basic`` is of one moment, otherwise it is of two. ``needs`` is STATUSES, RECORDS or MOMENTS, which processes do not show.
    ``durable`` says that it only holds where promises wait for the disk, ``clocks`` where all clocks keep to the bound that
    they were given. ``includes`` are statements that this one follows from,
    together with what is watched under its own name.
    """

    name: str
    words: str
    source: str
    needs: str
    basic: bool = False
    durable: bool = False
    cheap: bool = False
    clocks: bool = False
    includes: tuple[str, ...] = ()


AGREEMENT, ONE_LEADER, NO_LOSS = "agreement", "one leader a term", "no acknowledged loss"
ASSERTIONS, VALIDITY, ONCE = "assertions", "validity", "applied once"
MONOTONE, DIGESTS, DURABILITY = "monotone commit position", "equal digests", "durability"

GENERAL = (
    Statement(
        AGREEMENT,
        "No two replicas apply different commands at a position.",
        "PMS 1; Ongaro 3.2; Zab III",
        STATUSES,
        cheap=True,
    ),
    Statement(
        ONE_LEADER,
        "At most one replica leads in a term, a ballot or an epoch.",
        "Ongaro 3.4; PMS 2.5; Zab III",
        STATUSES,
        cheap=True,
    ),
    Statement(
        NO_LOSS,
        "A command that a client was told is done has taken effect, and some replica that is up in the end has it.",
        "Ongaro 6.3",
        RECORDS,
        cheap=True,
    ),
    Statement(
        ASSERTIONS,
        "No replica finds itself in a state that its engine or its host rules out.",
        "engines, bench.driver.host",
        STATUSES,
        True,
        cheap=True,
    ),
    Statement(
        VALIDITY, "What is applied was asked for: that client, that operation, that key.", "PMS 1", MOMENTS, True, cheap=True
    ),
    Statement(
        ONCE,
        "A command takes effect at one position, the same on all replicas; one that was reported as failed at none.",
        "Ongaro 6.3",
        MOMENTS,
        cheap=True,
    ),
    Statement(
        MONOTONE,
        "Within an incarnation, a replica's commit position never goes back.",
        "Ongaro 3.5; PMS 2.3",
        STATUSES,
        cheap=True,
    ),
    Statement(
        DIGESTS,
        "Replicas that have applied the same number of positions hold the same state, in the end and on the way.",
        "Ongaro 2.1",
        STATUSES,
        True,
        cheap=True,
        includes=(AGREEMENT,),
    ),
)
DURABLE = Statement(
    DURABILITY,
    "What a message promises to be on disk is on disk when it leaves, what is applied is on the disks of a quorum, and a crash "
    "forgets nothing of it.",
    "Ongaro 3.8; PMS 2.5; Zab IV", MOMENTS, durable=True,
)

ELECTION_SAFETY, APPEND_ONLY, LOG_MATCHING = "election safety", "leader append-only", "log matching"
COMPLETENESS, MACHINE_SAFETY = "leader completeness", "state machine safety"
TERMS, ONE_VOTE = "terms never go back", "one vote a term"

RAFT = (
    Statement(
        ELECTION_SAFETY,
        "At most one leader is elected in a term, by votes that are on the disks of a quorum.",
        "Ongaro 3.4, Figure 3.2",
        MOMENTS,
        durable=True,
        includes=(ONE_LEADER,),
    ),
    Statement(
        APPEND_ONLY,
        "A leader never overwrites or deletes entries of its log, it only appends.",
        "Ongaro 3.5, Figure 3.2",
        MOMENTS,
    ),
    Statement(
        LOG_MATCHING,
        "Two logs that have an entry of the same index and term are the same up to there.",
        "Ongaro 3.5, Figure 3.2",
        MOMENTS,
    ),
    Statement(
        COMPLETENESS,
        "What is committed is in the logs of the leaders of all later terms.",
        "Ongaro 3.6.3, Figure 3.2",
        MOMENTS,
        durable=True,
    ),
    Statement(
        MACHINE_SAFETY,
        "What a replica applies at an index stands there in the logs, and no other applies anything else there.",
        "Ongaro 3.6.3, Figure 3.2",
        MOMENTS,
        durable=True,
        includes=(AGREEMENT,),
    ),
    Statement(TERMS, "A replica's term never goes back, nor do the terms along its log.", "Ongaro 3.3", RECORDS),
    Statement(ONE_VOTE, "A replica votes for at most one candidate in a term.", "Ongaro 3.4", RECORDS),
)

PROMISE, ONE_VALUE, CHOSEN, ACCEPTED = (
    "a promise is never broken", "one value a ballot and slot", "a chosen value stays", "accepted implies promised"
)

PAXOS = (
    Statement(
        PROMISE,
        "A replica that has promised a ballot accepts no lower one, and its promise tells of every slot that it has accepted.",
        "PMS 2.2, P1a and phase 1b",
        RECORDS,
    ),
    Statement(ONE_VALUE, "In a ballot, at most one value is proposed for a slot.", "PMS 2.2 and 2.5", MOMENTS),
    Statement(
        CHOSEN,
        "Once a value is chosen for a slot, every higher ballot proposes that value there.",
        "PMS 2.2, P2b",
        MOMENTS,
        durable=True,
    ),
    Statement(
        ACCEPTED,
        "What a replica has accepted is of ballots that it has promised, and a ballot is led by promises that are on "
        "the disks of a phase 1 quorum.",
        "PMS 2.2, P1a and P2c",
        MOMENTS,
        durable=True,
    ),
)

INTEGRITY, TOTAL_ORDER, ZAB_AGREEMENT = "integrity", "total order", "delivery agreement"
LOCAL_ORDER, GLOBAL_ORDER, PRIMARY = "local primary order", "global primary order", "primary integrity"
EPOCHS, ONE_ESTABLISHED = "epochs never go back", "one established leader an epoch"

ZAB = (
    Statement(
        INTEGRITY,
        "What is delivered was broadcast: it stands in the histories, at its zxid.",
        "Zab III",
        MOMENTS,
        durable=True,
    ),
    Statement(
        TOTAL_ORDER,
        "If one replica delivers z before z', whoever delivers z' has delivered z before it.",
        "Zab III",
        STATUSES,
        includes=(AGREEMENT,),
    ),
    Statement(
        ZAB_AGREEMENT,
        "Of what two replicas have delivered, one is the beginning of the other.",
        "Zab III",
        STATUSES,
        includes=(AGREEMENT,),
    ),
    Statement(
        LOCAL_ORDER,
        "What a primary broadcasts in an epoch is in every history in the order in which it was broadcast, without a gap.",
        "Zab III",
        MOMENTS,
    ),
    Statement(GLOBAL_ORDER, "What is of an earlier epoch is delivered before what is of a later one.", "Zab III", RECORDS),
    Statement(
        PRIMARY,
        "A primary has delivered all that was delivered of earlier epochs before it broadcasts.",
        "Zab III",
        MOMENTS,
        durable=True,
    ),
    Statement(
        EPOCHS,
        "The epochs that a replica has accepted and is in never go back, it is in none that it has not accepted, and "
        "acknowledges nothing in an earlier one.",
        "Zab IV, f.p and f.a",
        RECORDS,
    ),
    Statement(
        ONE_ESTABLISHED,
        "At most one leader is established in an epoch, with its initial history on the disks of a quorum.",
        "Zab IV, Claim 1",
        MOMENTS,
        durable=True,
        includes=(ONE_LEADER,),
    ),
)

EXCLUSION, LEASES, GRACE, LOCK_DELAYS = "mutual exclusion", "leases are kept", "grace periods are kept", "lock-delays are kept"
CACHES, ONE_MASTER, EVENTS_AFTER = "caches are fresh", "one master at a time", "events come after"
GENERATIONS, FENCES, LETTING_GO = "sequencers increase", "sequencers tell", "holders let go themselves"
KNOWN = "grants are known"
OVER_ONCE, EPHEMERALS, STALE_EPOCHS = "sessions end once", "ephemeral nodes vanish once", "earlier epochs are over"

LOCKS = (
    Statement(
        EXCLUSION,
        "Who believes, with a lease that it believes valid, to hold a lock does hold it, and nobody else believes so where one "
        "of them holds it exclusively.",
        "Burrows 2.4 and 2.8",
        MOMENTS,
        clocks=True,
    ),
    Statement(
        LEASES, "No session is ended by a master while its client believes in it.", "Burrows 2.8", MOMENTS, clocks=True
    ),
    Statement(
        GRACE,
        "A client gives its session up when it is over, or when the grace period is; not before.",
        "Burrows 2.8",
        MOMENTS,
        clocks=True,
    ),
    Statement(
        LOCK_DELAYS,
        "A lock whose holder has failed is granted to nobody before its lock-delay is over.",
        "Burrows 2.4",
        MOMENTS,
        clocks=True,
    ),
    Statement(
        CACHES,
        "A client reads nothing older than what was acknowledged before it asked, and a sequencer that it is told to be valid "
        "was valid since then.",
        "Burrows 2.4 and 2.7",
        MOMENTS,
        clocks=True,
    ),
    Statement(ONE_MASTER, "At most one master at a time believes in its lease.", "Burrows 2.2", MOMENTS, clocks=True),
    Statement(EVENTS_AFTER, "A client hears of what has happened, and not before.", "Burrows 2.5", MOMENTS),
    Statement(
        GENERATIONS,
        "Each time that a lock goes from free to held its generation is higher than ever, and an exclusive lock has one holder.",
        "Burrows 2.4",
        RECORDS,
    ),
    Statement(
        FENCES, "A request that shows a sequencer takes effect only while that lock is held so.", "Burrows 2.4", RECORDS
    ),
    Statement(
        LETTING_GO,
        "A lock leaves its holder by a request of the holder's session, or with that session.",
        "Burrows 2.4 and 2.6",
        RECORDS,
    ),
    Statement(
        KNOWN,
        "A client whose session goes on knows what it holds: what it is granted it believes in, or is about to give up.",
        "Burrows 2.4",
        MOMENTS,
    ),
    Statement(OVER_ONCE, "A session that has ended opens, holds and writes nothing, and ends no more.", "Burrows 2.8", RECORDS),
    Statement(
        EPHEMERALS,
        "An ephemeral node vanishes with the last handle on it, or when it is deleted, and only once.",
        "Burrows 2.3",
        RECORDS,
    ),
    Statement(
        STALE_EPOCHS, "What a master of an earlier epoch has decided takes no effect.", "Burrows 2.9", RECORDS
    ),
)

PROTOCOLS: dict[str, tuple[Statement, ...]] = {"raft": RAFT, "paxos": PAXOS, "zab": ZAB}


def of(engine: str, locks: bool = False) -> tuple[Statement, ...]:
    """All statements of an engine, and of the lock service over it."""
    own = PROTOCOLS.get(engine)
    protocol = GENERAL if own is None else (*GENERAL, DURABLE, *own)
    return (*protocol, *LOCKS) if locks else protocol


def watched(
    engine: str, level: str, durable: bool, needs: Collection[str], locks: bool = False, clocks: bool = True
) -> set[str]:
    """The names of what a run of this engine watches; ``durable``: promises wait for the disk; ``clocks``: they keep to their
    bound.
    """
    return {
        statement.name
        for statement in of(engine, locks)
        if statement.needs in needs
        and (statement.cheap or level != CHEAP)
        and (durable or not statement.durable)
        and (clocks or not statement.clocks)
    }


def name_of(violation: str) -> str:
    """The statement that a violation is of."""
    return violation.partition(":")[0]


def judge(
    engine: str, level: str, names: Collection[str], violations: Iterable[str], locks: bool = False
) -> dict[str, str]:
    """What each statement says of a run at this level, in which those called ``names`` were watched: passed, failed, not run (it
    cannot be watched there) or turned off (by the level).
    """
    failed = {name_of(violation) for violation in violations}
    answers = {}
    for statement in of(engine, locks):
        if failed & {statement.name, *statement.includes}:
            answers[statement.name] = "failed"
        elif level == CHEAP and not statement.cheap:
            answers[statement.name] = TURNED_OFF
        else:
            answers[statement.name] = "passed" if statement.name in names else "not run"
    return answers


def row(statement: Statement) -> str:
    """The statement's row in docs/verification.md: name, words, source, where it is watched, and at which level."""
    worlds = "simulation" if statement.needs == MOMENTS else "both"
    where = worlds + (", where promises wait for the disk" if statement.durable else "")
    where += ", where clocks keep to their bound" if statement.clocks else ""
    words = statement.words + "".join(f" Fails with {name}." for name in statement.includes)
    level = CHEAP if statement.cheap else ALL
    return f"| {statement.name} | {words} | {statement.source} | {statement.needs} | {where} | {level} |"
