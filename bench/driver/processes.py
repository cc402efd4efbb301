"""The real world: a trial with replicas and clients as processes, sockets and disks; its Trial is like a simulation's.

    children    Household: folder, processes, janitor; nothing outlives it
    cluster     the replicas: started, asked, killed, restarted, told to misbehave
    breakage    the faults, each proven
    load        the client process
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

from bench.checkers.invariants import AGREEMENT, NO_LOSS, ONE_LEADER
from bench.driver import resources
from bench.driver.audit import audit
from bench.driver.breakage import Breakage
from bench.driver.children import READY_S, Child, Household
from bench.driver.cluster import Cluster
from bench.driver.judgement import checks, fairness
from bench.driver.load import DRAIN_NS, Report
from bench.driver.population import window_of
from bench.driver.storage import StorageError
from bench.metrics.trial import Trial
from bench.workloads.arrivals import offered_ops_per_s

if TYPE_CHECKING:
    from bench.scenario import Scenario

START_IN_NS = 50_000_000
LEVEL_S = 10.0
REPORT_S = 30.0
STATEMENTS = (AGREEMENT, ONE_LEADER, NO_LOSS)


def run_processes(
    scenario: Scenario, engine: str, axes: dict[str, Any], seed: int, trial: int, folder: Path
) -> Trial:
    """One trial in processes, whose logs lie below ``folder`` meanwhile. ProcessError where one of them fails."""
    return asyncio.run(_run(scenario, engine, axes, seed, trial, folder))


async def _run(
    scenario: Scenario, engine: str, axes: dict[str, Any], seed: int, trial: int, folder: Path
) -> Trial:
    async with Household(folder) as household:
        run = Run(scenario, engine, seed, household)
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


class Run:
    """The course of one trial."""

    def __init__(self, scenario: Scenario, engine: str, seed: int, household: Household) -> None:
        self.scenario = scenario
        self.engine = engine
        self.seed = seed
        self.household = household
        self.window = window_of(scenario)
        self.cluster = Cluster(scenario, engine, seed, household)
        self.breakage = Breakage(self.cluster, scenario.faults, seed)
        self.marks: list[dict[str, int]] = []
        self.samples: list[resources.Sample] = []
        self.report: Report
        self.operations: np.ndarray
        self.level: list[int] = []
        self.pids: dict[int, int] = {}

    async def perform(self) -> None:
        """From the first process to the last check; the processes have ended then."""
        cluster = self.cluster
        async with asyncio.TaskGroup() as group:
            for replica in cluster.replicas:
                group.create_task(cluster.boot(replica))
        self.pids = {replica.id: replica.child.pid for replica in cluster.replicas}
        load = await self._start_load()
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(cluster.keep_looking())
            faults = group.create_task(self.breakage.run())
            group.create_task(self._mark(load))
            limit_s = (self.scenario.end_ns + DRAIN_NS) / 1e9 + REPORT_S
            self.report = msgspec.convert(await load.line("end_ns", limit_s), Report)
            await self.household.end([load])
            await faults
            level = await cluster.level(LEVEL_S + 2 * self.scenario.timeouts.election_ns[1] / 1e9)
            self.level = [replica.id for replica in level]
            looking.cancel()
        self.operations = np.load(self.household.folder / "operations.npy", allow_pickle=False)
        ended = await cluster.stop()
        if self.scenario.storage.durability != "none":
            await asyncio.to_thread(self._audit, {id: ended[id] for id in self.level})

    async def _start_load(self) -> Child:
        config = {
            "scenario": self.scenario.resolved(), "seed": self.seed, "secret": self.cluster.secret.hex(),
            "replicas": {str(replica.id): replica.address for replica in self.cluster.replicas},
            "out": str(self.household.folder / "operations.npy"),
        }  # fmt: skip
        load = await self.household.start("clients", "bench.driver.load", config)
        await load.line("ready", READY_S)
        self.cluster.start_ns = time.monotonic_ns() + START_IN_NS
        load.say({"start_ns": self.cluster.start_ns})
        return load

    async def _mark(self, load: Child) -> None:
        """Counters and resources at both edges of the window."""
        for edge_ns in self.window:
            await self.cluster.until(edge_ns)
            pids = [replica.child.pid for replica in self.cluster.replicas]
            self.samples.append(resources.sample([*pids, load.pid, os.getpid()]))
            await self.cluster.look()
            self.marks.append(self.cluster.board.totals())

    def _audit(self, said: dict[int, dict[str, Any]]) -> None:
        board, folders = self.cluster.board, {replica.id: replica.data for replica in self.cluster.replicas}
        try:
            for violation in audit(self.scenario, self.engine, folders, said, self.operations):
                board.agreement.violated(violation)
        except StorageError as error:
            board.agreement.violated(f"{NO_LOSS}: a log cannot be read back: {error}")

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
            end_ns=self.report.end_ns,
            offered_ops_per_s=offered_ops_per_s(scenario.workload.arrivals, self.window, scenario.end_ns),
            operations=self.operations,
            counts={name: count for name, count in counts.items() if not name.startswith("kind ")},
            messages_by_kind={name[5:]: count for name, count in counts.items() if name.startswith("kind ") and count},
            outstanding_ns=self.report.outstanding_ns,
            leaders=leaders,
            faults=self.breakage.records,
            violations=violations,
            checks=self._checks(violations),
            fairness=fairness(scenario, self.engine, leaders) | {"loop": scenario.processes.loop},
            resources=self._resources(),
        )

    def _checks(self, violations: list[str]) -> dict[str, str]:
        said = checks(self.scenario, STATEMENTS, self.operations, violations)
        if not self.level:
            said[NO_LOSS] = "unknown"
        if self.scenario.storage.durability == "none":
            said[NO_LOSS] = "not run"
        return said

    def _resources(self) -> dict[str, Any]:
        first, last = self.samples
        found = resources.between(first, last, self.pids, self.report.cpu_ns / 1e9, self.household.where)
        found["generator"] |= {
            "connections": self.report.connections, "lost_requests": self.report.lost_requests
        }  # fmt: skip
        statuses = self.cluster.board.newest
        dropped: Counter[str] = Counter()
        for status in statuses.values():
            dropped.update(status["dropped"])
        found["dropped"] = dict(dropped)
        found["caught_up"] = self.level
        found["loop_lag_max_ns"] = max(status["loop_lag_ns"] for status in statuses.values())
        return found
