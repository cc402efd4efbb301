"""The client process: ``python -m bench.driver.load CONFIG``. The clients of a run, in real time, against replicas on sockets.

CONFIG is a JSON file (see Config). The process connects to every replica, computes its schedule, and prints ``{"ready": true}``.
A line ``{"start_ns": N}`` on standard input is the agreed moment, on the monotonic clock, that all its times count from. At the
end it leaves its operations (dtype OPERATION) in a .npy file, and beside it, of a lock service, a LockRecord; it prints a Report,
and exits when its standard input closes. It exits at once when that happens earlier: its parent has died.

Several such processes may have the clients between them (``share``). Each loop reads everything that has come, lets due events
happen, and writes one frame to each replica for all commands of the turn.
"""
from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.driver.channel import Channel
from bench.driver.dialogue import Dialogue
from bench.driver.exchange import Exchange
from bench.driver.population import build_population, window_of
from bench.driver.tls import Credentials, TlsFiles
from bench.metrics.summary import PERCENTILES, percentile, within
from bench.scenario import Place, read_scenario
from engines.core import NEVER
from ext.events import EventQueue

DRAIN_NS = 5_000_000_000
TURN = 256  # events between looks at the sockets
LOOK_UP_NS = 20_000_000  # connections are tended at least this often
CONNECT_NS = 10_000_000_000


class Config(msgspec.Struct, frozen=True):
    """What a client process is told. ``replicas`` are the addresses by number; ``out`` is where the operations go; ``share`` is
    which of how many such processes it is.
    """

    scenario: dict[str, Any]
    seed: int
    replicas: dict[int, tuple[str, int]]
    secret: str
    out: str
    share: tuple[int, int] = (0, 1)
    tls: TlsFiles | None = None


class Report(msgspec.Struct, frozen=True):
    """What a client process tells of itself: the window's integral of operations under way, and its own costs.

    ``cpu_ns`` is the processor time it took within the measured window, ``connections`` how many it opened, ``lost_requests``
    how many were never written for want of one. Of the window, too: ``loop_lag_max_ns``, the longest that something due had to
    wait until its loop looked, and ``lateness_p50_ns`` and ``lateness_p99_ns`` of operations behind their intended start (None
    where they are too few to say).
    """

    end_ns: int
    outstanding_ns: int
    operations: int
    cpu_ns: int
    connections: int
    lost_requests: int
    loop_lag_max_ns: int
    lateness_p50_ns: int | None
    lateness_p99_ns: int | None


class Load:
    """The clients of a process, and their exchange with the replicas. ``parent`` is a descriptor that the parent keeps silent."""

    def __init__(self, config: Config, parent: int = 0) -> None:
        self.config = config
        self.scenario = read_scenario(config.scenario, Place("CONFIG", Path()))
        self.queue = EventQueue()
        self.clients = build_population(self.scenario, config.seed, self.queue, config.share)
        self.dialogue = Dialogue(self.queue, self.clients, self.scenario.replicas)
        secret = bytes.fromhex(config.secret)
        credentials = Credentials(config.tls) if config.tls is not None else None
        self.channels = [
            Channel(config.replicas[replica], secret, "client", 0, replica, credentials)
            for replica in range(self.scenario.replicas)
        ]
        self.exchange = Exchange(self.dialogue, self.channels, parent)
        self.marks = window_of(self.scenario)
        self.cpu_at: list[int] = []
        self.lag_ns = 0

    def connect(self) -> None:
        """Open a connection to every replica; RuntimeError where that takes too long."""
        exchange = self.exchange
        give_up_ns = exchange.now() + CONNECT_NS
        while not all(channel.open for channel in self.channels):
            if exchange.now() > give_up_ns:
                missing = {replica: channel.trouble for replica, channel in enumerate(self.channels) if not channel.open}
                raise RuntimeError(f"replicas {list(missing)} do not answer: {next(iter(missing.values()))}")
            exchange.wait(exchange.now() + LOOK_UP_NS)

    def await_start(self) -> None:
        """Read the agreed start, and sleep until then."""
        say({"ready": True})
        line = sys.stdin.buffer.readline()
        if not line:
            raise SystemExit(1)
        self.start_at(msgspec.json.decode(line, type=dict[str, int])["start_ns"])
        time.sleep(max(0, -self.exchange.now()) / 1e9)

    def start_at(self, start_ns: int) -> None:
        """All times count from this moment of the monotonic clock."""
        self.exchange.start_ns = start_ns

    def run(self) -> None:
        """The load, and then the time that what is under way may take."""
        self.clients.start()
        exchange, dialogue, recorder, end_ns = self.exchange, self.dialogue, self.clients.recorder, self.scenario.end_ns
        mark_ns = self.marks[0]
        while True:
            now = exchange.now()
            next_ns = dialogue.turn(now, TURN)
            exchange.flush()
            while now >= mark_ns:
                mark_ns = self.mark()
            if now >= end_ns and (recorder.outstanding == 0 or now >= end_ns + DRAIN_NS):
                return
            exchange.wait(min(next_ns, end_ns if now < end_ns else NEVER, now + LOOK_UP_NS))

    def mark(self) -> int:
        """An edge of the window has come; returns the next."""
        self.cpu_at.append(time.process_time_ns())
        self.lag_ns, self.exchange.lag_ns = self.exchange.lag_ns, 0
        return self.marks[len(self.cpu_at)] if len(self.cpu_at) < len(self.marks) else NEVER

    def report(self) -> Report:
        """Close the books, and write the operations."""
        recorder, now = self.clients.recorder, self.exchange.now()
        self.clients.finish()
        recorder.advance(now)
        operations = recorder.operations()
        np.save(self.config.out, operations, allow_pickle=False)
        record = self.clients.record()
        if record is not None:
            np.savez(locks_path(Path(self.config.out)), allow_pickle=False, **msgspec.structs.asdict(record))
        measured = within(operations, self.marks)
        late = np.sort(measured["started_ns"] - measured["intended_ns"])
        return Report(
            end_ns=now,
            outstanding_ns=recorder.outstanding_ns,
            operations=len(operations),
            cpu_ns=self.cpu_at[-1] - self.cpu_at[0],
            connections=sum(channel.opened for channel in self.channels),
            lost_requests=self.exchange.lost_requests,
            loop_lag_max_ns=self.lag_ns,
            lateness_p50_ns=percentile(late, PERCENTILES["p50"]),
            lateness_p99_ns=percentile(late, PERCENTILES["p99"]),
        )


def locks_path(out: Path) -> Path:
    """Where the clients of a lock service leave their LockRecord, beside their operations."""
    return out.with_suffix(".locks.npz")


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
        # Others may still have something to wait for, and who ends before it is told to has failed.
        sys.stdin.buffer.read()
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        sys.stderr.write(f"clients: {type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
