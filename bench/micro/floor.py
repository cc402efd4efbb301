"""The floor of a commit on this machine: the way that one takes among three replicas, without a protocol or an event loop.

A client sends to a leader, which sends to two followers; all three write and sync, each into a file of zeros; the first
acknowledgement that the leader reads after its own sync is the majority, and the leader answers.
"""
from __future__ import annotations

import multiprocessing
import os
import select
import socket
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.driver.segments import reserve_zeros

REQUEST, ACKNOWLEDGEMENT, LONGEST = bytes(300), bytes(40), 4096
FILE_BYTES = 1 << 20
FOLLOWERS = 2


class Disk:
    """What one replica writes to; a sync of nothing where it is not asked to sync."""

    def __init__(self, path: Path, syncs: bool) -> None:
        self.file = reserve_zeros(path, FILE_BYTES)
        self.syncs = syncs
        self.at = 0

    def write(self) -> None:
        """A record, durably."""
        os.pwrite(self.file, REQUEST, self.at)
        if self.syncs:
            os.fdatasync(self.file)
        self.at = (self.at + len(REQUEST)) % (FILE_BYTES - len(REQUEST))


def compare(smoke: bool) -> int:
    """Print a line for the disk alone, for messages alone, and for both; nothing is wanted of them."""
    rounds = 20 if smoke else 5000
    with tempfile.TemporaryDirectory(prefix=".floor-", dir=Path.cwd()) as folder:
        found = {
            "write and fdatasync, alone": alone(Path(folder), rounds),
            "a commit without syncs": commits(Path(folder), rounds, syncs=False),
            "a commit": commits(Path(folder), rounds, syncs=True),
        }
    print(f"{'the floor of a commit among three replicas, in us':52}{'p10':>10}{'p50':>10}{'p99':>10}")
    for title, taken_ns in found.items():
        columns = "".join(f"{value / 1e3:>10.0f}" for value in np.percentile(taken_ns, (10, 50, 99)))
        print(f"    {title:48}{columns}")
    return 0


def alone(folder: Path, rounds: int) -> list[int]:
    """How long each write and sync of a lone process took."""
    disk = Disk(folder / "alone", True)
    taken = []
    for _ in range(rounds):
        began_ns = time.monotonic_ns()
        disk.write()
        taken.append(time.monotonic_ns() - began_ns)
    os.close(disk.file)
    return taken


def commits(folder: Path, rounds: int, syncs: bool) -> list[int]:
    """How long each round took, as the client sees it."""
    context = multiprocessing.get_context("fork")
    client, serving = _connected()
    links = [_connected() for _ in range(FOLLOWERS)]
    jobs = [
        context.Process(target=_follow, args=(there, Disk(folder / f"{syncs}-{number}", syncs)), daemon=True)
        for number, (_, there) in enumerate(links)
    ]
    leader = Disk(folder / f"{syncs}-leader", syncs)
    jobs.append(context.Process(target=_lead, args=(serving, [here for here, _ in links], leader), daemon=True))
    for job in jobs:
        job.start()
    taken = []
    for _ in range(rounds):
        began_ns = time.monotonic_ns()
        client.send(REQUEST)
        client.recv(LONGEST)
        taken.append(time.monotonic_ns() - began_ns)
    for job in jobs:
        job.kill()
        job.join()
    return taken


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    for end in (one, other):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def _follow(leader: socket.socket, disk: Disk) -> None:
    while leader.recv(LONGEST):
        disk.write()
        leader.send(ACKNOWLEDGEMENT)


def _lead(client: socket.socket, followers: list[socket.socket], disk: Disk) -> None:
    owed = dict.fromkeys(followers, 0)
    while client.recv(LONGEST):
        for follower in followers:
            follower.send(REQUEST)
            owed[follower] += len(ACKNOWLEDGEMENT)
        disk.write()
        while min(owed.values()) > 0:
            for follower in select.select(followers, [], [])[0]:
                owed[follower] -= len(follower.recv(LONGEST))
        client.send(ACKNOWLEDGEMENT)
