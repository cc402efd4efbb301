"""A result is a folder: written under a temporary name, renamed when whole, never changed afterwards, loaded
as pandas objects.

A worker that ran a trial writes its files with ``write_point``, and hands the small ``PointSummary`` to the
one ``ResultWriter``, which writes the rest. The same trials give the same bytes in every file, in whatever
order they came.
"""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bench.checkers.verdict import verdict
from bench.metrics import environment, history, locks, prediction, summary
from bench.metrics.trial import ACQUIRE, CAS, KINDS, MOMENTS, OK, PENDING, RELEASE, FaultRecord, Trial
from bench.scenario.toml import reason

if TYPE_CHECKING:
    from types import TracebackType

    import pandas as pd

VERSION = 1
STATUSES = ("ok", "failed", "unknown")
NOT_AVAILABLE = "n/a"


class ResultError(ValueError):
    """A result that cannot be written where it was asked for, or that is missing or damaged; one line."""


class LeftOutError(ResultError):
    """A file of a result that is not there, as in those that are kept without their bulk; one line."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(f"{path} was left out of this result, or lost; `replbench run {name}` makes another with it")
        self.file = path.name


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """What the machine refuses, a full disk above all, becomes a ResultError that says where and what then."""
    try:
        yield
    except OSError as error:
        raise ResultError(
            f"{target} cannot be written: {error.strerror or error}; make room there, or name another place with --out"
        ) from error


class LockPoint(msgspec.Struct, kw_only=True):
    """What result.json says of locks: the files of a point beside its history of locks, and the fail-overs."""

    file: str
    history_of_files: str
    failovers: list[locks.Failover]


class Point(msgspec.Struct, kw_only=True):
    """What result.json says of one run: one engine at one point of a sweep of one scenario, in one trial."""

    point: int
    scenario: str
    engine: str
    axes: dict[str, Any]
    trial: int
    seed: int
    window_ns: tuple[int, int]
    end_ns: int
    verdict: str
    reasons: list[str]
    checks: dict[str, str]
    violations: list[str]
    faults: list[FaultRecord]
    leaders: list[tuple[int, int, int]]
    counts: dict[str, int]
    messages_by_kind: dict[str, int]
    fairness: dict[str, Any]
    history: str
    resources: dict[str, Any] = {}
    locks: LockPoint | msgspec.UnsetType = msgspec.UNSET


class PointSummary(msgspec.Struct, frozen=True):
    """What a worker tells of a point whose files it has written; small enough to be pickled."""

    point: Point
    row: dict[str, Any]


class _Document(msgspec.Struct, kw_only=True):
    """result.json."""

    version: int
    name: str
    incomplete: bool
    scenarios: dict[str, dict[str, Any]]
    environment: dict[str, Any]
    points: list[Point]


def write_point(folder: Path, index: int, trial: Trial, scenario: str) -> PointSummary:
    """Write the history and the samples of a trial into a writer's ``folder``, as its point ``index``.

    ResultError where there is no room.
    """
    row = summary.summarise(trial)
    row["verdict"], reasons = verdict(trial, row)
    point = Point(
        point=index, scenario=scenario, engine=trial.engine, axes=trial.axes, trial=trial.trial,
        seed=trial.seed, window_ns=trial.window_ns, end_ns=trial.end_ns,
        verdict=row["verdict"], reasons=reasons,
        checks=trial.checks, violations=trial.violations, faults=trial.faults, leaders=trial.leaders,
        counts=trial.counts, messages_by_kind=trial.messages_by_kind, fairness=trial.fairness,
        history=f"history-{index}.jsonl.gz", resources=trial.resources,
    )  # fmt: skip
    with _writing(folder.parent):
        if trial.locks is None:
            history.write(folder / point.history, trial.operations)
        else:
            _write_locks(folder, point, trial, row)
        np.savez(_samples_path(folder, index), allow_pickle=False, **_samples(trial))
    return PointSummary(point, row)


def _write_locks(folder: Path, point: Point, trial: Trial, row: dict[str, Any]) -> None:
    """What a trial of a lock service has beside: histories of its locks and of its files, and its holds. ``row`` is added to."""
    assert trial.locks is not None
    holds, failovers = locks.holds_of(trial.operations, trial.locks.lost, trial.end_ns), locks.failovers(trial)
    point.locks = LockPoint(
        file=f"locks-{point.point}.npz", history_of_files=f"history-files-{point.point}.jsonl.gz", failovers=failovers
    )
    row |= locks.summarise(trial, holds, failovers)
    kind = trial.operations["kind"]
    mutexes = np.concatenate([trial.operations[np.isin(kind, (ACQUIRE, RELEASE))], trial.locks.lost])
    history.write(folder / point.history, mutexes[mutexes["kind"] <= RELEASE])
    history.write(folder / point.locks.history_of_files, trial.operations[kind <= CAS])
    np.savez_compressed(
        folder / point.locks.file,
        allow_pickle=False,
        holds=holds,
        clients=trial.locks.tenants,
        moments=trial.locks.moments,
        seen=locks.seen_by_clients(trial, failovers),
    )


def _samples(trial: Trial) -> dict[str, np.ndarray]:
    operations = trial.operations
    return {
        "intended_ns": operations["intended_ns"],
        "latency_ns": summary.latency_ns(operations, trial.end_ns),
        "service_ns": summary.service_ns(operations, trial.end_ns),
        "client": operations["client"],
        "attempts": operations["attempts"],
        "kind": operations["kind"],
        "status": operations["status"],
    }


def _samples_path(folder: Path, index: int) -> Path:
    return folder / f"samples-{index}.npz"


class ResultWriter:
    """Gathers points, in any order, and makes the folder of them.

        with ResultWriter(target, "quick", {"quick-lan": resolved}) as writer:
            writer.add(write_point(writer.folder, 0, trial, "quick-lan"))     # write_point: in any process
            writer.finish()

    ``scenarios`` maps the name of each scenario to its resolved fields. Leaving the block without ``finish``
    removes everything. ResultError where the target exists or cannot be made, and where the disk is full.
    """

    def __init__(self, target: Path, name: str, scenarios: dict[str, dict[str, Any]]) -> None:
        self.target = Path(target)
        if self.target.exists():
            raise ResultError(
                f"{self.target} exists already, and results are never overwritten: choose another folder"
            )
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=f".{self.target.name}.", dir=self.target.parent))
        except OSError as error:
            why = next((f"{each} is a file" for each in self.target.parents if each.is_file()), error.strerror)
            raise ResultError(f"{self.target} cannot be made: {why}; name another folder") from error
        self.folder.chmod(0o755)
        self.name = name
        self.scenarios = scenarios
        self.summaries: dict[int, PointSummary] = {}
        self._stored = 0
        self._samples = zipfile.ZipFile(
            self.folder / "latencies.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1
        )

    def __enter__(self) -> ResultWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def add(self, summary: PointSummary) -> None:
        """Take a point whose files ``write_point`` has written."""
        assert summary.point.point not in self.summaries, "a point was added twice"
        self.summaries[summary.point.point] = summary
        with _writing(self.target):
            while self._stored in self.summaries:
                self._store_samples(self._stored)

    def finish(self, incomplete: bool = False) -> Path | None:
        """Write the rest, give the folder its name and return it; None, and no folder, without points."""
        if not self.summaries:
            self.discard()
            return None
        with _writing(self.target):
            for index in sorted(index for index in self.summaries if index >= self._stored):
                self._store_samples(index)
            self._samples.close()
            for stray in (*self.folder.glob("samples-*"), *self._unfinished_histories()):
                stray.unlink()
            self._write_points()
            self._write_document(incomplete)
            (self.folder / "plots").mkdir()
            if self.target.exists():
                raise ResultError(f"{self.target} was made by someone else meanwhile: choose another folder")
            self.folder.rename(self.target)
        return self.target

    def discard(self) -> None:
        """Remove what was written so far; nothing once finished."""
        with suppress(OSError):  # on a full disk even the end of the archive finds no room
            self._samples.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _store_samples(self, index: int) -> None:
        """Move one point's samples into latencies.npz; always called in the order of the points."""
        path = _samples_path(self.folder, index)
        with zipfile.ZipFile(path) as samples:
            for name in samples.namelist():
                member = zipfile.ZipInfo(f"{index}/{name}")
                member.compress_type = zipfile.ZIP_DEFLATED
                self._samples.writestr(member, samples.read(name), compresslevel=1)
        path.unlink()
        self._stored = index + 1

    def _unfinished_histories(self) -> list[Path]:
        kept = {name for summary in self.summaries.values() for name in files_of(summary.point)}
        written = (*self.folder.glob("history-*"), *self.folder.glob("locks-*"))
        return [path for path in written if path.name not in kept]

    def _write_points(self) -> None:
        rows = [self.summaries[index] for index in sorted(self.summaries)]
        axes = list(dict.fromkeys(axis for row in rows for axis in row.point.axes))
        values = tabulated(rows)
        compared = prediction.RATIOS if any("throughput_ratio" in row for row in values) else ()
        locked = locks.COLUMNS if any(locks.COLUMNS[0] in row for row in values) else ()
        columns = (*summary.COLUMNS, *locked, "scenario", "point", *compared, *axes)
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(columns)
        for row in values:
            table.writerow([_cell(row.get(name)) for name in columns])
        (self.folder / "points.csv").write_text(text.getvalue())

    def _write_document(self, incomplete: bool) -> None:
        document = _Document(
            version=VERSION,
            name=self.name,
            incomplete=incomplete,
            scenarios=self.scenarios,
            environment=environment.describe(),
            points=[self.summaries[index].point for index in sorted(self.summaries)],
        )
        encoded = msgspec.json.encode(document, order="sorted")
        (self.folder / "result.json").write_bytes(msgspec.json.format(encoded, indent=1) + b"\n")


def files_of(point: Point) -> list[str]:
    """The names of the files that belong to a point alone."""
    beside = () if point.locks is msgspec.UNSET else (point.locks.file, point.locks.history_of_files)
    return [point.history, *beside]


def tabulated(summaries: Sequence[PointSummary]) -> list[dict[str, Any]]:
    """The rows of points.csv, with ratios in those predictions that have a measurement beside them."""
    rows = [{**each.row, "scenario": each.point.scenario, "point": each.point.point} for each in summaries]
    axes = list(dict.fromkeys(axis for each in summaries for axis in each.point.axes))
    return [row | ratio for row, ratio in zip(rows, prediction.ratios(rows, axes), strict=True)]


def _cell(value: Any) -> Any:
    if value is None:
        return NOT_AVAILABLE
    return msgspec.json.encode(value).decode() if isinstance(value, (list, tuple, dict)) else value


class Result:
    """A loaded result, or the part of it that belongs to one scenario.

    ``points`` is points.csv with the number of the point as index; ``environment`` and ``scenarios`` are
    plain dicts.
    """

    def __init__(self, path: Path, document: _Document, points: pd.DataFrame) -> None:
        self.path = path
        self.name = document.name
        self.incomplete = document.incomplete
        self.environment = document.environment
        self.scenarios = document.scenarios
        self.points = points
        self.records = {point.point: point for point in document.points}
        self._document = document

    @property
    def scenario(self) -> dict[str, Any]:
        """The resolved scenario; ResultError where the result holds several."""
        if len(self.scenarios) != 1:
            raise ResultError(
                f"{self.path} holds several scenarios, {', '.join(self.scenarios)}: take one of its parts"
            )
        return next(iter(self.scenarios.values()))

    @property
    def axes(self) -> list[str]:
        """The sweep axes, which are also columns of ``points``."""
        return list(dict.fromkeys(axis for record in self.records.values() for axis in record.axes))

    @property
    def checks(self) -> dict[int, dict[str, str]]:
        """What each check said, by point."""
        return {index: record.checks for index, record in self.records.items()}

    def parts(self) -> list[Result]:
        """One result for each scenario that has points."""
        names = [name for name in self.scenarios if name in set(self.points["scenario"])]
        return [self] if len(self.scenarios) == 1 else [self._part(name) for name in names]

    def _part(self, name: str) -> Result:
        document = msgspec.structs.replace(
            self._document,
            scenarios={name: self.scenarios[name]},
            points=[point for point in self._document.points if point.scenario == name],
        )
        return Result(self.path, document, self.points[self.points["scenario"] == name])

    def operations(self, point: int) -> pd.DataFrame:
        """Every recorded operation of a point, warm-up included, by intended start.

        Columns intended_ns, completed_ns (-1 without success), latency_ns, service_ns, client, attempts,
        kind, status, in_window.
        """
        import pandas as pd

        record = self._record(point)
        samples = {name: self._column(point, name) for name in _SAMPLES}
        completed = np.where(samples["status"] == OK, samples["intended_ns"] + samples["latency_ns"], PENDING)
        first, last = record.window_ns
        table = pd.DataFrame(
            {
                "intended_ns": samples["intended_ns"],
                "completed_ns": completed,
                "latency_ns": samples["latency_ns"],
                "service_ns": samples["service_ns"],
                "client": samples["client"],
                "attempts": samples["attempts"],
                "kind": pd.Categorical.from_codes(samples["kind"].astype(np.int8), pd.Index(KINDS)),
                "status": pd.Categorical.from_codes(samples["status"].astype(np.int8), pd.Index(STATUSES)),
                "in_window": (samples["intended_ns"] >= first) & (samples["intended_ns"] < last),
            }
        )
        return table.sort_values("intended_ns", kind="stable", ignore_index=True)

    def latencies(self, point: int) -> pd.Series[int]:
        """The latencies in ns of the operations that count, ascending."""
        import pandas as pd

        first, last = self._record(point).window_ns
        intended = self._column(point, "intended_ns")
        counted = self._column(point, "latency_ns")[(intended >= first) & (intended < last)]
        return pd.Series(np.sort(counted), name="latency_ns")

    def locks(self, point: int) -> dict[str, pd.DataFrame]:
        """Of a point of a lock service: ``holds``, ``clients`` (with ``grants`` and ``waited_ns``), ``moments``, and how clients
        saw each fail-over, ``seen``; empty where there is no lock service.
        """
        import pandas as pd

        record = self._record(point)
        if record.locks is msgspec.UNSET:
            return {}
        path = self.path / record.locks.file
        try:
            with np.load(path, allow_pickle=False) as found:
                tables = {name: np.asarray(found[name]) for name in ("holds", "clients", "moments", "seen")}
        except FileNotFoundError:
            raise LeftOutError(path, self.name) from None
        except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
            raise ResultError(f"{path} is damaged; {_AGAIN}") from error
        frames = {name: pd.DataFrame(table) for name, table in tables.items()}
        grants, waited = locks.waits_of(tables["holds"], tables["clients"])
        frames["clients"] = frames["clients"].assign(grants=grants, waited_ns=waited.astype(np.int64))
        for name, column, words in (("holds", "end", locks.ENDS), ("moments", "what", MOMENTS)):
            frames[name][column] = pd.Categorical.from_codes(tables[name][column].astype(np.int8), pd.Index(words))
        return frames

    def _record(self, point: int) -> Point:
        if point not in self.records:
            raise ResultError(f"{self.path} has no point {point}")
        return self.records[point]

    def _column(self, point: int, name: str) -> np.ndarray:
        samples = self._samples
        try:
            return np.asarray(samples[f"{point}/{name}"])
        except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
            raise ResultError(
                f"{self.path / 'latencies.npz'} is damaged: {name} of point {point} cannot be read; {_AGAIN}"
            ) from error

    @cached_property
    def _samples(self) -> Any:
        try:
            return np.load(self.path / "latencies.npz", allow_pickle=False)
        except FileNotFoundError:
            raise LeftOutError(self.path / "latencies.npz", self.name) from None
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ResultError(f"{self.path / 'latencies.npz'} is damaged; {_AGAIN}") from error


_SAMPLES = ("intended_ns", "latency_ns", "service_ns", "client", "attempts", "kind", "status")


def load(path: Path | str) -> Result:
    """The result in a folder; ResultError, in one line, where there is none or it is damaged."""
    import pandas as pd

    folder = Path(path)
    document_path, points_path = folder / "result.json", folder / "points.csv"
    if not document_path.is_file():
        raise ResultError(_no_result(folder))
    try:
        version = msgspec.json.decode(document_path.read_bytes(), type=dict[str, Any]).get("version")
        if version != VERSION:
            said = f"has version {version}, and this program reads {VERSION}: it is damaged, or another release's"
            raise ResultError(f"{document_path} {said}; {_AGAIN}")
        document = msgspec.json.decode(document_path.read_bytes(), type=_Document)
    except (OSError, msgspec.DecodeError) as error:
        raise ResultError(f"{document_path} is damaged: {error}; {_AGAIN}") from error
    try:
        points = pd.read_csv(points_path, na_values=[NOT_AVAILABLE])
        missing = [name for name in (*summary.COLUMNS, "scenario", "point") if name not in points.columns]
    except (OSError, ValueError) as error:
        raise ResultError(f"{points_path} is missing or damaged: {reason(error)}; {_AGAIN}") from error
    if missing:
        raise ResultError(f"{points_path} is damaged: it has no column {missing[0]}; {_AGAIN}")
    _require_sound_cells(points_path, points, document)
    if list(points["point"]) != [point.point for point in document.points]:
        raise ResultError(f"{points_path} is damaged: its points are not those of result.json; {_AGAIN}")
    return Result(folder, document, points.set_index("point", drop=False))


def _no_result(folder: Path) -> str:
    """What is there instead of a result, and which one may be meant."""
    if folder.is_file():
        home = folder.parent
        meant = f"give the folder {home}" if (home / "result.json").is_file() else "give the folder of one"
        return f"{folder} is not a result: it is a file, and results are folders; {meant}"
    if not folder.is_dir():
        return f"{folder} is not a result: there is no such folder; give the one that `replbench run` ended with"
    inside = sorted(path.parent for path in folder.glob("*/result.json"))
    meant = f"give one that is in it, such as {inside[-1]}" if inside else "give the folder that `replbench run` ended with"
    return f"{folder} is not a result: it has no result.json; {meant}"


_AGAIN = "take it from a copy, or run the scenario again"
_WORDS = ("engine", "world", "verdict", "scenario")
# Numbers that every run has; the others may be n/a.
_COUNTS = ("point", "replicas", "seed", "trial", "throughput_ops_per_s", "sent", "ok", "failed", "unknown")


def _require_sound_cells(path: Path, points: pd.DataFrame, document: _Document) -> None:
    """ResultError that names the line and the column of the first cell that is not what its column holds."""
    import pandas as pd

    axes = {axis: [point.axes.get(axis) for point in document.points] for point in document.points for axis in point.axes}
    numeric = [axis for axis, values in axes.items() if all(type(value) in (int, float) for value in values)]
    locked = locks.COLUMNS if any(point.locks for point in document.points) else ()
    for column in dict.fromkeys(["point", *summary.COLUMNS, *locked, "scenario", *numeric]):
        if column not in points.columns:
            raise ResultError(f"{path} is damaged: it has no column {column}; {_AGAIN}")
        cells = points[column]
        wrong = cells.isna() if column in (*_WORDS, *_COUNTS, *numeric) else cells.isna() & False
        if column not in _WORDS:
            wrong |= cells.notna() & pd.to_numeric(cells, errors="coerce").isna()
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            said = "is empty" if pd.isna(cells.iloc[row]) else f'says "{cells.iloc[row]}", which is no number'
            raise ResultError(f"{path} is damaged: line {row + 2}, column {column} {said}; {_AGAIN}")
