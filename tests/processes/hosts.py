"""A cluster of stewards as tests run it: at several addresses of this machine, or each in a network namespace of its own."""
from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.driver.children import PORTS, free_ports
from bench.driver.tls import TlsFiles
from ext.build import ROOT
from tests.processes.cluster import eventually

REPLBENCH = [sys.executable, "-c", "import sys; from bench.cli import main; sys.exit(main())"]
COUNT = 3


def free_pair() -> int:
    """A port on which nobody listens, nor on the next."""
    [port] = free_ports(1)
    return port if port + 1 in PORTS else free_pair()


def write_private(path: Path, content: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(content)
    return path


def write_peers(path: Path, addresses: list[str]) -> Path:
    """The file of a cluster with these addresses, in order."""
    path.write_text("".join(f'[[replica]]\nid = {id}\naddress = "{address}"\n' for id, address in enumerate(addresses)))
    return path


class Hosts:
    """Stewards, each with a folder of its own; ``prefixes`` are the commands by which something is run on each host."""

    def __init__(self, folder: Path, addresses: list[str], prefixes: list[list[str]] | None = None) -> None:
        self.folder = folder
        self.prefixes = prefixes or [[]] * len(addresses)
        self.secret = write_private(folder / "secret", secrets.token_hex(32))
        self.peers = write_peers(folder / "peers.toml", addresses)
        self.stewards: list[subprocess.Popen[bytes]] = []

    def data(self, id: int) -> Path:
        return self.folder / f"host-{id}"

    def log(self, id: int) -> str:
        return (self.folder / f"steward-{id}.log").read_text()

    def start(self, tls: TlsFiles | None = None) -> None:
        """Start all stewards, and wait until they can be driven."""
        for id, prefix in enumerate(self.prefixes):
            self.data(id).mkdir()
            flags = [] if tls is None else ["--tls-ca", tls.ca, "--tls-certificate", tls.certificate, "--tls-key", tls.key]
            with (self.folder / f"steward-{id}.log").open("wb") as log:
                self.stewards.append(subprocess.Popen(
                    [*prefix, *REPLBENCH, "serve", "--id", str(id), "--peers", str(self.peers), "--secret", str(self.secret),
                     "--data", str(self.data(id)), *flags],
                    cwd=ROOT, stderr=log,
                ))  # fmt: skip
        for id in range(len(self.prefixes)):
            eventually(lambda id=id: "can be driven" in self.log(id), f"steward {id} is ready")

    def command(self, scenario: Path, *arguments: str) -> list[str]:
        """The run that drives them."""
        return [
            *REPLBENCH, "run", str(scenario), "--cluster", str(self.peers), "--secret", str(self.secret), "--no-plots", *arguments
        ]  # fmt: skip

    def empty(self) -> bool:
        """Whether no run has left anything on any host: neither a file nor a process."""
        folders = [path for id in range(len(self.prefixes)) for path in self.data(id).iterdir()]
        processes = [child for steward in self.stewards for child in psutil.Process(steward.pid).children(recursive=True)]
        return not folders and not processes

    def close(self) -> None:
        for steward in self.stewards:
            steward.terminate()
        for steward in self.stewards:
            assert steward.wait(20) == 0


@contextlib.contextmanager
def addresses(folder: Path) -> Iterator[Hosts]:
    """Several addresses of the loopback interface."""
    port = free_pair()
    made = Hosts(folder, [f"127.0.0.{id + 2}:{port}" for id in range(COUNT)])
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def namespaces(folder: Path) -> Iterator[Hosts]:
    """A network namespace for each host, all on one bridge; this process is on it, too. Skips where that cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need the command ip")
    mark = f"rb{os.getpid() % 10_000}x{time.monotonic_ns() % 1000}"
    subnet = f"10.{os.getpid() % 250}.{time.monotonic_ns() % 250}"
    names = [f"{mark}n{id}" for id in range(COUNT)]

    def ip(*arguments: str) -> None:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"ip {' '.join(arguments)}: {done.stderr.strip()}")

    made: Hosts | None = None
    try:
        ip("link", "add", mark, "type", "bridge")
        ip("address", "add", f"{subnet}.1/24", "dev", mark)
        ip("link", "set", mark, "up")
        for id, name in enumerate(names):
            ip("netns", "add", name)
            ip("link", "add", f"{mark}v{id}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{mark}v{id}", "master", mark, "up")
            ip("-n", name, "address", "add", f"{subnet}.{id + 2}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        made = Hosts(
            folder, [f"{subnet}.{id + 2}:7000" for id in range(COUNT)], [["ip", "netns", "exec", name] for name in names]
        )
        yield made
    finally:
        if made is not None:
            made.close()
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", mark], capture_output=True, check=False)
