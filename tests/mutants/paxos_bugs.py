"""Bugs in Multi-Paxos. PMS is "Paxos Made Simple", FPaxos "Flexible Paxos"."""

from tests.mutants.mutant import Edit, bugs_of

PROTOCOL = "engines.paxos.protocol:Paxos."

paxos = bugs_of("paxos", PROTOCOL)

MUTANTS = [
    paxos(
        "promise forgotten at a restart",
        "recover",
        "self.recorded = self.highest = self.promised",
        "self.promised = 0; self.recorded = self.highest = 0",
        "An acceptor that restarts accepts below its promise (PMS 2.5).",
    ),
    paxos(
        "promise sent before it is written",
        "answer",
        "self.persist(Promised(self.promised, self.committed), sender, message)",
        "self.persist_only(Promised(self.promised, self.committed)); self.send(sender, message)",
        "A promise leaves before it is durable: after a crash the acceptor accepts below it (PMS 2.5).",
        by="tests/engines/test_paxos.py",
    ),
    paxos(
        "promise lost in compaction",
        "compact",
        "self.persist_only(Promised(self.promised, self.committed))",
        "pass",
        "The records that replace older ones do not restate the promise (PMS 2.5).",
        by="tests/engines/test_paxos.py",
    ),
    paxos(
        "accepted below the promise",
        "on_accept",
        "if ballot < self.promised:",
        "if False:",
        "An acceptor accepts a ballot below its promise (PMS 2.2, P1a).",
        by="tests/engines/test_paxos.py",
    ),
    paxos(
        "own value preferred",
        "lead",
        'self.adopted.get(slot, (0, b""))[1]',
        '(self.log.payload(slot) if slot <= self.log.last else self.adopted.get(slot, (0, b""))[1])',
        "A new leader proposes what it has accepted itself, and not the value of the highest ballot reported (PMS 2.2, P2c).",
    ),
    paxos(
        "value of any ballot adopted",
        "on_promise",
        " or entry[0] > self.adopted[slot][0]",
        "",
        "A new leader proposes the value that was reported first, not that of the highest ballot (PMS 2.2, P2c).",
    ),
    paxos(
        "no-ops proposed for open slots",
        "lead",
        'self.adopted.get(slot, (0, b""))[1]',
        'b""',
        "A new leader proposes no-ops for slots in which a value was accepted (PMS 2.2, P2c).",
    ),
    paxos(
        "phase 1 over too few slots",
        "stand",
        "Prepare(ballot, self.committed + 1)",
        "Prepare(ballot, self.log.last + 1)",
        "A candidate asks only for slots after its own log: what others accepted before its end stays unknown (PMS 3).",
    ),
    paxos(
        "one promise is enough",
        "on_promise",
        "elif self.votes.record(sender, True) == WON:",
        "else:",
        "A candidate leads once anybody has promised (PMS 2.2).",
    ),
    paxos(
        "promise counted before it is told whole",
        "on_promise",
        "if slot - 1 < message.last:",
        "if False:",
        "A candidate leads on a part of what an acceptor has accepted (PMS 3).",
    ),
    paxos(
        "promise of another ballot counted",
        "on_promise",
        "if message.ballot != self.ballot:",
        "if False:",
        "A candidate counts promises that were made to an older ballot of its own (PMS 2.2).",
    ),
    paxos(
        "ballot reused after a restart",
        "stand",
        "self.persist(Promised(ballot, self.committed), self.id, Prepare(ballot, self.committed + 1))",
        "self.send(self.id, Prepare(ballot, self.committed + 1))",
        "A candidate's ballot is not on disk: after a crash it proposes other values at the same ballot (PMS 2.5).",
        by="tests/engines/test_paxos.py",
    ),
    paxos(
        "accepted before it is written",
        "on_accept",
        "message.first, entries, message.committed)\n            self.persist(record, sender, accepted)",
        "message.first, entries, message.committed)\n            self.persist_only(record); self.send(sender, accepted)",
        "An acceptor says that it has accepted what a crash can still take from it (PMS 2.5).",
    ),
    paxos(
        "leader counts itself before it has written",
        "persist_acceptance",
        "self.persist(record, self.id, Accepted(message.ballot, self.log.last, 0))",
        "self.persist_only(record); self.send(self.id, Accepted(message.ballot, self.log.last, 0))",
        "A leader counts its own acceptance before it is durable (PMS 2.5).",
    ),
    paxos(
        "acceptance at another ballot counted",
        "on_accepted",
        " or ballot != self.ballot",
        "",
        "A leader counts acceptances of an older ballot, whose values in these slots were others (PMS 2.2).",
        more=(
            Edit(
                PROTOCOL + "learn_accepted",
                'assert through <= self.log.last, "an acceptor has accepted what was not proposed"',
                "through = min(through, self.log.last)",
            ),
        ),
    ),
    paxos(
        "matched slots kept at a higher promise",
        "promise",
        "self.matched = self.committed",
        "pass",
        "What was accepted at a lower ballot is acknowledged as accepted at the new one (PMS 2.2).",
    ),
    paxos(
        "decided beyond what matches",
        "on_heartbeat",
        "min(message.committed, self.matched)",
        "min(message.committed, self.log.last)",
        "A learner takes its own acceptances of older ballots for the decided values (PMS 2.3).",
    ),
    paxos(
        "quorums that do not meet",
        "__init__",
        "self.phase1, self.phase2 = options.quorums(self.voters)",
        "from ext.quorum import FlexibleQuorum\n"
        "        self.phase1, _ = options.quorums(self.voters)\n"
        "        self.phase2 = FlexibleQuorum(self.voters, max(1, len(self.voters) // 2))",
        "A phase-1 quorum need not meet each phase-2 quorum: a decided value is not reported (FPaxos 4).",
    ),
    paxos(
        "islands not reported",
        "report",
        "first, entries = self.slots.run(asked.first, self.message_bytes)",
        "first, entries = self.slots.run(asked.first, self.message_bytes); entries = entries if first == asked.first else b''",
        "An acceptor does not report what it has accepted beyond a gap (PMS 3).",
        more=(Edit(PROTOCOL + "report", "self.slots.last()", "self.log.last"),),
    ),
    paxos(
        "later slots dropped",
        "on_accept",
        "self.slots.place(first, entries)",
        "self.log.truncate(min(first, self.log.last + 1)); self.slots.place(first, entries)",
        "Accepting a slot anew drops the accepted slots after it, as if this were Raft (PMS 3).",
        by="tests/engines/test_paxos.py",
    ),
]
