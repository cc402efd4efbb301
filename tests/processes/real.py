"""Trials in processes as tests run them: short, on a free network, judged as results are."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil

from bench.checkers.verdict import verdict
from bench.driver.processes import run_processes
from bench.metrics.summary import summarise
from bench.metrics.trial import Trial
from bench.scenario import Place, Scenario, read_scenario

SHORT: dict[str, Any] = {
    "name": "short", "world": "processes", "replicas": 3,
    "duration": "1s", "warmup": "700ms", "cooldown": "100ms",
    "network": {"latency": "0ms", "bandwidth": "unlimited", "user_timeout": "2s"},
    "timeouts": {"election": ["300ms", "600ms"], "heartbeat": "50ms", "request": "200ms", "operation": "5s"},
    "workload": {"mix": {"read": 0.5, "write": 0.4, "cas": 0.1}, "arrivals": {"kind": "open", "rate": 400}},
}  # fmt: skip


def short(**changes: Any) -> Scenario:
    """A scenario of a second or two; tables are changed field by field, and None takes a field out."""
    table = {key: dict(value) if isinstance(value, dict) else value for key, value in SHORT.items()}
    for key, value in changes.items():
        changed = {**table[key], **value} if isinstance(value, dict) and key in table else value
        table[key] = {name: each for name, each in changed.items() if each is not None} if isinstance(changed, dict) else changed
    return read_scenario(table, Place("test", Path()))


def ran(engine: str, folder: Path, **changes: Any) -> Trial:
    """The trial of a short scenario, believed: nothing is violated, every fault is proven, the history is linearizable."""
    trial = run_processes(short(**changes), engine, {}, 1, 0, folder)
    answer, reasons = verdict(trial, summarise(trial))
    assert answer != "invalid", reasons
    kept = trial.fairness["durability"] != "none"
    assert trial.checks["no acknowledged loss"] == ("passed" if kept else "not run")
    assert trial.checks["linearizability"] in ("passed", "unknown")
    assert trial.resources["caught_up"] == ([0] if engine == "unreplicated" else list(range(trial.replicas)))
    assert nothing_left(folder)
    return trial


def nothing_left(folder: Path) -> bool:
    """No process of ours, and no file but what a result holds."""
    children = [child for child in psutil.Process(os.getpid()).children() if "bench.driver" in " ".join(child.cmdline())]
    return not children and not list(folder.glob(".processes-*"))
