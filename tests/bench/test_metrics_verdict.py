"""Each way in which a run can be wrong is said, in a sentence, and a sound run is valid."""

import numpy as np
import pytest

from bench.checkers.verdict import verdict
from bench.metrics.summary import outstanding_ns, summarise
from bench.metrics.trial import PENDING, UNKNOWN, FaultRecord
from tests.bench.trials import synthetic_trial


def judged(trial):
    answer, reasons = verdict(trial, summarise(trial))
    assert all(not reason[0].islower() and reason.endswith(".") for reason in reasons), reasons
    return answer, " ".join(reasons)


def crash(**changed):
    fields = {"kind": "crash", "target": "replica 0", "injected_ns": 1, "healed_ns": 2}
    return FaultRecord(**(fields | {"witness": "its process ended", "heal_witness": "it answered"} | changed))


def test_a_sound_run_is_valid():
    assert judged(synthetic_trial(faults=[crash()])) == ("valid", "")


def test_a_count_that_does_not_add_up_is_invalid():
    """DESIGN 7.3: sent = ok + failed + unknown."""
    trial = synthetic_trial()
    trial.operations["status"][1000] = 7
    answer, reasons = judged(trial)
    assert answer == "invalid"
    assert "sum to" in reasons


@pytest.mark.parametrize("field", ["completed_ns", "started_ns"])
def test_an_operation_out_of_time_is_invalid(field):
    trial = synthetic_trial()
    trial.operations[field][1000] = trial.operations["intended_ns"][1000] - 1
    answer, reasons = judged(trial)
    assert (answer, "one before they started" in reasons) == ("invalid", True)


def test_an_ok_without_a_completion_is_invalid():
    trial = synthetic_trial()
    trial.operations["completed_ns"][1000] = PENDING
    assert judged(trial)[0] == "invalid"


def test_a_schedule_that_was_not_kept_is_invalid():
    trial = synthetic_trial(rate=2000)
    assert judged(trial)[0] == "valid"
    trial.offered_ops_per_s = 2400.0
    answer, reasons = judged(trial)
    assert (answer, "that were scheduled" in reasons) == ("invalid", True)


@pytest.mark.parametrize(
    ("factor", "expected"), [(1.009, "valid"), (0.991, "valid"), (1.02, "invalid"), (0.98, "invalid")]
)
def test_littles_law_holds_to_one_percent(factor, expected):
    """DESIGN 7.3."""
    trial = synthetic_trial()
    trial.outstanding_ns = round(outstanding_ns(trial) * factor)
    answer, reasons = judged(trial)
    assert answer == expected
    assert ("Little's law" in reasons) == (expected == "invalid")


def test_a_violated_invariant_is_invalid():
    """DESIGN 7.4."""
    answer, reasons = judged(synthetic_trial(violations=["agreement: replicas 0 and 2 differ at position 9"]))
    assert (answer, "differ at position 9" in reasons) == ("invalid", True)


@pytest.mark.parametrize(
    ("said", "expected"),
    [("passed", "valid"), ("not run", "valid"), ("unknown", "valid"), ("failed", "invalid"), ("turned off", "suspect")],
)
def test_a_failed_check_is_invalid_and_an_unfinished_one_is_not(said, expected):
    assert judged(synthetic_trial(checks={"linearizability": said}))[0] == expected


@pytest.mark.parametrize("missing", ["witness", "heal_witness"])
def test_a_fault_without_a_witness_is_invalid(missing):
    """DESIGN 7.5."""
    answer, reasons = judged(synthetic_trial(faults=[crash(**{missing: ""})]))
    assert (answer, "Nothing witnessed" in reasons) == ("invalid", True)


def test_a_fault_that_lasts_needs_no_witness_of_its_healing():
    assert judged(synthetic_trial(faults=[crash(healed_ns=None, heal_witness="")]))[0] == "valid"


def test_too_few_operations_are_suspect():
    assert judged(synthetic_trial(rate=100, seconds=1.0))[0] == "suspect"
    answer, reasons = judged(synthetic_trial(rate=200, seconds=2.0))
    assert (answer, "too few for a 99th percentile" in reasons) == ("suspect", True)


def test_percentiles_among_operations_that_never_succeeded_are_suspect():
    trial = synthetic_trial(rate=2000, seconds=4.0)
    lost = np.arange(1000, 1400)
    trial.operations["status"][lost], trial.operations["completed_ns"][lost] = UNKNOWN, PENDING
    trial.outstanding_ns = outstanding_ns(trial)
    answer, reasons = judged(trial)
    assert answer == "suspect"
    assert "400 of" in reasons
    assert "from p99 on are lower bounds" in reasons


def test_a_run_past_saturation_is_suspect():
    """Its queue grows as long as the run lasts, and so do its percentiles."""
    answer, reasons = judged(synthetic_trial(rate=15_000, capacity=10_000, end_after_s=3.0))
    assert (answer, "a queue grew" in reasons) == ("suspect", True)
    assert judged(synthetic_trial(rate=9000, capacity=10_000))[0] == "valid"


def test_what_is_invalid_still_says_what_is_suspect():
    answer, reasons = judged(synthetic_trial(rate=100, seconds=1.0, violations=["two leaders"]))
    assert answer == "invalid"
    assert "two leaders" in reasons
    assert "Only" in reasons


def late(trial, share):
    """The generator took this share of every latency to get round to sending."""
    operations = trial.operations
    latency = operations["completed_ns"] - operations["intended_ns"]
    operations["started_ns"] = operations["intended_ns"] + (latency * share).astype(np.int64)
    return trial


def test_a_late_generator_is_suspect():
    """DESIGN 7.1: lateness of the generator is recorded, and is no latency of what is measured."""
    assert judged(late(synthetic_trial(), 0.05)) == ("valid", "")
    answer, reasons = judged(late(synthetic_trial(), 0.2))
    assert (answer, "The generator was late" in reasons) == ("suspect", True)


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"generators": {"0": {"cpu_share": 0.5}, "1": {"cpu_share": 0.95}}}, "The generator was the bottleneck"),
        ({"machine": {"foreign_share": 0.3}}, "The machine was not ours: others took 30% of it"),
        ({"machine": {"idle_share": 0.01}}, "The machine was overloaded"),
        ({"machine": {"filesystem": "tmpfs"}}, "The logs lay in memory (tmpfs)"),
        ({"calibration": {"foreign_share": 0.4}}, "The costs were measured on a machine of which others took 40%"),
    ],
)
def test_a_machine_that_made_the_numbers_is_suspect(resources, said):
    answer, reasons = judged(synthetic_trial(resources=resources))
    assert (answer, said in reasons) == ("suspect", True)
    sound = {"generators": {"0": {"cpu_share": 0.5}}, "machine": {"foreign_share": 0.05, "idle_share": 0.3, "filesystem": "ext4"}}
    assert judged(synthetic_trial(resources=sound | {"calibration": {"foreign_share": 0.1}})) == ("valid", "")


def test_a_latency_that_grows_all_through_the_window_is_suspect():
    """A little more than can be done: nearly everything completes, and a queue grows all the same."""
    answer, reasons = judged(synthetic_trial(rate=10_200, capacity=10_000))
    assert answer == "suspect"
    assert "a queue grew" in reasons
