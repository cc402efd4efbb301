"""Multi-Paxos with a stable leader.

Followed are "Paxos Made Simple" (Lamport 2001, from here on PMS), "Paxos Made Moderately Complex" (van
Renesse and Altinbuken 2015, PMMC) and "Flexible Paxos" (Howard, Malkhi and Spiegelman 2016, FPaxos).

    protocol    the engine, with its message chart and the argument for its one shortcut
    messages    what replicas say to each other, and what they write down
    slots       what an acceptor has accepted
    window      what a leader has under way to one acceptor
    options     the quorum systems

The replicas agree on a sequence of slots, each of them one instance of the synod of PMS 2. Every replica
plays all parts. The acceptor promises ballots, and accepts values at ballots not below its promise (P1a);
both are durable before it says so. The proposer, once a candidate, runs phase 1 for all slots from its first
undecided one on (PMS 3) and so becomes the leader of its ballot. For each slot that a phase-1 quorum reports
it proposes the value of the highest ballot (P2c); slots between them that nobody reports get a no-op. From
then on a command costs phase 2 only. The learner knows a slot as decided once a phase-2 quorum has accepted
it at one ballot: the leader counts, the others are told by the commit position that rides on each Accept and
Heartbeat.

Any two quorum systems serve as long as every phase-1 quorum meets every phase-2 quorum (FPaxos).

What the papers leave open, and what is done here:

    Liveness        PMS 2.4 asks for one distinguished proposer. A follower stands when it has heard no leader
                    for a time drawn from the election timeout; each failed candidacy widens the range, as
                    PMMC 3 backs off. A failed candidate waits, or asks first: whoever reaches more has his turn.
    Asking first    With ``PaxosOptions.inquire`` (the default) it asks before it stands, and stands when a
                    phase-1 quorum has lost the leader as well: an isolated replica makes no ballots, and so
                    does not depose a live leader when it returns. Our addition; without it, it stands at once
                    as in the papers.
    Handing over    A candidate that is far behind what somebody knows as decided has him stand, since to be told all
                    that takes a round trip a message. Meanwhile it asks on, and in later candidacies it does not
                    ask the same one again: he may be out of reach for the others. After Ongaro 3.10 (TimeoutNow); our addition.
    Stepping down   A leader that has heard no phase-2 quorum for an election timeout stops, so that clients
                    are sent elsewhere. Our addition; safety does not need it.
    Restarts        A candidate sends its first Prepare when its ballot is on disk, so that none is used
                    twice.
    Lost messages   Accepts: see ``window``. Promises are asked for again at the heartbeat interval, and an
                    acceptor that has anything to tell tells the same ever more rarely.
"""
from engines.paxos.options import PaxosOptions
from engines.paxos.protocol import Paxos

__all__ = ["Paxos", "PaxosOptions"]
