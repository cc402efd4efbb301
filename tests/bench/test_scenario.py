"""Scenarios: what a file says is what is run, every default is written out, and the built-ins are what they
claim.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from bench.distributions import Constant, Empirical, Exponential, Lognormal, Mixture, Normal
from bench.scenario import (
    ENGINES,
    Place,
    Scenario,
    as_toml,
    load,
    load_suite,
    network_names,
    read_scenario,
    scenario_names,
    units,
)
from bench.scenario.fields import Table, fields
from bench.scenario.network import MatrixKind

# The example that fixes the field names.
EXAMPLE = """
engine = ["paxos", "raft", "zab"]
replicas = 5
initial_leader = 0
seed = 1
duration = "20s"
warmup = "5s"

[network]
transport = "tcp"
matrix = "aws-2020"
placement = ["us-east-1", "us-west-1", "us-west-2", "eu-west-1", "ap-northeast-1"]
jitter = "0.5ms"
loss = 0.001
bandwidth = "1Gbit/s"

[cpu]
per_message = "5us"
per_byte = "1ns"

[storage]
durability = "fsync"
fsync = "1ms"

[batching]
max_commands = 64
max_delay = "0ms"
pipeline = 32

[timeouts]
election = ["1s", "2s"]
heartbeat = "200ms"

[workload]
mix = "ycsb-a"
keys = { distribution = "zipfian", count = 10000, theta = 0.99 }
value_size = "100B"
arrivals = { kind = "open", process = "poisson", rate = 500 }
clients_in = "us-east-1"
routing = "leader"

[[faults]]
at = "10s"
crash = "leader"
for = "5s"

[sweep]
"workload.arrivals.rate" = [250, 500, 1000]
"""


def read(text: str) -> Scenario:
    return read_scenario(tomllib.loads(text), Place("test.toml", Path()))


def test_the_example_is_read_as_it_says() -> None:
    scenario = read(EXAMPLE)
    assert scenario.engine == ("paxos", "raft", "zab")
    assert (scenario.replicas, scenario.initial_leader, scenario.seed) == (5, 0, 1)
    assert (scenario.duration_ns, scenario.warmup_ns) == (20_000_000_000, 5_000_000_000)
    assert scenario.network.matrix is not None
    assert (
        scenario.network.matrix.one_way_ns("us-west-1", "eu-west-1") == 70_600_000
    )  # asymmetric: 141.2 one way,
    assert scenario.network.matrix.one_way_ns("eu-west-1", "us-west-1") == 70_550_000  # 141.1 the other
    assert scenario.network.jitter_ns == 500_000
    assert (scenario.network.loss.model, scenario.network.loss.probability) == ("independent", 0.001)
    assert scenario.network.bandwidth_bytes_per_s == 125_000_000
    assert scenario.cpu.per_message == Constant(value=5_000)
    assert scenario.cpu.per_byte_ns == 1.0
    assert scenario.storage.fsync == Constant(value=1_000_000)
    assert (scenario.batching.max_commands, scenario.batching.max_delay_ns, scenario.batching.pipeline) == (
        64,
        0,
        32,
    )
    assert scenario.timeouts.election_ns == (1_000_000_000, 2_000_000_000)
    assert (scenario.workload.mix.read, scenario.workload.mix.write) == (0.5, 0.5)
    assert scenario.workload.arrivals.rate_per_s == 500
    assert scenario.client_regions == ("us-east-1",)
    (fault,) = scenario.faults
    assert (fault.kind, fault.replica, fault.at_ns, fault.for_ns) == ("crash", "leader", 10**10, 5 * 10**9)
    assert [axes for axes, _ in scenario.points()] == [
        {"workload.arrivals.rate": rate} for rate in (250, 500, 1000)
    ]
    assert [point.workload.arrivals.rate_per_s for _, point in scenario.points()] == [250, 500, 1000]


VARIANTS = {
    "latency": '[network]\nlatency = { distribution = "normal", mean = "0.427ms", stddev = "0.0476ms" }',
    "loss": '[network]\nloss = { model = "gilbert-elliott", p = 0.001, r = 0.3, h = 0.5, k = 1.0 }',
    "datagram": 'engine = "raft"\n[network]\ntransport = "datagram"\nduplicate = '
    '0.01\nreorder = 0.1\nbandwidth = "unlimited"',
    "fsync": '[storage]\nfsync = { distribution = "exponential", mean = "1ms", minimum = "0.2ms" }',
    "mixture": '[cpu]\nper_message = { distribution = "mixture", weights = [9, 1], parts = ["5us", '
    '{ distribution = "pareto", minimum = "1us", alpha = 2.5 }] }',
    "sizes": '[workload]\nvalue_size = [["64B", 9], ["1KiB", 1]]',
    "uniform sizes": '[workload]\nvalue_size = { uniform = ["10B", "1kB"] }',
    "ratios": "[workload]\nmix = { read = 0.5, write = 0.4, cas = 0.1 }",
    "hotspot": '[workload]\nkeys = { distribution = "hotspot", count = '
    "10, fraction = 0.1, probability = 0.9 }",
    "latest": '[workload]\nmix = "ycsb-d"\nkeys = { distribution = "latest" }',
    "closed": '[workload]\narrivals = { kind = "closed", clients = 8, think = { '
    'distribution = "exponential", mean = "1ms" } }',
    "burst": '[workload]\narrivals = { process = "burst", rate = 100, on = "1s", off = "3s" }',
    "ramp": '[workload]\narrivals = { process = "ramp", rate = 0, to = 5000 }',
    "steps": '[workload]\narrivals = { process = "steps", steps = [["5s", 100], ["5s", 200.5]] }',
    "quorum sizes": "replicas = 5\n[paxos]\nphase1_quorum = 4\nphase2_quorum = 2",
    "grid": 'replicas = 4\n[paxos]\nphase1_quorum = { kind = "grid", rows = [[0, 1], [2, 3]] }\n'
    'phase2_quorum = { kind = "weights", weights = [2, 1, 1, 1] }',
    "faults": 'replicas = 5\n[[faults]]\nat = "1s"\npartition = [[0, 1], [2, 3, 4]]\n'
    '[[faults]]\nat = "3s"\npartition = 2\n'
    '[[faults]]\nat = "5s"\none_way = { from = "leader", to = 1 }\n'
    '[[faults]]\nat = "5s"\nslow_link = { from = 0, to = 1, extra = "20ms" }\n'
    '[[faults]]\nat = "7s"\nslow_disk = { replica = 2, factor = 20 }\n'
    '[[faults]]\nat = "9s"\nclock = { replica = "random", rate = 0.9 }',
    "sweep": 'engine = "raft"\n[sweep]\nreplicas = [3, 5, 7]\n"network.latency" = ["1ms", "2ms"]',
}


@pytest.mark.parametrize("text", VARIANTS.values(), ids=VARIANTS)
def test_what_is_written_out_reads_back_to_the_same(text: str) -> None:
    """Both as the plain dict of result.json and as the TOML of `replbench show`."""
    scenario = read(text)
    assert scenario != read('name = ""\nseed = 1'), "the variant changes something"
    through_json = json.loads(json.dumps(scenario.resolved()))
    assert read_scenario(through_json, Place("result.json", Path())) == scenario
    assert read(as_toml(scenario)) == scenario


@pytest.mark.parametrize("name", scenario_names())
def test_every_built_in_reads_back_to_the_same_and_opens_with_its_situation(name: str) -> None:
    for part in load_suite(name).parts:
        assert read(as_toml(part)) == part
        assert part.about
    text = (Path(load.__globals__["SCENARIOS"]) / f"{name}.toml").read_text()
    assert text.startswith("# ")


def test_the_written_scenario_explains_every_field() -> None:
    text = as_toml(load("lan-3"))
    for name, field in fields(Scenario).items():
        assert name in text
        assert field.about in text
    assert 'per_message = "5us"' in text
    assert "# initial_leader is not set" in as_toml(load("ycsb-a"))


def test_every_field_has_a_default_and_says_what_it_means() -> None:
    """A scenario that sets one key is complete."""
    assert read("seed = 1") == Scenario()
    for table in [Scenario, *Table.__subclasses__()]:
        for field in fields(table).values():
            assert len(field.about) >= 5, f"{table.__name__}.{field.name}"


def test_the_defaults_are_a_data_centre() -> None:
    scenario = Scenario()
    assert scenario.network.latency == Constant(value=100_000)
    assert scenario.client_regions == ()
    assert scenario.end_ns == scenario.warmup_ns + scenario.duration_ns + scenario.cooldown_ns


def test_distributions_take_the_parameters_that_they_name(tmp_path: Path) -> None:
    (tmp_path / "measured.txt").write_text("# round trips\n0.4ms\n\n0.5ms # a slow one\n")
    (tmp_path / "mine.toml").write_text(
        '[network]\nlatency = { distribution = "empirical", file = "measured.txt" }\n'
        '[cpu]\nper_message = { distribution = "lognormal", mean = "5us", stddev = "2us" }\n'
        '[storage]\nfsync = { distribution = "exponential", mean = "1ms" }\n'
    )
    scenario = load(tmp_path / "mine.toml")
    assert scenario.name == "mine"
    assert scenario.network.latency == Empirical(values=(400_000, 500_000))
    assert scenario.cpu.per_message == Lognormal.of_mean(5_000, 2_000)
    assert scenario.storage.fsync == Exponential(mean=1_000_000)
    mixture = read(VARIANTS["mixture"]).cpu.per_message
    assert isinstance(mixture, Mixture)
    assert mixture.mean_ns() == pytest.approx((9 * 5_000 + 1_000 * 2.5 / 1.5) / 10)
    assert read(VARIANTS["latency"]).network.latency == Normal(mean=427_000, stddev=47_600)


def test_a_matrix_of_ones_own_travels_with_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text('regions = ["here", "there"]\nrtt_ms = [[0.1, 30], [31.5, 0.2]]\n')
    (tmp_path / "mine.toml").write_text(
        'replicas = 2\n[network]\nmatrix = "two.toml"\nplacement = ["here", '
        '"there"]\n[workload]\nclients_in = ["there"]\n'
    )
    scenario = load(tmp_path / "mine.toml")
    assert scenario.network.matrix is not None
    assert scenario.network.matrix.rtt_ns == ((100_000, 30_000_000), (31_500_000, 200_000))
    assert read_scenario(scenario.resolved(), Place("elsewhere", Path("/nonexistent"))) == scenario


def test_settings_are_toml_or_else_text() -> None:
    scenario = load(
        "wan-5",
        [
            "workload.arrivals.rate=250",
            "duration=3s",
            'engine=["raft"]',
            'network.placement.4="sa-east-1"',
            "raft.pre_vote=false",
        ],
        seed=9,
    )
    assert scenario.workload.arrivals.rate_per_s == 250
    assert scenario.duration_ns == 3 * 10**9
    assert scenario.engine == ("raft",)
    assert scenario.network.placement[4] == "sa-east-1"
    assert scenario.client_regions[4] == "sa-east-1"
    assert not scenario.raft.pre_vote
    assert scenario.seed == 9


def test_setting_a_swept_key_ends_its_axis_and_a_sweep_may_be_set() -> None:
    assert len(load("lan-3").points()) > 1
    assert load("lan-3", ["workload.arrivals.rate=700"]).points()[0][1].workload.arrivals.rate_per_s == 700
    assert len(load("lan-3", ["workload.arrivals.rate=700"]).points()) == 1
    swept = load("ycsb-a", ['sweep."batching.max_commands"=[1, 64]', "sweep.replicas=[3, 5]"])
    assert [axes for axes, _ in swept.points()] == [
        {"batching.max_commands": commands, "replicas": replicas}
        for commands in (1, 64)
        for replicas in (3, 5)
    ]


def test_an_axis_may_hold_tables_and_is_then_labelled_by_their_text() -> None:
    loads = (
        '[sweep]\n"workload.arrivals" = [{ kind = "closed", clients = '
        '4 }, { process = "constant", rate = 9 }]'
    )
    (first, closed), (second, constant) = read(loads).points()
    assert closed.workload.arrivals.kind == "closed"
    assert constant.workload.arrivals.process == "constant"
    assert first != second
    assert json.loads(first["workload.arrivals"]) == {"kind": "closed", "clients": 4}


def test_quick_holds_a_lan_sweep_and_a_wan_with_clients_in_every_region_for_every_engine() -> None:
    suite = load_suite("quick")
    lan, wan = suite.parts
    assert set(lan.engine) == set(wan.engine) == set(ENGINES)
    assert list(lan.sweep) == list(wan.sweep) == ["workload.arrivals.rate"]
    assert lan.network.matrix is None
    assert wan.client_regions == wan.network.placement
    assert len(suite.points()) == len(lan.points()) + len(wan.points())
    assert [part for part, _, _ in suite.points()].count(wan.name) == len(wan.points())
    assert load_suite("quick", seed=5).parts[1].seed == 5


def test_majority_round_trips_between_aws_regions() -> None:
    """The commit round trip of a leader in each region: the second-smallest round trip to the other four."""
    scenario = load("wan-5")
    matrix, regions = scenario.network.matrix, scenario.network.placement
    assert matrix is not None
    assert scenario.client_regions == regions
    found = {
        leader: sorted(
            matrix.one_way_ns(leader, other) + matrix.one_way_ns(other, leader)
            for other in regions
            if other != leader
        )[1] / 1e6
        for leader in regions
    }  # fmt: skip
    assert found == {
        "us-east-1": 70.5, "us-west-1": 59.9, "us-west-2": 72.5, "eu-west-1": 127.3, "ap-northeast-1": 111.7,
    }  # fmt: skip


def test_the_matrices_are_whole() -> None:
    for name in network_names():
        matrix = MatrixKind().read(name, Place(name, Path()))
        assert all(rtt > 0 for row in matrix.rtt_ns for rtt in row)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("35ms", 35_000_000),
        ("0.427ms", 427_000),
        ("1s", 10**9),
        ("2 min", 12 * 10**10),
        ("5µs", 5_000),
        ("0ns", 0),
    ],
)
def test_durations(text: str, value: int) -> None:
    assert units.duration_ns(text) == value
    assert units.duration_ns(units.duration_text(value)) == value


@pytest.mark.parametrize("value", [1, 999, 1_000, 1_500, 1_000_001, 427_000, 3_600 * 10**9, 999_999_999_999])
def test_a_written_duration_is_exact(value: int) -> None:
    assert units.duration_ns(units.duration_text(value)) == value


def test_sizes_and_rates() -> None:
    assert units.size_bytes("64MiB") == 64 * 2**20
    assert units.size_bytes("1.5kB") == 1500
    assert units.size_text(64 * 2**20) == "64MiB"
    assert units.rate_bytes_per_s("10Gbit/s") == 1.25e9
    assert units.rate_bytes_per_s("unlimited") == 0
    assert units.rate_text(125_000_000) == "1Gbit/s"
    assert units.rate_text(0) == "unlimited"
    assert float(units.duration_fine_ns(units.duration_text(0.8))) == 0.8
