"""Looks for the schedule that catches a mutant, in a process of its own.

    REPLBENCH_PURE=1 python -m tests.mutants.hunt "raft: two votes in a term" --seconds 60
    REPLBENCH_PURE=1 python -m tests.mutants.hunt --spare raft cluster-tcp 17 paxos walk-datagram 3

The first prints what caught it as JSON; the second plays schedules on the engines as they are.
"""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from itertools import count
from typing import Any

import msgspec

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant, infect

# What a violation's words say about the check that they come from, most telling first.
CHECKS = {
    "election safety": r"both lead|both led|two leaders in one term|led in term",
    "durability": r"decided on only \d+ disks",
    "agreement": r"decided was|was decided as|differently|digests differ|journals differ|applied another command|"
    r"belongs to \d+ and to|is not what was decided|unequal data|applied position \d+ before",
    "order": r"commits \d+ after \d+|consecutive|in order, each once|comes after epoch|is not what epoch|was proposed twice|"
    r"are not in order|lies beyond what was decided|of what is not decided|restores",
    "no acknowledged loss": r"acknowledged and is gone|was acknowledged, but|acknowledged and never applied|was acknowledged \d+",
    "applied once": r"applied twice|was applied at",
    "linearizability": r"linearizability",
    "outcomes": r"reported as failed and was applied",
    "progress": r"not committed after the faults|replicas hold|was decided$|no command was begun|never stop talking|a storm|"
    r"did not move its deadline",
    "conversation": r"^conversation: ",
    "assertions": r"",
}


WALKS = 20


class Catch(msgspec.Struct):
    """Who caught a mutant: the schedules' player, the seed, the check, and its words."""

    player: str
    seed: int
    check: str
    words: str


def schedules_of(mutant: Mutant) -> Iterator[tuple[str, int]]:
    """(player, seed) of what is tried, for ever: walks are a hundredth of the work of a simulation, so there are more of them."""
    transports = ("tcp",) if mutant.engine == "zab" else ("tcp", "datagram")
    if mutant.by in ("locks", "cell"):
        yield from ((mutant.by, seed) for seed in count())
    if mutant.by not in ("", "simulation"):
        yield mutant.by, 0
        return
    for turn in count():
        if mutant.by == "":
            for seed in range(turn * WALKS, (turn + 1) * WALKS):
                yield from ((f"walk-{transport}", seed) for transport in transports)
                if mutant.engine == "raft":
                    yield from ((f"bare-{transport}", seed) for transport in transports)
            yield from ((f"cluster-{transport}", turn) for transport in transports)
        yield "simulation", turn


def play(engine: str, player: str, seed: int) -> None:
    """One schedule, or a conversation; raises what catches the bug."""
    kind, _, transport = player.partition("-")
    if kind in ("walk", "bare"):
        from tests.engines.schedule import engine_named
        from tests.engines.walk import walk

        walk(engine_named(engine), seed, transport, _bare() if kind == "bare" else None)
    elif kind == "cluster":
        from tests.engines.schedule import engine_named, schedule

        schedule(engine_named(engine), seed, transport)
    elif player == "simulation":
        from tests.simulation.schedules import play as simulate

        simulate(engine, seed)
    elif player == "locks":
        from tests.simulation.schedules import play as simulate

        simulate(engine, seed, "any-locks")
    elif player == "cell":
        from tests.engines.schedule import engine_named
        from tests.locks.schedule import schedule as live

        live(engine_named(engine), seed)
    else:
        converse(player)


def converse(tests: str) -> None:
    """Tests of a module by hand: AssertionError with the name of the first that fails."""
    import pytest

    class Failed:
        """Remembers which test failed."""

        name = ""

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed and not self.name:
                self.name = report.nodeid

    failed = Failed()
    nothing = io.StringIO()
    with redirect_stdout(nothing), redirect_stderr(nothing):
        pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", tests], plugins=[failed])
    if failed.name:
        raise AssertionError(f"conversation: {failed.name.partition('::')[2]}")


def _bare() -> Any:
    """Raft without what protects availability, and hides bugs in elections; and with probes that compare, and bring nothing."""
    from engines.raft import RaftOptions

    return RaftOptions(pre_vote=False, check_quorum=False, empty_probes=True)


def check_of(error: Exception) -> str:
    """The check that the words are of."""
    words = str(error).partition("\nreplay:")[0]
    if stated := re.match(r"""Violation: \[['"]([^:'"]+): """, words):  # by a watcher of the product's
        return stated[1]
    return next(check for check, pattern in CHECKS.items() if re.search(pattern, words, re.DOTALL))


def hunt(mutant: Mutant, seconds: float) -> Catch | None:
    """Infect this process, and play one seed after another until the bug shows."""
    infect(mutant)
    stop = time.process_time() + seconds
    for player, seed in schedules_of(mutant):
        if time.process_time() > stop:
            break
        try:
            play(mutant.engine, player, seed)
        except Exception as error:
            words = str(error).partition("\nreplay:")[0].partition("\n")[0]
            return Catch(player, seed, check_of(error), words)
    return None


def main(arguments: list[str]) -> None:
    """See the module."""
    if arguments[0] == "--spare":
        plays = arguments[1:]
        for engine, player, seed in zip(plays[::3], plays[1::3], plays[2::3], strict=True):
            play(engine, player, int(seed))
        return
    name, _, seconds = arguments
    sys.stdout.write(msgspec.json.encode(hunt(MUTANTS[name], float(seconds))).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
