"""Multi-Paxos: ``protocol`` is the engine, ``messages`` what is said, ``slots`` what an acceptor holds, ``window`` what a leader has sent.

What the papers leave open, and what is done here:

    Liveness    PMS 2.4 asks for one distinguished proposer. A follower stands when it has heard no leader for a time drawn at
                random from the election timeout; each failed candidacy widens the range, as PMMC 3 backs off after
                a preemption.
    Asking first  With ``PaxosOptions.inquire`` (the default) it asks before it stands, and stands when a phase-1 quorum has
                lost the leader as well. An isolated replica so makes no ballots, and does not depose a live leader
                with a huge one when it returns. The papers have nothing like it; without it, it stands at once as theirs do.
    Stepping down  A leader that has heard from no phase-2 quorum for an election timeout stops: our addition, so that clients
                are sent elsewhere. Safety does not need it.
    Restarts    A candidate sends its first Prepare when its own promise is on disk, so that no ballot is used twice.
    Lost messages  See ``engines.paxos.window``. Promises are asked for again, at the heartbeat interval.
"""
from engines.paxos.protocol import Paxos, PaxosOptions

__all__ = ["Paxos", "PaxosOptions"]
