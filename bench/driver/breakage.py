"""Faults on real processes, each proven as in the simulation: inject, witness, heal, witness (see bench.driver.faults)."""
from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from bench.driver.overseer import ControlError
from bench.driver.shapes import cut_links
from bench.metrics.trial import FaultRecord

if TYPE_CHECKING:
    from bench.driver.cluster import Cluster, Replica
    from bench.scenario import Fault

PROBE_S = 0.02
HEALED_WITHIN_S = 10.0
RETURN_WITHIN_NS = 10_000_000_000
DRIFT_NS = 1_000_000
Witness = Callable[[], Awaitable[str]]
Healing = Callable[[], Awaitable[Witness]]
Struck = tuple[str, Witness, Healing]


async def _nothing() -> str:
    return ""


async def _not_healed() -> Witness:
    return _nothing


class Breakage:
    """Puts the faults of a scenario on a cluster of processes at their times, and keeps a record of each."""

    def __init__(self, cluster: Cluster, faults: tuple[Fault, ...], seed: int) -> None:
        self.cluster = cluster
        self.faults = faults
        self.dice = random.Random(f"{seed}/faults")
        self.records: list[FaultRecord] = []
        self.blocks: dict[tuple[int, int], int] = {}

    async def run(self) -> None:
        """All faults, to the last witness."""
        async with asyncio.TaskGroup() as group:
            for fault in self.faults:
                group.create_task(self._run(fault))

    async def _run(self, fault: Fault) -> None:
        await self.cluster.until(fault.at_ns)
        record = FaultRecord(kind=fault.kind, target="nobody", injected_ns=self.cluster.now())
        self.records.append(record)
        try:
            record.target, witness, heal = await getattr(self, f"_{fault.kind}")(fault)
            record.injected_ns = self.cluster.now()
        except (ControlError, TimeoutError):
            return
        record.witness = await self._watch(witness, record.injected_ns + fault.for_ns)
        await self.cluster.until(record.injected_ns + fault.for_ns)
        record.healed_ns = self.cluster.now()
        try:
            healed = await heal()
        except (ControlError, TimeoutError):
            return
        record.heal_witness = await self._watch(healed, record.healed_ns + int(HEALED_WITHIN_S * 1e9))

    async def _watch(self, witness: Witness, until_ns: int) -> str:
        """Probe until the witness speaks."""
        while True:
            try:
                seen = await witness()
            except (ControlError, TimeoutError):
                seen = ""
            if seen:
                return f"{seen} at {self.cluster.now() / 1e9:.6f} s"
            if self.cluster.now() >= until_ns:
                return ""
            await asyncio.sleep(PROBE_S)

    async def _resolve(self, target: int | str | None) -> Replica:
        """A replica; "leader" is who leads in the highest term of those that answer, or else who is believed to lead.

        Where nobody is there to be struck, because of other faults, this waits for the first to come back. Nothing is awaited
        after the last look: whoever strikes at once strikes before another fault does.
        """
        replicas = self.cluster.replicas
        await self.cluster.look()
        if isinstance(target, int):
            return replicas[target]
        until_ns = self.cluster.now() + RETURN_WITHIN_NS
        while not any(replica.awake for replica in replicas) and self.cluster.now() < until_ns:
            await asyncio.sleep(PROBE_S)
            await self.cluster.look()
        awake = [replica for replica in replicas if replica.awake] or replicas
        if target != "leader":
            return self.dice.choice(awake)
        statuses = {replica.id: self.cluster.board.current.get(replica.id, {}) for replica in awake}
        leading = [replica for replica in awake if statuses[replica.id].get("leading")]
        if leading:
            return max(leading, key=lambda replica: int(statuses[replica.id]["term"]))
        believed = [status.get("leader") for status in statuses.values()]
        return next((replica for replica in awake if replica.id in believed), awake[0])

    async def _crash(self, fault: Fault) -> Struck:
        replica = await self._resolve(fault.replica)
        if not replica.up:
            return str(replica), _nothing, _not_healed
        decided, incarnation = self.cluster.board.decided(), replica.incarnation
        child = replica.child
        await self.cluster.kill(replica)

        async def witness() -> str:
            return f"process {child.pid} of {replica} is gone, by SIGKILL" if await child.killed() else ""

        async def heal() -> Witness:
            recovered = await self.cluster.restart(replica)

            async def caught_up() -> str:
                status = await self.cluster.status(replica)
                if replica.incarnation == incarnation or status["applied"] < decided:
                    return ""
                return (
                    f"incarnation {replica.incarnation}, with {recovered['recovered_records']} records from its disk, "
                    f"has applied {status['applied']}"
                )

            return caught_up

        return str(replica), witness, heal

    async def _pause(self, fault: Fault) -> Struck:
        replica = await self._resolve(fault.replica)
        if not replica.awake:
            return str(replica), _nothing, _not_healed
        child = replica.child
        replica.paused = True
        await child.pause()

        async def witness() -> str:
            return f"process {child.pid} of {replica} is stopped" if await child.stopped() else ""

        async def heal() -> Witness:
            await child.resume()
            replica.paused = False

            async def answers() -> str:
                await self.cluster.status(replica)
                return f"process {child.pid} answers again" if replica.child is child else ""

            return answers

        return str(replica), witness, heal

    async def _cut(self, target: str, links: list[tuple[int, int]]) -> Struck:
        before = await self._links(links)
        for link in links:
            self.blocks[link] = self.blocks.get(link, 0) + 1
            if self.blocks[link] == 1:
                one, other = link
                await self.cluster.impose(one, f"block {other}", "block", to=other)

        async def witness() -> str:
            count = (await self._links(links))["blocked"] - before["blocked"]
            return f"{count} messages did not get through" if count > 0 else ""

        async def heal() -> Witness:
            for link in links:
                self.blocks[link] -= 1
                if self.blocks[link] == 0:
                    one, other = link
                    await self.cluster.relieve(one, f"block {other}", "unblock", to=other)
            healed = await self._links(links)

            async def flows() -> str:
                return "messages get through again" if (await self._links(links))["carried"] > healed["carried"] else ""

            return flows

        return target, witness, heal

    async def _links(self, links: list[tuple[int, int]]) -> Counter[str]:
        """Over these directed links, by what their senders say: messages carried, slowed, under way and blocked."""
        await self.cluster.look()
        total: Counter[str] = Counter()
        for one, other in links:
            of_one: dict[Any, dict[str, int]] = self.cluster.board.current.get(one, {}).get("links", {})
            total.update(of_one.get(other) or of_one.get(str(other)) or {})
        return total

    async def _shape(self, fault: Fault) -> Struck:
        struck = 0 if fault.groups else (await self._resolve(fault.replica)).id
        return await self._cut(*cut_links(fault, len(self.cluster.replicas), struck))

    _partition = _minority = _bridge = _deaf = _mute = _shape

    async def _pair(self, fault: Fault) -> tuple[int, int]:
        one, other = (await self._resolve(fault.sender)).id, (await self._resolve(fault.receiver)).id
        return one, (one + 1) % len(self.cluster.replicas) if one == other else other

    async def _one_way(self, fault: Fault) -> Struck:
        one, other = await self._pair(fault)
        return await self._cut(f"{one} to {other}", [(one, other)])

    async def _slow_link(self, fault: Fault) -> Struck:
        one, other = await self._pair(fault)
        links = [(one, other), (other, one)]
        before = await self._links(links)
        for here, there in links:
            await self.cluster.impose(here, f"slow_link {there}", "slow_link", peer=there, extra_ns=fault.extra_ns)

        async def witness() -> str:
            slowed = (await self._links(links))["slowed"] - before["slowed"]
            return f"{slowed} messages took {fault.extra_ns / 1e6:g} ms longer" if slowed > 0 else ""

        async def heal() -> Witness:
            for here, there in links:
                await self.cluster.relieve(here, f"slow_link {there}", "slow_link", peer=there, extra_ns=0)
            healed = await self._links(links)

            async def fast() -> str:
                now = await self._links(links)
                later = now["carried"] > healed["carried"] + healed["under_way"]
                return "messages are as fast as before" if later and now["slowed"] == healed["slowed"] else ""

            return fast

        return f"{one} and {other}", witness, heal

    async def _slow_disk(self, fault: Fault) -> Struck:
        replica = await self._resolve(fault.replica)
        before = await self.cluster.status(replica)
        await self.cluster.impose(replica.id, "slow_disk", "slow_disk", factor=fault.factor)

        async def witness() -> str:
            _, delayed_ns = _syncs(before, await self.cluster.status(replica))
            return f"syncs took {fault.factor:g} times as long, {delayed_ns / 1e6:.3f} ms until now" if delayed_ns > 0 else ""

        async def heal() -> Witness:
            await self.cluster.relieve(replica.id, "slow_disk", "slow_disk", factor=1.0)
            healed = await self.cluster.status(replica)

            async def fast() -> str:
                count, delayed_ns = _syncs(healed, await self.cluster.status(replica))
                return f"{count} syncs took as long as they would" if count > 0 and delayed_ns == 0 else ""

            return fast

        return str(replica), witness, heal

    async def _clock(self, fault: Fault) -> Struck:
        replica = await self._resolve(fault.replica)
        before = await self.cluster.status(replica)
        await self.cluster.impose(replica.id, "clock", "clock", rate=fault.rate)

        async def witness() -> str:
            drift_ns = _drift_ns(before, await self.cluster.status(replica))
            return f"the clock is off by {drift_ns / 1e6:g} ms" if abs(drift_ns) > DRIFT_NS else ""

        async def heal() -> Witness:
            await self.cluster.relieve(replica.id, "clock", "clock", rate=1.0)
            healed = await self.cluster.status(replica)

            async def keeps_time() -> str:
                await asyncio.sleep(PROBE_S)
                kept = _drift_ns(healed, await self.cluster.status(replica)) == 0
                return "the clock keeps time" if kept else ""

            return keeps_time

        return str(replica), witness, heal


def _syncs(before: dict[str, Any], after: dict[str, Any]) -> tuple[int, int]:
    """Between two statuses: how many syncs there were, and by how much a fault has prolonged them."""
    return after["fsyncs"] - before["fsyncs"], after["disk_delay_ns"] - before["disk_delay_ns"]


def _drift_ns(before: dict[str, Any], after: dict[str, Any]) -> int:
    """How much more time passed on a replica's own clock than on the machine's, between two statuses."""
    passed = after["local_ns"] - before["local_ns"]
    return int(passed - (after["now_ns"] - before["now_ns"]))
