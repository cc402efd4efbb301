"""All mutants by name."""

from tests.mutants import host_bugs, lock_bugs, paxos_bugs, raft_bugs, zab_bugs

MUTANTS = {
    mutant.name if mutant in (*host_bugs.MUTANTS, *lock_bugs.MUTANTS) else f"{mutant.engine}: {mutant.name}": mutant
    for mutant in (*raft_bugs.MUTANTS, *paxos_bugs.MUTANTS, *zab_bugs.MUTANTS, *host_bugs.MUTANTS, *lock_bugs.MUTANTS)
}
