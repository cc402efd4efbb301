"""Every watcher is shown a short story in which its statement does not hold, and one in which it does."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.checkers import statements
from bench.checkers.invariants import Agreement
from bench.checkers.statements import (
    CHEAP,
    GENERAL,
    MOMENTS,
    PROTOCOLS,
    RECORDS,
    STATUSES,
    TURNED_OFF,
    judge,
    name_of,
    watched,
)
from bench.metrics.recorder import Recorder
from bench.metrics.trial import FAILED, OK, OPERATION, WRITE
from engines.machine import KeyValue
from tests.bench.stories import SOUND, STORIES, A, Story, command, no_ops_of_two_terms

# -- all engines


def recorded(*rows: tuple[int, int]) -> Recorder:
    """A recorder of writes by (client, key)."""
    recorder = Recorder(0, 1)
    for client, key in rows:
        recorder.begin(0, 0, client, WRITE, key, 8)
    return recorder


def outcomes(*statuses: int) -> np.ndarray:
    operations = np.zeros(len(statuses), OPERATION)
    operations["status"] = statuses
    return operations


def agreement_fails(agreement: Agreement) -> None:
    agreement.applied(0, 1, 11, 0, A)
    agreement.applied(1, 1, 12, 0, A)


def one_leader_fails(agreement: Agreement) -> None:
    agreement.led(0, 3)
    agreement.led(1, 3)


def loss_shows_in_outcomes(agreement: Agreement) -> None:
    agreement.recorder = recorded((0, 1))
    agreement.outcomes(outcomes(OK))


def loss_shows_in_the_end(agreement: Agreement) -> None:
    agreement.applied(0, 1, 11, 0, b"")
    agreement.acknowledged(1)
    agreement.finish({1: KeyValue()})


def validity_of(wrong: bytes) -> Callable[[Agreement], None]:
    def fails(agreement: Agreement) -> None:
        agreement.recorder = recorded((0, 1))
        agreement.applied(0, 1, 11, 0, wrong)

    return fails


def once_fails_at_two_positions(agreement: Agreement) -> None:
    agreement.recorder = recorded((0, 1))
    agreement.applied(0, 1, 11, 0, command(1))
    agreement.applied(0, 2, 12, 0, command(1))


def once_fails_on_one_replica(agreement: Agreement) -> None:
    """One found a retry where the other applied it again: it had lost its sessions."""
    agreement.applied(0, 1, 11, 1, A)
    agreement.applied(1, 1, 11, 0, A)


def once_fails_for_a_refused_command(agreement: Agreement) -> None:
    agreement.recorder = recorded((0, 1))
    agreement.applied(0, 1, 11, 0, command(1))
    agreement.outcomes(outcomes(FAILED))


def monotone_fails(agreement: Agreement) -> None:
    agreement.applied(0, 1, 11, 0, A)
    agreement.applied(0, 1, 11, 0, A)


def digests_fail(agreement: Agreement) -> None:
    one, other = KeyValue(), KeyValue()
    one.apply(1, A)
    other.apply(1, A)
    other.data[b"key"] = b"from nowhere"
    agreement.finish({0: one, 1: other})


@pytest.mark.parametrize(
    ("name", "story"),
    [
        (statements.AGREEMENT, agreement_fails),
        (statements.ONE_LEADER, one_leader_fails),
        (statements.NO_LOSS, loss_shows_in_outcomes),
        (statements.NO_LOSS, loss_shows_in_the_end),
        (statements.VALIDITY, validity_of(command(2))),
        (statements.VALIDITY, validity_of(command(1, client=1))),
        (statements.VALIDITY, validity_of(command(1, key=2))),
        (statements.VALIDITY, validity_of(b"no command")),
        (statements.ONCE, once_fails_at_two_positions),
        (statements.ONCE, once_fails_on_one_replica),
        (statements.ONCE, once_fails_for_a_refused_command),
        (statements.MONOTONE, monotone_fails),
        (statements.DIGESTS, digests_fail),
    ],
)
def test_what_holds_for_all_engines_is_watched(name: str, story: Callable[[Agreement], None]) -> None:
    agreement = Agreement(2)
    story(agreement)
    assert [name_of(violation) for violation in agreement.violations] == [name]


def test_a_flood_of_one_violation_hides_no_other() -> None:
    agreement = Agreement()
    for position in range(1000):
        agreement.violated(f"agreement: {position}")
    for _ in range(30):
        agreement.violated("durability: forgotten")
    assert len(agreement.violations) < 20
    assert {name_of(violation) for violation in agreement.violations} == {"agreement", "durability"}


# -- protocols


@pytest.mark.parametrize(
    ("engine", "name", "tell"), [(engine, *each) for engine, found in STORIES.items() for each in found]
)
def test_a_watcher_sees_what_must_not_be(engine: str, name: str, tell: Callable[[Story], None]) -> None:
    story = Story(engine, thorough=True)
    tell(story)
    assert name in story.names(), story.agreement.violations


@pytest.mark.parametrize("engine", SOUND)
def test_watchers_are_silent_where_all_is_well(engine: str) -> None:
    story = Story(engine, thorough=True)
    SOUND[engine](story)
    assert story.agreement.violations == []


@pytest.mark.parametrize("engine", PROTOCOLS)
def test_every_statement_has_a_story_in_which_it_fails(engine: str) -> None:
    told = {name for name, _ in STORIES[engine]}
    for statement in (statements.DURABLE, *PROTOCOLS[engine]):
        assert statement.name in told or statement.includes


def test_a_statement_fails_with_what_it_includes() -> None:
    names = watched("zab", statements.ALL, True, (STATUSES, RECORDS, MOMENTS))
    answers = judge("zab", statements.ALL, names, ["agreement: 3 differs"])
    assert {name for name, answer in answers.items() if answer == "failed"} == {
        "agreement", "equal digests", "total order", "delivery agreement"
    }  # fmt: skip
    assert answers["integrity"] == "passed"


def test_what_was_not_watched_does_not_pass() -> None:
    names = watched("raft", statements.ALL, False, (STATUSES,))
    answers = judge("raft", statements.ALL, names, [])
    assert answers["durability"] == answers["log matching"] == answers["no acknowledged loss"] == "not run"
    assert judge("raft", CHEAP, watched("raft", CHEAP, True, (STATUSES, RECORDS, MOMENTS)), [])["log matching"] == TURNED_OFF


@pytest.mark.parametrize("engine", ["raft", "paxos", "zab", "unreplicated"])
def test_every_statement_is_documented(engine: str) -> None:
    """The page has each statement's row, word for word as the code has it."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "verification.md").read_text()
    for statement in statements.of(engine, locks=True):
        assert statements.row(statement) in page.splitlines(), f"docs/verification.md lacks: {statements.row(statement)}"
    rows = [line for line in page.splitlines() if line.endswith(("| cheap |", "| all |"))]
    assert len(rows) == len(GENERAL) + 1 + sum(map(len, PROTOCOLS.values())) + len(statements.LOCKS)


def test_no_ops_of_two_terms_at_one_position_are_told_apart() -> None:
    """Found by exploration: the watcher took the decided one for the newer one, which no disk held."""
    story = Story("raft")
    no_ops_of_two_terms(story)
    assert story.names() == set()
