"""Who has no business at a replica, during a run: wrong secrets, frames too long or without sense, and those who never speak.

None of it may hurt the run: it is served, judged and audited as any other, and what was dropped stands in its result.
"""
from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.driver.breakage import Breakage
from bench.driver.frames import FRAME_LIMIT_BYTES, HandshakeError, Request, encode
from engines.machine import GET, encode_command
from tests.processes.cluster import FAST, SECRET, Caller, cluster, eventually
from tests.processes.real import ran
from tests.processes.test_kill import served_between

ROUNDS = 12
SILENT = 20
Address = tuple[str, int]


def guesses_the_secret(address: Address, id: int, _: bytes) -> None:
    with pytest.raises((ConnectionError, HandshakeError)):
        Caller(address[1], "client", 0, id, secret=b"guess")


def announces_too_much(address: Address, _: int, __: bytes) -> None:
    with socket.create_connection(address) as stranger:
        stranger.sendall((1 << 30).to_bytes(4, "little"))


def talks_nonsense(address: Address, id: int, _: bytes) -> None:
    with socket.create_connection(address) as stranger:
        stranger.sendall(encode(["nonsense", random.randbytes(id)]))


def knows_the_secret_and_talks_nonsense(address: Address, id: int, secret: bytes) -> None:
    caller = Caller(address[1], "client", 1 << 40, id, secret=secret)
    caller.socket.sendall(encode([["nonsense"]]))
    caller.close()


def knows_the_secret_and_announces_too_much(address: Address, id: int, secret: bytes) -> None:
    caller = Caller(address[1], "control", 0, id, secret=secret)
    caller.socket.sendall((FRAME_LIMIT_BYTES + 1).to_bytes(4, "little"))
    caller.close()


def speaks_for_others(address: Address, id: int, secret: bytes) -> None:
    caller = Caller(address[1], "client", 1 << 40, id, secret=secret)
    caller.socket.sendall(encode([Request(1 << 40, b"a command of nobody")]))
    caller.close()


TROUBLE = {
    guesses_the_secret: "wrong secret",
    announces_too_much: "frame too long",
    talks_nonsense: "malformed frame",
    knows_the_secret_and_talks_nonsense: "malformed frame",
    knows_the_secret_and_announces_too_much: "frame too long",
    speaks_for_others: "a command that is not its client's",
}  # fmt: skip


Siege = Callable[[list[Address], bytes], None]


@pytest.fixture
def besiege(monkeypatch: pytest.MonkeyPatch) -> Callable[[Siege], None]:
    """Have something done to the replicas of a run, in a thread, from the start of its load on."""

    def arrange(siege: Siege) -> None:
        async def run(breakage: Breakage) -> None:
            addresses = [replica.address for replica in breakage.cluster.replicas]
            await asyncio.to_thread(siege, addresses, breakage.cluster.secret)

        monkeypatch.setattr(Breakage, "run", run)

    return arrange


def test_strangers_are_dropped_counted_and_reported_and_the_run_goes_on(besiege: Any, tmp_path: Path) -> None:
    def siege(addresses: list[Address], secret: bytes) -> None:
        silent = [socket.create_connection(address) for address in addresses for _ in range(SILENT)]
        for _ in range(ROUNDS):
            for trouble in TROUBLE:
                for id, address in enumerate(addresses):
                    trouble(address, id, secret)
        for stranger in silent:
            stranger.close()

    besiege(siege)
    trial = ran("raft", tmp_path)
    kinds = Counter(TROUBLE.values())
    assert trial.resources["dropped"] == {reason: kinds[reason] * ROUNDS * trial.replicas for reason in kinds}
    assert served_between(trial, 0, 5) > 0.9 * len(trial.operations)


def test_strangers_cannot_fill_a_disk_with_complaints(tmp_path: Path) -> None:
    """However often somebody knocks, a replica says so ever more rarely."""
    with cluster("raft", tmp_path, replicas=1) as running:
        [replica] = running.replicas
        for _ in range(40):
            announces_too_much(("127.0.0.1", replica.port), 0, SECRET)
        eventually(lambda: replica.status()["dropped"] == {"frame too long": 40}, "all are dropped")
        complaints = replica.complaints().splitlines()
        assert len(complaints) == 6
        assert complaints[-1].endswith("(32 such until now)")


def test_a_client_that_never_reads_its_answers_is_dropped(tmp_path: Path) -> None:
    """Half-open towards clients: what is to be said to one waits only up to a limit."""
    with cluster("raft", tmp_path, replicas=1) as running:
        [replica] = running.replicas
        running.put(b"key", bytes(1 << 20))
        deaf = Caller(replica.port, "client", 7, 0)
        with contextlib.suppress(ConnectionError):
            for number in range(1, 101):
                deaf.socket.sendall(encode([Request(7, encode_command(7, number, number, GET, b"key"))]))
        eventually(lambda: replica.status()["dropped"] == {"reads too slowly": 1}, "it is dropped")
        deaf.close()
        running.put(b"still", b"served")


@pytest.mark.parametrize("engine", ["paxos", "raft", "zab"])
def test_a_follower_that_falls_silent_without_an_end_is_given_up_and_comes_back(engine: str, tmp_path: Path) -> None:
    """Half-open between replicas: the kernel of a stopped process goes on to take bytes until its buffers are full, and says
    nothing of its end. When the user timeout is over the others end the connection; once awake it is told all that it missed.
    """
    with cluster(engine, tmp_path, network={**FAST["network"], "user_timeout": "1s"}) as running:
        running.put(b"key", b"before")
        leader = running.leader()
        silent = running.replicas[(leader.id + 1) % 3]
        assert silent.process is not None
        silent.process.send_signal(signal.SIGSTOP)

        def given_up() -> bool:
            running.put(b"key", bytes(1 << 20))
            return not leader.status()["links"][str(silent.id)]["connected"]

        eventually(given_up, "the connection is given up")
        silent.process.send_signal(signal.SIGCONT)
        running.put(b"key", b"after")
        assert len({status["digest"] for status in running.level()}) == 1
