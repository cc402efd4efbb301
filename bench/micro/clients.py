"""The client processes alone, against a replica that answers at once: what they could offer if replicas cost nothing.

A point of a real run that comes near such a rate, or whose latency is near such a latency, measures the clients.
"""
from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from bench.driver.children import READY_S, Child, Household
from bench.driver.load import DRAIN_NS, Report
from bench.driver.population import window_of
from bench.driver.processes import START_IN_NS
from bench.metrics.summary import PERCENTILES, percentile, within
from bench.metrics.trial import OK
from bench.scenario import Place, Scenario, read_scenario

REGIMES = ((1, 1), (64, 1), (256, 1), (256, 2))  # (clients, processes that have them between them)


class Ceiling(msgspec.Struct, frozen=True):
    """What was measured in the window, of all client processes together; the worst of them where it says ``max``."""

    ops_per_s: float
    cpu_ns_per_operation: float
    latency_p50_ns: int | None
    loop_lag_max_ns: int


def compare(smoke: bool) -> int:
    """Print a line for each of REGIMES; nothing is wanted of it, so that nothing is ever missed."""
    what = "the clients against a server that answers at once"
    print(f"{what:52}{'operations/s':>14}{'CPU us/op':>12}{'p50 ms':>10}{'lag ms':>10}")
    for clients, generators in REGIMES:
        found = measured(clients, generators, 0.1 if smoke else 3.0)
        latency = "n/a" if found.latency_p50_ns is None else f"{found.latency_p50_ns / 1e6:.3f}"
        title = f"    {clients} in {generators} process{'es' if generators > 1 else ''}"
        print(
            f"{title:52}{found.ops_per_s:>14,.0f}{found.cpu_ns_per_operation / 1e3:>12.2f}{latency:>10}"
            f"{found.loop_lag_max_ns / 1e6:>10.3f}"
        )
    return 0


def measured(clients: int, generators: int, seconds: float) -> Ceiling:
    """Writes of 256 bytes in a closed loop, for so long after a short warm-up. ProcessError where a process fails."""
    table = {
        "world": "processes", "replicas": 1, "duration": f"{seconds}s", "warmup": "200ms", "cooldown": "0ms",
        "network": {"latency": "0ms", "bandwidth": "unlimited"}, "processes": {"generators": generators},
        "workload": {
            "mix": {"write": 1.0}, "value_size": "256B", "arrivals": {"kind": "closed", "clients": clients},
        },
    }  # fmt: skip
    scenario = read_scenario(table, Place("micro", Path()))
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(scenario, Path(folder)))


async def _measure(scenario: Scenario, folder: Path) -> Ceiling:
    secret, parts = secrets.token_hex(32), scenario.processes.generators
    outs = [folder / f"operations-{part}.npy" for part in range(parts)]
    async with Household(folder) as household:
        server = await household.start("server", "bench.micro.null_replica", {"secret": secret})
        port = (await server.line("listening", READY_S))["listening"]
        config = {"scenario": scenario.resolved(), "seed": 1, "replicas": {"0": ("127.0.0.1", port)}, "secret": secret}
        loads: list[Child] = []
        for part, out in enumerate(outs):
            share = {"out": str(out), "share": (part, parts)}
            loads.append(await household.start(f"clients-{part}", "bench.driver.load", config | share))
        for load in loads:
            await load.line("ready", READY_S)
        start_ns = time.monotonic_ns() + START_IN_NS
        for load in loads:
            load.say({"start_ns": start_ns})
        limit_s = (scenario.end_ns + DRAIN_NS) / 1e9 + READY_S
        reports = [msgspec.convert(await load.line("end_ns", limit_s), Report) for load in loads]
        await household.end([*loads, server])
    return _summary(scenario, reports, np.concatenate([np.load(out) for out in outs]))


def _summary(scenario: Scenario, reports: list[Report], operations: np.ndarray) -> Ceiling:
    first, last = window = window_of(scenario)
    done = within(operations[operations["status"] == OK], window)
    completed = operations["completed_ns"][operations["status"] == OK]
    count = int(np.count_nonzero((completed >= first) & (completed < last)))
    return Ceiling(
        ops_per_s=count / ((last - first) / 1e9),
        cpu_ns_per_operation=sum(report.cpu_ns for report in reports) / max(1, count),
        latency_p50_ns=percentile(np.sort(done["completed_ns"] - done["intended_ns"]), PERCENTILES["p50"]),
        loop_lag_max_ns=max(report.loop_lag_max_ns for report in reports),
    )
