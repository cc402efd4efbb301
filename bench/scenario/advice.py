"""What a scenario may say, though it is seldom meant."""

from __future__ import annotations

from bench.scenario.scenario import Scenario

# What keeps whoever is sent a state, and hears no heartbeat, from disturbing the others; and what happens where it is off.
OFF = {
    "raft": ("pre_vote", "raft.pre_vote = false has it depose its leader, and the next one send the state again"),
    "paxos": ("inquire", "paxos.inquire = false has it stand, and nobody lead before it is told all"),
}


def advice(scenario: Scenario) -> list[str]:
    """What is said before a run, a line each."""
    if scenario.world == "simulation" and scenario.tls.ca is not None:
        return [*_of_long_states(scenario), 'tls has no effect in the simulation; give world = "processes", or leave it out']
    return _of_long_states(scenario)


def _of_long_states(scenario: Scenario) -> list[str]:
    """A line for each engine that a long state would stop: one that is all values long takes longer than an election timeout.

    A state is sent to who was away, so that there is nothing to say without faults.
    """
    bandwidth, workload = scenario.network.bandwidth_bytes_per_s, scenario.workload
    if not bandwidth or not scenario.faults or workload.kind != "key-value":
        return []
    takes_ns = round(workload.keys.count * workload.value_size.high_bytes / bandwidth * 1_000_000_000)
    long = f"a state of all keys takes {takes_ns / 1e9:.3g} s at network.bandwidth, and whoever is sent one"
    found = []
    if takes_ns > scenario.timeouts.election_ns[0]:
        found = [
            f"{long} hears no leader for so long: {harm}; leave {option} on, or raise timeouts.election"
            for engine, (option, harm) in OFF.items()
            if engine in scenario.engine and not getattr(getattr(scenario, engine), option)
        ]
    ticks = scenario.zab.init_limit
    if "zab" in scenario.engine and ticks is not None and takes_ns > ticks * scenario.timeouts.heartbeat_ns:
        needed = 2 * takes_ns // scenario.timeouts.heartbeat_ns
        found.append(f"{long} gives up after {ticks} ticks, again and again; give zab.init_limit = {needed}, or leave it out")
    return found
