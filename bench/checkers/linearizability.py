"""Whether a history is linearizable: as if each operation took effect at one moment between call and return.

Histories are checked key by key, which is the same as checking them whole (Herlihy and Wing's locality; Horn
and Kroening's P-compositionality). What an operation means:

    read, get            finds the value; null: nothing was written yet
    write, put           sets it
    cas [old, new]       ret true: found old, set new; ret false: found another value than old, and set
    nothing
    append text          appends to the string; to none, as to an empty one
    acquire, release     of a mutex: free becomes held by this client, and held by this client becomes free

``ok`` false did not happen. ``ok`` null is unknown: it may take effect at any time from its call on, or
never.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import msgspec

from bench.checkers.history import READS, WRITES, Histories, Operation
from ext.search import Search
from ext.timeline import APPEND, CAS, READ, REFUSED, WRITE

LINEARIZABLE, NOT_LINEARIZABLE, UNKNOWN = "linearizable", "not linearizable", "unknown"
RUNNING = "running"
NOTHING, UNSEEN = 0, 1
SLICE, LONGEST_SLICE = (
    4_000_000,
    64_000_000,
)  # steps of one key before the others get their turn: 10 to 200 ms
GIB = 1 << 30
Meaning = tuple[int, Any, Any]


class Budget(msgspec.Struct, frozen=True):
    """How much a check may take. Steps (0: any number) are the same on every machine, seconds are not."""

    seconds: float = float("inf")
    steps: int = 0
    nbytes: int = GIB


class Verdict(msgspec.Struct):
    """The answer, and what finding it took; ``nbytes`` and ``configurations`` are of the searches' peak.

    ``key`` is the key that is not linearizable, or (unknown) the first that was not finished; ``reason`` says
    which budget was used up.
    """

    answer: str
    operations: int
    seconds: float = 0.0
    steps: int = 0
    configurations: int = 0
    nbytes: int = 0
    key: str | int | None = None
    reason: str = ""


class Columns(NamedTuple):
    """The operations of one key as ``ext.search.Search`` takes them."""

    kinds: list[int]
    first: list[int]
    second: list[int]
    calls: list[int]
    returns: list[int | None]
    strings: Strings | None = None


class Task:
    """The search of one key, which may be suspended.

    Where it takes long and there are unknown operations, another search goes on beside it, in which each of
    these may take effect any number of times. Which of them were used need not be remembered there, and where
    even that explains nothing, nothing does.
    """

    def __init__(self, key: str | int | None, columns: Columns, explain: bool = False) -> None:
        self.key = key
        self.columns = columns
        self.search = Search(*columns, explain=explain)
        self.beside: Search | None = None
        self.doubtful = not explain and None in columns.returns

    def run(self, steps: int, nbytes: int) -> str:
        """Search on, each search for so many steps and with its half of the memory."""
        share = nbytes // 2 if self.doubtful else nbytes
        answer = self.search.run(steps, share)
        if self.doubtful and answer not in (LINEARIZABLE, NOT_LINEARIZABLE):
            if self.beside is None:
                self.beside = Search(*self.columns, boundless=True)
            other = self.beside.run(steps, share)
            if other in (NOT_LINEARIZABLE, RUNNING):
                return other
        return answer

    @property
    def searches(self) -> list[Search]:
        """The searches that were begun."""
        return [self.search] if self.beside is None else [self.search, self.beside]

    @property
    def steps(self) -> int:
        """The work done."""
        return sum(search.steps for search in self.searches)

    @property
    def configurations(self) -> int:
        """How many are remembered."""
        return sum(search.configurations for search in self.searches)

    @property
    def nbytes(self) -> int:
        """In how much memory."""
        return sum(search.bytes_held() for search in self.searches)


def check(histories: Histories, budget: Budget | None = None) -> Verdict:
    """Check each key, a slice at a time where it takes long, until one fails, all pass, or the budget is
    used up.
    """
    tasks = (Task(key, columns(operations)) for key, operations in histories.items())
    return check_tasks(tasks, sum(map(len, histories.values())), budget or Budget())


def check_tasks(tasks: Iterator[Task], operations: int, budget: Budget) -> Verdict:
    """As ``check``, of searches that were prepared otherwise; ``operations`` is how many there are in all."""
    return _Check(tasks, operations, budget).run()


class _Check:
    """What is left to do, and what it has taken so far."""

    def __init__(self, tasks: Iterator[Task], operations: int, budget: Budget) -> None:
        self.tasks = tasks
        self.budget = budget
        self.started = perf_counter()
        self.verdict = Verdict(LINEARIZABLE, operations)
        self.unfinished: list[Task] = []
        self.given_up: list[Task] = []

    def run(self) -> Verdict:
        answered = self._search()
        if self.unfinished or self.given_up or not answered:
            self.verdict.answer = UNKNOWN if self.verdict.answer == LINEARIZABLE else self.verdict.answer
        self.verdict.seconds = perf_counter() - self.started
        return self.verdict

    def _search(self) -> bool:
        """Whether nothing was left out for want of time or steps."""
        verdict = self.verdict
        for task, steps in self._turns():
            spent = self._spent()
            if spent:
                verdict.key, verdict.reason = task.key, spent
                return False
            answer = self._turn(task, steps)
            if answer == NOT_LINEARIZABLE:
                verdict.answer, verdict.key, verdict.reason = NOT_LINEARIZABLE, task.key, ""
                return True
            if answer == RUNNING:
                self.unfinished.append(task)
            elif answer != LINEARIZABLE:
                self.given_up.append(task)
                verdict.key, verdict.reason = task.key, "memory"
        return True

    def _turns(self) -> Iterator[tuple[Task, int]]:
        """Every key once, then those unfinished, again and again, each time for longer."""
        for task in self.tasks:
            yield task, SLICE
        steps = SLICE
        while self.unfinished:
            steps = min(2 * steps, LONGEST_SLICE)
            for _ in range(len(self.unfinished)):
                yield self.unfinished.pop(0), steps

    def _turn(self, task: Task, steps: int) -> str:
        verdict = self.verdict
        held = sum(other.nbytes for other in self.unfinished)
        if self.budget.steps:
            steps = min(steps, self.budget.steps - verdict.steps)
        before = task.steps
        answer = task.run(steps, max(self.budget.nbytes - held, 0))
        verdict.steps += task.steps - before
        verdict.configurations = max(verdict.configurations, task.configurations)
        verdict.nbytes = max(verdict.nbytes, held + task.nbytes)
        return answer

    def _spent(self) -> str:
        """Which budget is used up."""
        if perf_counter() - self.started > self.budget.seconds:
            return "time"
        return "steps" if self.budget.steps and self.verdict.steps >= self.budget.steps else ""


def matters(operation: Operation) -> bool:
    """What did not happen, and a read that nobody got an answer to, say nothing."""
    return operation.ok or (operation.ok is None and operation.op not in READS)


def columns(operations: Sequence[Operation]) -> Columns:
    """The operations of one key, those that matter, in numbers."""
    operations = [operation for operation in operations if matters(operation)]
    observed = _observed(operations)
    strings = Strings(observed) if any(operation.op == "append" for operation in operations) else None
    number = _Numbers(observed).number if strings is None else strings.number
    kinds, first, second = [], [], []
    for operation in operations:
        kind, one, other = meaning(operation)
        kinds.append(kind)
        first.append(strings.piece(one) if kind == APPEND and strings is not None else number(one))
        second.append(number(other) if kind == CAS else NOTHING)
    calls = [operation.call_ns for operation in operations]
    returns = [operation.return_ns for operation in operations]
    return Columns(kinds, first, second, calls, returns, strings)


def meaning(operation: Operation) -> Meaning:
    """(kind, first, second value) as ``ext.search`` has them, the values as the history has them."""
    op = operation.op
    if op in READS:
        return READ, operation.ret, None
    if op in WRITES:
        return WRITE, operation.arg, None
    if op == "append":
        return APPEND, operation.arg, None
    if op == "acquire":
        return CAS, None, operation.client
    if op == "release":
        return CAS, operation.client, None
    old, new = operation.arg
    return (REFUSED, old, None) if operation.ok and not operation.ret else (CAS, old, new)


def _observed(operations: Sequence[Operation]) -> list[Any]:
    """The values that operations observe, each once, in order; none is left out."""
    found = []
    for operation in operations:
        kind, value, _ = meaning(operation)
        if kind in (READ, CAS, REFUSED):
            found.append(value)
    return found


class _Numbers:
    """Numbers for the values that are observed; all others are the same to everybody."""

    def __init__(self, observed: Sequence[Any]) -> None:
        self.numbers: dict[Any, int] = {None: NOTHING}
        for value in observed:
            self.numbers.setdefault(identity(value), len(self.numbers) + 1)

    def number(self, value: Any) -> int:
        """The number of a value; UNSEEN where nobody observes it."""
        return self.numbers.get(identity(value), UNSEEN)


def identity(value: Any) -> Any:
    """Equal for equal JSON values only; Python takes true for 1."""
    if value is None or type(value) is str or type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    return type(value), value if type(value) is float else msgspec.json.encode(value, order="sorted")


class Strings:
    """Numbers for strings that grow; what begins nothing that is observed is the same to everybody."""

    def __init__(self, observed: Sequence[str | None]) -> None:
        self.observed = sorted({text for text in observed if text is not None})
        self.texts: list[str | None] = [None, None]
        self.numbers: dict[str | None, int] = {None: NOTHING}
        self.pieces: list[str] = []
        self.places: dict[str, int] = {}
        self.known: dict[tuple[int, int], int] = {}

    def number(self, text: str | None) -> int:
        """The number of a string; UNSEEN where it begins nothing that is observed."""
        found = self.numbers.get(text)
        if found is None:
            assert text is not None
            place = bisect_left(self.observed, text)
            found = UNSEEN
            if place < len(self.observed) and self.observed[place].startswith(text):
                found = len(self.texts)
                self.texts.append(text)
                self.numbers[text] = found
        return found

    def piece(self, text: str) -> int:
        """The number of a piece."""
        place = self.places.setdefault(text, len(self.pieces))
        if place == len(self.pieces):
            self.pieces.append(text)
        return place

    def append(self, value: int, piece: int) -> int:
        """The string that this one becomes."""
        if value == UNSEEN:
            return UNSEEN
        found = self.known.get((value, piece))
        if found is None:
            found = self.number((self.texts[value] or "") + self.pieces[piece])
            self.known[value, piece] = found
        return found

    def begins(self, value: int, whole: int) -> bool:
        """Whether the one string can become the other by appending."""
        if value in (whole, UNSEEN):
            return value == whole
        text = self.texts[whole]
        return text is not None and text.startswith(self.texts[value] or "")
