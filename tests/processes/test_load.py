"""The client process against replicas that answer as they are told: what it sends, when, how often, and what it records."""
from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.driver.frames import Answer, Request
from bench.driver.load import Config, Load
from bench.driver.network import ARRIVALS, generator
from bench.driver.occasions import REFUSED
from bench.metrics.recorder import Recorder
from bench.metrics.summary import outstanding_ns
from bench.metrics.trial import FAILED, OK, OPERATION, UNKNOWN
from bench.micro.null_replica import Reply, accept, listen
from bench.workloads.arrivals import schedule
from engines.core import NOBODY
from engines.machine import decode_command, sequence_of
from ext.build import ROOT
from tests.bench.trials import synthetic_trial
from tests.processes.real import short

SECRET = bytes(range(32))
QUICK: dict[str, Any] = {
    "duration": "400ms", "warmup": "50ms", "cooldown": "0ms",
    "timeouts": {"request": "60ms", "operation": "300ms"},
    "workload": {"mix": {"read": 0.5, "write": 0.5}, "arrivals": {"kind": "open", "rate": 500}},
}  # fmt: skip


def refuse(leader: int) -> Reply:
    """Not I: ask ``leader``."""
    return lambda request: Answer(request.client, sequence_of(request.command), REFUSED, leader, b"")


class Heard:
    """The requests that a replica got, before its reply."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Answer | None:
        self.requests.append(request)
        return self.reply(request)


async def loaded(folder: Path, *replies: Reply, cut_after_s: float = 0, **changes: Any) -> tuple[np.ndarray, Load]:
    """The operations of a load on replicas that reply like this; after a while, all their connections are cut."""
    connections: list[Any] = []
    served = [await listen(SECRET, id, reply, connections) for id, reply in enumerate(replies)]
    table: dict[str, Any] = {**QUICK, "replicas": len(replies)}
    for key, value in changes.items():
        table[key] = {**table.get(key, {}), **value} if isinstance(value, dict) else value
    scenario = short(**table)
    addresses = {id: ("127.0.0.1", port) for id, (_, port) in enumerate(served)}
    read_end, write_end = os.pipe()
    load = Load(Config(scenario.resolved(), 1, addresses, SECRET.hex(), str(folder / "operations.npy")), read_end)

    def work() -> Any:
        load.connect()
        load.start_at(time.monotonic_ns())
        load.run()
        return load.report()

    task = asyncio.create_task(asyncio.to_thread(work))
    if cut_after_s:
        await asyncio.sleep(cut_after_s)
        for transport in connections:
            transport.abort()
    await task
    for server, _ in served:
        server.close()
    os.close(write_end)
    os.close(read_end)
    return np.load(folder / "operations.npy"), load


def planned(load: Load) -> list[int]:
    """When the simulation's clients would start: the schedule has its own branch of the seed's tree."""
    scenario = load.scenario
    return list(schedule(scenario.workload.arrivals, generator(load.config.seed, ARRIVALS), scenario.end_ns).tolist())


def test_an_open_loop_keeps_the_schedule_that_was_fixed_before_the_run(tmp_path: Path) -> None:
    operations, load = asyncio.run(loaded(tmp_path, accept))
    assert operations.dtype == OPERATION
    assert operations["intended_ns"].tolist() == planned(load)
    assert (operations["status"] == OK).all()
    assert (operations["attempts"] == 1).all()
    assert (operations["started_ns"] >= operations["intended_ns"]).all()
    assert (operations["completed_ns"] >= operations["started_ns"]).all()


def test_the_integral_that_little_needs_is_that_of_the_rows(tmp_path: Path) -> None:
    operations, load = asyncio.run(loaded(tmp_path, accept, workload={"arrivals": {"kind": "closed", "clients": 4}}))
    trial = synthetic_trial(operations=operations, window_ns=load.marks, end_ns=load.exchange.now(), outstanding_ns=0)
    assert load.clients.recorder.outstanding_ns == pytest.approx(outstanding_ns(trial), rel=1e-9)


def test_a_redirect_is_followed_and_remembered(tmp_path: Path) -> None:
    wrong, right = Heard(refuse(1)), Heard(accept)
    operations, _ = asyncio.run(loaded(tmp_path, wrong, right, workload={"arrivals": {"clients": 4}}))
    assert (operations["status"] == OK).all()
    # Each of four sessions asks the wrong one first, and again only for what was on its way by then.
    assert 4 <= len(wrong.requests) < 20
    assert len(right.requests) == len(operations)


def test_without_an_answer_the_same_command_is_sent_elsewhere_under_its_number(tmp_path: Path) -> None:
    deaf, good = Heard(lambda _: None), Heard(accept)
    operations, _ = asyncio.run(loaded(tmp_path, deaf, good, workload={"arrivals": {"clients": 1}}))
    # On a busy machine the second try of the last ones may still be under way when the run ends.
    assert (operations["status"] == OK).mean() > 0.9
    heard = {sequence_of(request.command): request.command for request in good.requests}
    for request in (each for each in deaf.requests if sequence_of(each.command) in heard):
        again, first = decode_command(heard[sequence_of(request.command)]), decode_command(request.command)
        assert (again.operation, again.key, again.value) == (first.operation, first.key, first.value)
    assert operations["attempts"].max() >= 2


def test_where_nobody_answers_outcomes_are_unknown_and_nothing_is_dropped(tmp_path: Path) -> None:
    deaf = [Heard(lambda _: None), Heard(lambda _: None)]
    operations, load = asyncio.run(loaded(tmp_path, *deaf))
    assert (operations["status"] == UNKNOWN).all()
    assert len(operations) == len(planned(load))
    tries = Counter(sequence_of(request.command) for each in deaf for request in each.requests)
    assert tries[1] == operations["attempts"][0] > 2


def test_where_everybody_refuses_operations_have_certainly_failed(tmp_path: Path) -> None:
    """But for those whose last try was still under way when their client stopped waiting."""
    operations, _ = asyncio.run(loaded(tmp_path, refuse(NOBODY), refuse(NOBODY)))
    assert (operations["status"] != OK).all()
    assert np.count_nonzero(operations["status"] == FAILED) > 0.1 * len(operations)


def test_cut_connections_are_made_anew(tmp_path: Path) -> None:
    operations, load = asyncio.run(loaded(tmp_path, accept, cut_after_s=0.3, duration="700ms"))
    assert load.channels[0].opened >= 2
    assert np.count_nonzero(operations["status"] == OK) == len(operations)


def test_clients_latency_is_applied_both_ways(tmp_path: Path) -> None:
    operations, _ = asyncio.run(loaded(tmp_path, accept, network={"client_latency": "20ms"}))
    answered = operations[operations["status"] == OK]
    assert len(answered) > 0
    assert (answered["completed_ns"] - answered["intended_ns"]).min() >= 40_000_000


def test_the_recorder_keeps_when_an_operation_really_left() -> None:
    recorder = Recorder(0, 100)
    row = recorder.begin(10, 10, 0, 0, 0, 0)
    recorder.sent(row, 17)
    recorder.complete(row, 30, OK, 0)
    [operation] = recorder.operations()
    assert (operation["intended_ns"], operation["started_ns"], operation["completed_ns"]) == (10, 17, 30)


def test_a_recorder_that_has_given_its_operations_away_says_so() -> None:
    recorder = Recorder(0, 100)
    row = recorder.begin(10, 10, 0, 0, 0, 0)
    recorder.operations()
    for use in (lambda: recorder.pending(row), lambda: recorder.begin(20, 20, 0, 0, 0, 0), recorder.operations):
        with pytest.raises(IndexError):
            use()


def test_a_client_process_ends_with_its_parent(tmp_path: Path) -> None:
    """Its standard input closes: whoever started it is gone, also when nobody listens where the replicas should be."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({
        "scenario": short(replicas=1).resolved(), "seed": 1, "replicas": {"0": ["127.0.0.1", 1]},
        "secret": SECRET.hex(), "out": str(tmp_path / "out.npy"),
    }))  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "bench.driver.load", str(config)], cwd=ROOT, stdin=subprocess.PIPE)
    time.sleep(0.2)
    process.communicate()
    assert process.returncode == 1
    assert not (tmp_path / "out.npy").exists()
