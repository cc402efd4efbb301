"""A cell of a lock service, over any of the engines.

After Mike Burrows, "The Chubby lock service for loosely-coupled distributed systems" (OSDI 2006), whose sections are cited.

A cell keeps a tree of small files. Each file is a lock as well, which clients hold exclusively or shared; locks are advisory
(2.4). A client has a session, whose lease its KeepAlives extend; what the client holds and caches it holds and caches under that
lease (2.8). Here the tree, the locks and the sessions are a state machine behind the engine's log (``tree``). Time is not in
it: the one replica that leads is the master, keeps the timers, and has decided what time has to say (``master``). The client's
part is a library (``client``).

    client                      master                                log of any engine
       | Acquire, SetContents ---->| -- a change waits for caches ------->| decided, applied
       |<------ Granted, Written --|<------------------------------------|
       | KeepAlive --------------->| held until the lease is nearly over
       |<-- Extended, with events -|
       | GetContents ------------->| from memory, under the master's lease
                                   | TakeOver, Renew, Expire, EndDelay -->| this epoch only

Why nobody holds an exclusive lock twice. Let every clock run at most (1 + skew) times as fast as any other.

1. One master at a time. A master acts (extends leases, reads from memory) only while its master lease is valid. That lasts
   ``master_lease`` from when a Renew of its epoch was *proposed*, once that was decided. A new master first has its TakeOver
   decided. A Renew that comes later in the log is void. One that comes earlier was proposed before the TakeOver was applied, so
   the lease that it gave is over a ``master_lease`` of the old clock after that moment, and (1 + skew) of these on the new clock
   are what the new master waits (``Master.take_over``). Neither engine nor network has a part in this, only the order of the log.
2. No session outlives its lease in its client's eyes. Say a KeepAlive is sent at s, by the client's clock, reaches the master at
   r, by the master's, and is answered at a with the lease L. The master does not end the session before a + L. It answers
   ``valid`` = a + L - r, and the client believes until s + valid / (1 + skew) of its own. Since s came before r, and valid /
   (1 + skew) of the client's clock take no longer than valid of the master's, that is no later (``Client.kept_alive``). A new
   master waits L * (1 + skew) from when it begins to serve, which is after all that the old one can have granted (2.9.3).
3. A lock changes hands by a Release, Close, Delete or EndSession of its holder, who believes in it no more from the *call*
   on, or by the Expire of its session, which the master proposes once the lease is over. An Expire of an older epoch is
   void; one that was decided before the TakeOver was right when it was proposed, as leases are never shortened.

So with clocks within the bound no two clients believe, with leases that they believe valid, to hold the same exclusive lock.
Beyond the bound they may; then the sequencer tells which of them is right (2.4), since the lock's generation has moved on.

What of this is checked, and how. ``bench.checkers.locks`` models the log, and ``bench.checkers.beliefs`` holds against it what
clients and masters believe by their own clocks (docs/verification.md has the statements).

1. "one master at a time": whenever a master's lease is extended, and when it begins to serve, nobody else is a master who
   believes in his lease. "earlier epochs are over": no Expire or EndDelay takes effect under another epoch than its own.
2. "leases are kept": no Expire is applied while its client believes in the session, and no client begins to believe in one
   that was expired. The fault that bites is a client that is mute: it hears its last lease to the end, and nothing of it is in
   reserve. (One that is cut off both ways has been granted more than it knows of, which hides a lease that is counted
   wrongly.)
3. "holders let go themselves": whoever loses a lock in the log asked for it, or its session ended. "mutual exclusion": a
   belief begins with a grant or a longer lease, and then has to be true in the log; it has to be gone when the log takes the
   lock away. "sequencers increase" and "sequencers tell" need no clock, and are watched beyond the bound as well.

Epochs of Expire and EndDelay are a second line of defence: with the engines as they are, nothing that a deposed master had
proposed comes later in the log than the TakeOver, so no schedule can show their absence. What is not checked: the order in
which waiters are served, that no event is lost within a master's reign, and CheckSequencer where *masters'* clocks are beyond
the bound.

Why no cache serves what is older than an acknowledged write: the master has a write decided only when each session that may have
the file in its cache has acknowledged an invalidation, or its lease is over (2.7); meanwhile the file is not cachable. A session
that has not yet acknowledged a fail-over may have anything (2.9.5 and 2.9.6).

A client that dies is not missed at once: the master answers the KeepAlive that it still holds, and has extended the lease with
that (2.8). Whether anybody hears it the master cannot know: Chubby's KeepAlives are datagrams (4.6), and a broken connection says
nothing of the session, whose client may be on its way to another replica. So its locks are lost a lease after its death, or up to
the time between two KeepAlives later: after 12 to 19 s with the paper's times.

What differs from the paper, or is left open by it:

- Handles are logged, not kept in the master's memory, so they need not be recreated after a fail-over (2.9.8 and 2.9.9), and an
  ephemeral node vanishes when the session that has it open has ended: once.
- All generation numbers are positions of the log. They increase for a name even when its node was deleted and created again.
- An Acquire that has to wait is queued in the tree. A release hands the lock to the first in turn: one commit and one
  answer. The paper leaves the order open.
- After a fail-over only writes wait for the sessions to acknowledge it. The paper has all operations wait (2.9.6), but nobody
  caches the state of a lock.
- A node that somebody else has locked cannot be deleted.
- Left out: access-control lists and their generation number, checksums of contents, caching of absence, of open handles and
  of ephemeral nodes, ephemeral directories, ReadDir and GetStat, Poison, proxies, partitioning and mirroring (3).
"""

from engines.lock_service.client import Client
from engines.lock_service.master import Master
from engines.lock_service.options import LockOptions
from engines.lock_service.tree import LockTree

__all__ = ["Client", "LockOptions", "LockTree", "Master"]
