"""Round trips between two processes over TCP on the loopback interface: how long, and at which cost of processor time."""
from __future__ import annotations

import multiprocessing
import os
import socket
import time
from typing import Any

import msgspec
import numpy as np

from bench.driver.children import HOST

SIZES = (64, 1024, 16384, 65536)
PAUSE_S = 0.0003  # so that both ends have gone to sleep, as a replica has that waits for its peers
WARM_UP = 20


class RoundTrips(msgspec.Struct, frozen=True):
    """Of one size: how long each took after a pause, and the processor time of one end for one of them, in the median; and for
    one without a pause before it, on average. All in ns.
    """

    bytes: int
    took_ns: list[int]
    cpu_ns: float
    busy_cpu_ns: float


def measure(rounds: int) -> list[RoundTrips]:
    """``rounds`` of each size, there and back, between two cores where there are as many: left to themselves, two ends that wait
    for each other may share one, which wakes nobody, and replicas at work do not.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    try:
        return _measure(rounds, cores[-1])
    finally:
        os.sched_setaffinity(0, cores)


def _measure(rounds: int, core: int) -> list[RoundTrips]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    echo = context.Process(target=_echo, args=(there, core), daemon=True)
    echo.start()
    with socket.create_connection((HOST, here.recv())) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found = [_of_size(connection, size, rounds) for size in SIZES]
    echo.join()
    return found


def _of_size(connection: socket.socket, size: int, rounds: int) -> RoundTrips:
    data, took, cpu = bytes(size), [], []
    for _ in range(rounds + WARM_UP):
        time.sleep(PAUSE_S)
        before_ns, cpu_ns = time.monotonic_ns(), time.process_time_ns()
        connection.sendall(data)
        _read(connection, size)
        took.append(time.monotonic_ns() - before_ns)
        cpu.append(time.process_time_ns() - cpu_ns)
    cpu_ns = time.process_time_ns()
    for _ in range(rounds):
        connection.sendall(data)
        _read(connection, size)
    busy = (time.process_time_ns() - cpu_ns) / rounds
    return RoundTrips(size, took[WARM_UP:], float(np.median(cpu[WARM_UP:])), busy)


def _read(connection: socket.socket, size: int) -> bool:
    while size > 0:
        count = len(connection.recv(size))
        if not count:
            return False
        size -= count
    return True


def _echo(pipe: Any, core: int) -> None:
    os.sched_setaffinity(0, [core])
    with socket.create_server((HOST, 0)) as server:
        pipe.send(server.getsockname()[1])
        connection, _ = server.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := connection.recv(1 << 18):
                connection.sendall(data)
