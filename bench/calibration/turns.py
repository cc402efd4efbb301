"""What turns, messages, bytes and commands cost in replica and client processes, from short runs of the real ones.

In a closed loop of at most ``LOCKSTEP`` clients all operations travel together: a round is one turn of the clients, and one turn
of a lone replica, or of each follower, with a frame in, a sync, and a frame out. So the processor time of a round is a line in
the number of clients. The runs sync, because processes that have slept for a while cost more than those that have just run; one
does not, and shows what of a turn is the sync's.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.driver.processes import run_processes
from bench.driver.wire import ANSWER_BYTES, REQUEST_BYTES
from bench.metrics.summary import within
from bench.metrics.trial import OK, Trial
from bench.scenario import Place, read_scenario
from engines.machine import PUT, encode_command

LOCKSTEP = 64
SOME = 16  # commands of VALUE_BYTES, more than a block of the log
QUANTILES = 100
VALUE_BYTES = 256
LARGE_BYTES = 1024  # no larger, so that frames stay of the size that many small values have
SECOND_NS = 1_000_000_000


class Round(msgspec.Struct, frozen=True):
    """Of one run: processor time in ns that each process took for a round, how long that was, quantiles of the operations'
    latencies, and the share of the machine that other programs took meanwhile.
    """

    clients: int
    value_bytes: int
    client_cpu_ns: float
    replica_cpu_ns: float  # of the one that has no followers, or of a follower
    length_ns: float
    latencies_ns: tuple[float, ...]
    foreign_share: float
    rounds: float


def lone(clients: int, value_bytes: int, folder: Path, seconds: float, durability: str = "fsync") -> Round:
    """One replica without followers."""
    trial = _run("unreplicated", 1, clients, value_bytes, folder, seconds, durability)
    return _round(trial, clients, value_bytes, "0")


def following(clients: int, folder: Path, seconds: float) -> Round:
    """A follower of three replicas of Raft."""
    trial = _run("raft", 3, clients, VALUE_BYTES, folder, seconds, "fsync")
    return _round(trial, clients, VALUE_BYTES, "1")


def command_bytes(value_bytes: int) -> int:
    """Bytes of a request and its answer on the wire."""
    return REQUEST_BYTES + len(encode_command(1, 1, 1, PUT, bytes(8), bytes(value_bytes))) + ANSWER_BYTES + 1


def _run(
    engine: str, replicas: int, clients: int, value_bytes: int, folder: Path, seconds: float, durability: str
) -> Trial:
    table: dict[str, Any] = {
        "engine": engine, "world": "processes", "replicas": replicas, "initial_leader": 0,
        "warmup": "300ms", "duration": f"{round(seconds * 1000)}ms", "cooldown": "0s",
        "network": {"latency": "0ms", "bandwidth": "unlimited"},
        "storage": {"durability": durability},
        "checks": {"linearizability_steps": 0},
        "workload": {
            "mix": {"write": 1.0}, "value_size": f"{value_bytes}B",
            "arrivals": {"kind": "closed", "clients": clients},
        },
    }  # fmt: skip
    return run_processes(read_scenario(table, Place("calibration", Path())), engine, {}, 1, 0, folder)


def _round(trial: Trial, clients: int, value_bytes: int, replica: str) -> Round:
    first, last = trial.window_ns
    done = within(trial.operations[trial.operations["status"] == OK], trial.window_ns)
    latencies = np.quantile(done["completed_ns"] - done["intended_ns"], (np.arange(QUANTILES) + 0.5) / QUANTILES)
    rounds = len(done) / clients
    length_ns = last - first
    shares = trial.resources
    return Round(
        clients=clients,
        value_bytes=value_bytes,
        client_cpu_ns=shares["generators"]["0"]["cpu_share"] * length_ns / rounds,
        replica_cpu_ns=shares["replicas"][replica]["cpu_share"] * length_ns / rounds,
        length_ns=length_ns / rounds,
        latencies_ns=tuple(map(float, latencies)),
        foreign_share=shares["machine"]["foreign_share"],
        rounds=rounds,
    )
