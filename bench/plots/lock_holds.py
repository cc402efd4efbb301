"""Who holds a lock when: whether anybody ever holds it while another does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.metrics import locks, sweep
from bench.plots import lock_failover, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from bench.metrics.result import Point, Result

MOST_RUNS, MOST_NAMED = 4, 16  # panels, and clients beside one
HOLDS_SHOWN = 16  # of a run in which nothing happened
BEFORE, AFTER = 0.2, 0.4  # what is shown around what happened, in its own length
HELD, WAITING, TWICE = ("#0072b2", "#56b4e9"), "#9a9a9a", "#cc0000"  # holds by turns, so that neighbours are told apart
THICK = 0.7  # of the height of a row
FAULTY: dict[str, Any] = {"color": style.FAULT, "alpha": 0.15, "linewidth": 0}
WITHHELD: dict[str, Any] = {"facecolor": "#f0e442", "alpha": 0.7, "linewidth": 0}
ELECTED: dict[str, Any] = {"color": style.INK, "linewidth": 1, "linestyle": "--"}
LOSS: dict[str, Any] = {"color": style.FAULT, "markersize": 6, "markeredgewidth": 2, "zorder": 4}


class View(NamedTuple):
    """One lock for some time, which is counted from ``origin_ns``."""

    lock: int
    span_ns: tuple[int, int]
    origin_ns: int
    origin: str

    def of(self, holds: pd.DataFrame) -> pd.DataFrame:
        """The holds, by grant, that are seen."""
        first, last = self.span_ns
        return holds[(holds["lock"] == self.lock) & (holds["released_ns"] >= first) & (holds["asked_ns"] <= last)]


def runs(results: Sequence[Result]) -> dict[str, list[tuple[Result, int]]]:
    """The trials behind each panel, at the middle point of the sweep."""
    found: dict[str, list[tuple[Result, int]]] = {}
    for label, _, result, point in style.at(results, style.chosen(results, 1)[0]):
        found.setdefault(label, []).append((result, point))
    return dict(list(found.items())[:MOST_RUNS])


def draw(results: Sequence[Result], axes: Sequence[Axes]) -> None:
    """A panel for each engine: one lock, in a row for each client and in one for all of them.

    It is of the first trial in which a lock was held twice; of the first one where none was.
    """
    described = sweep.describe(style.chosen(results, 1)[0])
    shown = runs(results)
    told = [max(trials, key=lambda trial: _twice(*trial) > 0) for trials in shown.values()]
    tables = [result.locks(point)["holds"] for result, point in told]
    records = [result.records[point] for result, point in told]
    views = _alike([_chosen(holds, record) for holds, record in zip(tables, records, strict=True)])
    for panel, (label, trials), holds, record, view in zip(axes, shown.items(), tables, records, views, strict=False):
        _draw_view(panel, view, holds, record)
        twice = sum(_twice(result, point) for result, point in trials)
        counted = f"{len(trials)} trials" if len(trials) > 1 else "this run"
        said = f"{label}{described and ', '}{described}: lock {view.lock}; of all locks in {counted}, held twice: {twice}"
        verdicts = [str(result.points.loc[point, "verdict"]) for result, point in trials]
        panel.set_title(said + style.remark({label: style.worst(verdicts)}), fontsize=9, loc="left")
        style.watermark(panel, verdicts)
    _explain(axes[0], results)
    style.legend(axes)


def _twice(result: Result, point: int) -> int:
    """How often a lock of a run was held twice."""
    return int(result.points["held_twice"].to_dict()[point])


def _chosen(holds: pd.DataFrame, record: Point) -> View:
    """The lock and the time that tell most: two holders at once, a fail-over, a holder that was lost, or just the middle."""
    twice = holds.iloc[locks.held_twice(holds.to_records(index=False))]
    failovers = lock_failover.failovers(record)
    lost = holds[holds["end"].isin(["lost", "died"])]
    if len(twice):
        first = next(_rows(twice))
        return _around(first.lock, first.granted_ns, first.released_ns, record)
    if failovers:
        struck_ns, ended_ns = failovers[0].injected_ns, failovers[0].granted_ns or record.end_ns
        waited = holds[holds["asked_ns"].between(struck_ns, ended_ns)]
        return _around(_commonest(waited), struck_ns, ended_ns, record)._replace(origin_ns=struck_ns, origin="the fault")
    if len(lost):
        followed = lost[lost.index.isin(holds["after"])]
        first = next(_rows(followed if len(followed) else lost))
        later = holds["granted_ns"][holds["after"] == first.Index]
        return _around(first.lock, first.granted_ns, int(later.min()) if len(later) else record.end_ns, record)
    lock, middle_ns = _commonest(holds), sum(record.window_ns) // 2
    mine = holds[(holds["lock"] == lock) & (holds["granted_ns"] >= middle_ns)].head(HOLDS_SHOWN)
    first_ns, last_ns = (int(mine["granted_ns"].min()), int(mine["released_ns"].max())) if len(mine) else record.window_ns
    return _around(lock, first_ns, last_ns, record, before=0.02, after=0.02)


def _commonest(holds: pd.DataFrame) -> int:
    """The lock with the most holds."""
    return int(holds["lock"].mode().iloc[0]) if len(holds) else 0


def _around(
    lock: int, first_ns: int, last_ns: int, record: Point, *, before: float = BEFORE, after: float = AFTER
) -> View:
    """What happened from first to last, and some time before and after, as shares of its length."""
    length_ns = max(last_ns - first_ns, 1)
    start_ns = max(first_ns - int(before * length_ns), 0)
    stop_ns = min(last_ns + int(after * length_ns), record.end_ns)
    return View(lock, (start_ns, max(stop_ns, start_ns + 1)), start_ns, f"{start_ns / style.NS_PER_S:.3f} s of the run")


def _alike(views: list[View]) -> list[View]:
    """Equally long before and after what happened, where time is counted from that in all of them."""
    if any(view.origin_ns == view.span_ns[0] for view in views):
        return views
    before_ns = max(view.origin_ns - view.span_ns[0] for view in views)
    after_ns = max(view.span_ns[1] - view.origin_ns for view in views)
    return [view._replace(span_ns=(view.origin_ns - before_ns, view.origin_ns + after_ns)) for view in views]


def _draw_view(panel: Axes, view: View, holds: pd.DataFrame, record: Point) -> None:
    seen = view.of(holds)
    start_ns, stop_ns = view.span_ns
    unit, name = (style.NS_PER_S, "s") if stop_ns - start_ns >= style.NS_PER_S else (style.NS_PER_MS, "ms")
    clients = list(dict.fromkeys(seen.sort_values("asked_ns")["client"].tolist()))
    rows = {client: len(clients) - place for place, client in enumerate(clients)}
    for column in ("asked_ns", "granted_ns", "released_ns"):
        seen = seen.assign(**{column: (seen[column] - view.origin_ns) / unit})
    for place, hold in enumerate(_rows(seen)):
        _draw_hold(panel, hold, rows[hold.client], HELD[place % 2])
    _draw_losses(panel, seen, rows, (stop_ns - view.origin_ns) / unit)
    for hold in _rows(seen[seen.index.isin(holds.index[locks.held_twice(holds.to_records(index=False))])]):
        _draw_hold(panel, hold, rows[hold.client], TWICE)
    for fault in record.faults:
        healed_ns = record.end_ns if fault.healed_ns is None else fault.healed_ns
        panel.axvspan((fault.injected_ns - view.origin_ns) / unit, (healed_ns - view.origin_ns) / unit, **FAULTY)
    for failover in lock_failover.failovers(record):
        panel.axvline((failover.elected_ns - view.origin_ns) / unit, **ELECTED)
    style.dress(panel)
    panel.grid(False, axis="y")
    panel.axhline(0.5, color=style.GREY, linewidth=0.6)
    panel.set_ylim(-0.7, len(clients) + 0.7)
    panel.set_xlim((start_ns - view.origin_ns) / unit, (stop_ns - view.origin_ns) / unit)
    panel.set_xlabel(f"time since {view.origin} ({name})")
    _name_rows(panel, clients)


def _rows(holds: pd.DataFrame) -> Iterator[Any]:
    """With the columns as attributes."""
    yield from holds.itertuples()


def _draw_hold(panel: Axes, hold: Any, row: int, color: str) -> None:
    """In the row of its client and in that of everybody. The edge keeps a hold visible that is shorter than a dot."""
    panel.plot([hold.asked_ns, hold.granted_ns], [row, row], color=WAITING, linewidth=1.2, solid_capstyle="butt", zorder=2)
    span = (hold.granted_ns, max(hold.released_ns - hold.granted_ns, 0))
    for height in (row, 0):
        panel.broken_barh(
            [span], (height - THICK / 2, THICK), facecolor=color, edgecolor=color, linewidth=0.7,
            alpha=0.45 if hold.shared else 1.0, zorder=5 if color == TWICE else 3,
        )  # fmt: skip


def _draw_losses(panel: Axes, seen: pd.DataFrame, rows: dict[int, int], stop: float) -> None:
    """A cross where a hold was lost, and how long nobody got the lock then."""
    for hold in _rows(seen[seen["end"].isin(["lost", "died"])]):
        later = seen["granted_ns"][seen["granted_ns"] > hold.released_ns]
        until = later.min() if len(later) else stop
        panel.broken_barh([(hold.released_ns, until - hold.released_ns)], (-THICK / 2, THICK), **WITHHELD)
        panel.plot([hold.released_ns] * 2, [rows[hold.client], 0], "x", **LOSS)


def _name_rows(panel: Axes, clients: Sequence[int]) -> None:
    if len(clients) <= MOST_NAMED:
        ticks, said = range(len(clients) + 1), ["anybody", *(f"client {client}" for client in reversed(clients))]
        panel.set_yticks(ticks, said, fontsize=7 if len(clients) <= 10 else 6)
    else:
        panel.set_yticks([0, len(clients) / 2], ["anybody", f"{len(clients)} clients"])
    panel.tick_params(axis="y", length=0)


def _explain(panel: Axes, results: Sequence[Result]) -> None:
    records = [record for result in results for record in result.records.values()]
    panel.fill([], [], color=HELD[0], label="holds the lock (in turns\ndark and light)")
    panel.plot([], [], color=WAITING, linewidth=1.2, label="waits for it")
    if any(record.faults for record in records):
        panel.fill([], [], **FAULTY, label="fault")
        panel.plot([], [], **ELECTED, label="a leader is elected")
    if any(result.points["holds_lost"].sum() for result in results):
        panel.plot([], [], "x", **LOSS, label="lost: its holder died,\nor its session ended")
        panel.fill([], [], **WITHHELD, label="withheld: rest of the lease,\nand lock-delay")
    if any(result.points["held_twice"].sum() for result in results):
        panel.fill([], [], color=TWICE, label="held twice")
