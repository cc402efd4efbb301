"""The real world: a trial with replicas and clients as processes, sockets and disks; its Trial is like a simulation's.

    children    Household: folder, processes, janitor; nothing outlives it
    cluster     the replicas: started, asked, killed, restarted, told to misbehave
    breakage    the faults, each proven
    load        the client processes
    audit       what the logs on disk say in the end

Here is the course of a trial: readiness, the agreed start, load and faults, the window's edges, the checks at the end.
All processes of a machine share one monotonic clock; times are counted from the agreed start.
"""
from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bench.checkers.statements import NO_LOSS, RECORDS, STATUSES
from bench.driver import resources
from bench.driver.breakage import Breakage
from bench.driver.children import READY_S, Child, Household
from bench.driver.cluster import Cluster
from bench.driver.homes import Here
from bench.driver.judgement import checks, fairness
from bench.driver.load import DRAIN_NS, Report, locks_path
from bench.driver.population import window_of
from bench.driver.stations import Hosts
from bench.metrics.trial import OK, LockRecord, Trial
from bench.workloads.arrivals import offered_ops_per_s

if TYPE_CHECKING:
    from bench.scenario import Scenario

START_IN_NS = 50_000_000
LEVEL_S = 10.0
REPORT_S = 30.0


def run_processes(
    scenario: Scenario, engine: str, axes: dict[str, Any], seed: int, trial: int, folder: Path, hosts: Hosts | None = None
) -> Trial:
    """One trial in processes, its replicas here or on ``hosts``; what it has here lies below ``folder`` meanwhile.
    ProcessError where a process fails.
    """
    return asyncio.run(_run(scenario, engine, axes, seed, trial, folder, hosts))


async def _run(
    scenario: Scenario, engine: str, axes: dict[str, Any], seed: int, trial: int, folder: Path, hosts: Hosts | None
) -> Trial:
    async with Household(folder) as household:
        run = Run(scenario, engine, seed, household, hosts)
        course = asyncio.create_task(run.perform())
        try:
            await asyncio.wait({course, household.failed}, return_when=asyncio.FIRST_COMPLETED)
            if household.failed.done():
                household.failed.result()
            await course
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        finally:
            course.cancel()
            await asyncio.gather(course, return_exceptions=True)
            run.cluster.close()
        return run.trial(axes, trial)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first among tasks that end together."""
    error = failures.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


class Generator:
    """A client process, which has part ``part`` of ``parts`` of the clients; ``out`` is where it leaves its operations."""

    def __init__(self, child: Child, out: Path, part: int, parts: int) -> None:
        self.child = child
        self.out = out
        self.part = part
        self.parts = parts
        self.report: Report

    def operations(self) -> np.ndarray:
        """What it did, of dtype OPERATION, in the order in which it began."""
        found: np.ndarray = np.load(self.out, allow_pickle=False)
        return found

    def locks(self) -> LockRecord | None:
        """What its clients have to tell of a lock service, where they used one."""
        path = locks_path(self.out)
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as found:
            return LockRecord(**found)

    def acknowledged(self) -> np.ndarray:
        """The names of what was answered (see Clients.number_of)."""
        locks = self.locks()
        if locks is not None:
            return locks.acknowledged
        return np.flatnonzero(self.operations()["status"] == OK) * self.parts + self.part + 1

    def taken(self, window_s: float) -> dict[str, Any]:
        """What it took, and how late it was, for the record of the trial."""
        report = self.report
        return {
            "cpu_share": round(report.cpu_ns / 1e9 / window_s, 4),
            "connections": report.connections,
            "lost_requests": report.lost_requests,
            "loop_lag_max_ns": report.loop_lag_max_ns,
            "lateness_p50_ns": report.lateness_p50_ns,
            "lateness_p99_ns": report.lateness_p99_ns,
        }


def merged(parts: list[np.ndarray]) -> np.ndarray:
    """The operations of all client processes, in the order in which they began."""
    operations = np.concatenate(parts)
    return operations[np.argsort(operations["started_ns"], kind="stable")]


def merged_locks(parts: list[LockRecord | None]) -> LockRecord | None:
    """What the clients of all processes have to tell of a lock service."""
    records = [part for part in parts if part is not None]
    if not records:
        return None
    whole = {name: np.concatenate([getattr(record, name) for record in records]) for name in LockRecord.__struct_fields__}
    for name, key in (("tenants", "client"), ("moments", "time_ns")):
        whole[name] = whole[name][np.argsort(whole[name][key], kind="stable")]
    return LockRecord(**whole)


class Run:
    """The course of one trial."""

    def __init__(
        self, scenario: Scenario, engine: str, seed: int, household: Household, hosts: Hosts | None = None
    ) -> None:
        self.scenario = scenario
        self.engine = engine
        self.seed = seed
        self.household = household
        self.window = window_of(scenario)
        self.cluster = Cluster(scenario, engine, seed, household, hosts)
        self.breakage = Breakage(self.cluster, scenario.faults, seed)
        self.marks: list[dict[str, int]] = []
        self.samples: list[resources.Sample] = []
        self.generators: list[Generator] = []
        self.operations: np.ndarray
        self.locks: LockRecord | None = None
        self.level: list[int] = []
        self.pids: dict[int, int] = {}

    async def perform(self) -> None:
        """From the first process to the last check; the processes have ended then."""
        cluster = self.cluster
        async with asyncio.TaskGroup() as group:
            for replica in cluster.replicas:
                group.create_task(cluster.boot(replica))
        here = [replica for replica in cluster.replicas if isinstance(replica.home, Here)]
        self.pids = {replica.id: replica.child.pid for replica in here}
        await self._start_load()
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(cluster.keep_looking())
            faults = group.create_task(self.breakage.run())
            group.create_task(self._mark())
            limit_s = (self.scenario.end_ns + DRAIN_NS) / 1e9 + REPORT_S
            for generator in self.generators:
                generator.report = msgspec.convert(await generator.child.line("end_ns", limit_s), Report)
            await self.household.end([generator.child for generator in self.generators])
            await faults
            level = await cluster.level(LEVEL_S + 2 * self.scenario.timeouts.election_ns[1] / 1e9)
            self.level = [replica.id for replica in level]
            looking.cancel()
        self.operations = merged([generator.operations() for generator in self.generators])
        self.locks = merged_locks([generator.locks() for generator in self.generators])
        ended = await cluster.stop()
        if self.scenario.storage.durability != "none":
            await self._audit(ended)

    async def _start_load(self) -> None:
        config = {
            "scenario": self.scenario.resolved(), "seed": self.seed, "secret": self.cluster.secret.hex(),
            "replicas": {str(replica.id): replica.address for replica in self.cluster.replicas},
            "tls": self.cluster.tls,
        }  # fmt: skip
        parts = self.scenario.processes.generators
        for part in range(parts):
            out = self.household.folder / f"operations-{part}.npy"
            share = {"out": str(out), "share": (part, parts)}
            child = await self.household.start(f"clients-{part}", "bench.driver.load", config | share)
            self.generators.append(Generator(child, out, part, parts))
        for generator in self.generators:
            await generator.child.line("ready", READY_S)
        self.cluster.start_ns = time.monotonic_ns() + START_IN_NS
        for generator in self.generators:
            generator.child.say({"start_ns": self.cluster.start_ns})

    async def _mark(self) -> None:
        """Counters and resources at both edges of the window."""
        for edge_ns in self.window:
            await self.cluster.until(edge_ns)
            here = [replica.child.pid for replica in self.cluster.replicas if isinstance(replica.home, Here)]
            self.samples.append(resources.sample([*here, *(generator.child.pid for generator in self.generators), os.getpid()]))
            await asyncio.gather(*(station.mark() for station in self.cluster.stations))
            await self.cluster.look()
            self.marks.append(self.cluster.board.totals())

    async def _audit(self, ended: dict[int, dict[str, Any]]) -> None:
        board = self.cluster.board
        acknowledged = np.concatenate([generator.acknowledged() for generator in self.generators])
        for id in self.level:
            home = self.cluster.replicas[id].home
            for violation in await home.audit(self.scenario, self.engine, ended[id], acknowledged):
                board.agreement.violated(violation)

    def trial(self, axes: dict[str, Any], trial: int) -> Trial:
        """The outcome, after ``perform``."""
        board, scenario = self.cluster.board, self.scenario
        first, last = self.marks
        counts = {name: last[name] - first.get(name, 0) for name in last}
        violations = board.agreement.violations
        leaders = sorted(
            (max(0, moment_ns - self.cluster.start_ns), replica, term)
            for (replica, term), moment_ns in board.leaders.items()
        )
        return Trial(
            engine=self.engine,
            world="processes",
            replicas=scenario.replicas,
            seed=self.seed,
            trial=trial,
            axes=axes,
            window_ns=self.window,
            end_ns=max(generator.report.end_ns for generator in self.generators),
            offered_ops_per_s=offered_ops_per_s(scenario.workload.arrivals, self.window, scenario.end_ns),
            operations=self.operations,
            counts={name: count for name, count in counts.items() if not name.startswith("kind ")},
            messages_by_kind={name[5:]: count for name, count in counts.items() if name.startswith("kind ") and count},
            outstanding_ns=sum(generator.report.outstanding_ns for generator in self.generators),
            leaders=leaders,
            faults=self.breakage.records,
            violations=violations,
            checks=self._checks(violations),
            fairness=fairness(scenario, self.engine, leaders)
            | {"loop": scenario.processes.loop, "tls": self.cluster.tls is not None},
            resources=self._resources(),
            noticed=sorted((moment_ns - self.cluster.start_ns, replica) for moment_ns, replica in board.noticed()),
            locks=self.locks,
        )

    def _checks(self, violations: list[str]) -> dict[str, str]:
        kept = self.scenario.storage.durability != "none"
        needs = (STATUSES, RECORDS) if kept else (STATUSES,)
        level = self.scenario.checks.invariants
        said = checks(self.scenario, self.engine, level, needs, self.operations, violations, self.locks)
        if kept and not self.level:
            said[NO_LOSS] = "unknown"
        return said

    def _resources(self) -> dict[str, Any]:
        first, last = self.samples
        stations = self.cluster.stations
        found = resources.between(first, last, self.pids, None if stations else self.household.where)
        for station in stations:
            there = station.taken()
            found["replicas"] |= there["replicas"]
            found.setdefault("hosts", {})[str(station.id)] = there["machine"] | station.host
        window_s = (self.window[1] - self.window[0]) / 1e9
        found["generators"] = {str(part): generator.taken(window_s) for part, generator in enumerate(self.generators)}
        statuses = self.cluster.board.newest
        dropped: Counter[str] = Counter()
        for status in statuses.values():
            dropped.update(status["dropped"])
        found["dropped"] = dict(dropped)
        found["caught_up"] = self.level
        found["loop_lag_max_ns"] = max(status["loop_lag_ns"] for status in statuses.values())
        return found
