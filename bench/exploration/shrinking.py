"""Makes a failing schedule small: faults go one by one, replicas and commands are reduced, times rounded, the rest made plain.

Greedy, in passes until nothing more can go. Whatever is taken away moves all that comes after it, so a change that does not fail
is tried with a few other seeds: the shrunk scenario brings its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.exploration.schedule import Table
from bench.scenario import Place, Scenario, ScenarioError, read_scenario
from bench.scenario.settings import set_key
from bench.scenario.units import duration_ns, duration_text

SEEDS = 4  # that a change is tried with
MOST_TRIES = 1500
NOWHERE = Place("shrinking", Path())
# What is plain: each is tried alone.
PLAIN: tuple[tuple[str, Any], ...] = (
    ("checks.progress", []),
    ("checks.level_within", "0s"),
    ("workload.arrivals", {"kind": "closed", "clients": 1, "think": "10ms"}),
    ("workload.arrivals", {"kind": "closed", "clients": 4, "think": "10ms"}),
    ("workload.routing", "leader"),
    ("workload.keys", {"count": 1}),
    ("workload.mix", {"read": 0.5, "write": 0.5}),
    ("workload.value_size", "8B"),
    ("locks.errands", "0s"),
    ("locks.own", True),
    ("locks.hold", "0s"),
    ("locks.lock_delay", "0s"),
    ("locks.grace", "0s"),
    ("network.transport", "tcp"),
    ("network.latency", "1ms"),
    ("network.loss", 0.0),
    ("network.duplicate", 0.0),
    ("network.reorder", 0.0),
    ("network.bandwidth", "unlimited"),
    ("network.retransmit", "5ms"),
    ("network.user_timeout", "1s"),
    ("cpu", {"per_message": "0s", "per_byte": "0s"}),
    ("storage", {"fsync": "1ms"}),
    ("batching", {}),
    ("raft", {}),
    ("paxos", {}),
    ("zab", {}),
    ("initial_leader", 0),
)
GRAINS_NS = (1_000_000_000, 100_000_000, 10_000_000, 1_000_000)

Change = Callable[[Table], None]


def shrink(scenario: Scenario, fails: Callable[[Scenario], bool], look: Callable[[], None] = lambda: None) -> Scenario:
    """The smallest scenario found that still fails; ``scenario`` itself where it does not. ``look`` is called now and then."""
    search = _Search(scenario.resolved(), fails, look)
    before = None
    while before != search.table and search.tries < MOST_TRIES:
        before = copy.deepcopy(search.table)
        search.drop_faults()
        search.end_sooner()
        for replicas in range(2, search.table["replicas"]):
            if search.keeps(partial(_fewer_replicas, replicas), SEEDS):
                break
        for key, value in PLAIN:
            search.keeps(_setting(key, value), 1)
        search.aim()
        search.round_times()
    return read_scenario(search.table, NOWHERE)


class _Search:
    """The smallest table so far, and what it takes to make it smaller."""

    def __init__(self, table: Table, fails: Callable[[Scenario], bool], look: Callable[[], None]) -> None:
        self.table = table
        self.fails = fails
        self.look = look
        self.tries = 0

    def keeps(self, change: Change, seeds: int) -> bool:
        """Make a change for good if what is left still fails, with this seed or one of the next."""
        changed = copy.deepcopy(self.table)
        change(changed)
        if changed == self.table:
            return False
        for step in range(seeds):
            if self.tries >= MOST_TRIES:
                return False
            self.tries += 1
            self.look()
            candidate = changed | {"seed": self.table["seed"] + step}
            try:
                scenario = read_scenario(candidate, NOWHERE)
            except ScenarioError:
                return False
            if self.fails(scenario):
                self.table = candidate
                return True
        return False

    def drop_faults(self) -> None:
        """Halves first, then smaller parts, then single ones."""
        size = max(1, len(self.table.get("faults", [])) // 2)
        while size:
            start = 0
            while start < len(self.table.get("faults", [])):
                if not self.keeps(_without_faults(start, start + size), SEEDS):
                    start += size
            size //= 2

    def end_sooner(self) -> None:
        """A shorter run, with the demands for progress that fit into it."""
        for divisor in (4, 2, 1.5, 1.2):
            while self.keeps(_shorter(divisor), 1):
                pass

    def aim(self) -> None:
        """Numbers of replicas in place of "leader" and "random"."""
        for number in range(len(self.table.get("faults", []))):
            for path in _targets(self.table["faults"][number]):
                if any(self.keeps(_setting(f"faults.{number}.{path}", replica), 1) for replica in range(self.table["replicas"])):
                    continue

    def round_times(self) -> None:
        """Each time to the coarsest grain that still fails."""
        keys = [f"faults.{number}.{key}" for number in range(len(self.table.get("faults", []))) for key in ("at", "for")]
        for key in [*keys, "duration", "warmup", "cooldown"]:
            for rounded in _rounded(_at(self.table, key)):
                if self.keeps(_setting(key, rounded), 1):
                    break


def _setting(key: str, value: Any) -> Change:
    return lambda table: set_key(table, key.split("."), copy.deepcopy(value), NOWHERE)


def _at(table: Any, key: str) -> Any:
    for step in key.split("."):
        table = table[int(step)] if isinstance(table, list) else table[step]
    return table


def _without_faults(start: int, stop: int) -> Change:
    def change(table: Table) -> None:
        del table["faults"][start:stop]

    return change


def _fewer_replicas(replicas: int, table: Table) -> None:
    """Groups and quorums lose whoever is gone; a fault that is aimed at one of these makes the change impossible."""
    table["replicas"] = replicas
    table["paxos"] = {key: value for key, value in table["paxos"].items() if not key.startswith("phase")}
    if table.get("initial_leader", 0) >= replicas:
        del table["initial_leader"]
    for fault in table.get("faults", []):
        if isinstance(fault.get("partition"), list):
            groups = [[replica for replica in group if replica < replicas] for group in fault["partition"]]
            fault["partition"] = [group for group in groups if group]


def _shorter(divisor: float) -> Change:
    def change(table: Table) -> None:
        duration = duration_ns(table["duration"]) / divisor
        table["duration"] = duration_text(round(duration))
        end_ns = sum(duration_ns(table[key]) for key in ("warmup", "duration", "cooldown"))
        spans = table["checks"].get("progress", [])
        table["checks"]["progress"] = [span for span in spans if duration_ns(span[1]) <= end_ns]

    return change


def _targets(fault: Table) -> Iterator[str]:
    for kind, target in fault.items():
        if kind not in ("at", "for") and target in ("leader", "random"):
            yield kind
        elif isinstance(target, dict):
            yield from (f"{kind}.{end}" for end, named in target.items() if named in ("leader", "random"))


def _rounded(text: str) -> Iterator[str]:
    exact = duration_ns(text)
    for grain in GRAINS_NS:
        if exact > grain and exact % grain:
            yield duration_text(round(exact / grain) * grain)
