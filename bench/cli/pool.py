"""Runs independent tasks in worker processes, and keeps what is finished when it is told to stop."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")

# How often a pool without news looks up, so that Ctrl-C and the progress bar need not wait for a task.
LOOK_UP_S = 0.2


class WorkerDiedError(RuntimeError):
    """A worker process ended without an answer, as when the machine runs out of memory."""


class Failed(Exception):  # noqa: N818  (it is an answer, not an error of the pool)
    """A task raised: its number and what it raised, from which a caller goes on as it likes."""

    def __init__(self, index: int, error: BaseException) -> None:
        super().__init__(index, error)
        self.index = index
        self.error = error


def each_done(
    work: Callable[[Task], Outcome], tasks: Sequence[Task], jobs: int, idle: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, Outcome]]:
    """(number of the task, outcome) as each is done, in no promised order; ``idle`` is called now and then
    meanwhile.

    ``work`` and the tasks are pickled; with one job or one task everything runs in this process. Raises
    Failed at the first task that raises. Leaving the loop, by an exception or not, ends the workers and what
    they were doing.
    """
    assert jobs >= 1, "a pool needs a worker"
    if jobs == 1 or len(tasks) <= 1:
        yield from _alone(work, tasks)
        return
    # Spawned, not forked: a fresh interpreter depends on nothing that this one has done.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(jobs, len(tasks)), mp_context=context, initializer=_leave_stopping_to_the_parent
    )
    try:
        with _deaf_children():
            waiting: dict[Future[Outcome], int] = {
                pool.submit(work, task): index for index, task in enumerate(tasks)
            }
        while waiting:
            done, _ = wait(waiting, timeout=LOOK_UP_S, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda future: waiting[future]):
                index = waiting.pop(future)
                yield index, _outcome(index, future)
            idle()
    finally:
        with undisturbed():
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
                child.join()
            # Its thread ends with the workers; the interpreter would wait for it at its own end, where Ctrl-C is a traceback.
            pool.shutdown(wait=True)


def _alone(work: Callable[[Task], Outcome], tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
    for index, task in enumerate(tasks):
        try:
            outcome = work(task)
        except Exception as error:
            raise Failed(index, error) from error
        yield index, outcome


def _outcome(index: int, future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        raise Failed(index, WorkerDiedError("its process died (out of memory?)")) from None
    except Exception as error:
        raise Failed(index, error) from error


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes started inside never hear Ctrl-C, not even while they import; here it comes at the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_stopping_to_the_parent() -> None:
    """Ctrl-C reaches every process of the terminal; the parent decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def undisturbed() -> Iterator[None]:
    """What is inside is done whole; Ctrl-C, or a polite kill, takes effect at its end. Main thread only."""
    pressed: list[int] = []
    before = {
        number: signal.signal(number, lambda received, _: pressed.append(received))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if pressed:
        raise KeyboardInterrupt


def default_jobs() -> int:
    """As many workers as this process may use processors."""
    return max(1, len(os.sched_getaffinity(0)))
