"""replbench check, as a person meets it: verdicts, exit codes, files, and what is wrong with a history."""

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.checkers.history import MODELS, HistoryError, read
from bench.cli import call
from bench.cli.check import MODELS as OFFERED
from bench.metrics import history as written
from bench.plots import counterexample
from tests.bench.histories import honest, line, parsed
from tests.bench.trials import synthetic_trial

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
WRITE_1 = line(client=1, arg=1, call_ns=1_000_000, return_ns=2_000_000)
WRITE_2 = line(client=2, arg=2, call_ns=1_500_000, return_ns=4_000_000)
READ_2 = line(client=3, op="read", arg=None, ret=2, call_ns=2_500_000, return_ns=3_000_000)
STALE = line(client=1, op="read", arg=None, ret=1, call_ns=3_500_000, return_ns=5_000_000)


@pytest.fixture
def screen(capsys, tmp_path, monkeypatch):
    """Calls the command line in an empty folder; gives its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def use(*arguments):
        code = call(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return use


def save(name, *lines):
    data = "".join(f"{text}\n" for text in lines).encode()
    Path(name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return name


def test_a_linearizable_history_exits_0(screen):
    save("h.jsonl", WRITE_1, WRITE_2, READ_2)
    code, out, err = screen("check", "h.jsonl", "--model", "register")
    assert (code, err) == (0, "")
    assert out.startswith("h.jsonl: linearizable\n3 operations on 1 key, ") and "configurations in" in out
    assert [path.name for path in Path().iterdir()] == ["h.jsonl"]


def test_a_history_that_is_not_exits_1_and_is_explained_beside_it(screen):
    Path("folder").mkdir()
    save("folder/h.jsonl.gz", WRITE_1, WRITE_2, READ_2, STALE, line(client=9, key="y"))
    code, out, _ = screen("check", "folder/h.jsonl.gz", "--model", "register")
    assert code == 1
    assert "not linearizable" in out and "key x: the smallest part that still fails is 4 of 4" in out
    assert "line 4 fits nowhere: the read of client 1" in out
    made = [f"folder/h.counterexample.{form}" for form in ("jsonl", "svg", "png")]
    assert out.splitlines()[-3:] == made and all(Path(path).stat().st_size for path in made)
    again, _, _ = screen("check", made[0], "--model", "register")
    assert again == 1


def test_standard_input_is_read_and_explained_in_the_current_folder(screen, monkeypatch):
    for data in (f"{WRITE_1}\n{STALE}\n".encode(), gzip.compress(WRITE_1.encode())):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert screen("check", "-", "--model", "register")[0] == 0
    data = "\n".join([WRITE_1, WRITE_2, READ_2, STALE]).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    code, out, _ = screen("check", "-", "--model", "register")
    assert code == 1 and out.startswith("standard input: not linearizable")
    assert Path("counterexample.jsonl").exists() and Path("counterexample.png").exists()


def test_through_a_real_pipe(tmp_path):
    command = [
        sys.executable,
        "-c",
        "from bench.cli import main; main(['check', '-', '--model', 'register'])",
    ]
    done = subprocess.run(command, cwd=ROOT, input=f"{WRITE_1}\n".encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"") and b"standard input: linearizable" in done.stdout


def test_a_budget_that_is_used_up_exits_3(screen, monkeypatch):
    from bench.checkers import linearizability

    clock = iter(range(0, 100_000, 100))
    monkeypatch.setattr(linearizability, "perf_counter", lambda: next(clock))
    save("h.jsonl", WRITE_1)
    code, out, _ = screen("check", "h.jsonl", "--model", "register", "--budget", "60")
    assert code == 3
    assert out.startswith("h.jsonl: unknown\n") and "out of time, at key x" in out


def test_json_for_programs(screen):
    save("h.jsonl", WRITE_1, WRITE_2, READ_2, STALE)
    code, out, _ = screen("check", "h.jsonl", "--model", "key-value", "--json")
    found = json.loads(out)
    assert code == 1 and found["verdict"] == "not linearizable" and found["key"] == "x"
    assert found["counterexample_lines"] == [1, 2, 3, 4] and found["stuck_line"] == 4
    assert found["operations"] == 4 and found["configurations"] > 0 and found["search_bytes"] > 0


def test_a_folder_that_cannot_be_written_to_still_gets_its_verdict(screen, monkeypatch):
    def refuse(path, _):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("bench.checkers.history.write", refuse)
    save("h.jsonl", WRITE_1, WRITE_2, READ_2, STALE)
    code, out, err = screen("check", "h.jsonl", "--model", "register")
    assert code == 1 and "line 4 fits nowhere" in out
    assert err == "h.counterexample.jsonl: the explanation cannot be written: Permission denied\n"


def test_the_history_of_a_run_is_read(screen):
    trial = synthetic_trial("raft", 500.0)
    written.write(Path("history-0.jsonl.gz"), trial.operations)
    code, _, err = screen("check", "history-0.jsonl.gz", "--model", "cas-register")
    assert code in (0, 1) and err == ""  # its values are made up, its lines are the real ones


# Bad input.

BAD = {
    "not json": ("{", 1, "not an operation"),
    "not an object": ("[1, 2]", 1, "Expected `object`"),
    "a missing field": ('{"client": 1, "op": "read"}', 1, "call_ns`; each has client, op, call_ns, return_ns and ok"),
    "a client that is no number": (line(client="one"), 1, "client: Expected `int`, got `str`"),
    "a time with a fraction": (line(call_ns=1.5), 1, "call_ns: Expected `int`, got `float`"),
    "an unknown operation": (line(op="erase"), 1, "op: Invalid enum value 'erase'; of this model there are read, get,"),
    "an operation of another model": (line(op="acquire", arg=None), 1, "acquire is no operation of"),
    "a negative interval": (line(call_ns=9, return_ns=8), 1, "returns at 8 ns, before its call at 9 ns"),
    "a completion without its time": (line(return_ns=None), 1, "ok is true and return_ns null"),
    "an unknown outcome with a time": (line(ok=None), 1, "ok is null, for unknown, and return_ns is not"),
    "a cas of one value": (line(op="cas", arg=[1], ret=True), 1, "arg of a cas is [old, new]"),
    "a cas without an outcome": (line(op="cas", arg=[1, 2]), 1, "ret of a completed cas is true"),
    "an append of a number": (line(op="append", arg=7), 1, "arg of an append is a string"),
    "a read with an argument": (line(op="read", arg=7, ret=7), 1, "arg of a read is null"),
    "a write that returned a value": (line(ret="x"), 1, "ret of a completed write is null"),
    "not text": ("\udcff", 1, "not an operation"),
    "a second completion": ("\n".join([line(), line(client=2), line()]), 3, "a second time, after line 1"),
    "a completion after no answer": (
        "\n".join([line(return_ns=None, ok=None), line()]),
        2,
        "completes the write of client 1 at 0 ns a second time",
    ),
    "an append to a number": (
        "\n".join([line(op="append", arg="a"), line(arg=9, call_ns=3)]), 2, "write of 9 where others append",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_line_is_named_in_one_line(screen, name):
    text, number, said = BAD[name]
    Path("h.jsonl").write_bytes(text.encode(errors="surrogateescape"))
    code, out, err = screen("check", "h.jsonl", "--model", "key-value")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert f"h.jsonl, line {number}: " in err and said in err


def test_the_number_of_the_line_counts_empty_ones(screen):
    Path("h.jsonl").write_text(f"{line()}\n\n  \n{line(call_ns=9, return_ns=3)}\n")
    assert "h.jsonl, line 4: returns at 3 ns" in screen("check", "h.jsonl", "--model", "register")[2]


def test_files_that_are_none(screen):
    for name, data, said in (
        ("empty.jsonl", b"", "holds no operations"),
        ("blank.jsonl", b"\n\n", "holds no operations"),
        ("cut.jsonl.gz", gzip.compress(WRITE_1.encode())[:-9], "cannot be read"),
        ("false.jsonl.gz", b"\x1f\x8bnothing", "cannot be read"),
    ):
        Path(name).write_bytes(data)
        code, _, err = screen("check", name, "--model", "register")
        assert code == 2 and said in err and name in err and err.count("\n") == 1
    code, _, err = screen("check", "nowhere.jsonl", "--model", "register")
    assert code == 2 and "nowhere.jsonl: cannot be read: No such file or directory" in err
    assert screen("check", ".", "--model", "register")[0] == 2


def test_options_that_are_wrong(screen):
    save("h.jsonl", WRITE_1)
    assert screen("check", "h.jsonl")[0] == 2
    assert screen("check", "h.jsonl", "--model", "queue")[0] == 2
    assert screen("check", "h.jsonl", "--model", "register", "--budget", "0")[0] == 2


def test_the_verb_knows_the_models():
    assert tuple(MODELS) == OFFERED


def test_fields_may_be_left_out_and_others_are_ignored():
    [[found]] = parsed(
        '{"client": 1, "op": "acquire", "call_ns": 1, "return_ns": 2, "ok": true, "node": 3}', model="mutex"
    ).values()
    assert (found.key, found.arg, found.ret, found.line) == (None, None, None, 1)


def test_what_is_written_is_read_back(tmp_path):
    from bench.checkers.history import write

    operations = honest(1, 50)
    write(tmp_path / "h.jsonl", operations)
    [found] = read(str(tmp_path / "h.jsonl"), "register").values()
    assert found == operations
    with pytest.raises(HistoryError):
        read(str(tmp_path / "none.jsonl"), "register")


# The picture.


def drawn(*lines, model="key-value"):
    from bench.checkers.counterexample import explain

    [(key, operations)] = parsed(*lines, model=model).items()
    return explain(key, operations, seconds=60.0)


def test_the_picture_says_what_fits_nowhere(tmp_path):
    example = drawn(WRITE_1, WRITE_2, READ_2, STALE)
    svg, png = counterexample.render(example, "h.jsonl", tmp_path / "h")
    assert (svg.name, png.name) == ("h.svg", "h.png") and png.stat().st_size > 10_000
    assert counterexample._sentences(example, 4) == [
        "Key x, 4 of 4 operations: the smallest part that still fails.",
        "After 1 to 3 the value is 2: read → 1 fits nowhere.",
    ]
    assert "read → 1" in [counterexample.label(one) for one in example.operations]
    first = svg.read_bytes()
    assert counterexample.render(example, "h.jsonl", tmp_path / "h")[0].read_bytes() == first


def test_a_client_that_does_two_things_at_once_has_two_lanes():
    one, other, later = (line(arg=at, call_ns=at, return_ns=at + 2) for at in (0, 1, 5))
    [operations] = parsed(one, other, later).values()
    lanes = counterexample._lanes(operations)
    assert [name for name, _ in lanes] == ["client 1", ""]
    assert [len(operations) for _, operations in lanes] == [2, 1]


def test_operations_take_effect_within_their_cells_and_in_order():
    example = drawn(WRITE_1, WRITE_2, READ_2, STALE)
    moments = sorted({moment for one in example.operations for moment in counterexample._ends(one)})
    cell = {moment: place for place, moment in enumerate(moments)}
    points = counterexample._points(example.order, cell)
    places = [points[id(one)][0] for one in example.order]
    assert places == sorted(places) and [points[id(one)][1] for one in example.order] == [1, 2, 3]
    for one, place in zip(example.order, places, strict=True):
        assert cell[one.call_ns] <= place <= cell[one.return_ns] + 1


def test_a_mutex_and_an_unknown_operation_are_drawn_too(tmp_path):
    fields = {"arg": None, "key": None}
    example = drawn(
        line(client=1, op="acquire", call_ns=0, return_ns=3, **fields),
        line(client=2, op="acquire", call_ns=4, return_ns=9, **fields), model="mutex",
    )  # fmt: skip
    assert "After 1 client 1 holds the mutex: acquire fits nowhere." in counterexample._sentences(example, 2)[1]
    counterexample.render(example, "lock.jsonl", tmp_path / "lock")
    example = drawn(
        line(op="append", arg="a" * 99, return_ns=None, ok=None),
        line(op="get", arg=None, ret="a" * 99 + "b", call_ns=9, return_ns=10),
    )  # fmt: skip
    assert counterexample.label(example.operations[0]).endswith("?")
    counterexample.render(example, "strings.jsonl", tmp_path / "strings")


def test_of_a_long_part_the_end_is_drawn(tmp_path):
    turns = [
        line(client=at % 3, op="append", arg=f"{at} ", call_ns=10 * at, return_ns=10 * at + 15)
        for at in range(70)
    ]  # fmt: skip
    wrong = line(client=7, op="get", arg=None, ret="nothing", call_ns=800, return_ns=900)
    example = drawn(*turns, wrong)
    assert len(counterexample._shown(example)) <= counterexample.MOST_DRAWN
    assert example.stuck in counterexample._shown(example)
    counterexample.render(example, "h.jsonl", tmp_path / "h")
