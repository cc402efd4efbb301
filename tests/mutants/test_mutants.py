"""The mutants themselves: that their words are there, that some of them are caught, and that the documentation names them all.

`make mutants` hunts them all; these are the quick ones.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import check_of
from tests.mutants.mutant import ROOT, Edit, Mutant, mutated

QUICK = (
    "raft: two votes in a term",
    "paxos: no-ops proposed for open slots",
    "paxos: quorums that do not meet",
    "zab: epoch promised twice",
    "promises leave before the sync",
)


def test_there_are_enough() -> None:
    """Of every engine and of what is around them, each with its sentence, its check and a name of its own."""
    assert len(MUTANTS) >= 40
    assert {mutant.engine for mutant in MUTANTS.values()} == {"paxos", "raft", "zab"}
    for name, mutant in MUTANTS.items():
        assert mutant.checks, name
        assert mutant.wrong.endswith("."), name
        assert mutant.by in ("", "simulation", "locks", "cell") or (ROOT / mutant.by.partition("::")[0]).exists(), name


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_changes_what_it_says(name: str) -> None:
    """Its words are in the source, once, and what takes their place is Python."""
    for module, source in mutated(MUTANTS[name]).items():
        compile(source, module, "exec")


def test_a_mutant_whose_words_have_gone_is_refused() -> None:
    edit = Edit("engines.raft.replica:Raft.stand", "these words", "others")
    with pytest.raises(AssertionError, match="occurs 0 times"):
        mutated(Mutant("gone", "raft", (edit,), "Nothing.", ()))


def test_quick_mutants_are_caught_and_sound_engines_spared() -> None:
    """By the checks that must catch them; the same schedules find nothing in the engines as they are."""
    command = [sys.executable, "-m", "tests.mutants", "--seconds", "60", "--jobs", "1", *QUICK]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1] == "5 mutants, 5 caught, 0 not as expected"


def test_the_documentation_names_them_all() -> None:
    """Name, what is wrong, and the checks, row for row."""
    page = (ROOT / "docs" / "verification.md").read_text()
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \|$", page.partition("## Mutants")[2], re.MULTILINE)[1:]
    assert rows == [(name, mutant.wrong, ", ".join(mutant.checks)) for name, mutant in MUTANTS.items()]


@pytest.mark.parametrize(
    "words, check",
    [
        ("Violation: replicas 0 and 1 both lead term 3", "election safety"),
        ("Violation: 20 is decided on only 1 disks", "durability"),
        ("Violation: ['one vote a term: replica 1 gave two', 'more']", "one vote a term"),
        ("conversation: test_x", "conversation"),
        ("IndexError: list index out of range", "assertions"),
    ],
)
def test_checks_are_told_by_their_words(words: str, check: str) -> None:
    assert check_of(Exception(words)) == check
