"""What Zab promises (DSN 2011, section II), observed over reigns that end in crashes and partitions.

The cluster itself checks agreement and total order at every commit; these tests say what else must hold.
"""
from __future__ import annotations

import random
from typing import Any

import pytest

from engines.zab import CommitProposal, Proposal, UpToDate, Zab
from ext.log import unpack
from tests.engines.cluster import MS, SECOND, Cluster
from tests.engines.schedule import schedule


class Reigns:
    """A run in which every leader broadcasts, then crashes, or is cut off, before all of it is committed.

    broadcast       epoch -> what its primary proposed, in order
    served          epoch -> when it began: what was decided anywhere, and what its primary had delivered
    said            what each primary sent to each follower: (epoch, kind, position)
    """

    def __init__(self, seed: int, size: int = 5) -> None:
        self.dice = random.Random(seed)
        self.cluster = Cluster(
            Zab, size, seed=seed, election_timeout_ns=(100 * MS, 200 * MS), heartbeat_ns=20 * MS
        )
        self.cluster.delay_ns = lambda _sender, _receiver: self.dice.randint(MS // 10, 3 * MS)
        self.broadcast: dict[int, list[bytes]] = {}
        self.served: dict[int, tuple[list[bytes], list[bytes]]] = {}
        self.primaries: dict[int, int] = {}
        self.said: dict[tuple[int, int, int], list[tuple[str, int]]] = {}
        self.cluster.observe = self.observe
        for _ in range(6):
            self.reign()
        self.cluster.heal()
        for id in self.down():
            self.cluster.restart(id)
        self.cluster.run(3 * SECOND)

    def down(self) -> list[int]:
        return [id for id in self.cluster.ids if id not in self.cluster.up()]

    def observe(self, what: str, replica: int, detail: Any) -> None:
        if what == "sends" and isinstance(detail.message, (Proposal, CommitProposal)):
            message = detail.message
            position = message.first if isinstance(message, Proposal) else message.position
            link = (message.epoch, replica, detail.to)
            self.said.setdefault(link, []).append((type(message).__name__, position))
        if what == "sends" and isinstance(detail.message, UpToDate):
            self.note(replica)

    def note(self, leader: int) -> None:
        """Remember the moment at which a reign begins: when its first UpToDate leaves."""
        engine = self.cluster.engine(leader)
        epoch = engine.epoch
        if epoch not in self.served:
            log = engine.log
            delivered = [command for _, command in unpack(log.slice(1, engine.committed + 1))]
            self.served[epoch] = (list(self.cluster.decided), delivered)
            self.primaries[epoch] = leader

    def reign(self) -> None:
        """One leader: it is elected, broadcasts twice, and is gone in the middle of the second time."""
        cluster = self.cluster
        assert cluster.run(5 * SECOND, until=cluster.leaders), "nobody leads"
        for id in self.down():
            cluster.restart(id)
        cluster.run(self.dice.randint(0, 50 * MS))
        leader = next(iter(cluster.leaders()), None)
        if leader is None:
            return
        for pause_ns in (20 * MS, self.dice.randint(0, 6 * MS)):
            for _ in range(self.dice.randint(1, 4)):
                if cluster.engine(leader).leading:
                    command = cluster.put(b"k", b"v")
                    self.broadcast.setdefault(cluster.engine(leader).epoch, []).append(command)
                    cluster.propose(leader, command)
            cluster.run(pause_ns)
        if self.dice.random() < 0.7:
            cluster.crash(leader, torn=True)
        else:
            cluster.heal()
            cluster.partition([leader])
            cluster.run(400 * MS)
            cluster.heal()

    def delivered(self) -> list[tuple[int, bytes]]:
        """What was delivered in the end, everywhere alike: epoch and command."""
        log = self.cluster.engine(0).log
        return unpack(log.slice(1, self.cluster.engine(0).committed + 1))


@pytest.fixture(params=range(6), scope="module")
def reigns(request: pytest.FixtureRequest) -> Reigns:
    played = Reigns(request.param)
    assert len(played.served) >= 4, "there were reigns to speak of"
    assert len(played.delivered()) >= 6
    return played


def test_integrity(reigns: Reigns) -> None:
    """Integrity: what is delivered was broadcast by some primary, in that epoch, and is delivered once."""
    delivered = reigns.delivered()
    assert len({command for _, command in delivered}) == len(delivered)
    for epoch, command in delivered:
        assert command in reigns.broadcast[epoch]


def test_total_order_and_agreement(reigns: Reigns) -> None:
    """Total order, agreement: in the end all have delivered the same in the same order."""
    logs = {
        tuple(unpack(reigns.cluster.engine(id).log.slice(1, reigns.cluster.engine(id).committed + 1)))
        for id in reigns.cluster.ids
    }
    assert len(logs) == 1
    assert [command for _, command in logs.pop()] == reigns.cluster.decided


def test_local_primary_order(reigns: Reigns) -> None:
    """Local primary order: of what one primary broadcast, a prefix is delivered, in its order."""
    for epoch, broadcast in reigns.broadcast.items():
        delivered = [command for reign, command in reigns.delivered() if reign == epoch]
        assert delivered == broadcast[: len(delivered)]


def test_global_primary_order(reigns: Reigns) -> None:
    """Global primary order: what an earlier primary broadcast is delivered before what a later one did."""
    epochs = [epoch for epoch, _ in reigns.delivered()]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) >= 3


def test_primary_integrity(reigns: Reigns) -> None:
    """Primary integrity: before it broadcasts, a primary has delivered all of its predecessors."""
    for epoch, (decided, delivered) in reigns.served.items():
        assert delivered[: len(decided)] == decided
        assert delivered == [command for earlier, command in reigns.delivered() if earlier < epoch]


def test_an_epoch_has_one_primary(reigns: Reigns) -> None:
    """Section IV: no two leaders establish one epoch; nobody else ever speaks in it."""
    for epoch, primary, _ in reigns.said:
        assert reigns.primaries[epoch] == primary


def test_commits_are_sent_in_zxid_order(reigns: Reigns) -> None:
    """Step l.3.2: to each follower, each once."""
    for (epoch, primary, follower), said in reigns.said.items():
        commits = [position for kind, position in said if kind == "CommitProposal"]
        assert commits == sorted(set(commits)), (epoch, primary, follower)
    assert any(kind == "CommitProposal" for said in reigns.said.values() for kind, _ in said)


@pytest.mark.parametrize("seed", range(60))
def test_schedule(seed: int) -> None:
    """Any faults at all: safety always, progress once they end (see schedule.py)."""
    schedule(Zab, seed, "tcp")
