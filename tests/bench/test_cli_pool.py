"""The pool: every task once, whatever the order; errors by number; nothing left running."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.cli.pool import Failed, WorkerDiedError, default_jobs, each_done, undisturbed

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]


def square(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} has no root")
    if number == 13:
        os._exit(1)
    return number * number


def all_end(patience_s: float = 20.0) -> bool:
    """Whether no worker is left; one that was told to end may take a moment on a busy machine."""
    until = time.monotonic() + patience_s
    while multiprocessing.active_children() and time.monotonic() < until:
        time.sleep(0.01)
    return not multiprocessing.active_children()


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_is_done_once_and_keeps_its_number(jobs: int) -> None:
    done = dict(each_done(square, list(range(9)), jobs))
    assert done == {number: number * number for number in range(9)}
    assert list(each_done(square, [], jobs)) == []
    assert all_end()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_task_that_raises_is_named_and_ends_the_rest(jobs: int) -> None:
    with pytest.raises(Failed) as caught:
        list(each_done(square, [1, -2, 3], jobs))
    assert caught.value.index == 1
    assert isinstance(caught.value.error, ValueError)
    assert all_end()


def test_a_worker_that_dies_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(Failed) as caught:
        list(each_done(square, [1, 13, 2], jobs=2))
    assert isinstance(caught.value.error, WorkerDiedError)


def test_whoever_waits_is_called_now_and_then() -> None:
    looks: list[float] = []
    list(each_done(time.sleep, [0.01, 0.01], jobs=2, idle=lambda: looks.append(1)))
    assert looks


def test_there_is_a_worker_for_each_processor_at_least_one() -> None:
    assert 1 <= default_jobs() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_must_not_be_disturbed_ends_before_an_interrupt_takes_effect(number: int) -> None:
    done = []
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), undisturbed():
        signal.raise_signal(number)
        done.append("whole")
    assert done == ["whole"]
    assert signal.getsignal(number) == before


INTERRUPTED = """
import sys, threading, time
from bench.cli.pool import each_done

if __name__ == "__main__":
    try:
        for index, _ in each_done(time.sleep, [0.01, 60, 60, 60], 2):
            print(index, flush=True)
    except KeyboardInterrupt:
        import psutil
        children = [" ".join(child.cmdline()) for child in psutil.Process().children()]
        workers = sum("spawn_main" in line for line in children)
        print(f"stopped with {workers} workers and {threading.active_count()} thread", flush=True)
"""


def test_an_interrupt_ends_the_workers_and_what_they_were_doing(tmp_path: Path) -> None:
    """Ctrl-C of a terminal: the signal goes to the whole group of processes."""
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert out == "stopped with 0 workers and 1 thread\n", "a thread would be waited for where Ctrl-C is a traceback"
    assert "Traceback" not in err
