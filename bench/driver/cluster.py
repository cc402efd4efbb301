"""The replicas of a run of processes: started, asked, killed, restarted, told to misbehave."""
from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.driver.children import HOST, READY_S, Household, free_ports
from bench.driver.homes import Here, Home, Residence, tls_of
from bench.driver.overseer import Board, Control, ControlError, Status
from bench.driver.protocols import PROTOCOLS
from bench.driver.stations import Hosts, Station, stations
from bench.driver.tls import Credentials

if TYPE_CHECKING:
    from bench.scenario import Scenario

POLL_S = 0.1
STATUS_S = 1.0


class Replica:
    """One replica: its home, and the process that lives there now."""

    def __init__(self, id: int, home: Home) -> None:
        self.id = id
        self.home = home
        self.address = home.address
        self.incarnation = 0
        self.up = False
        self.paused = False
        self.child: Residence
        self.control: Control
        self.conditions: dict[str, tuple[str, dict[str, Any]]] = {}
        self.telling = asyncio.Lock()  # of conditions: each is told once, in order

    @property
    def awake(self) -> bool:
        """Whether it can be asked."""
        return self.up and not self.paused

    def __str__(self) -> str:
        return f"replica {self.id}"


class Cluster:
    """The replicas of a run, on this machine or on given hosts, and what they say of themselves."""

    def __init__(
        self, scenario: Scenario, engine: str, seed: int, household: Household, hosts: Hosts | None = None
    ) -> None:
        self.scenario = scenario
        self.engine = engine
        self.seed = seed
        self.tls = tls_of(scenario)
        self.credentials = Credentials(self.tls) if self.tls is not None else None
        self.stations: list[Station] = []
        homes: Sequence[Home]
        if hosts is None:
            self.secret = secrets.token_bytes(32)
            addresses = {id: (HOST, port) for id, port in enumerate(free_ports(scenario.replicas))}
            homes = [Here(household, id, addresses, self.secret, self.tls) for id in addresses]
        else:
            self.secret, self.stations = stations(household, hosts, scenario.replicas, self.credentials)
            homes = self.stations
        self.replicas = [Replica(id, home) for id, home in enumerate(homes)]
        self.board = Board(frozenset(kind.__name__ for kind in PROTOCOLS[engine][0].HEARTBEATS))
        self.start_ns = time.monotonic_ns()

    def now(self) -> int:
        """Since the agreed start, in ns."""
        return time.monotonic_ns() - self.start_ns

    async def until(self, moment_ns: int) -> None:
        """Sleep until a moment after the start."""
        await asyncio.sleep(max(0, moment_ns - self.now()) / 1e9)

    async def boot(self, replica: Replica) -> dict[str, Any]:
        """Start an incarnation; returns what it says when it is ready."""
        replica.incarnation += 1
        config = {
            "engine": self.engine, "scenario": self.scenario.resolved(), "seed": self.seed,
            "incarnation": replica.incarnation, "loop": self.scenario.processes.loop,
        }  # fmt: skip
        replica.child, ready = await replica.home.start(config)
        replica.control = await Control.open(replica.address, self.secret, replica.id, READY_S, self.credentials)
        replica.up, replica.paused = True, False
        return ready

    async def kill(self, replica: Replica) -> None:
        """SIGKILL, and wait until it is gone."""
        replica.up = False
        await replica.child.kill()
        replica.control.close()

    async def restart(self, replica: Replica) -> dict[str, Any]:
        """The next incarnation, on the same disk, under the conditions that its machine is under."""
        ready = await self.boot(replica)
        async with replica.telling:
            for action, arguments in replica.conditions.values():
                await self._tell(replica, action, arguments)
        return ready

    async def impose(self, id: int, name: str, action: str, **arguments: Any) -> None:
        """Put a replica under a condition, which outlives a crash."""
        replica = self.replicas[id]
        async with replica.telling:
            replica.conditions[name] = (action, arguments)
            await self._tell(replica, action, arguments)

    async def relieve(self, id: int, name: str, action: str, **arguments: Any) -> None:
        """End a condition."""
        replica = self.replicas[id]
        async with replica.telling:
            replica.conditions.pop(name, None)
            await self._tell(replica, action, arguments)

    async def _tell(self, replica: Replica, action: str, arguments: dict[str, Any]) -> None:
        """Who is down, or killed before it answers, learns at its restart what then holds. Who is silent, such as a stopped
        process, does it before anything that it is told later.
        """
        if replica.up:
            try:
                await replica.control.do(action, **arguments)
            except ControlError:
                if replica.up:
                    raise
            except TimeoutError:
                pass

    async def status(self, replica: Replica) -> Status:
        """What a replica says now; ControlError where it cannot be asked, TimeoutError where it is silent."""
        if not replica.awake:
            raise ControlError(f"{replica} cannot be asked")
        asked_ns = time.monotonic_ns()
        status = replica.home.dated(await replica.control.do("status", STATUS_S), asked_ns, time.monotonic_ns())
        if "applied" not in status:
            raise ControlError(f"{replica} is not ready")
        self.board.take(replica.id, status)
        return status

    async def look(self) -> None:
        """Ask every replica that is awake; who does not answer is left out."""
        awake = [replica for replica in self.replicas if replica.awake]
        answers = await asyncio.gather(*(self.status(replica) for replica in awake), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, ControlError | TimeoutError):
                raise answer

    async def keep_looking(self) -> None:
        """For leaders, and for counters that a crash would take along."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    async def level(self, within_s: float) -> list[Replica]:
        """Those that have applied the same, once all have, or else, when time is up, those that are furthest."""
        members = self.replicas[:1] if self.engine == "unreplicated" else self.replicas
        until_s = time.monotonic() + within_s
        while True:
            await self.look()
            decided = self.board.decided()
            level = [each for each in members if each.awake and self.board.current[each.id]["applied"] == decided]
            if len(level) == len(members) or time.monotonic() > until_s:
                return level
            await asyncio.sleep(POLL_S)

    async def stop(self) -> dict[int, Status]:
        """An orderly end: logs are flushed and closed. Returns what each replica had applied in the very end, with its digest."""
        up = [replica for replica in self.replicas if replica.up]
        ended = await asyncio.gather(*(replica.home.end() for replica in up))
        return {replica.id: status for replica, status in zip(up, ended, strict=True)}

    def close(self) -> None:
        """Let go of the control channels."""
        for replica in self.replicas:
            if replica.up:
                replica.control.close()
            replica.home.close()
