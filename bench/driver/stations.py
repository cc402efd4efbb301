"""The hosts of a cluster, as a run that drives them sees them: at each of them a steward (bench.driver.steward) answers.

Every trial is a fresh start: with its connection to a steward ends all that it had there, processes and folder, and the next
trial begins with an empty one.
"""
from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import signal
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bench.driver import resources
from bench.driver.children import GRACE_S, READY_S, Household, ProcessError
from bench.driver.homes import tls_of
from bench.driver.overseer import Control, ControlError, Status
from bench.driver.tls import Credentials
from bench.metrics import environment
from bench.scenario import Address, address_text

if TYPE_CHECKING:
    from bench.scenario import Scenario

GREET_S = 5.0
ACT_S = 10.0
LOOK_S = 0.5
AUDIT_S = 600.0


class Hosts(msgspec.Struct, frozen=True):
    """A cluster of stewards: where they are, and the secret that they know."""

    addresses: dict[int, Address]
    secret: bytes


def replica_address(address: Address) -> Address:
    """Where the replica of a steward listens: beside it."""
    host, port = address
    return host, port + 1


def run_secret(secret: bytes, nonce: str) -> bytes:
    """The secret of one run of a cluster: what is left of another run is a stranger to this one."""
    return hmac.digest(secret, f"replbench run {nonce}".encode(), hashlib.sha256)


def stations(
    household: Household, hosts: Hosts, count: int, credentials: Credentials | None
) -> tuple[bytes, list[Station]]:
    """The secret of a run, made from that of the cluster, and the first ``count`` of its hosts."""
    nonce = secrets.token_hex(16)
    return run_secret(hosts.secret, nonce), [Station(household, id, hosts, nonce, credentials) for id in range(count)]


class Tenant:
    """A replica's process at a steward's."""

    def __init__(self, station: Station, pid: int) -> None:
        self.station = station
        self.pid = pid
        self.may_end = False

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.may_end = True
        await self.station.do("kill")

    async def pause(self) -> None:
        """SIGSTOP."""
        await self.station.do("signal", number=int(signal.SIGSTOP))

    async def resume(self) -> None:
        """SIGCONT."""
        await self.station.do("signal", number=int(signal.SIGCONT))

    async def killed(self) -> bool:
        """Whether SIGKILL has ended it."""
        return bool((await self.station.do("look"))["returncode"] == -signal.SIGKILL)

    async def stopped(self) -> bool:
        """Whether it stands still."""
        return bool((await self.station.do("look"))["stopped"])


class Station:
    """A host of a cluster, seen from the run that drives it."""

    def __init__(
        self, household: Household, id: int, hosts: Hosts, nonce: str, credentials: Credentials | None
    ) -> None:
        self.household = household
        self.id = id
        self.hosts = hosts
        self.nonce = nonce
        self.credentials = credentials
        self.address = replica_address(hosts.addresses[id])
        self.control: Control | None = None
        self.turn = asyncio.Lock()  # one thing after the other: a look need not wait, in vain, behind a start
        self.tenant: Tenant | None = None
        self.watcher: asyncio.Task[None] | None = None
        self.host: dict[str, Any] = {}  # what it is like
        self.samples: list[tuple[int, resources.Sample]] = []  # each with the process that the replica then had
        self.round_trip_ns = 0
        self.behind_ns = 0

    def __str__(self) -> str:
        return address_text(self.hosts.addresses[self.id])

    async def do(self, action: str, within_s: float = ACT_S, **arguments: Any) -> dict[str, Any]:
        """Have it done; ProcessError where that fails."""
        async with self.turn:
            try:
                if self.control is None:
                    self.control = await greeted(self.id, self.hosts, self.credentials)
                return await self.control.do(action, within_s, **arguments)
            except (ControlError, ValueError) as error:
                raise ProcessError(f"{self}: {error}") from None
            except TimeoutError:
                raise ProcessError(f"{self}: replica {self.id} has not done {action} for {within_s:g} s") from None

    async def start(self, config: dict[str, Any]) -> tuple[Tenant, dict[str, Any]]:
        """Start an incarnation; its process, and what it says when it is ready."""
        self.tenant = None
        ready = await self.do("start", READY_S + ACT_S, config=config, nonce=self.nonce)
        self.tenant, self.host = Tenant(self, ready["pid"]), ready["host"] | {"address": str(self)}
        if self.watcher is None:
            self.watcher = asyncio.create_task(self._watch())
        return self.tenant, ready

    async def _watch(self) -> None:
        """A replica that ends, though it may not, ends the run; so does a steward that is not there any more."""
        failed = self.household.failed
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                tenant, seen = self.tenant, await self.do("look")
                if tenant is self.tenant and tenant is not None and not tenant.may_end and seen["obituary"]:
                    raise ProcessError(f"{self}: {seen['obituary']}")
        except ProcessError as error:
            if not failed.done():
                failed.set_exception(error)

    async def end(self) -> Status:
        """An orderly end: the log is flushed and closed. Returns what the replica had applied in the very end, and the digest."""
        if self.tenant is None:
            return {}
        self.tenant.may_end = True
        return await self.do("end", GRACE_S + ACT_S)

    async def audit(self, scenario: Scenario, engine: str, said: Status, acknowledged: np.ndarray) -> list[str]:
        """What is wrong with the log on the disk of that host, which looks for itself."""
        steps = zlib.compress(np.diff(np.sort(acknowledged.astype("<u8")), prepend=np.uint64(0)).tobytes(), 1)
        done = await self.do(
            "audit", AUDIT_S, scenario=scenario.resolved(), engine=engine, said=said, acknowledged=steps
        )  # fmt: skip
        return list(done["violations"])

    def dated(self, status: Status, asked_ns: int, answered_ns: int) -> Status:
        """Its moments, by the clock of this machine: each host has its own, and the shortest round trip tells best by how much
        it is behind (Cristian, Probabilistic clock synchronization, 1989, section 4).
        """
        round_trip_ns = answered_ns - asked_ns
        if not self.round_trip_ns or round_trip_ns < self.round_trip_ns:
            self.round_trip_ns = round_trip_ns
            self.behind_ns = (asked_ns + answered_ns) // 2 - status["now_ns"]
        status["led"] = [[moment_ns + self.behind_ns, term] for moment_ns, term in status["led"]]
        status["noticed"] = [moment_ns + self.behind_ns for moment_ns in status["noticed"]]
        return status

    async def mark(self) -> None:
        """Take down what the run has taken of that machine until now."""
        said = await self.do("sample")
        self.samples.append((said["pid"], msgspec.convert(said["sample"], resources.Sample, strict=False)))

    def taken(self) -> dict[str, Any]:
        """What it has taken between the first mark and the last (see bench.driver.resources)."""
        (pid, first), (_, last) = self.samples[0], self.samples[-1]
        return resources.between(first, last, {self.id: pid}, None)

    def close(self) -> None:
        """Let go of the host: its steward ends what is left, and removes it."""
        if self.watcher is not None:
            self.watcher.cancel()
        if self.control is not None:
            self.control.close()


async def greeted(id: int, hosts: Hosts, credentials: Credentials | None) -> Control:
    """The control channel to a steward; ValueError, with a remedy, where there is none to be had."""
    address = hosts.addresses[id]
    try:
        return await Control.open(address, hosts.secret, id, GREET_S, credentials)
    except (TimeoutError, ValueError) as error:
        raise ValueError(
            f"replica {id} at {address_text(address)} is not to be had: {error}; is `replbench serve --id {id}` running there, "
            "with the same peers, secret and certificates?"
        ) from None


async def require_ready(hosts: Hosts, scenarios: list[Scenario]) -> None:
    """ValueError, in one line, where the cluster cannot run these scenarios."""
    most = max(scenario.replicas for scenario in scenarios)
    if most > len(hosts.addresses):
        raise ValueError(f"the scenario has {most} replicas, and the cluster {len(hosts.addresses)}; add the others")
    engines = sorted({engine for scenario in scenarios for engine in scenario.engine})
    here = environment.describe()
    for files in {tls_of(scenario) for scenario in scenarios}:
        credentials = Credentials(files) if files is not None else None
        for id in range(most):
            control = await greeted(id, hosts, credentials)
            try:
                there = await control.do("describe", ACT_S)
            except (ControlError, TimeoutError) as error:
                raise ValueError(f"replica {id} does not describe itself: {error}; start it anew") from None
            finally:
                control.close()
            require_alike(id, hosts, engines, here, there)


def require_alike(id: int, hosts: Hosts, engines: list[str], here: dict[str, Any], there: dict[str, Any]) -> None:
    """ValueError where what a steward says of itself differs from what it must be."""
    where = f"replica {id} at {address_text(hosts.addresses[id])}"
    for engine in engines:
        if engine not in there["engines"]:
            raise ValueError(f"{where} does not know the engine {engine}; install the same replbench there")
    for name in ("commit", "compiled"):
        if there["environment"][name] != here[name]:
            theirs = there["environment"][name]
            raise ValueError(f"{where} runs other code: {name} is {theirs}, and {here[name]} here; install the same there")
    if {int(peer): tuple(address) for peer, address in there["peers"].items()} != hosts.addresses:
        raise ValueError(f"{where} has another file of peers; give each the same")
    if there["busy"]:
        raise ValueError(f"{where} is driven by another run; wait for its end")
