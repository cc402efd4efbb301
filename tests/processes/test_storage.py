"""The write-ahead log: what was synced comes back, a torn tail is cut and reported, corruption before it is refused."""
from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.driver.log_format import HEADER, StorageError, segment_path
from bench.driver.log_reader import read_log, read_records
from bench.driver.segments import reserve
from bench.driver.storage import WriteAheadLog
from engines.core import Record
from engines.raft import Raft
from engines.raft.messages import Entries, Snapshot, Voted
from ext.build import ROOT
from tests.processes.fuzz import mutate, new_dice, times

SMALL = 4096


def opened(folder: Path, segment_bytes: int = SMALL) -> tuple[WriteAheadLog, list[Record]]:
    log = WriteAheadLog(folder, segment_bytes)
    try:
        return log, log.recover(Raft)
    except StorageError:
        log.close()
        raise


def recovered(folder: Path) -> tuple[list[Record], str]:
    """What a restart finds; the log is closed again."""
    log, records = opened(folder)
    log.close()
    return records, log.torn


def write_groups(folder: Path, groups: list[list[Record]], segment_bytes: int = SMALL) -> None:
    log, _ = opened(folder, segment_bytes)
    for group in groups:
        log.write(group)
    log.close()


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("wal-*"))


def end_of_writing(path: Path) -> int:
    return len(path.read_bytes().rstrip(b"\0"))


def three_writes(folder: Path) -> list[list[Record]]:
    groups: list[list[Record]] = [
        [Voted(1, 2), Entries(1, b"first" * 10)],
        [Entries(2, b"second" * 10)],
        [Entries(3, b"third" * 10), Voted(2, 1)],
    ]
    write_groups(folder, groups)
    return groups


def flat(groups: list[list[Record]]) -> list[Record]:
    return [record for group in groups for record in group]


def test_what_was_written_comes_back_in_order(tmp_path: Path) -> None:
    groups = three_writes(tmp_path)
    assert recovered(tmp_path) == (flat(groups), "")
    write_groups(tmp_path, [[Voted(9, 9)]])
    assert recovered(tmp_path) == ([*flat(groups), Voted(9, 9)], "")
    assert read_records(tmp_path, Raft) == ([*flat(groups), Voted(9, 9)], "")


def test_a_new_folder_holds_nothing_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    assert recovered(folder) == ([], "")
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in segments(folder))


def test_records_spread_over_segments_and_one_larger_than_a_segment_gets_its_own(tmp_path: Path) -> None:
    groups: list[list[Record]] = [[Entries(n, bytes([n]) * 1000)] for n in range(1, 30)]
    groups.insert(7, [Snapshot(1, 1, b"s" * 3 * SMALL)])
    write_groups(tmp_path, groups)
    assert len(segments(tmp_path)) > 5
    assert recovered(tmp_path) == (flat(groups), "")


def test_one_write_makes_one_sync(tmp_path: Path) -> None:
    log, _ = opened(tmp_path)
    log.write([Voted(1, 1), Voted(2, 1), Voted(3, 1)])
    assert log.syncs == 1
    log.close()


def test_no_write_goes_into_blocks_that_are_only_reserved(tmp_path: Path) -> None:
    log, _ = opened(tmp_path)
    for n in range(1, 12):
        log.write([Entries(n, bytes([n]) * 1500)])
        with segments(tmp_path)[-1].open("rb") as file:
            assert os.lseek(file.fileno(), 0, os.SEEK_HOLE) == SMALL, "where there is a hole, or a reserved block"
    assert len(segments(tmp_path)) == 6
    log.close()


def test_two_replicas_cannot_share_a_folder(tmp_path: Path) -> None:
    log, _ = opened(tmp_path)
    with pytest.raises(StorageError, match="in use"):
        WriteAheadLog(tmp_path)
    log.close()
    recovered(tmp_path)


def test_a_torn_tail_is_cut_reported_once_and_can_never_come_back(tmp_path: Path) -> None:
    """The last write loses its first record but keeps its second, as a disk may do: neither may be recovered, now or later."""
    groups = three_writes(tmp_path)
    path = segments(tmp_path)[0]
    data = bytearray(path.read_bytes())
    first_of_last = data.rindex(b"third")
    data[first_of_last] ^= 1
    path.write_bytes(data)
    records, torn = recovered(tmp_path)
    assert records == flat(groups[:2])
    assert "torn" in torn
    assert recovered(tmp_path) == (flat(groups[:2]), "")
    write_groups(tmp_path, [[Entries(3, b"THIRD" * 10)]])
    assert recovered(tmp_path) == ([*flat(groups[:2]), Entries(3, b"THIRD" * 10)], "")


def test_damage_before_a_later_write_is_refused(tmp_path: Path) -> None:
    three_writes(tmp_path)
    path = segments(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[data.index(b"first")] ^= 1
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(StorageError, match="damaged, and later writes follow"):
            recovered(tmp_path)
    assert path.read_bytes() == data, "what is refused is left as it was"


def test_damage_in_an_earlier_segment_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    write_groups(tmp_path, [[Entries(n, bytes([n]) * 1500)] for n in range(1, 12)])
    second = segments(tmp_path)[1]
    whole = second.read_bytes()
    end = end_of_writing(second)
    for broken in (whole[: end - 1], whole[: end - 1600], b"", bytes(len(whole)), whole[:50] + b"!" + whole[51:]):
        second.write_bytes(broken)
        with pytest.raises(StorageError, match="cannot be trusted"):
            recovered(tmp_path)
    second.unlink()
    with pytest.raises(StorageError, match="cannot be trusted"):
        recovered(tmp_path)
    second.write_bytes(whole)
    assert len(recovered(tmp_path)[0]) == 11


def test_a_compaction_drops_what_it_restates_once_it_is_durable(tmp_path: Path) -> None:
    log, _ = opened(tmp_path)
    for n in range(1, 12):
        log.write([Entries(n, bytes([n]) * 1500)])
    assert len(segments(tmp_path)) > 3
    snapshot, voted, tail = Snapshot(10, 1, b"state"), Voted(1, 1), Entries(11, b"tail")
    log.write([Entries(12, b"before"), snapshot], snapshot, tail)
    assert len(segments(tmp_path)) > 3, "nothing goes before the last record of the compaction is durable"
    assert log.segments.archiving, "so that no host compacts again before this state has its name"
    log.write([voted, tail, Voted(2, 2)], snapshot, tail)
    log.write([Voted(3, 3)], snapshot, tail)
    log.close()
    assert not log.segments.archiving
    assert segments(tmp_path)[0] == segment_path(tmp_path, log.number)
    assert recovered(tmp_path) == ([snapshot, voted, tail, Voted(2, 2), Voted(3, 3)], "")


def test_spares_are_given_up_where_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment longer than usual needs their room."""
    log, _ = opened(tmp_path)
    spare = tmp_path / "spare-old"
    spare.write_bytes(b"")
    log.segments.spares.append((spare, True))
    whole = reserve

    def small(path: Path, size: int) -> int:
        if list(tmp_path.glob("spare-*")):
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(path, size)

    log.segments.maker.submit(lambda: None).result()
    monkeypatch.setattr("bench.driver.segments.reserve", small)
    os.close(log.segments.make_large(7, 4096))
    assert not log.segments.spares
    log.close()


def test_a_crash_in_the_middle_of_dropping_leaves_no_half_a_past(tmp_path: Path) -> None:
    log, _ = opened(tmp_path / "log")
    for n in range(1, 12):
        log.write([Entries(n, bytes([n]) * 1500)])
    old = {path: path.read_bytes() for path in segments(tmp_path / "log")}
    snapshot = Snapshot(11, 1, b"state")
    log.write([snapshot], snapshot, snapshot)
    log.close()
    for path in list(old)[2:4]:
        path.write_bytes(old[path])
    assert recovered(tmp_path / "log") == ([snapshot], "")
    assert not set(segments(tmp_path / "log")) & set(old)


def replayed(records: list[Record]) -> int:
    """The last entry of a log whose entries are one a record; each is there, or covered by a snapshot."""
    last = 0
    for record in records:
        if isinstance(record, Snapshot):
            last = record.last_index
        elif isinstance(record, Entries):
            assert record.first <= last + 1, "no entry is missing"
            last = record.first
    return last


def write_and_compact(log: WriteAheadLog, written: list[int]) -> None:
    """A hundred entries, and three compactions, the records of each in two writes; ``written`` has the last that is durable."""
    snapshot: Snapshot | None = None
    voted: Voted | None = None
    for n in range(1, 101):
        group: list[Record] = [Entries(n, bytes([n]) * 300)]
        if snapshot is not None and n % 30 == 1:
            voted = Voted(n, 1)
            group = [voted, Entries(n - 1, bytes([n]) * 300), *group]
        elif n % 30 == 0:
            snapshot, voted = Snapshot(n - 2, 1, bytes([n]) * (3000 if n < 90 else 5000)), None
            group += [snapshot, Entries(n - 1, bytes([n]) * 300), Entries(n, bytes([n]) * 300)]
        log.write(group, snapshot, voted)
        written[0] = n


class AtOnce(ThreadPoolExecutor):
    """No thread: what is submitted is done."""

    def submit(self, job: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(job(*arguments, **named))
        return done


def test_a_crash_at_any_moment_of_a_compaction_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands on the disk after each change of it: nothing that was durable is missing, and a restart can go on."""
    folder, written = tmp_path / "log", [0]
    log, _ = opened(folder)
    log.segments.maker = log.segments.archivist = AtOnce(1)
    moments: list[tuple[dict[str, bytes], int]] = []

    def witnessed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            result = function(*arguments)
            moments.append(({path.name: path.read_bytes() for path in folder.iterdir()}, written[0]))
            return result

        return call

    with monkeypatch.context() as patched:
        patched.setattr("bench.driver.segments.PIECE_BYTES", 2000)
        patched.setattr("bench.driver.segments.PAUSE_S", 0.0)
        for name in ("pwrite", "fsync", "rename", "unlink"):
            patched.setattr(f"os.{name}", witnessed(getattr(os, name)))
        write_and_compact(log, written)
    log.close()
    kept = {name.partition("-")[0] for files, _ in moments for name in files}
    assert kept == {"lock", "wal", "state", "coming", "fresh", "spare"}, "every kind of file was seen"
    for number, (files, durable) in enumerate(moments):
        crashed = tmp_path / str(number)
        crashed.mkdir()
        for name, content in files.items():
            (crashed / name).write_bytes(content)
        records, torn = read_records(crashed, Raft)
        assert (durable <= replayed(records) <= durable + 1, torn) == (True, "")
        if number % 16 == 0:
            assert recovered(crashed) == (records, "")
            assert not {path.name.partition("-")[0] for path in crashed.iterdir()} & {"coming", "fresh", "spare"}
            write_groups(crashed, [[Entries(durable + 2, b"x" * 300)] for _ in range(20)])
            assert replayed(recovered(crashed)[0]) == durable + 2


def test_a_segment_that_is_used_again_gives_back_nothing_old_and_its_torn_tail_is_noticed(tmp_path: Path) -> None:
    log, _ = opened(tmp_path)
    write_and_compact(log, [0])
    log.segments.archivist.shutdown()  # afterwards there are spares
    n = 100
    while not (reused := log.end and log.at < SMALL // 2):
        n += 1
        log.write([Entries(n, bytes([n]) * 300)])
    log.close()
    assert reused
    records, torn = read_records(tmp_path, Raft)
    assert (replayed(records), torn) == (n, "")
    path = segment_path(tmp_path, log.number)
    raw = bytearray(path.read_bytes())
    raw[raw.rindex(bytes([n]) * 300)] ^= 1
    path.write_bytes(raw)
    records, torn = recovered(tmp_path)
    assert replayed(records) == n - 1
    assert "torn" in torn


def test_a_state_that_cannot_be_written_stops_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _ = opened(tmp_path)
    (tmp_path / "coming").mkdir()  # nothing can be written there
    snapshot = Snapshot(1, 1, b"state")
    log.write([Entries(1, b"before"), snapshot], snapshot, snapshot)
    log.segments.archivist.shutdown()
    with pytest.raises(StorageError, match="Is a directory"):
        log.write([Entries(2, b"after")])
    (tmp_path / "coming").rmdir()
    log.close()
    assert recovered(tmp_path) == ([Entries(1, b"before")], "")


def test_a_damaged_or_missing_part_behind_a_state_is_refused(tmp_path: Path) -> None:
    log, _ = opened(tmp_path)
    write_and_compact(log, [0])
    log.close()
    [state] = tmp_path.glob("state-*")
    whole, first = state.read_bytes(), segments(tmp_path)[0]
    for broken in (whole[:1000], whole[:60] + b"!" + whole[61:], b""):
        state.write_bytes(broken)
        with pytest.raises(StorageError, match="cannot be trusted"):
            recovered(tmp_path)
    state.write_bytes(whole)
    assert replayed(recovered(tmp_path)[0]) == 100
    first.unlink()
    with pytest.raises(StorageError, match="is missing; the log cannot be trusted"):
        recovered(tmp_path)


def test_a_folder_of_another_engine_is_refused(tmp_path: Path) -> None:
    from engines.zab import Zab

    three_writes(tmp_path)
    with pytest.raises(StorageError, match="not of zab"):
        read_records(tmp_path, Zab)


Group = st.lists(st.binary(max_size=300), min_size=1, max_size=4)


@given(groups=st.lists(Group, min_size=1, max_size=6), data=st.data())
@settings(max_examples=60)
def test_any_truncation_or_bit_flip_gives_a_prefix_or_a_refusal(
    groups: list[list[bytes]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Truncation, a flipped bit, or garbage over the rest: never a record that was not written, never one out of order.

    What is lost in silence lies in the last write, the only one whose sync may not have returned.
    """
    folder = tmp_path_factory.mktemp("wal")
    written: list[list[Record]] = [[Entries(1, payload) for payload in group] for group in groups]
    write_groups(folder, written)
    for path in segments(folder):
        if end_of_writing(path) == 0:
            path.unlink()
    path = segments(folder)[-1]
    raw = bytearray(path.read_bytes())
    end = end_of_writing(path)
    harm = data.draw(st.sampled_from(["cut", "flip", "smear"]))
    at = data.draw(st.integers(0, end - 1))
    if harm == "cut":
        del raw[at:]
    elif harm == "flip":
        raw[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        garbage = data.draw(st.binary(min_size=1, max_size=200))
        raw[at : at + len(garbage)] = garbage
    path.write_bytes(raw)
    everything = flat(written)
    try:
        records, torn = recovered(folder)
    except StorageError:
        assert harm != "cut", "a log that ends early has nothing behind its damage"
        return
    assert records == everything[: len(records)]
    if len(records) < len(everything) and harm == "flip":
        assert torn
        assert len(records) >= len(flat(written[:-1])), "a flip in an earlier write must be refused"
    assert recovered(folder) == (records, "")


def test_mutated_logs_in_bulk(tmp_path: Path) -> None:
    """Two segments, one of them harmed: what is recovered is a beginning of what was written, or the log is refused."""
    dice = new_dice()
    groups: list[list[Record]] = [[Entries(n, bytes(dice.randint(0, 60))), Voted(n, 1)] for n in range(1, 6)]
    write_groups(tmp_path, groups, segment_bytes=400)
    everything, whole = flat(groups), {path: path.read_bytes() for path in segments(tmp_path)}
    assert len(whole) > 1
    outcomes: Counter[str] = Counter()
    for _ in range(times(2000)):
        path = dice.choice(list(whole))
        path.unlink()  # to cut a file that is there and write it anew makes some file systems wait for the disk
        path.write_bytes(mutate(whole[path], dice))
        try:
            records, torn = read_records(tmp_path, Raft)
            assert records == everything[: len(records)]
            assert torn or len(records) == len(everything)
            outcomes["torn" if torn else "whole"] += 1
        except StorageError:
            outcomes["refused"] += 1
        path.unlink()
        path.write_bytes(whole[path])
    assert set(outcomes) == {"torn", "whole", "refused"}


@given(st.binary(max_size=3 * HEADER.size))
@settings(max_examples=100)
def test_garbage_is_no_log(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    folder = tmp_path_factory.mktemp("wal")
    (folder / "wal-0000000001").write_bytes(garbage)
    contents = read_log(folder)
    assert contents.payloads == []
    prepared = garbage and not garbage.strip(b"\0")
    assert prepared or contents.torn


def test_a_full_disk_stops_the_log(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk; what was written before it is all there."""
    code = (
        "import ext, sys; from pathlib import Path\n"
        "from bench.driver.log_format import StorageError\nfrom bench.driver.storage import WriteAheadLog\n"
        "from engines.raft import Raft\nfrom engines.raft.messages import Entries\n"
        "log = WriteAheadLog(Path(sys.argv[1]), 4096); log.recover(Raft)\n"
        "for n in range(1, 1000):\n"
        "    try:\n        log.write([Entries(n, bytes(20 * n))])\n"
        "    except StorageError as error:\n        print(n, error); break\n"
    )

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=True, preexec_fn=limited,
    )  # fmt: skip
    number, complaint = done.stdout.split(" ", 1)
    assert "File too large" in complaint
    records, _ = read_records(tmp_path, Raft)
    assert records == [Entries(n, bytes(20 * n)) for n in range(1, int(number))]


def test_a_failed_sync_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fdatasync the kernel may have dropped the pages: a later success would prove nothing."""
    log, _ = opened(tmp_path)
    log.write([Voted(1, 1)])

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("os.fdatasync", fails)
        with pytest.raises(StorageError, match="Input/output error"):
            log.write([Voted(2, 1)])
    with pytest.raises(StorageError):
        log.write([Voted(3, 1)])
    log.close()


def test_a_partial_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    log, _ = opened(tmp_path)
    real: Callable[[int, memoryview, int], int] = os.pwrite
    with monkeypatch.context() as patched:
        patched.setattr("os.pwrite", lambda file, view, at: real(file, view[:7], at))
        log.write([Entries(1, b"x" * 100)])
    log.close()
    assert recovered(tmp_path) == ([Entries(1, b"x" * 100)], "")
