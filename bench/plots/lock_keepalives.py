"""What it costs to keep sessions alive, beside what the paper reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import PercentFormatter

from bench.plots import bars, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.metrics.result import Result

PANELS = (
    ("keep_alives_per_client_per_s", "KeepAlives / client / s"),
    ("keep_alive_share", "KeepAlives among all RPCs of clients"),
)
PAPER_SHARE = 0.93
# Burrows 2006, 4.1: 93 % of 1,000 to 2,000 RPCs a second were KeepAlives, in a cell of 22,000 clients.
PAPER_PER_CLIENT = tuple(PAPER_SHARE * rpcs_per_s / 22_000 for rpcs_per_s in (1000, 2000))
SAID_SHARE = "Burrows 2006, 4.1: 93 %"
SAID_PER_CLIENT = "Burrows 2006, 4.1: 93 % of\n1,000 to 2,000 RPCs/s, by\n22,000 clients"
AT_REST_PER_S, SAID_AT_REST = 1 / 7, "one every 7 s: a lease of 12 s,\nanswered 5 s before its end"
CELL: dict[str, Any] = {"color": style.PAPER, "alpha": 0.25, "linewidth": 0, "zorder": 3}
AT_REST: dict[str, Any] = {"color": style.INK, "linewidth": 1, "linestyle": ":"}


def draw(results: Sequence[Result], axes: Sequence[Axes]) -> None:
    """How many KeepAlives a client sends, and their share, which says as much of the rest of the load as of them."""
    bars.draw(results, axes, PANELS, {"keep_alive_share": "{:.1%}"})
    per_client, share = axes[:2]
    per_client.set_ylim(0, max(per_client.get_ylim()[1], 1.3 * AT_REST_PER_S))
    per_client.axhspan(*PAPER_PER_CLIENT, **CELL)
    per_client.axhline(AT_REST_PER_S, **AT_REST)
    share.axhline(PAPER_SHARE, **style.REPORTED, label=SAID_SHARE)
    share.set_ylim(0, 1)
    share.yaxis.set_major_formatter(PercentFormatter(1.0))
    share.plot([], [], **AT_REST, label=SAID_AT_REST)
    share.fill([], [], **CELL, label=SAID_PER_CLIENT)
    style.legend(axes)
