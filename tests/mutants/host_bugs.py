"""Bugs in what is around the engines: the host, the cores and the state machine."""

from tests.mutants.mutant import Edit, Mutant, bugs_of

HOST = "bench.driver.host:Host."
MACHINE = "engines.machine:"


def bug(name: str, engine: str, *words: str, by: str = "simulation", more: tuple[Edit, ...] = ()) -> Mutant:
    """A bug that is shown on one engine."""
    return bugs_of(engine, "")(name, *words, by=by, more=more)


MUTANTS = [
    bug(
        "duplicate acknowledgement counted twice",
        "raft",
        "ext.quorum:AckTracker.acknowledge",
        "self.positions[slot] = position",
        "pass",
        "One follower that acknowledges twice makes a quorum (3.5).",
        "durability",
        by="",
        more=(Edit("ext.quorum:AckTracker.raise_rank", "while ranked[rank] != before:\n            rank += 1", "pass"),),
    ),
    bug(
        "duplicate vote counted twice",
        "paxos",
        "ext.quorum:VoteTracker.record",
        "if voter in self.quorum.voters and voter not in self.votes:",
        "voter = next((other for other in self.quorum.voters if other not in self.votes), voter) "
        "if voter in self.votes else voter\n"
        "        if voter in self.quorum.voters and voter not in self.votes:",
        "One voter that answers twice makes a quorum.",
        "assertions",
        by="",
    ),
    bug(
        "promises leave before the sync",
        "raft",
        HOST + "persist",
        "self.unsynced.append(persist)\n                return",
        "self.unsynced.append(Persist(persist.record, None))\n"
        "                persist.then and self.dispatch(persist.then)\n"
        "                return",
        "A promise leaves before the record that it rides on is durable.",
        "durability",
    ),
    bug(
        "waiting promises leave before the sync",
        "raft",
        HOST + "persist",
        "if persist.record is not None or self.unsynced:",
        "if persist.record is not None:",
        "A promise that only waits overtakes the records that it waits for.",
        "durability",
        more=(Edit(HOST + "persist", "if self.sync_in_flight:", "if False:"),),
    ),
    bug(
        "read served by a deposed leader",
        "paxos",
        HOST + "enqueue",
        "if not self.engine.leading:",
        "if self.engine.leading and command[20] == 0:\n"
        "            key = command[27:27 + command[21] + 256 * command[22]]\n"
        "            value = self.machine.data.get(key)\n"
        "            self.reply(origin, command, ACCEPTED, b'\\x00' if value is None else b'\\x01' + value)\n"
        "        if not self.engine.leading:",
        "A leader answers reads from its own state, though another may lead by now.",
        "no acknowledged loss",
        "linearizability",
    ),
    bug(
        "reply before it is decided",
        "zab",
        HOST + "propose",
        "self.perform(effects)",
        "self.perform(effects)\n"
        "        for command in commands:\n"
        "            self.world.answer(self, client_of(command), sequence_of(command), ACCEPTED, self.id, b'\\x00')",
        "Clients are answered when their commands are proposed.",
        "no acknowledged loss",
        "linearizability",
    ),
    bug(
        "proposed commands acknowledged at the end of leadership",
        "raft",
        HOST + "deposed",
        'UNDECIDED, b""',
        "ACCEPTED, bytes(9)",
        "A deposed leader says that what it had proposed is done.",
        "no acknowledged loss",
    ),
    bug(
        "proposed commands refused at the end of leadership",
        "raft",
        HOST + "deposed",
        "UNDECIDED",
        "REFUSED",
        "A deposed leader says that what it had proposed will not happen; it may.",
        "applied once",
    ),
    bug(
        "answers to another's commands",
        "raft",
        HOST + "deposed",
        "self.front = None\n        self.behind.clear()",
        "pass",
        "A leader that comes back answers the commands of its last reign with the results of this one.",
        "assertions",
    ),
    bug(
        "sessions lost in a snapshot",
        "raft",
        MACHINE + "KeyValue.restore",
        "self.sessions.load(read.sessions)",
        "pass",
        "A replica restored from a snapshot does not know which commands it has applied: a retried one is applied twice.",
        "applied once",
        by="simulation",
    ),
    bug(
        "retried commands applied again",
        "paxos",
        MACHINE + "Machine.apply",
        "if result is not None:",
        "if False:",
        "A retried command is applied again.",
        "applied once",
        by="",
    ),
    bug(
        "cas without its condition",
        "zab",
        MACHINE + "KeyValue.perform",
        "if current is None or current != cut(raw, expected_from, value_from):",
        "if current is None:",
        "A cas sets a value whatever it finds.",
        "linearizability",
    ),
]
