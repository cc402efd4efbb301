"""The client process: ``python -m bench.driver.load CONFIG``. All clients of a run, in real time, against replicas on sockets.

CONFIG is a JSON file (see Config). The process connects to every replica, computes its schedule, and prints ``{"ready": true}``.
A line ``{"start_ns": N}`` on standard input is the agreed moment, on the monotonic clock, that all its times count from. At the
end it leaves its operations (dtype OPERATION) in a .npy file, prints a Report, and exits. It exits, too, when its standard input
closes: its parent has died.

One loop selects with microseconds of precision (an event loop's timers have milliseconds), reads everything that has come, lets
due events happen, and writes one frame to each replica for all commands of the turn.
"""
from __future__ import annotations

import select
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.driver.channel import Channel
from bench.driver.dialogue import Dialogue
from bench.driver.frames import decode_answers, encode_messages
from bench.driver.population import build_clients, window_of
from bench.driver.tls import Credentials, TlsFiles
from bench.scenario import Place, read_scenario
from engines.core import NEVER
from ext.events import EventQueue

DRAIN_NS = 5_000_000_000
TURN = 256  # events between looks at the sockets
LOOK_UP_NS = 20_000_000  # connections are tended at least this often
CONNECT_NS = 10_000_000_000


class Config(msgspec.Struct, frozen=True):
    """What a client process is told. ``replicas`` are the addresses by number; ``out`` is where the operations go."""

    scenario: dict[str, Any]
    seed: int
    replicas: dict[int, tuple[str, int]]
    secret: str
    out: str
    tls: TlsFiles | None = None


class Report(msgspec.Struct, frozen=True):
    """What a client process tells of itself: the window's integral of operations under way, and its own costs.

    ``cpu_ns`` is the processor time it took within the measured window, ``connections`` how many it opened, ``lost_requests``
    how many were never written for want of one.
    """

    end_ns: int
    outstanding_ns: int
    operations: int
    cpu_ns: int
    connections: int
    lost_requests: int


class Load:
    """The sockets of a client process, and the dialogue over them. ``parent`` is a descriptor that the parent keeps silent."""

    def __init__(self, config: Config, parent: int = 0) -> None:
        self.config = config
        self.scenario = read_scenario(config.scenario, Place("CONFIG", Path()))
        self.queue = EventQueue()
        self.clients = build_clients(self.scenario, config.seed, self.queue)
        self.dialogue = Dialogue(self.queue, self.clients, self.scenario.replicas)
        secret = bytes.fromhex(config.secret)
        credentials = Credentials(config.tls) if config.tls is not None else None
        self.channels = [
            Channel(config.replicas[replica], secret, "client", 0, replica, credentials)
            for replica in range(self.scenario.replicas)
        ]
        self.start_ns = time.monotonic_ns()
        self.lost_requests = 0
        self.parent = parent
        self.marks = window_of(self.scenario)
        self.cpu_at: list[int] = []

    def now(self) -> int:
        """Time since the agreed start; negative before it."""
        return time.monotonic_ns() - self.start_ns

    def connect(self) -> None:
        """Open a connection to every replica; RuntimeError where that takes too long."""
        give_up_ns = self.now() + CONNECT_NS
        while not all(channel.open for channel in self.channels):
            if self.now() > give_up_ns:
                missing = {replica: channel.trouble for replica, channel in enumerate(self.channels) if not channel.open}
                raise RuntimeError(f"replicas {list(missing)} do not answer: {next(iter(missing.values()))}")
            self.wait(self.now() + LOOK_UP_NS)

    def await_start(self) -> None:
        """Read the agreed start, and sleep until then."""
        say({"ready": True})
        line = sys.stdin.buffer.readline()
        if not line:
            raise SystemExit(1)
        self.start_ns = msgspec.json.decode(line, type=dict[str, int])["start_ns"]
        time.sleep(max(0, -self.now()) / 1e9)

    def run(self) -> None:
        """The load, and then the time that what is under way may take."""
        self.clients.start()
        end_ns = self.scenario.end_ns
        while True:
            now = self.now()
            next_ns = self.dialogue.turn(now, TURN)
            self.flush()
            while len(self.cpu_at) < len(self.marks) and now >= self.marks[len(self.cpu_at)]:
                self.cpu_at.append(time.process_time_ns())
            drained = self.dialogue.recorder.outstanding == 0
            if now >= end_ns and (drained or now >= end_ns + DRAIN_NS):
                return
            self.wait(min(next_ns, end_ns if now < end_ns else NEVER, now + LOOK_UP_NS))

    def flush(self) -> None:
        """One frame to each replica for what the turn brought, or several where that is too much for one."""
        for channel, requests in zip(self.channels, self.dialogue.outgoing, strict=True):
            if requests:
                if not all(channel.write(frame) for frame in encode_messages(requests)):
                    self.lost_requests += len(requests)
                requests.clear()

    def wait(self, until_ns: int) -> None:
        """Exchange bytes with the replicas; wait for them no longer than to ``until_ns``."""
        now = self.now()
        reading: list[Any] = [self.parent]
        writing: list[Any] = []
        by_descriptor: dict[Any, tuple[int, Channel]] = {}
        for replica, channel in enumerate(self.channels):
            channel.tend(now)
            if channel.open and channel.writing:
                channel.writable(now)
            if channel.socket is not None:
                by_descriptor[channel.socket] = (replica, channel)
                reading.append(channel.socket)
                if channel.writing:
                    writing.append(channel.socket)
        readable, writable, _ = select.select(reading, writing, [], max(0, until_ns - self.now()) / 1e9)
        now = self.now()
        for end in writable:
            by_descriptor[end][1].writable(now)
        for end in readable:
            if end not in by_descriptor:
                raise SystemExit(1)
            replica, channel = by_descriptor[end]
            if channel.socket is end:
                for body in channel.readable(now):
                    self.dialogue.hear(replica, decode_answers(body), now)

    def report(self) -> Report:
        """Close the books, and write the operations."""
        recorder, now = self.clients.recorder, self.now()
        self.clients.finish()
        recorder.advance(now)
        operations = recorder.operations()
        np.save(self.config.out, operations, allow_pickle=False)
        return Report(
            end_ns=now,
            outstanding_ns=recorder.outstanding_ns,
            operations=len(operations),
            cpu_ns=self.cpu_at[-1] - self.cpu_at[0],
            connections=sum(channel.opened for channel in self.channels),
            lost_requests=self.lost_requests,
        )


def say(what: Any) -> None:
    """One line for the parent."""
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Run as a process; errors are one line on standard error, and exit 1."""
    try:
        load = Load(msgspec.json.decode(Path(arguments[0]).read_bytes(), type=Config))
        load.connect()
        load.await_start()
        load.run()
        say(load.report())
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        sys.stderr.write(f"clients: {type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
