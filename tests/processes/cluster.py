"""Replica processes as tests run them, and a blocking client that speaks to one of them."""
from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.driver.frames import (
    FRAME_LIMIT_BYTES,
    Answer,
    Do,
    Frames,
    Greeting,
    Request,
    Role,
    decode_answers,
    decode_dones,
    encode,
)
from bench.driver.occasions import ACCEPTED
from bench.scenario import Place, read_scenario
from engines.core import NOBODY
from engines.machine import PUT, encode_command
from ext.build import ROOT

SECRET = bytes(range(32))
PATIENCE_S = 30.0
ATTEMPT_S = 2.0
FAST: dict[str, Any] = {
    "network": {"latency": "0ms", "bandwidth": "unlimited", "user_timeout": "2s"},
    "timeouts": {"election": ["300ms", "600ms"], "heartbeat": "50ms"},
}


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of the condition; a failure of the test where there is none in time."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not in {PATIENCE_S} s: {what}")


class Caller:
    """A blocking connection to a replica in some role."""

    def __init__(
        self, port: int, role: Role, id: int, replica: int, secret: bytes = SECRET, patience_s: float = PATIENCE_S,
        context: ssl.SSLContext | None = None, host: str = "127.0.0.1",
    ) -> None:  # fmt: skip
        self.socket = socket.create_connection((host, port), timeout=patience_s)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self.patience_s = patience_s
        self.frames = Frames(FRAME_LIMIT_BYTES)
        self.arrived: list[memoryview] = []
        greeting = Greeting(secret, role, id, replica)
        while not greeting.done:
            self.socket.sendall(greeting.answer(self.body()))

    def body(self) -> memoryview:
        """The next frame; ConnectionError where the other end closes, TimeoutError where it is silent."""
        self.socket.settimeout(self.patience_s)
        while not self.arrived:
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionResetError("closed")
            self.arrived += self.frames.feed(data)
        return self.arrived.pop(0)

    def do(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Have an action performed, and hear what came of it."""
        self.socket.sendall(encode([Do(action, arguments)]))
        [done] = decode_dones(self.body())
        assert done.action == action
        return done.result

    def close(self) -> None:
        self.socket.close()


class Process:
    """One replica, which can be killed and started again with the same log and port."""

    def __init__(self, id: int, engine: str, scenario: dict[str, Any], folder: Path, loop: str) -> None:
        self.id = id
        self.folder = folder
        self.config: dict[str, Any] = {
            "id": id,
            "engine": engine,
            "scenario": scenario,
            "listen": ["127.0.0.1", 0],
            "secret": SECRET.hex(),
            "data": str(folder / f"data-{id}"),
            "seed": 1,
            "incarnation": 0,
            "loop": loop,
        }
        self.module = "bench.driver.replica"
        self.errors = folder / f"errors-{id}"
        self.process: subprocess.Popen[bytes] | None = None
        self.context: ssl.SSLContext | None = None  # of its callers, where it has TLS

    def start(self, limits: Callable[[], None] | None = None) -> None:
        """Start an incarnation, and wait until it listens."""
        self.config["incarnation"] += 1
        path = self.folder / f"config-{self.id}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(self.config))
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, str(path)],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, preexec_fn=limits,  # noqa: PLW1509
                bufsize=0,  # a line that waited in a buffer would not be seen by select
            )  # fmt: skip
        self.config["listen"][1] = self.line()["listening"]

    def line(self) -> dict[str, Any]:
        """The next line of its standard output."""
        assert self.process is not None and self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        assert ready, f"replica {self.id} says nothing; {self.complaints()}"
        line = self.process.stdout.readline()
        assert line, f"replica {self.id} ended; {self.complaints()}"
        said: dict[str, Any] = json.loads(line)
        return said

    def complaints(self) -> str:
        return self.errors.read_text()

    @property
    def port(self) -> int:
        return int(self.config["listen"][1])

    def kill(self, number: int = signal.SIGKILL) -> int:
        """End it by a signal; its status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def caller(self, role: Role, id: int = 0, patience_s: float = PATIENCE_S) -> Caller:
        return Caller(self.port, role, id, self.id, patience_s=patience_s, context=self.context)

    def status(self) -> dict[str, Any]:
        caller = self.caller("control")
        try:
            return caller.do("status")
        finally:
            caller.close()

    def close(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.process.pid, signal.SIGCONT)
                self.process.kill()
            self.process.wait()
            assert self.process.stdin is not None and self.process.stdout is not None
            self.process.stdin.close()
            self.process.stdout.close()


class Cluster:
    """Replicas of one engine, and the one client of the test."""

    def __init__(self, engine: str, folder: Path, replicas: int = 3, loop: str = "uvloop", **tables: Any) -> None:
        scenario = read_scenario({"engine": engine, "replicas": replicas} | FAST | tables, Place("test", Path()))
        self.replicas = [Process(id, engine, scenario.resolved(), folder, loop) for id in range(replicas)]
        self.sequence = 0
        self.caller: Caller | None = None
        self.target = 0

    def start(self) -> None:
        """Start all, tell each where the others are, and wait until all are ready."""
        for replica in self.replicas:
            replica.start()
        addresses = {str(replica.id): ["127.0.0.1", replica.port] for replica in self.replicas}
        for replica in self.replicas:
            replica.config["peers"] = addresses
            caller = replica.caller("control")
            caller.do("peers", **addresses)
            caller.close()
        for replica in self.replicas:
            assert replica.line()["ready"]

    def restart(self, id: int) -> dict[str, Any]:
        """Start a killed replica again; what it says when it is ready."""
        self.replicas[id].start()
        return self.replicas[id].line()

    def leader(self) -> Process:
        """The replica that leads, once there is one."""
        def leads() -> Process | None:
            for replica in self.replicas:
                if replica.process is not None and replica.process.poll() is None:
                    with contextlib.suppress(OSError):
                        if replica.status().get("leading"):
                            return replica
            return None

        found: Process = eventually(leads, "a leader")
        return found

    def put(self, key: bytes, value: bytes) -> None:
        """Have one command decided, wherever the leader is, and whatever happens on the way."""
        self.sequence += 1
        command = encode_command(1, self.sequence, self.sequence, PUT, key, value)
        eventually(lambda: self.attempt(command), f"an answer to command {self.sequence}")

    def attempt(self, command: bytes) -> bool:
        """Ask one replica; False where it does not lead or is not there."""
        try:
            if self.caller is None:
                self.caller = self.replicas[self.target].caller("client", 1, ATTEMPT_S)
            self.caller.socket.sendall(encode([Request(1, command)]))
            while True:
                for answer in decode_answers(self.caller.body()):
                    if answer.sequence == self.sequence:
                        return self.heed(answer)
        except OSError:
            self.turn_to((self.target + 1) % len(self.replicas))
            return False

    def heed(self, answer: Answer) -> bool:
        """Whether the command was decided; else turn to the leader."""
        if answer.outcome == ACCEPTED:
            assert answer.result[0] == 1
            return True
        self.turn_to((self.target + 1) % len(self.replicas) if answer.leader == NOBODY else answer.leader)
        return False

    def turn_to(self, target: int) -> None:
        if self.caller is not None:
            self.caller.close()
        self.caller = None
        self.target = target

    def level(self) -> list[dict[str, Any]]:
        """The statuses of all replicas, once all have applied the same."""
        def same() -> list[dict[str, Any]] | None:
            statuses = [replica.status() for replica in self.replicas]
            applied = {status["applied"] for status in statuses}
            return statuses if len(applied) == 1 and statuses[0]["applied"] >= self.sequence else None

        found: list[dict[str, Any]] = eventually(same, "all replicas have applied the same")
        return found

    def close(self) -> None:
        if self.caller is not None:
            self.caller.close()
        for replica in self.replicas:
            replica.close()


@contextlib.contextmanager
def cluster(engine: str, folder: Path, **options: Any) -> Iterator[Cluster]:
    """A running cluster, gone at the end."""
    with running(Cluster(engine, folder, **options)) as made:
        yield made


@contextlib.contextmanager
def running(made: Cluster) -> Iterator[Cluster]:
    """Start a cluster; it is gone at the end."""
    try:
        made.start()
        yield made
    finally:
        made.close()
