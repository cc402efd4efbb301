"""A cell over each engine, with real hosts: conversations, fail-over, and what happens beyond the bound on clocks."""

from __future__ import annotations

import pytest

from bench.checkers.beliefs import HELD_TWICE
from engines.core import Engine
from engines.lock_service.client import JEOPARDY, MASTER_FAILED_OVER, SAFE
from engines.lock_service.commands import (
    EPHEMERAL,
    EXCLUSIVE,
    EXISTING,
    STALE_SEQUENCER,
    Checked,
    Contents,
    Granted,
    Refused,
    Written,
)
from engines.paxos import Paxos
from engines.raft import Raft
from engines.unreplicated import Unreplicated
from engines.zab import Zab
from tests.locks.cell import MILLION, MS, OPTIONS, SECOND, Cell

engines = pytest.mark.parametrize("engine", [Paxos, Raft, Zab])
LEASE, MASTER_LEASE = OPTIONS.lease_ns, OPTIONS.master_lease_ns


def cell_of(engine: type[Engine], clients: int = 2, replicas: int = 3) -> Cell:
    cell = Cell(engine, replicas, clients)
    cell.start()
    return cell


@pytest.mark.parametrize("engine", [Paxos, Raft, Zab, Unreplicated])
def test_a_lock_goes_from_hand_to_hand_with_one_commit(engine: type[Engine]) -> None:
    cell = cell_of(engine)
    alice, bob = cell.clients
    mine, yours = cell.open(alice, "/lock"), cell.open(bob, "/lock")
    assert isinstance(cell.call(alice, "acquire", mine, EXCLUSIVE), Granted)
    waits = cell.begin(bob, "acquire", yours, EXCLUSIVE)
    cell.run(3 * LEASE)
    assert waits not in bob.answers
    assert alice.library.holds(mine, alice.local(cell.now)), "KeepAlives go on meanwhile"
    decided = cell.agreement.highest
    release = cell.begin(alice, "release", mine)
    cell.eventually(lambda: waits in bob.answers and release in alice.answers)
    renewals = cell.now // (MASTER_LEASE // 3) - (cell.now - 20 * MS) // (MASTER_LEASE // 3)
    assert cell.agreement.highest - decided <= 1 + renewals
    assert bob.library.get_sequencer(yours).generation > 0  # type: ignore[union-attr]


@engines
def test_a_new_master_takes_over_sessions_and_locks(engine: type[Engine]) -> None:
    """2.9: within the lease nobody notices but by the event; the lock stays with its holder."""
    cell = cell_of(engine)
    alice, bob = cell.clients
    mine, yours = cell.open(alice, "/lock"), cell.open(bob, "/lock")
    cell.call(alice, "acquire", mine, EXCLUSIVE)
    (old,) = cell.masters()
    cell.crash(old)
    assert isinstance(cell.call(bob, "try_acquire", yours, EXCLUSIVE), Refused)
    cell.eventually(lambda: any(event.kind == MASTER_FAILED_OVER for event in alice.told), 2 * LEASE)
    assert JEOPARDY not in alice.states
    assert alice.library.holds(mine, alice.local(cell.now))
    cell.call(alice, "release", mine)
    assert isinstance(cell.call(bob, "acquire", yours, EXCLUSIVE), Granted)


@engines
def test_a_master_that_is_cut_off_extends_and_reads_nothing_once_its_lease_is_over(engine: type[Engine]) -> None:
    """2.2: its clients stay with it, and find out."""
    cell = cell_of(engine)
    alice, bob = cell.clients
    mine, yours = cell.open(alice, "/file"), cell.open(bob, "/file")
    (old,) = cell.masters()
    others = [replica.id for replica in cell.replicas if replica is not old]
    for other in others:
        cell.cut(old.id, other)
        cell.cut(alice.id, other)
    cell.cut(bob.id, old.id)
    cut_at = cell.now
    write = cell.begin(bob, "set_contents", yours, b"new")
    assert isinstance(cell.call(bob, "acquire", yours, EXCLUSIVE), Granted)
    assert cell.now - cut_at > MASTER_LEASE * 2 // 3, "a successor has to wait for the old lease, which was renewed lately"
    read = cell.begin(alice, "get_contents", mine)
    cell.eventually(lambda: alice.states[-1] == JEOPARDY)
    assert read not in alice.answers
    assert write not in bob.answers, "until alice has heard of the new epoch, or her lease is over"
    cell.heal()
    cell.eventually(lambda: read in alice.answers and write in bob.answers)
    assert isinstance(alice.answers[read], Contents)
    assert isinstance(bob.answers[write], Written)
    assert alice.states[-1] == SAFE, "within the grace period (2.8)"


@engines
def test_the_locks_of_a_client_that_dies_come_free_after_lease_and_lock_delay(engine: type[Engine]) -> None:
    """2.4; and its ephemeral node vanishes."""
    cell = cell_of(engine)
    alice, bob = cell.clients
    delay = 2 * SECOND
    mine, yours = cell.open(alice, "/lock", lock_delay_ns=delay), cell.open(bob, "/lock")
    cell.open(alice, "/alive", kind=EPHEMERAL)
    cell.call(alice, "acquire", mine, EXCLUSIVE)
    until = alice.library.lease_until_ns
    alice.up = False
    waits = cell.begin(bob, "acquire", yours, EXCLUSIVE)
    cell.eventually(lambda: waits in bob.answers)
    assert cell.now >= until + delay
    assert isinstance(cell.call(bob, "open", "/alive", kind=EXISTING), Refused)


@engines
def test_a_paused_client_does_not_believe_in_what_it_has_lost_meanwhile(engine: type[Engine]) -> None:
    """Its clock went on while it did nothing: when it wakes, its lease is over by its own clock."""
    cell = cell_of(engine)
    alice, bob = cell.clients
    mine, yours = cell.open(alice, "/lock"), cell.open(bob, "/lock")
    cell.call(alice, "acquire", mine, EXCLUSIVE)
    alice.paused_until = cell.now + 4 * LEASE
    assert isinstance(cell.call(bob, "acquire", yours, EXCLUSIVE), Granted)
    assert cell.now < alice.paused_until
    assert not alice.library.holds(mine, alice.local(cell.now))


@engines
def test_beyond_the_bound_on_clocks_the_sequencer_tells_the_stale_holder(engine: type[Engine]) -> None:
    """2.4: two clients may believe that they hold the lock; whoever checks the sequencer is not deceived."""
    cell = cell_of(engine)
    alice, bob = cell.clients
    cell.watch.clocks = False
    mine, yours = cell.open(alice, "/lock"), cell.open(bob, "/lock")
    file = cell.open(alice, "/file")
    cell.call(alice, "acquire", mine, EXCLUSIVE)
    # From here on the clock of its machine runs at half the speed, which the cell was told does not happen.
    shown = cell.now
    alice.local = lambda now: shown + (now - shown) // 2  # type: ignore[method-assign]
    alice.true = lambda local: shown + (local - shown) * 2  # type: ignore[method-assign]
    for replica in cell.replicas:
        cell.cut(alice.id, replica.id)
    granted = cell.call(bob, "acquire", yours, EXCLUSIVE)
    assert alice.library.holds(mine, alice.local(cell.now)), "it believes so"
    assert bob.library.holds(yours, bob.local(cell.now))
    assert cell.watch.counts[HELD_TWICE], "and so does the watcher see it"
    stale, fresh = alice.library.get_sequencer(mine), bob.library.get_sequencer(yours)
    assert stale is not None
    assert fresh is not None
    assert fresh.generation == granted.generation > stale.generation
    assert cell.call(bob, "check_sequencer", stale) == Checked(False)
    assert cell.call(bob, "check_sequencer", fresh) == Checked(True)
    other = cell.open(bob, "/file")
    bob.library.set_sequencer(other, stale)
    assert cell.call(bob, "set_contents", other, b"stale") == Refused(STALE_SEQUENCER)
    assert file != other


@engines
def test_a_master_paused_for_longer_than_its_lease_comes_back_to_another_epoch(engine: type[Engine]) -> None:
    cell = cell_of(engine)
    alice, bob = cell.clients
    mine, yours = cell.open(alice, "/lock"), cell.open(bob, "/lock")
    cell.call(alice, "acquire", mine, EXCLUSIVE)
    (old,) = cell.masters()
    old.paused_until = cell.now + 3 * LEASE
    cell.eventually(lambda: any(master is not old for master in cell.masters()), 2 * LEASE)
    cell.call(alice, "release", mine)
    assert isinstance(cell.call(bob, "acquire", yours, EXCLUSIVE), Granted)
    cell.run(4 * LEASE)
    assert len(cell.masters()) == 1
    assert cell.masters() != [old]


def test_clocks_within_the_bound_are_no_reason_to_lose_a_session() -> None:
    cell = Cell(Raft, clients=2)
    for actor, ppm in zip([*cell.replicas, *cell.clients], (0, 50_000, 0, 50_000, 0), strict=True):
        actor.rate_ppm = MILLION + ppm
    cell.start()
    cell.run(20 * LEASE)
    assert all(person.states == ["opening", SAFE] for person in cell.clients)
