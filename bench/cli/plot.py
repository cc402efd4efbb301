"""replbench plot: the figures of one result or several."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from bench.cli.arguments import OneOf, Out, reported_results, reported_values

# The names of bench.plots.KINDS, here because loading them loads matplotlib; a test compares the two.
KINDS = (
    "latency-throughput", "cdf", "timeline", "costs",
    "lock-failover", "lock-holds", "lock-latency", "lock-fairness", "lock-keepalives",
)  # fmt: skip
SUFFIXES = (".svg", ".png", ".pdf")


@click.command(short_help="Draw the figures of results.")
@click.argument("results", nargs=-1, required=True, metavar="RESULT...", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    "kinds",
    type=OneOf(KINDS),
    multiple=True,
    help="Which figure; may be repeated; by default all that fit.",
)
@click.option(
    "--out",
    type=Out(),
    help="A folder, or a .svg, .png or .pdf file; by default plots/ in the first result.",
)
def plot(results: tuple[Path, ...], kinds: tuple[str, ...], out: Path | None) -> None:
    """Draw the figures of RESULT, or of several in the same axes, as SVG and PNG.

    \b
    replbench plot results/local/quick-20240601-101500
    replbench plot before after --kind latency-throughput --out comparison.svg

    latency-throughput: p50 and p99 against the rate achieved. cdf: how many waited how long. timeline:
    throughput and latency over time, faults shaded. costs: messages, bytes and syncs per commit. Prints the
    path of each file made.

    Of a lock service: lock-failover: how long it is gone when its master dies, and in which phases. lock-holds: who holds
    a lock when. lock-latency: acquires, and hand-offs between holders. lock-fairness: what each client waits.
    lock-keepalives: what sessions cost.

    Of a result that was kept without its bulk, what can be drawn of the rest is, and what is left out is named.
    """
    for path in draw(results, kinds, out or results[0] / "plots"):
        click.echo(str(path))


def draw(results: tuple[Path, ...], kinds: tuple[str, ...], out: Path) -> list[Path]:
    """Draw the kinds (all that fit, where none is given) into ``out`` and give the files made: all of them, or none where
    anything goes wrong.
    """
    one_file = bool(out.suffix) and not out.is_dir()
    if one_file and out.suffix not in SUFFIXES:
        raise click.ClickException(
            f"--out: {out} is not a folder, and not a kind of file that is drawn; end it in {', '.join(SUFFIXES)}"
        )
    if one_file and len(kinds) != 1:
        raise click.ClickException(
            f"{out} is one file for several figures; choose one with --kind, or name a folder"
        )
    with reported_results():
        from bench.metrics.result import load

        loaded = [load(path) for path in results]
        from bench.plots import fitting, render

        folder = out.parent if one_file else out
        try:
            with _aside(folder) as aside, reported_values():
                target = aside / out.name if one_file else aside
                left_out: list[str] = []
                allowed = None if kinds else left_out
                drawn = [path for kind in kinds or fitting(loaded) for path in render(loaded, kind, target, allowed)]
                _tell(left_out, results, bool(drawn))
                folder.mkdir(parents=True, exist_ok=True)
                return [path.replace(folder / path.name) for path in drawn]
        except OSError as error:
            raise click.ClickException(
                f"{out} cannot be written: {error.strerror or error}; make room there, or name another place with --out"
            ) from None


def _tell(left_out: list[str], results: tuple[Path, ...], some: bool) -> None:
    """What is not drawn, because a result was kept without the file that it needs."""
    if not left_out:
        return
    where, figures = " and ".join(map(str, results)), ", ".join(left_out)
    said = f"{where} was kept without files that these figures need: {figures}; `replbench run` makes another with them"
    if not some:
        raise click.ClickException(said)
    click.echo(f"replbench: left out: {said}", err=True)


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A temporary folder on the same disk, so that a figure is moved to its place only when it is whole."""
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    with tempfile.TemporaryDirectory(prefix=".plots.", dir=nearest) as name:
        yield Path(name)
