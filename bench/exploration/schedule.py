"""A schedule is an ordinary scenario, drawn from a seed: a cluster, its network and disks, its load, and faults in phases,
each followed by a calm one in which commands must be decided.

What the user's scenario says is kept; what it leaves out is drawn. The same engine, seed and scenario give the same schedule.
Times are in steps of one 200th of the longest election timeout, a millisecond where nothing is given.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

from bench.exploration import cells
from bench.scenario import Place, Scenario, read_scenario
from bench.scenario.units import duration_ns

FIRST_FAULT = 400  # steps; by then there is a leader
SHORTEST_FAULTY, LONGEST_FAULTY = 100, 2000
RECOVERY = 1500  # a calm phase lasts as long as the faults before it (tcp backs off for that long), and this
PATIENT, IMPATIENT = "20s", "1s"  # how long a connection may be of no use; in a calm phase, where segments are lost, the shorter
ELECTION_STEPS = 200
WIDE_AREA_ELECTION = ("1s", "2s")
DEMANDED = {"invariants": "thorough", "linearizability_steps": 20_000_000, "witnesses": False}
BATCHING = (
    {"max_commands": 64, "pipeline": 1},
    {"max_commands": 4, "pipeline": 3},
    {"max_commands": 1, "pipeline": 32},
    {"max_commands": 64, "pipeline": 32},
)
LATENCIES: tuple[Any, ...] = (
    "0.1ms",
    "2ms",
    {"distribution": "uniform", "low": "0.1ms", "high": "8ms"},
    {"distribution": "exponential", "mean": "2ms"},
    {"distribution": "lognormal", "median": "1ms", "sigma": 1.0},
)
LOSSES: tuple[Any, ...] = (0.0, 0.01, 0.05, {"model": "gilbert-elliott", "p": 0.01, "r": 0.5, "h": 0.4, "k": 1.0})
TARGETED = ("crash", "crash", "torn_write", "torn_write", "pause", "partition", "minority", "bridge", "deaf", "mute")

Table = dict[str, Any]


def draw(engine: str, seed: int, given: Table | None = None, place: Place | None = None) -> Scenario:
    """The schedule of this seed. ``given`` is the user's scenario as a file has it, ``place`` where it stands.

    ScenarioError where the two do not fit together, or where the given time is too short for a fault and a calm phase.
    """
    given = {key: value for key, value in (given or {}).items() if key not in ("seed", "trials", "name", "about")}
    place = place or Place("schedule", Path())
    if given.get("replicas", 2) < 2:
        raise place.at("replicas").error("one replica has nothing to agree on; give 2 or more, or leave it out")
    dice = random.Random(f"{engine} {seed}")
    table = _cluster(dice, engine, given) | {
        "name": f"{engine}-{seed}",
        "about": f"drawn for {engine} from seed {seed}",
        "engine": engine,
        "seed": seed,
    }
    table["network"] = _network(dice, engine, given.get("network", {}))
    batching = {"max_delay": dice.choice(("0s", "1ms")), **dice.choice(BATCHING)}
    limits = _messages(dice)
    network = table["network"] | given.get("network", {})
    if network.get("transport") == "datagram" and network["loss"] and "message" not in limits:
        limits = {"message": "1KiB"} | limits  # a datagram of a hundred fragments never arrives where one in twenty is lost
    table["batching"] = batching | limits
    table["timeouts"] = _timeouts(given)
    tight = bool(limits or table["storage"]["group"] or batching["pipeline"] == 1)
    table["workload"] = _workload(dice, tight)
    scale = _election_ns(table["timeouts"]) / (ELECTION_STEPS * 1_000_000)
    if given.get("workload", {}).get("kind") == "locks":
        cell = cells.cell(dice, lambda steps: _time(steps, scale), tight)
        table |= {"workload": cell["workload"], "locks": cell["locks"]}
        table["timeouts"]["request"] = cell["request"]
        table["network"]["retransmit"] = "5ms"  # or leaders on links that lose much last no longer than a new master waits
    for section in ("cpu", "storage", "batching", "network", "timeouts", "workload", "locks", "raft", "paxos", "zab", "checks"):
        table[section] = table.get(section, {}) | given.get(section, {})
    table |= {key: value for key, value in given.items() if key not in table}
    _in_phases(dice, table, given, scale, place)
    return read_scenario(table, place)


def _cluster(dice: random.Random, engine: str, given: Table) -> Table:
    drawn = dice.choice((2, 3, 3, 3, 4, 5, 5, 6, 7))
    replicas = given.get("replicas", drawn)
    table: Table = {
        "replicas": replicas,
        "cpu": dice.choice(({"per_message": "0s", "per_byte": "0s"}, {"per_message": "20us", "per_byte": "5ns"})),
        "storage": {
            "fsync": dice.choice(("0s", "0.5ms", {"distribution": "exponential", "mean": "2ms"})),
            "group": dice.choice((0, 0, 1, 3)),
            "compact_after": dice.choice(("1KiB", "4KiB", "64MiB")),
        },
        engine: OPTIONS[engine](dice, replicas),
    }
    first = dice.choice((None, dice.randrange(drawn)))
    if "initial_leader" in given or (first is not None and isinstance(replicas, int) and first < replicas):
        table["initial_leader"] = given.get("initial_leader", first)
    return table


def _raft(dice: random.Random, replicas: int) -> Table:  # noqa: ARG001
    table = {"pre_vote": dice.random() < 0.75, "check_quorum": dice.random() < 0.75}
    return table | {"empty_probes": dice.random() < 0.5}


def _paxos(dice: random.Random, replicas: int) -> Table:
    first = dice.randint(1, 7)
    table: Table = {"inquire": dice.random() < 0.75}
    if dice.random() < 0.3 and first <= replicas:
        table |= {"phase1_quorum": first, "phase2_quorum": replicas + 1 - first}
    return table


def _zab(dice: random.Random, replicas: int) -> Table:  # noqa: ARG001
    return {"sync_limit": dice.randint(5, 10)} if dice.random() < 0.3 else {}


OPTIONS = {"raft": _raft, "paxos": _paxos, "zab": _zab}


def _network(dice: random.Random, engine: str, given: Table) -> Table:
    network: Table = {
        "latency": dice.choice(LATENCIES),
        "loss": dice.choice(LOSSES),
        "bandwidth": dice.choice(("unlimited", "100Mbit/s")),
        "retransmit": dice.choice(("5ms", "40ms")),
        "user_timeout": dice.choice(("100ms", "300ms", IMPATIENT, PATIENT)),
    }
    if given.get("loss", network["loss"]) and network["user_timeout"] == PATIENT:
        network["user_timeout"] = IMPATIENT
    datagrams = dice.random() < 0.5 and engine != "zab"
    drawn = {"duplicate": dice.choice((0.0, 0.05, 0.3)), "reorder": dice.choice((0.0, 0.05, 0.5))}
    if given.get("transport", "datagram" if datagrams else "tcp") == "datagram":
        network |= {"transport": "datagram"} | drawn
    if "matrix" in given:
        del network["latency"]
    return network


def _messages(dice: random.Random) -> Table:
    """Some bugs show only with one entry a message, others only where all is sent at once."""
    return dice.choice(
        ({}, {}, {"message": "1B"}, {"message": "300B"}, {"inflight_messages": 1}, {"message": "1B", "inflight_messages": 2})
    )


def _timeouts(given: Table) -> Table:
    wide = "matrix" in given.get("network", {})
    low, high = given.get("timeouts", {}).get("election", WIDE_AREA_ELECTION if wide else ("100ms", "200ms"))
    step_ns = duration_ns(high) // ELECTION_STEPS
    return {
        "election": [low, high],
        "heartbeat": f"{20 * step_ns}ns",
        "request": f"{150 * step_ns}ns",
        "operation": f"{1000 * step_ns}ns",
    }


def _election_ns(timeouts: Table) -> int:
    return duration_ns(timeouts["election"][1])


def _workload(dice: random.Random, tight: bool) -> Table:
    """Clients that wait for their answers where a burst could not be served: who retries into a full queue is never done."""
    closed: Table = {"kind": "closed", "clients": dice.choice((1, 4, 8)), "think": dice.choice(("5ms", "10ms", "20ms"))}
    opened: Table = {
        "kind": "open", "process": "poisson", "clients": dice.choice((1, 4)), "rate": dice.choice((50, 100, 200)),
    }  # fmt: skip
    return {
        "mix": {"read": 0.3, "write": 0.5, "cas": 0.2},
        "keys": {"count": dice.choice((1, 4, 16))},
        "value_size": dice.choice(("8B", "200B")),
        "arrivals": dice.choice((closed, opened)) if not tight else closed,
        "routing": dice.choice(("leader", "leader", "round-robin", "nearest")),
    }


# -- phases --------------------------------------------------------------------------------------------------


def _in_phases(dice: random.Random, table: Table, given: Table, scale: float, place: Place) -> None:
    """Add faults, the calm spans with their demand for progress, and the times that hold all this."""
    edge = round(200 * scale * 1_000_000)
    table |= {"warmup": given.get("warmup", f"{edge}ns"), "cooldown": given.get("cooldown", f"{edge}ns")}
    locks = table["workload"].get("kind") == "locks"
    phases = _phases(dice, RECOVERY + round(cells.recovery_ns(table["locks"]) / 1_000_000 / scale) if locks else RECOVERY)
    if "duration" in given:
        whole_ns = sum(duration_ns(table[key]) for key in ("warmup", "duration", "cooldown") if key in table)
        phases = _fitted(phases, whole_ns / 1_000_000 / scale)
        if not phases:
            raise place.at("duration").error(
                f"{given['duration']} holds no phase of faults and a calm one; give more, or leave it out"
            )
    else:
        end_ns = round(phases[-1][2] * scale * 1_000_000)
        table["duration"] = f"{end_ns - duration_ns(table['warmup']) - duration_ns(table['cooldown'])}ns"
    rates = cells.rates(dice, table["locks"]) if locks else (1.0, 1.0)
    drawn = []
    for begin, calm, _ in phases:
        faults = _faults(dice, table["replicas"], begin, calm, scale)
        if locks:
            whole = {"at": _time(begin, scale), "for": _time(calm - begin, scale)}
            cells.strikes(dice, table, rates, faults, whole, partial(_window, dice, begin, calm, scale))
        drawn += faults
    if "faults" not in given:
        table["faults"] = drawn
        spans = [[_time(calm, scale), _time(end, scale)] for _, calm, end in phases]
        table["checks"] = {"progress": spans} | table["checks"]
    recovery = _time(20 * RECOVERY, scale)
    table["checks"] = DEMANDED | {"level_within": recovery} | table["checks"]


def _phases(dice: random.Random, recovery: int) -> list[tuple[int, int, int]]:
    """(faults begin, all is calm, the next faults or the end), in steps."""
    found, begin = [], FIRST_FAULT
    for _ in range(dice.choice((1, 1, 2, 3))):
        calm = begin + dice.randint(SHORTEST_FAULTY, LONGEST_FAULTY)
        end = calm + (calm - begin) + recovery
        found.append((begin, calm, end))
        begin = end
    return found


def _fitted(phases: list[tuple[int, int, int]], steps: float) -> list[tuple[int, int, int]]:
    """As many phases as fit into so many steps, again and again from the first; the last calm one takes the rest."""
    found: list[tuple[int, int, int]] = []
    begin = FIRST_FAULT
    while True:
        drawn = phases[len(found) % len(phases)]
        calm = begin + drawn[1] - drawn[0]
        end = calm + drawn[2] - drawn[1]
        if end >= steps:
            break
        found.append((begin, calm, end))
        begin = end
    if found:
        found[-1] = (*found[-1][:2], int(steps) - 1)
    return found


def _time(steps: float, scale: float) -> str:
    return f"{round(steps * scale * 1000)}us"


def _faults(dice: random.Random, replicas: int, begin: int, calm: int, scale: float) -> list[Table]:
    faults = [_window(dice, begin, calm, scale) | _action(dice, replicas) for _ in range(dice.randint(1, 6))]
    if dice.random() < 0.2:
        at = dice.randint(begin, calm - SHORTEST_FAULTY // 2)
        for replica in range(replicas):  # everybody is down at once, and comes back one after another
            lasting = dice.randint(1, min(300, calm - at))
            faults.append({"at": _time(at, scale), "for": _time(lasting, scale), "crash": replica})
    return faults


def _window(dice: random.Random, begin: int, calm: int, scale: float) -> Table:
    at = dice.randint(begin, calm - SHORTEST_FAULTY // 2)
    return {"at": _time(at, scale), "for": _time(dice.randint(1, calm - at), scale)}


def _action(dice: random.Random, replicas: int) -> Table:
    anyone = dice.choice(("leader", "leader", "random", dice.randrange(replicas)))
    one, other = dice.sample(range(replicas), 2)
    side = set(dice.sample(range(replicas), dice.randint(1, replicas - 1)))
    ends = dice.choice(({"from": one, "to": other}, {"from": "leader", "to": "random"}, {"from": "random", "to": "leader"}))
    kind = dice.choice(TARGETED)
    return dice.choice(
        (
            *[{"partition" if kind == "bridge" and replicas < 3 else kind: anyone}] * len(TARGETED),
            {"partition": [sorted(side), sorted(set(range(replicas)) - side)]},
            {"one_way": ends},
            {"slow_link": {**ends, "extra": f"{dice.randint(1, 150)}ms"}},
            {"slow_disk": {"replica": anyone, "factor": dice.choice((5, 40))}},
            {"clock": {"replica": anyone, "rate": dice.choice((0.8, 1.25))}},
        )
    )
