"""Hunt all mutants (or those named), and then play what caught them on the engines as they are.

    python -m tests.mutants [--seconds N] [--jobs N] [NAME]...

Prints a table; exit code 1 where a mutant lives, is caught by another check than it should be, or a sound engine is caught.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec

from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import Catch
from tests.mutants.mutant import ROOT


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A hunt in a process of its own, on interpreted sources."""
    environment = os.environ | {"REPLBENCH_PURE": "1"}
    command = [sys.executable, "-m", "tests.mutants.hunt", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def catch(name: str, seconds: float) -> Catch | None:
    """What caught this mutant; SystemExit with one line where the hunt itself failed, as where its words have gone."""
    ended = call(name, "--seconds", str(seconds))
    if ended.returncode != 0:
        raise SystemExit(f"{name}: the hunt failed: {ended.stderr.strip().splitlines()[-1]}")
    return msgspec.json.decode(ended.stdout, type=Catch | None)


def verdict(name: str, caught: Catch | None) -> str:
    """What is wrong with how a mutant was caught; nothing where all is well."""
    if caught is None:
        return "LIVES"
    return "" if caught.check in MUTANTS[name].checks else f"EXPECTED {' or '.join(MUTANTS[name].checks)}"


def row(name: str, caught: Catch | None) -> str:
    """A line of the table."""
    where = "" if caught is None else f"{caught.player} {caught.seed}"
    check = "" if caught is None else caught.check
    words = "" if caught is None else caught.words
    return f"{name:<62}  {check:<20}  {where:<20}  {verdict(name, caught) or words[:90]}"


def spared(caught: dict[str, Catch]) -> list[str]:
    """What the same schedules say of the engines without bugs: one line for each that is caught."""
    plays = sorted({(MUTANTS[name].engine, each.player, str(each.seed)) for name, each in caught.items()})
    ended = call("--spare", *(part for play in plays for part in play))
    return ended.stderr.splitlines()[-1:] if ended.returncode else []


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seconds", type=float, default=40, help="of processor time for each")
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args()
    names = chosen.names or list(MUTANTS)
    if unknown := [name for name in names if name not in MUTANTS]:
        parser.error(f"no such mutant: {unknown[0]}")
    caught: dict[str, Catch] = {}
    wrong = 0
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for name, found in zip(names, pool.map(lambda name: catch(name, chosen.seconds), names), strict=True):
            sys.stdout.write(row(name, found) + "\n")
            sys.stdout.flush()
            wrong += bool(verdict(name, found))
            if found is not None:
                caught[name] = found
    complaints = spared(caught)
    for complaint in complaints:
        sys.stdout.write(f"an engine without a bug is caught: {complaint}\n")
    sys.stdout.write(f"{len(names)} mutants, {len(caught)} caught, {wrong} not as expected\n")
    return 1 if wrong or complaints else 0


if __name__ == "__main__":
    sys.exit(main())
