"""Where a replica of a run lives: here, on this machine, or at a station (bench.driver.stations), a host of a cluster.

Either way its process is started, ended and struck by signals, and its log is audited afterwards; so a run, its faults and its
checks are the same in both.
"""
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from bench.checkers.statements import NO_LOSS
from bench.driver.audit import audit
from bench.driver.children import READY_S, Child, Household
from bench.driver.log_format import StorageError
from bench.driver.overseer import Status
from bench.driver.tls import TlsFiles

if TYPE_CHECKING:
    import numpy as np

    from bench.scenario import Address, Scenario

ENDED_S = 5.0


class Residence(Protocol):
    """The process of a replica, wherever it is: a Child, or a Tenant."""

    @property
    def pid(self) -> int: ...
    async def kill(self) -> None: ...
    async def pause(self) -> None: ...
    async def resume(self) -> None: ...
    async def killed(self) -> bool: ...
    async def stopped(self) -> bool: ...


class Home(Protocol):
    """The place of one replica. ``address`` is where the replica itself listens."""

    address: Address

    async def start(self, config: dict[str, Any]) -> tuple[Residence, dict[str, Any]]: ...
    async def end(self) -> Status: ...
    async def audit(self, scenario: Scenario, engine: str, said: Status, acknowledged: np.ndarray) -> list[str]: ...
    def dated(self, status: Status, asked_ns: int, answered_ns: int) -> Status: ...
    def close(self) -> None: ...


class Here:
    """This machine: a port of the loopback interface, and a folder in that of the run."""

    def __init__(
        self, household: Household, id: int, addresses: dict[int, Address], secret: bytes, tls: TlsFiles | None
    ) -> None:
        self.household = household
        self.id = id
        self.addresses = addresses
        self.address = self.listen = addresses[id]
        self.secret = secret
        self.tls = tls
        self.folder = household.folder / f"log-{id}"
        self.child: Child | None = None

    async def start(self, config: dict[str, Any]) -> tuple[Child, dict[str, Any]]:
        """Start an incarnation; its process, and what it says when it is ready."""
        name = f"replica-{self.id}-{config['incarnation']}"
        whole = config | {
            "id": self.id, "listen": self.listen, "secret": self.secret.hex(), "data": str(self.folder), "tls": self.tls,
            "peers": {str(id): address for id, address in self.addresses.items()},
        }  # fmt: skip
        self.child = await self.household.start(name, "bench.driver.replica", whole)
        return self.child, await self.child.line("ready", READY_S)

    async def end(self) -> Status:
        """An orderly end: the log is flushed and closed. Returns what the replica had applied in the very end, and the digest."""
        if self.child is None:
            return {}
        await self.household.end([self.child])
        ended: Status = (await self.child.line("ended", ENDED_S))["ended"]
        return ended

    async def audit(self, scenario: Scenario, engine: str, said: Status, acknowledged: np.ndarray) -> list[str]:
        """What is wrong with the log on the disk (see bench.driver.audit)."""
        try:
            return await asyncio.to_thread(audit, scenario, engine, {self.id: self.folder}, {self.id: said}, acknowledged)
        except StorageError as error:
            return [f"{NO_LOSS}: the log of replica {self.id} cannot be read back: {error}"]

    def dated(self, status: Status, asked_ns: int, answered_ns: int) -> Status:  # noqa: ARG002
        """All processes of a machine share one monotonic clock."""
        return status

    def close(self) -> None:
        """There is nothing to let go of: the household ends what lives here."""


def tls_of(scenario: Scenario) -> TlsFiles | None:
    """What the scenario says of TLS; None where it is off."""
    tls = scenario.tls
    if tls.ca is None or tls.certificate is None or tls.key is None:
        return None
    return TlsFiles(tls.ca, tls.certificate, tls.key)
