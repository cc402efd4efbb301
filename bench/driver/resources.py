"""What a run took of the machine that it ran on: processors, memory, disk, by process, between two moments."""
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import psutil

BOOT = Path("/proc/sys/kernel/random/boot_id")


class Taken(msgspec.Struct):
    """Counters of one process since it began."""

    cpu_s: float
    resident_bytes: int
    written_bytes: int
    voluntary_switches: int
    involuntary_switches: int


class Sample(msgspec.Struct):
    """The machine at a moment: seconds of all its processors, and the processes of the run that are known here.

    ``machine`` tells which: hosts in containers or network namespaces may share one, and its processors.
    """

    machine: str
    at_s: float
    idle_s: float
    steal_s: float
    total_s: float
    reaped_s: float
    processes: dict[int, Taken]

    def consumed_s(self) -> float:
        """Processor time of the run so far: of the processes that there are, and of those that have ended and were waited for."""
        return self.reaped_s + sum(taken.cpu_s for taken in self.processes.values())


def sample(pids: list[int]) -> Sample:
    """This moment. A process that is not there any more is left out."""
    times = psutil.cpu_times()
    # Guests' time is part of user time already.
    total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    found = {pid: taken for pid in pids if (taken := _taken(pid)) is not None}
    dead = psutil.Process().cpu_times()
    reaped_s = dead.children_user + dead.children_system
    return Sample(_machine(), time.monotonic(), idle_s, getattr(times, "steal", 0.0), total_s, reaped_s, found)


def _machine() -> str:
    try:
        return BOOT.read_text().strip()
    except OSError:
        return ""


def _taken(pid: int) -> Taken | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            cpu, switches = process.cpu_times(), process.num_ctx_switches()
            return Taken(
                cpu.user + cpu.system, process.memory_info().rss, process.io_counters().write_bytes,
                switches.voluntary, switches.involuntary,
            )  # fmt: skip
    except psutil.Error:
        return None


def between(
    first: Sample, last: Sample, replicas: dict[int, int], logs: Path | None, others: list[tuple[Sample, Sample]]
) -> dict[str, Any]:
    """The record of a Trial. ``replicas`` are their processes; one that was not there all the time is left out. ``others`` are
    samples of the same moments by others who look after processes of the run, perhaps on the same machine.

    machine: ``idle_share``, ``steal_share`` and ``foreign_share`` (of processes outside the run) of all processors, how many
    they are, and the file system of the logs, where these are here; replicas: ``cpu_share`` of one processor, and totals.
    """
    length_s = last.at_s - first.at_s
    total_s = max(last.total_s - first.total_s, 1e-9)
    own_s = sum(
        after.consumed_s() - before.consumed_s()
        for before, after in [(first, last), *others]
        if before.machine == first.machine
    )
    idle_s = last.idle_s - first.idle_s
    foreign_s = max(0.0, total_s - idle_s - own_s)
    return {
        "machine": {
            "processors": psutil.cpu_count(),
            "idle_share": round(idle_s / total_s, 4),
            "steal_share": round((last.steal_s - first.steal_s) / total_s, 4),
            "foreign_share": round(foreign_s / total_s, 4),
        }
        | ({} if logs is None else {"filesystem": filesystem(logs)}),
        "replicas": {
            str(replica): _difference(first.processes[pid], last.processes[pid], length_s)
            for replica, pid in replicas.items()
            if pid in first.processes and pid in last.processes
        },
    }


def _difference(first: Taken, last: Taken, length_s: float) -> dict[str, Any]:
    return {
        "cpu_share": round((last.cpu_s - first.cpu_s) / length_s, 4),
        "resident_bytes": last.resident_bytes,
        "written_bytes": last.written_bytes - first.written_bytes,
        "voluntary_switches": last.voluntary_switches - first.voluntary_switches,
        "involuntary_switches": last.involuntary_switches - first.involuntary_switches,
    }


def filesystem(folder: Path) -> str:
    """The kind of file system that a folder lies on, such as ext4 or tmpfs."""
    place = str(folder.resolve())
    mounts = [part for part in psutil.disk_partitions(all=True) if Path(place).is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"
