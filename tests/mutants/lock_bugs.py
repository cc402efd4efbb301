"""Bugs in the lock service: its tree, its master and its clients. Section numbers are of Burrows 2006."""

from tests.mutants.mutant import Edit, Mutant, bugs_of

TREE = "engines.lock_service.tree:LockTree."
MASTER = "engines.lock_service.master:Master."
CLIENT = "engines.lock_service.client:Client."


def bug(name: str, engine: str, *words: str, by: str = "locks", more: tuple[Edit, ...] = ()) -> Mutant:
    """A bug that random schedules of lock services over one engine are to show, unless ``by`` names a test that does,
    or "cell", whose requests do not keep their order (tests.locks.schedule).
    """
    return bugs_of(engine, "")(name, *words, by=by, more=more)


MUTANTS = [
    bug(
        "locks: release by a non-holder",
        "raft",
        TREE + "release",
        "if request.handle in node.holders:\n            self.let_go(node, request.handle, 0)",
        "if node.holders:\n            self.let_go(node, node.holders[0], 0)",
        "Who only waits for a lock and takes that back releases it for its holder (2.4).",
        "holders let go themselves",
        "mutual exclusion",
    ),
    bug(
        "locks: lease counted from the answer",
        "paxos",
        CLIENT + "kept_alive",
        "until_ns = self.keep_alive_ns + ",
        "until_ns = now + ",
        "A client counts its lease from when the answer came, and not from when it asked (2.8).",
        "leases are kept",
        "mutual exclusion",
    ),
    bug(
        "locks: lease not shortened for slow clocks",
        "raft",
        "engines.lock_service.options:LockOptions.shortest_ns",
        "duration_ns * MILLION // (MILLION + self.skew_ppm)",
        "duration_ns",
        "A client trusts its clock to be as fast as the master's (2.8).",
        "leases are kept",
        "mutual exclusion",
        "lock-delays are kept",
    ),
    bug(
        "locks: no grace period",
        "zab",
        CLIENT + "tick",
        "now >= self.lease_until_ns + self.options.grace_ns",
        "now >= self.lease_until_ns",
        "A client in jeopardy gives its session up at once (2.8).",
        "grace periods are kept",
    ),
    bug(
        "locks: no lease honoured at fail-over",
        "raft",
        MASTER + "serve",
        "until_ns = self.now + self.options.longest_ns(self.options.lease_ns)",
        "until_ns = self.now",
        "A new master ends sessions whose leases its predecessor had just extended (2.9.3).",
        "leases are kept",
        "mutual exclusion",
    ),
    bug(
        "locks: lock-delay ignored",
        "paxos",
        TREE + "let_go",
        "if node.owed_ns:",
        "if False:",
        "The lock of a holder that failed is handed on at once (2.4).",
        "lock-delays are kept",
    ),
    bug(
        "locks: lock-delay forgotten at fail-over",
        "zab",
        MASTER + "serve",
        "self.delay(Delay(node.path, node.instance, node.owed_ns))",
        "self.end_delay((node.path, node.instance))",
        "A new master ends the lock-delays that its predecessor had begun to count (2.4).",
        "lock-delays are kept",
    ),
    bug(
        "locks: sequencer not raised",
        "raft",
        TREE + "grant",
        "node.lock_generation = self.applied",
        "node.lock_generation = node.lock_generation or self.applied",
        "The next holder has the same sequencer as the last one (2.4).",
        "sequencers increase",
    ),
    bug(
        "locks: sequencer not checked",
        "zab",
        TREE + "set_contents",
        "if not self.holds(request.sequencer):",
        "if False:",
        "A write takes effect though the lock whose sequencer it shows is another's by now (2.4).",
        "sequencers tell",
    ),
    bug(
        "locks: two masters",
        "raft",
        MASTER + "take_over",
        "wait_ns = self.options.longest_ns(self.options.master_lease_ns) if taken.before else 0",
        "wait_ns = 0",
        "A new master does not wait until its predecessor's lease is over (2.2).",
        "one master at a time",
        "caches are fresh",
    ),
    bug(
        "locks: master lease counted from its decision",
        "paxos",
        MASTER + "extend_own_lease",
        "self.lease_until_ns = self.renewals.popleft() + ",
        "self.renewals.popleft()\n        self.lease_until_ns = self.now + ",
        "A master counts its lease from when it hears of it, by when another may have taken over (2.2).",
        "conversation",
        by="tests/locks/test_master.py",
    ),
    bug(
        "locks: ephemeral node kept",
        "paxos",
        TREE + "shut",
        "if node.kind == EPHEMERAL and not node.handles:",
        "if node.kind == EPHEMERAL and not node.handles and not failed:",
        "The ephemeral node of a client that failed stays (2.9.9).",
        "ephemeral nodes vanish once",
    ),
    bug(
        "locks: ephemeral node removed with its first handle",
        "raft",
        TREE + "shut",
        "if node.kind == EPHEMERAL and not node.handles:",
        "if node.kind == EPHEMERAL:",
        "An ephemeral node vanishes though others have it open (2.3).",
        "ephemeral nodes vanish once",
    ),
    bug(
        "locks: event before it is applied",
        "raft",
        MASTER + "pass_barrier",
        "for client, _, command in barrier.writes:\n",
        "for client, _, command in barrier.writes:\n"
        "                request = decode_request(command)\n"
        "                node, _ = self.tree.target(request.session, request.handle)\n"
        "                for handle, events in node.handles.items() if node else ():\n"
        "                    lease = self.leases.get(self.tree.handles[handle].session)\n"
        "                    if events & 1 and lease:\n"
        "                        self.post(lease, 1, handle, node.path)\n",
        "Clients hear of a change that is yet to be decided, and may never be (2.5).",
        "events come after",
    ),
    bug(
        "locks: invalidation after the write",
        "paxos",
        MASTER + "written",
        "barrier.proposed -= 1",
        "barrier.proposed -= 1\n"
        "        for session in sorted(self.caching.pop(path, ())):\n"
        "            self.leases[session].cached.discard(path)\n"
        "            self.leases[session].numbered += 1\n"
        "            self.leases[session].events.append(Event(self.leases[session].numbered, INVALIDATED, 0, path))",
        "Caches hear of a write when it has been applied, with the next KeepAlive, and its writer does not wait for them (2.7).",
        "caches are fresh",
        more=(Edit(MASTER + "write", "self.invalidate(node.path, barrier, request.session)", "pass"),),
    ),
    bug(
        "locks: cache kept through jeopardy",
        "zab",
        CLIENT + "tick",
        "self.cache.clear()\n            self.turn_to(JEOPARDY)",
        "self.turn_to(JEOPARDY)",
        "What was cached under a lease that is over is read under the next (2.8).",
        "caches are fresh",
        more=(Edit(CLIENT + "fail_over", "self.cache.clear()", "pass"),),
    ),
    bug(
        "locks: session resurrected",
        "zab",
        MASTER + "ended",
        "lease = self.leases.pop(news.session, None)\n        if lease is not None:",
        "lease = self.leases.get(news.session)\n        if lease is not None:\n            lease.expiring = False",
        "A client that comes back when its session has ended is told that its lease goes on (2.8).",
        "leases are kept",
    ),
    bug(
        "locks: lock of an expired session kept in mind",
        "paxos",
        CLIENT + "valid",
        "return self.state == SAFE and now < self.lease_until_ns",
        "return self.state == SAFE",
        "A client believes in its lease until it gets to look at the clock (2.8).",
        "mutual exclusion",
        "leases are kept",
        "caches are fresh",
    ),
    bug(
        "locks: late copy of a write",
        "paxos",
        MASTER + "write",
        "if known is not None:",
        "if known is not None and False:",
        "A copy of a write that comes late has the master forget that its writer has cached the file since (2.7).",
        "caches are fresh",
        by="cell",
    ),
    bug(
        "locks: what was given up is asked for again",
        "raft",
        CLIENT + "answered",
        "call.overtakes and not call.spoiled and answer",
        "call.overtakes and answer",
        "An Acquire that was given up meanwhile is asked once more, behind the Release that was to undo it.",
        "grants are known",
        by="cell",
    ),
    bug(
        "locks: acquire before release",
        "paxos",
        TREE + "acquire",
        "return refused(ALREADY)",
        "return encode_answer(Granted(node.lock_generation))",
        "An Acquire that overtakes a Release is granted what its handle still holds, and the Release takes that away.",
        "mutual exclusion",
        "sequencers increase",
        "holders let go themselves",
        by="cell",
    ),
    bug(
        "locks: acquire together with any release",
        "raft",
        CLIENT + "must_wait",
        "(other.of_held and call.overtakes)",
        "call.overtakes",
        "An Acquire overtakes the Release of what is not held, which takes away what that Acquire is granted.",
        "mutual exclusion",
        by="cell",
    ),
    bug(
        "locks: shared and exclusive at once",
        "zab",
        TREE + "admits",
        "(node.mode == FREE or (node.mode == SHARED and mode == SHARED))",
        "(node.mode == FREE or mode == SHARED)",
        "A lock that one holds exclusively is given to others, shared (2.4).",
        "sequencers increase",
        "mutual exclusion",
    ),
]
