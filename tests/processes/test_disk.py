"""Disks that fail under a replica: it stops with one line, acknowledges nothing that is not durable, and the others go on."""
from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.driver.children import ProcessError
from bench.driver.frames import Request, encode
from bench.driver.processes import Run, run_processes
from bench.driver.storage import SEGMENT_BYTES
from engines.machine import PUT, encode_command
from tests.processes.cluster import PATIENCE_S, Caller, Cluster, Process, running
from tests.processes.real import nothing_left, short

ENGINES = ("paxos", "raft", "zab")
LARGE = bytes(1 << 20)


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """A file system of this size, in memory; the test is skipped where it may not be mounted."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "replbench", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def breaks(replica: Process) -> None:
    """From now on its syncs fail; see failing_disk."""
    (Path(replica.config["data"]) / "fail").touch()


def ended(replica: Process) -> int:
    assert replica.process is not None
    return replica.process.wait(PATIENCE_S)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_leader_whose_sync_fails_stops_and_the_others_go_on(engine: str, tmp_path: Path) -> None:
    """What a failed sync has written is unknowable: it is never tried again, and a restart reads what is there."""
    made = Cluster(engine, tmp_path)
    for replica in made.replicas:
        replica.module = "tests.processes.failing_disk"
    with running(made):
        for number in range(10):
            made.put(b"key", str(number).encode())
        leader = made.leader()
        breaks(leader)
        made.put(b"key", b"when its disk had failed")
        assert ended(leader) == 1
        complaint = leader.complaints()
        assert "Input/output error" in complaint
        assert len(complaint.splitlines()) == 1
        (Path(leader.config["data"]) / "fail").unlink()
        assert made.restart(leader.id)["recovered_records"] > 0
        made.put(b"key", b"again")
        assert len({status["digest"] for status in made.level()}) == 1


@pytest.mark.parametrize("errors", ["errors", "/dev/full"], ids=["complains", "cannot even complain"])
@pytest.mark.parametrize("durability", ["fsync", "batch-interval"])
def test_a_replica_whose_sync_fails_acknowledges_nothing_more(durability: str, errors: str, tmp_path: Path) -> None:
    made = Cluster("raft", tmp_path, replicas=1, storage={"durability": durability})
    [replica] = made.replicas
    replica.module = "tests.processes.failing_disk"
    replica.errors = tmp_path / errors
    with running(made):
        made.put(b"key", b"value")
        caller = Caller(replica.port, "client", 9, 0)
        breaks(replica)
        with contextlib.suppress(ConnectionError):  # what an interval has left to sync may have ended it already
            caller.socket.sendall(encode([Request(9, encode_command(9, 1, 1, PUT, b"key", b"lost"))]))
        if durability == "fsync":
            with pytest.raises(ConnectionError):
                caller.body()
        assert ended(replica) == 1
        caller.close()


def fill_up(disk: Path) -> None:
    """Somebody else takes all that is left."""
    with contextlib.suppress(OSError), (disk / "theirs").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_run_on_a_disk_that_fills_up_ends_with_the_reason_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the processes complain into lies on the full disk, too, and yet it is they that say so."""
    begin = Run._start_load

    async def begin_and_fill(run: Run) -> None:
        await begin(run)
        fill_up(disk)

    monkeypatch.setattr(Run, "_start_load", begin_and_fill)
    large = short(duration="30s", workload={"value_size": "64KiB", "mix": {"write": 1.0}})
    with small_disk(tmp_path / "disk", 4 * SEGMENT_BYTES) as disk:
        with pytest.raises(ProcessError, match=r"replica-\d-1 ended with status 1: replica: .*No space left on device") as raised:
            run_processes(large, "raft", {}, 1, 0, disk)
        assert "\n" not in str(raised.value)
        assert nothing_left(disk)
        assert [path.name for path in disk.iterdir()] == ["theirs"]
