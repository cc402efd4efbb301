"""Bad scenarios: one line that names the file, the field and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.scenario import ScenarioError, Storage, load, load_suite

# What is wrong: (the text of bad.toml, what the line names, what it advises)
WRONG: dict[str, tuple[str, str, str]] = {
    "unknown key": ('duraton = "5s"', "duraton", 'did you mean "duration"?'),
    "key twice": ("seed = 1\nseed = 2", "is not TOML", "twice; remove one"),
    "unknown table": ("[netwrok]\njitter = 1", "netwrok", 'did you mean "network"?'),
    "unknown key in a table": ('[network]\nlatencyy = "1ms"', "network.latencyy", 'did you mean "latency"?'),
    "unknown engine": ('engine = "rafft"', "engine", 'did you mean "raft"?'),
    "engine twice": ('engine = ["raft", "raft"]', "engine", "distinct"),
    "no engine": ("engine = []", "engine", "choose from"),
    "world": ('world = "reality"', "world", "simulation"),
    "datagrams between processes": (
        'world = "processes"\nengine = "raft"\nnetwork = { transport = "datagram" }',
        "network.transport",
        'set transport = "tcp"',
    ),
    "a torn write of a real disk": (
        'world = "processes"\n[[faults]]\nat = "1s"\ntorn_write = "leader"',
        "faults[0].torn_write",
        'set world = "simulation"',
    ),
    "a bridge between nobody": (
        'replicas = 2\n[[faults]]\nat = "1s"\nbridge = 0',
        "faults[0].bridge",
        "use partition",
    ),
    "a span of progress that runs backwards": (
        '[checks]\nprogress = [["5s", "3s"]]',
        "checks.progress",
        "give the earlier time first",
    ),
    "messages without entries": (
        '[batching]\nmessage = "0B"',
        "batching.message",
        "one entry a message",
    ),
    "event loop": ('[processes]\nloop = "trio"', "processes.loop", "uvloop"),
    "no unit": ("duration = 5", "duration", '"35ms"'),
    "wrong unit": ('duration = "5B"', "duration", "use one of ns, us, ms, s, min, h"),
    "size for a rate": ('[network]\nbandwidth = "10MB"', "network.bandwidth", "Gbit/s"),
    "negative duration": ('warmup = "-1s"', "warmup", "give zero or more"),
    "no time": ('duration = "0s"', "duration", "above zero"),
    "overflowing duration": ('duration = "99999999999999999999h"', "duration", "shorter"),
    "half a nanosecond": ('duration = "1.5ns"', "duration", "whole number of nanoseconds"),
    "nan": ("[network]\nloss = nan", "network.loss", "in that range"),
    "inf": ("[workload]\narrivals = { rate = inf }", "workload.arrivals.rate", "in that range"),
    "negative rate": ("[workload]\narrivals = { rate = -5 }", "workload.arrivals.rate", "negative"),
    "no rate": ("[workload]\narrivals = { rate = 0 }", "workload.arrivals.rate", "above zero"),
    "replicas": ("replicas = 0", "replicas", "from 1 to 99"),
    "true replicas": ("replicas = true", "replicas", "whole number"),
    "seed": ("seed = -1", "seed", "from 0"),
    "leader out of range": ("initial_leader = 3", "initial_leader", "give 0 to 2"),
    "missing parameter": (
        '[network]\nlatency = { distribution = "normal", mean = "1ms" }',
        "network.latency",
        "add stddev",
    ),
    "unknown parameter": (
        '[network]\nlatency = { distribution = "constant", valeu = "1ms" }',
        "network.latency.valeu",
        '"value"',
    ),
    "unknown distribution": (
        '[network]\nlatency = { distribution = "norml" }',
        "network.latency",
        'did you mean "normal"?',
    ),
    "impossible parameter": (
        '[network]\nlatency = { distribution = "uniform", low = "2ms", high = "1ms" }',
        "network.latency.high",
        "swap",
    ),
    "missing samples": (
        '[network]\nlatency = { distribution = "empirical", file = "no" }',
        "network.latency.file",
        "name a text file",
    ),
    "both latencies": ('[network]\nmatrix = "aws-2020"\nlatency = "1ms"', "network.latency", "remove"),
    "unknown matrix": ('[network]\nmatrix = "aws-2021"', "network.matrix", 'did you mean "aws-2020"?'),
    "unknown region": (
        '[network]\nmatrix = "aws-2020"\nplacement = ["us-east-1", "us-west-1", "us-wst-2"]',
        "network.placement",
        'did you mean "us-west-2"?',
    ),
    "wrong placement": (
        '[network]\nmatrix = "aws-2020"\nplacement = ["us-east-1"]',
        "network.placement",
        "one region for each",
    ),
    "placement without a matrix": ('[network]\nplacement = ["us-east-1"]', "network.placement", "add matrix"),
    "clients without a matrix": (
        '[workload]\nclients_in = "us-east-1"',
        "workload.clients_in",
        "set network.matrix",
    ),
    "fifo over datagrams": ('[network]\ntransport = "datagram"', "network.transport", 'transport = "tcp"'),
    "reordering tcp": ("[network]\nreorder = 0.1", "network.reorder", "datagram"),
    "mix": ('[workload]\nmix = "ycsb-e"', "workload.mix", "ycsb-"),
    "shares": ("[workload]\nmix = { read = 0.5 }", "workload.mix", "sum to 1"),
    "keys of D": ('[workload]\nmix = "ycsb-d"', "workload.keys", 'distribution = "latest"'),
    "closed with a rate": (
        '[workload]\narrivals = { kind = "closed", rate = 5 }',
        "workload.arrivals.rate",
        'kind "closed" takes no rate',
    ),
    "burst without its times": (
        '[workload]\narrivals = { process = "burst" }',
        "workload.arrivals",
        "add on",
    ),
    "heartbeat": ('[timeouts]\nheartbeat = "1s"', "timeouts.heartbeat", "lower it"),
    "election": ('[timeouts]\nelection = ["2s", "1s"]', "timeouts.election", "lower end first"),
    "a number for a table": ("network = 5", "network", "[network]"),
    "fault at the end": ('[[faults]]\nat = "99s"\ncrash = 0', "faults[0].at", "longer duration"),
    "fault not mended": ('[[faults]]\nat = "5s"\nfor = "50s"\ncrash = 0', "faults[0].for", "shorter"),
    "two actions": ('[[faults]]\nat = "5s"\ncrash = 0\npartition = 1', "faults[0]", "exactly one of"),
    "no action": ('[[faults]]\nat = "5s"', "faults[0]", "exactly one of"),
    "no time of a fault": ("[[faults]]\ncrash = 0", "faults[0]", "add at"),
    "unknown target": ('[[faults]]\nat = "5s"\ncrash = "follower"', "faults[0].crash", '"leader"'),
    "target out of range": ('[[faults]]\nat = "5s"\ncrash = 3', "faults[0].crash", "give 0 to 2"),
    "groups": (
        '[[faults]]\nat = "5s"\npartition = [[0, 1], [1, 2]]',
        "faults[0].partition",
        "share no replica",
    ),
    "missing from a group": (
        '[[faults]]\nat = "5s"\npartition = [[0], [1]]',
        "faults[0].partition",
        "add them",
    ),
    "fault's unknown key": (
        '[[faults]]\nat = "5s"\nclock = { rat = 1 }',
        "faults[0]",
        'did you mean "rate"?',
    ),
    "unknown axis": ('[sweep]\n"workload.rate" = [1]', "workload.rate", "unknown key"),
    "bad value on an axis": ("[sweep]\nreplicas = [3, -1]", "replicas", "from 1 to 99"),
    "empty axis": ("[sweep]\nreplicas = []", 'sweep."replicas"', "give at least one"),
    "quorums that miss each other": (
        "[paxos]\nphase1_quorum = 1\nphase2_quorum = 2",
        "paxos.phase2_quorum",
        "more than 3",
    ),
    "a weight that decides alone, beside a grid": (
        'replicas = 4\n[paxos]\nphase1_quorum = { kind = "grid", rows = [[0, 1], [2, 3]] }\n'
        'phase2_quorum = { kind = "weights", weights = [3, 1, 1, 0] }',
        "paxos.phase2_quorum",
        "larger quorums",
    ),
    "a limit that no ping can meet": ("[zab]\nsync_limit = 1", "zab.sync_limit", "from 2"),
    "quorum too large": ("[paxos]\nphase1_quorum = 4", "paxos.phase1_quorum", "at most 3"),
    "grid": (
        '[paxos]\nphase1_quorum = { kind = "grid", rows = [[0, 1]] }',
        "paxos.phase1_quorum",
        "mend rows",
    ),
    "not TOML": ("seed = 1\nduration = 5s", "line 2", "quotes"),
    "empty": ("# nothing yet\n", "empty", "at least one key"),
    "suite of nothing": ("suite = []", "suite", "write suite"),
    "suite with settings": ('suite = ["lan-3"]\nseed = 1', "seed", "in its parts"),
    "suite of suites": ('suite = ["quick"]', "suite", "name its parts"),
}


@pytest.mark.parametrize(("text", "field", "remedy"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_remedy(tmp_path: Path, text: str, field: str, remedy: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ScenarioError) as caught:
        load_suite(tmp_path / "bad.toml")
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{tmp_path}/bad.toml: ")
    assert field in line
    assert remedy in line


@pytest.mark.parametrize(
    ("name", "named"),
    [("quikc", 'did you mean "quick"?'), ("nothing/here.toml", "cannot be read"), (".", "cannot be read")],
)
def test_a_file_that_is_not_there(name: str, named: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert named in str(caught.value)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match="not UTF-8"):
        load(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("duraton=5s", 'duraton: unknown key; did you mean "duration"?'),
        ("network.latency.mean=1ms", "network.latency: distribution is missing"),
        ("timeouts.heartbeat.x=1", "timeouts.heartbeat"),
        ("replicas.x=1", "replicas: is not a table here"),
        ("faults.0.at=3s", "faults"),
        ("faults=3", "is not a list"),
        ("network.placement.9=x", "network.placement.9: is not in the list"),
        ("no equals sign", "is not key=value"),
        ("=5", "is not key=value"),
        ("seed=one", '"one" is not a whole number'),
    ],
)
def test_a_setting_that_is_wrong_says_that_it_is_a_setting(setting: str, named: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load("wan-5", [setting])
    assert "--set" in str(caught.value)
    assert named in str(caught.value)


@pytest.mark.parametrize("size", [0, 2**40 + 1, 2**59])
def test_a_log_is_compacted_at_a_size_that_can_be_counted(size: int) -> None:
    with pytest.raises(ValueError, match="from 1KiB to 1024GiB"):
        Storage(compact_after_bytes=size)


def test_a_suite_is_not_one_scenario() -> None:
    with pytest.raises(ScenarioError, match="is a suite; name one of its parts: quick-lan, quick-wan"):
        load("quick")


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    """Some editors begin a file with one."""
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbfseed = 7\n")
    assert load(tmp_path / "marked.toml").seed == 7
