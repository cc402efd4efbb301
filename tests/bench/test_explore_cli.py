"""replbench explore and replay: one answer whatever the jobs, lines that replay, conversations as lines and as a picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.driver.trials import TrialRun
from bench.exploration import draw
from bench.metrics.conversation import HEADER, Arrow, Conversation, Line
from bench.scenario import load
from ext import build
from tests.bench.test_cli import Screen
from tests.simulation.planted import HalfQuorum, plant

pytestmark = pytest.mark.once

SEEDS = "0:24" if build.compiled() else "0:2"


@pytest.fixture
def screen(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.chdir(tmp_path)
    return Screen(capsys)


def test_the_same_seeds_give_the_same_answer_for_any_jobs(screen: Screen) -> None:
    answers = []
    for jobs in ("1", "2"):
        assert screen("explore", "any", "--seeds", SEEDS, "--jobs", jobs) == 0
        answers.append(screen.out)
    assert answers[0] == answers[1]
    assert re.search(r"^elections +\d+ +\d+ +\d+$", answers[0], re.MULTILINE)


def test_what_never_happened_is_said(screen: Screen) -> None:
    assert screen("explore", "any", "--seeds", "3", "--engine", "zab", "--set", "faults=[]") == 0
    assert screen.out.startswith("zab: 1 schedule, ")
    missing = screen.out.splitlines()[-1]
    assert missing.startswith("zab: never happened: ")
    assert "fault witnessed: crash" in missing
    assert "elections;" not in missing


def test_a_violation_is_told_with_the_line_that_replays_it_and_shrunk(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, HalfQuorum)
    kept = ["--set", "replicas=4", "--set", "faults=[]"]
    assert screen("explore", "any", "--seeds", "0:3", "--engine", "raft", "--jobs", "1", *kept, "--out", "found") == 3
    assert "raft seed 0: durability: replica" in screen.out
    line = "    replay: replbench replay any --set replicas=4 --set 'faults=[]' --explored raft:0 --trace"
    assert line in screen.out.splitlines()
    assert screen("replay", "any", *kept, "--explored", "raft:0") == 3
    assert "An invariant failed: durability" in screen.err
    small = Path("found/explored-raft-0.toml").resolve()
    assert small.read_text().startswith("# durability: ")
    assert load(small).replicas in (2, 4)
    assert screen("replay", str(small)) == 3
    assert screen("run", str(small), "--quiet", "--no-plots") == 3
    monkeypatch.undo()
    monkeypatch.chdir(small.parent)
    assert screen("replay", str(small)) == 0


def test_ctrl_c_keeps_what_is_known(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.cli import explore

    done = []
    usual = explore.perform

    def perform(share: explore.Share) -> object:
        if done:
            raise KeyboardInterrupt
        done.append(share)
        return usual(share)

    monkeypatch.setattr(explore, "perform", perform)
    monkeypatch.setattr(explore, "AT_ONCE", 2)
    assert screen("explore", "any", "--seeds", "0:6", "--jobs", "1", "--engine", "raft") == 130
    assert screen.out.startswith("raft: 2 schedules, ")
    assert "this is what is known" in screen.err


def test_a_trace_has_fixed_columns_and_tells_what_changed(screen: Screen) -> None:
    """Every event once, in order of time; a cause brings the state that it left."""
    assert screen("replay", "any", "--explored", "raft:3", "--trace", "--from", "0s", "--to", "100ms") == 0
    header, *lines = screen.out.splitlines()
    assert header == HEADER
    columns = [match.start() for match in re.finditer(r"\S+", header)]
    starts = {name: header.index(name) for name in ("event", "peer", "what", "change")}
    assert len(columns) == 6
    moments = [float(line[:14]) for line in lines]
    assert moments == sorted(moments)
    assert moments[-1] <= 100
    for line in lines:
        assert all(line[place - 1 : place] in (" ", "") for place in starts.values()), line
        assert line[starts["event"] : starts["peer"]].split()[0] in (
            "start", "receive", "timer", "synced", "request", "broken", "send", "answer", "apply", "lead",
        )  # fmt: skip
    changes = [line[starts["change"] :] for line in lines]
    assert "leader, last 1" in changes
    assert any(re.fullmatch(r"commit \d+", change) for change in changes)
    leads = next(place for place, change in enumerate(changes) if change.startswith("leader"))
    assert "RequestVoteReply(term=1, granted=True)" in lines[leads]


def conversation(engine: str, seed: int, **bounds: int) -> tuple[Conversation, list[Line]]:
    run = TrialRun(draw(engine, seed), engine, seed)
    lines: list[Line] = []
    talk = Conversation(lambda: run.simulation.now, lines.append, **bounds)
    run.simulation.trace = talk.watch
    run.perform()
    talk.finish()
    return talk, lines


@pytest.mark.parametrize("engine", ["raft", "paxos", "zab"])
def test_arrows_and_lines_agree(engine: str) -> None:
    """What was sent is what the lines say was sent; what arrived is what was received, at that time, by that replica."""
    talk, lines = conversation(engine, 7)
    sends = [line for line in lines if line.event == "send"]
    receipts = sorted((line.time_ns, line.replica, int(line.peer[3:])) for line in lines if line.event == "receive")
    arrived = sorted((arrow.arrived_ns, arrow.receiver, arrow.sender) for arrow in talk.arrows if arrow.arrived_ns is not None)
    assert receipts == arrived
    assert len({(line.time_ns, line.replica, line.peer, line.what) for line in sends}) <= len(talk.arrows)
    assert all(arrow.arrived_ns is None or arrow.arrived_ns >= arrow.sent_ns for arrow in talk.arrows)
    kinds = {mark.kind for mark in talk.marks}
    assert {"start", "leader", "commit"} <= kinds
    crashes = sum(line.event == "crash" for line in lines)
    assert crashes == sum(mark.kind == "crash" for mark in talk.marks)


def test_the_diagram_is_drawn_for_a_span_that_an_eye_can_follow(screen: Screen) -> None:
    chosen = ["replay", "any", "--explored", "zab:3"]
    assert screen(*chosen, "--plot", "talk", "--from", "0s", "--to", "40ms") == 0
    assert Path("talk.svg").read_text().startswith("<?xml")
    assert Path("talk.png").read_bytes()[1:4] == b"PNG"
    first = Path("talk.png").read_bytes()
    assert screen(*chosen, "--plot", "again.png", "--from", "0s", "--to", "40ms") == 0
    assert Path("again.png").read_bytes() == first
    assert not Path("again.svg").exists()
    assert screen(*chosen, "--plot", "all") == 2
    assert "choose a shorter span" in screen.err
    assert screen(*chosen, "--plot", "talk.gif") == 2


def test_a_lost_message_never_arrives_and_a_doubled_one_does_twice() -> None:
    class Node:
        id = 0

    class Peer:
        id = 1

    talk = Conversation(lambda: clock[0])
    lost, doubled = Line(0, 0, "x"), Line(0, 0, "y")
    clock = [10]
    talk.watch("send", Node, (1, lost))
    talk.watch("send", Node, (1, doubled))
    for clock[0] in (15, 18):
        talk.watch("step", Peer, (0, doubled))
    assert talk.arrows == [Arrow(0, 1, "Line", 10), Arrow(0, 1, "Line", 10, 15), Arrow(0, 1, "Line", 10, 18)]
