"""Several client processes: together they are the clients and the schedule of one, and no number is given twice."""
from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.checkers.verdict import verdict
from bench.driver.dialogue import Dialogue
from bench.driver.frames import Answer, Request
from bench.driver.network import ARRIVALS, generator
from bench.driver.occasions import ACCEPTED
from bench.driver.population import build_clients
from bench.driver.processes import merged
from bench.metrics.summary import summarise
from bench.metrics.trial import CAS, OK, READ, WRITE
from bench.workloads.arrivals import schedule
from engines.core import NEVER, NOBODY
from engines.machine import KeyValue, client_of, sequence_of
from ext.events import EventQueue
from tests.bench.trials import synthetic_trial
from tests.processes.real import ran, short

PARTS = 3


class Part:
    """One of the processes that have the clients between them, without sockets: it talks to a state machine."""

    def __init__(self, part: int, machine: KeyValue, **changes: Any) -> None:
        self.scenario = short(replicas=1, **changes)
        self.machine = machine
        queue = EventQueue()
        self.clients = build_clients(self.scenario, 1, queue, (part, PARTS))
        self.dialogue = Dialogue(queue, self.clients, 1)
        self.clients.start()
        self.requests: list[Request] = []

    def turn(self, now: int) -> None:
        """Let everything happen that is due; what was asked is answered at once, and heard in the next turn."""
        self.dialogue.turn(now, 1000)
        [asked] = self.dialogue.outgoing
        self.requests += asked
        answers = [
            Answer(
                each.client, sequence_of(each.command), ACCEPTED, NOBODY,
                self.machine.apply(self.machine.applied + 1, each.command),
            )
            for each in asked
        ]  # fmt: skip
        asked.clear()
        self.dialogue.hear(0, answers, now)

    @cached_property
    def operations(self) -> np.ndarray:
        """What it did; the recorder gives it away."""
        return self.clients.recorder.operations()


def together(**changes: Any) -> list[Part]:
    """Three parts of a run of two seconds, by turns, on one state machine."""
    machine = KeyValue()
    parts = [Part(part, machine, **changes) for part in range(PARTS)]
    for now in range(0, 2_000_000_000, 1_000_000):
        for part in parts:
            part.turn(now)
    return parts


def test_the_parts_of_an_open_loop_are_the_schedule_of_the_whole() -> None:
    parts = together(workload={"arrivals": {"clients": 7}})
    scenario = parts[0].scenario
    whole = schedule(scenario.workload.arrivals, generator(1, ARRIVALS), scenario.end_ns)
    intended = np.concatenate([part.operations["intended_ns"] for part in parts])
    assert sorted(intended.tolist()) == whole.tolist()
    assert len({tuple(part.operations["key"][:20]) for part in parts}) == PARTS, "each draws for itself"


def test_clients_and_numbers_are_dealt_out_in_turn_and_none_twice() -> None:
    parts = together(workload={"arrivals": {"kind": "closed", "clients": 7}})
    for which, part in enumerate(parts):
        assert {request.client for request in part.requests} == set(range(which, 7, PARTS))
        assert all(client_of(request.command) == request.client for request in part.requests)
    numbers = [sequence_of(request.command) for part in parts for request in part.requests]
    assert len(numbers) > 1000
    assert len(set(numbers)) == len(numbers)
    tokens = np.concatenate([part.operations["value"] for part in parts])
    assert len(np.unique(tokens[tokens > 0])) == np.count_nonzero(tokens)
    for part in parts:
        sent = [sequence_of(request.command) for request in part.requests]
        writes = part.operations
        assert set(writes["value"][writes["kind"] == WRITE]) <= set(sent), "a value is named by the command that wrote it"


def test_a_cas_may_expect_what_another_process_wrote() -> None:
    """Values are compared whole, so that the length of a stranger's value has to be known, too."""
    changes = {"mix": {"read": 0.4, "write": 0.2, "cas": 0.4}, "value_size": {"uniform": ["8B", "64B"]}, "keys": {"count": 2}}
    parts = together(workload=changes | {"arrivals": {"kind": "closed", "clients": 6}})
    for which, part in enumerate(parts):
        operations = part.operations
        tries = operations[(operations["kind"] == CAS) & (operations["status"] == OK) & (operations["expected"] > 0)]
        strangers = tries[(tries["expected"] - 1) % PARTS != which]
        assert (strangers["returned"] == 1).sum() > 10
        assert (operations["kind"] == READ).any()


def test_operations_are_merged_in_the_order_in_which_they_began() -> None:
    one, other = synthetic_trial(seed=1).operations, synthetic_trial(seed=2).operations
    whole = merged([one, other])
    assert len(whole) == len(one) + len(other)
    assert (np.diff(whole["started_ns"]) >= 0).all()


def test_the_latest_of_several_generators_is_judged() -> None:
    """On average they may be in time."""
    prompt: dict[str, Any] = {"cpu_share": 0.1, "lateness_p50_ns": 0, "lateness_p99_ns": 0}
    late = prompt | {"lateness_p99_ns": 400_000_000}
    for generators, said in (({"0": prompt, "1": prompt}, 0), ({"0": prompt, "1": late}, 1)):
        trial = synthetic_trial(resources={"generators": generators})
        _, reasons = verdict(trial, summarise(trial))
        assert sum("The generator was late: 400" in reason for reason in reasons) == said


@pytest.mark.parametrize("kind", ["open", "closed"])
def test_a_run_with_two_client_processes_passes_every_check(kind: str, tmp_path: Path) -> None:
    arrivals: dict[str, Any] = {"kind": kind, "clients": 5} | ({"rate": 400} if kind == "open" else {})
    load = {"mix": {"read": 0.4, "write": 0.4, "cas": 0.2}, "keys": {"count": 20}, "arrivals": arrivals}
    trial = ran("raft", tmp_path, processes={"generators": 2}, workload=load)
    assert set(trial.operations["client"].tolist()) == set(range(5))
    assert set(trial.resources["generators"]) == {"0", "1"}
    assert all(each["cpu_share"] > 0 and each["loop_lag_max_ns"] >= 0 for each in trial.resources["generators"].values())
    assert trial.counts["cpu_ns"] > 0
    assert NEVER > trial.outstanding_ns > 0


def test_more_generators_than_clients_and_shared_inserts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"processes\.generators: 3 client processes for 2 clients; give at most"):
        short(processes={"generators": 3}, workload={"arrivals": {"clients": 2}})
    with pytest.raises(ValueError, match=r"processes\.generators: new keys"):
        short(
            processes={"generators": 2},
            workload={"mix": "ycsb-d", "keys": {"distribution": "latest"}, "arrivals": {"clients": 2}},
        )
