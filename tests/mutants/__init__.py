"""Deliberate protocol bugs, and the proof that the checks catch them.

mutant       what a mutant is, and how its source takes the place of the product's
raft_bugs, paxos_bugs, zab_bugs, host_bugs    the mutants, each with the sentence that says what is wrong
hunt         looks for the schedule that catches one, in a process of its own
__main__     all of them, as a table
"""
