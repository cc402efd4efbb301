"""Random worlds on the real simulator: a scenario drawn from a seed, watched from outside, and peace at its
end.

    python -m tests.simulation.schedules raft 17 [--trace]

Everything follows from engine and seed: transport, latencies, loss, doubling and overtaking, costs,
durability limits, batching, clients and their routing, and faults: crashes with loss of what was not synced,
restarts of all replicas at once, partitions both ways and one way, slow links and disks, clocks that run fast
or slow. A failure names the line above.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.checkers.statements import THOROUGH
from bench.driver import protocols
from bench.driver.trials import TrialRun
from bench.metrics.summary import outstanding_ns
from bench.metrics.trial import FAILED, OK, UNKNOWN, Trial
from bench.scenario import Scenario, read_scenario
from bench.scenario.fields import Place
from engines.core import Commit, Effect, Engine, Restore
from engines.machine import STALE, KeyValue, decode_command

MS, SECOND = 1_000_000, 1_000_000_000
FAULTS_BEGIN_MS, FAULTS_END_MS, END_MS = 300, 2500, 4500
PATIENCE_NS = 30 * SECOND
# None so tight that open-loop clients could not be served: whoever retries into a full queue is never done.
BATCHING = (
    {"max_commands": 64, "pipeline": 1},
    {"max_commands": 4, "pipeline": 3},
    {"max_commands": 1, "pipeline": 32},
    {"max_commands": 64, "pipeline": 32},
)
ENGINE_NAMES = {"paxos": "Paxos", "raft": "Raft", "zab": "Zab"}


class Violation(AssertionError):  # noqa: N818 (a violation is what it is)
    """What must never happen did, or what must happen once the faults have ended did not."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


# -- scenarios -----------------------------------------------------------------------------------------------


def random_scenario(engine: str, seed: int) -> Scenario:
    """The scenario of this seed."""
    dice = random.Random(f"{engine} {seed}")
    replicas = dice.choice((2, 3, 3, 3, 4, 5, 5, 6, 7))
    table = {
        "engine": engine,
        "replicas": replicas,
        "seed": seed,
        "warmup": "0.2s",
        "duration": f"{END_MS - 400}ms",
        "cooldown": "0.2s",
        "network": _network(dice, engine),
        "cpu": dice.choice(
            ({"per_message": "0s", "per_byte": "0s"}, {"per_message": "20us", "per_byte": "5ns"})
        ),
        "storage": {
            "fsync": dice.choice(("0s", "0.5ms", {"distribution": "exponential", "mean": "2ms"})),
            "group": dice.choice((0, 0, 1, 3)),
            "compact_after": dice.choice(("1KiB", "4KiB", "64MiB")),
        },
        "batching": dice.choice(BATCHING) | {"max_delay": dice.choice(("0s", "1ms"))},
        "timeouts": {
            "election": ["100ms", "200ms"],
            "heartbeat": "20ms",
            "request": "150ms",
            "operation": "1s",
        },
        "workload": {
            "mix": {"read": 0.3, "write": 0.5, "cas": 0.2},
            "keys": {"count": 4},
            "value_size": dice.choice(("8B", "200B")),
            "arrivals": _arrivals(dice),
            "routing": dice.choice(("leader", "leader", "round-robin", "nearest")),
        },
        "faults": _faults(dice, replicas),
    }
    if dice.random() < 0.5:
        table["initial_leader"] = dice.randrange(replicas)
    return read_scenario(table, Place(f"{engine} {seed}", Path()))


def _network(dice: random.Random, engine: str) -> dict[str, Any]:
    network: dict[str, Any] = {
        "latency": dice.choice(
            (
                "0.1ms",
                "2ms",
                {"distribution": "uniform", "low": "0.1ms", "high": "8ms"},
                {"distribution": "exponential", "mean": "2ms"},
                {"distribution": "lognormal", "median": "1ms", "sigma": 1.0},
            )
        ),
        "loss": dice.choice(
            (0.0, 0.01, 0.05, {"model": "gilbert-elliott", "p": 0.01, "r": 0.5, "h": 0.4, "k": 1.0})
        ),
        "bandwidth": dice.choice(("unlimited", "100Mbit/s")),
        "retransmit": dice.choice(("5ms", "40ms")),
        "user_timeout": dice.choice(("100ms", "300ms", "1s", "20s")),
    }
    if engine != "zab" and dice.random() < 0.5:
        network |= {
            "transport": "datagram",
            "duplicate": dice.choice((0.0, 0.05, 0.3)),
            "reorder": dice.choice((0.0, 0.05, 0.5)),
        }
    return network


def _arrivals(dice: random.Random) -> dict[str, Any]:
    if dice.random() < 0.5:
        return {"kind": "closed", "clients": dice.choice((1, 4)), "think": dice.choice(("10ms", "20ms"))}
    return {
        "kind": "open",
        "process": "poisson",
        "clients": dice.choice((1, 4)),
        "rate": dice.choice((50, 100)),
    }


def _faults(dice: random.Random, replicas: int) -> list[dict[str, Any]]:
    faults = [fault for _ in range(dice.randint(3, 8)) for fault in _fault(dice, replicas)]
    if dice.random() < 0.3:
        faults += _restart_of_all(dice, replicas)
    return faults


def _window(dice: random.Random) -> dict[str, str]:
    begin = dice.randint(FAULTS_BEGIN_MS, FAULTS_END_MS - 50)
    return {"at": f"{begin}ms", "for": f"{dice.randint(1, FAULTS_END_MS - begin)}ms"}


def _fault(dice: random.Random, replicas: int) -> list[dict[str, Any]]:
    anyone = dice.choice(("leader", "random", dice.randrange(replicas)))
    one, other = dice.sample(range(replicas), 2)
    side = set(dice.sample(range(replicas), dice.randint(1, replicas - 1)))
    groups = [sorted(side), sorted(set(range(replicas)) - side)]
    ends = dice.choice(
        ({"from": one, "to": other}, {"from": "leader", "to": "random"}, {"from": "random", "to": "leader"})
    )
    action = dice.choice(
        (
            {"crash": anyone},
            {"crash": anyone},
            {"partition": anyone},
            {"partition": groups},
            {"one_way": ends},
            {"one_way": ends},
            {"slow_link": {**ends, "extra": f"{dice.randint(1, 150)}ms"}},
            {"slow_disk": {"replica": anyone, "factor": dice.choice((5, 40))}},
            {"clock": {"replica": anyone, "rate": dice.choice((0.8, 1.25))}},
        )
    )
    return [_window(dice) | action]


def _restart_of_all(dice: random.Random, replicas: int) -> list[dict[str, Any]]:
    """Everybody is down at once, and comes back one after another."""
    at = dice.randint(FAULTS_BEGIN_MS, FAULTS_END_MS - 300)
    return [
        {"at": f"{at}ms", "for": f"{dice.randint(1, 300)}ms", "crash": replica} for replica in range(replicas)
    ]


# -- watchers ------------------------------------------------------------------------------------------------


class History:
    """What replicas proposed, decided and applied, seen at the calls of engine and state machine.

    ``decided``: position -> command. ``proposed``: (epoch, position) -> command, of the leader of that epoch.
    ``effective``: (client, sequence) -> the position at which that command changed or read the data.
    """

    def __init__(self) -> None:
        self.decided: dict[int, bytes] = {}
        self.epochs: dict[int, int] = {}
        self.proposed: dict[tuple[int, int], bytes] = {}
        self.effective: dict[tuple[int, int], int] = {}

    def note_effects(self, engine: Engine, effects: list[Effect]) -> list[Effect]:
        """Commits must tell every replica the same."""
        for effect in effects:
            if isinstance(effect, Commit):
                known = self.decided.setdefault(effect.position, effect.command)
                require(
                    known == effect.command,
                    f"position {effect.position} was decided as {known!r} and as {effect.command!r}",
                )
                if engine.NAME != "paxos":
                    self._note_epoch(effect.position, engine)
            elif isinstance(effect, Restore):
                require(
                    effect.position <= len(self.decided),
                    f"a snapshot at {effect.position} of what is not decided",
                )
        return effects

    def _note_epoch(self, position: int, engine: Engine) -> None:
        if position > engine.log.base:
            epoch = engine.log.term(position)
            known = self.epochs.setdefault(position, epoch)
            require(known == epoch, f"position {position} belongs to {known} and to {epoch}")

    def note_proposal(self, engine: Engine, first: int, commands: list[bytes]) -> None:
        """A leader gave these commands positions, in the order in which it broadcasts them."""
        for position, command in enumerate(commands, start=first):
            name = (engine.log.term(position), position)
            require(name not in self.proposed, f"{name} was proposed twice")
            self.proposed[name] = command

    def note_application(self, position: int, command: bytes) -> None:
        """A command took effect, and was not recognised as one that already had."""
        read = decode_command(command)
        known = self.effective.setdefault((read.client, read.sequence), position)
        require(
            known == position,
            f"command {read.sequence} of client {read.client} was applied at {known} and {position}",
        )

    def check_primary_order(self) -> None:
        """Zab, DSN'11, section III: local primary order (each epoch's commands in the order of their
        proposal) and global primary order (epochs do not interleave).

        Positions grow with proposals; so a command that is decided where its epoch proposed it is in its
        order.
        """
        last = 0
        for position in range(1, len(self.decided) + 1):
            epoch = self.epochs.get(position, last)
            require(epoch >= last, f"epoch {epoch} at position {position} comes after epoch {last}")
            last = epoch
            if position in self.epochs and self.decided[position]:
                proposed = self.proposed.get((epoch, position))
                require(
                    proposed == self.decided[position],
                    f"position {position} is not what epoch {epoch} proposed there",
                )


def watched_engine(engine_class: Any, history: History) -> Any:
    """The engine, with a watcher at the calls that propose and decide."""

    class Watched(engine_class):  # type: ignore[misc]
        def step(self, sender: int, message: Any, now: int) -> list[Effect]:
            return history.note_effects(self, super().step(sender, message, now))

        def recover(self, records: list[Any], now: int) -> list[Effect]:
            return history.note_effects(self, super().recover(records, now))

        def propose(self, commands: list[bytes], now: int) -> list[Effect]:
            first = self.log.last + 1
            effects = super().propose(commands, now)
            if self.log.last >= first:
                history.note_proposal(self, first, commands)
            return history.note_effects(self, effects)

    return Watched


def watched_machine(history: History) -> Any:
    """The state machine, with a watcher at each application."""

    class Watched(KeyValue):
        def apply(self, position: int, command: bytes) -> bytes:
            duplicates = self.duplicates
            result: bytes = super().apply(position, command)
            if command and self.duplicates == duplicates and result != STALE:
                history.note_application(position, command)
            return result

    return Watched


@contextmanager
def watching(engine: str, history: History) -> Iterator[None]:
    """Trials begun inside are watched."""
    name = ENGINE_NAMES[engine]
    engine_class = getattr(protocols, name)
    setattr(protocols, name, watched_engine(engine_class, history))
    protocols.KeyValue = watched_machine(history)  # type: ignore[misc]
    try:
        yield
    finally:
        setattr(protocols, name, engine_class)
        protocols.KeyValue = KeyValue  # type: ignore[misc]


# -- a schedule ----------------------------------------------------------------------------------------------


def play(engine: str, seed: int, trace: bool = False) -> Trial:
    """Run the scenario of this seed; raises Violation with the line that replays it."""
    try:
        return _play(engine, seed, trace)
    except Exception as error:
        line = f"python -m tests.simulation.schedules {engine} {seed} --trace"
        raise Violation(f"{type(error).__name__}: {error}\nreplay: {line}") from error


def _play(engine: str, seed: int, trace: bool) -> Trial:
    history = History()
    with watching(engine, history):
        run = TrialRun(random_scenario(engine, seed), engine, seed, THOROUGH)
        if trace:
            run.simulation.trace = lambda what, node, detail: print(
                f"{run.simulation.now / MS:11.4f} ms  {node.id} {what} {detail}"
            )
        run.perform()
        _expect_level(run)
    trial = run.trial({}, 0)
    require(not trial.violations, f"{trial.violations}")
    if engine == "zab":
        history.check_primary_order()
    _expect_effects(trial, history)
    _expect_accounts(trial)
    _expect_progress(trial)
    return trial


def _expect_level(run: TrialRun) -> None:
    """Every replica comes to hold all that is decided, and the same."""
    simulation = run.simulation
    stop_ns = simulation.now + PATIENCE_NS

    def level() -> bool:
        return all(
            node.up and node.host.machine.applied == simulation.agreement.highest for node in simulation.nodes
        )

    while not level():
        held = [node.host.machine.applied if node.up else None for node in simulation.nodes]
        require(simulation.now < stop_ns, f"of {simulation.agreement.highest} decided, replicas hold {held}")
        simulation.run(simulation.now + 20 * MS)
    digests = {node.host.machine.digest for node in simulation.nodes}
    require(len(digests) == 1, f"digests differ: {digests}")
    contents = [dict(node.host.machine.data) for node in simulation.nodes]
    require(all(each == contents[0] for each in contents), "equal digests of unequal data")


def _expect_effects(trial: Trial, history: History) -> None:
    """What a client was told happened did, and what certainly did not happen did not."""
    for row, operation in enumerate(trial.operations):
        happened = (int(operation["client"]), row + 1) in history.effective
        require(happened or operation["status"] != OK, f"operation {row} was acknowledged and never applied")
        require(
            not happened or operation["status"] != FAILED,
            f"operation {row} was reported as failed and was applied",
        )


def _expect_accounts(trial: Trial) -> None:
    """sent = ok + failed + unknown, and the recorder's integral is that of its rows (Little's law of the
    measured window).
    """
    statuses = np.bincount(trial.operations["status"], minlength=3)
    require(statuses[[OK, FAILED, UNKNOWN]].sum() == len(trial.operations), f"statuses {statuses}")
    require(outstanding_ns(trial) == trial.outstanding_ns, "the integral differs from the rows")


def _expect_progress(trial: Trial) -> None:
    """Commands that clients began after the last fault are decided."""
    healed_ns = max((fault.healed_ns or 0) for fault in trial.faults)
    after = trial.operations[trial.operations["started_ns"] > healed_ns]
    require(len(after) > 0, "no command was begun after the faults")
    require(
        bool((after["status"] == OK).any()), f"none of {len(after)} commands after the faults was decided"
    )


if __name__ == "__main__":
    chosen, number, *more = sys.argv[1:]
    outcome = play(chosen, int(number), "--trace" in more)
    counted = np.bincount(outcome.operations["status"], minlength=3).tolist()
    sys.stdout.write(f"ok, failed, unknown: {counted}; leaders: {len(outcome.leaders)}\n")
