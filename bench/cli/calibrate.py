"""replbench calibrate: what work costs on this machine, as a profile that simulations use."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from bench.cli.arguments import Out, refuse

PROFILE = Path("results") / "local" / "costs.toml"


@click.command(short_help="Measure what work costs on this machine.")
@click.option("--out", type=Out(), default=PROFILE, show_default=True, help="The file to write, replaced where it exists.")
@click.option("--quiet", is_flag=True, help="No progress: only the path of the file.")
@click.pass_context
def calibrate(context: click.Context, out: Path, quiet: bool) -> None:
    """Measure what messages, turns, commands and syncs cost on this machine, in about half a minute, and write a cost profile.

    Logs are written beside the profile: put it on the disk that replicas are to use.

    \b
    replbench calibrate
    replbench run both-3 --costs results/local/costs.toml
    """
    refused = unwritable(out)
    if refused:
        context.exit(refuse(refused))
    write_profile(out, quiet)
    click.echo(str(out))


def unwritable(out: Path) -> str:
    """Why this file cannot be written, in a line with the remedy; nothing where it can."""
    remedy = "name another file with --out"
    if out.suffix != ".toml":
        return f"{out} is no name of a cost profile; give one that ends in .toml"
    if out.is_dir():
        return f"{out} is a folder; {remedy}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        return f"{out} cannot be written: {error.strerror}; {remedy}"
    return ""


def write_profile(out: Path, quiet: bool, effort: float = 1.0) -> None:
    """Measure, and write the profile; ``effort`` below 1 makes it shorter and rougher."""
    from bench.calibration import profile
    from bench.checkers.verdict import FOREIGN_SHARE

    def say(what: str) -> None:
        if not quiet:
            click.echo(f"measuring {what}", err=True)

    measured = profile.measure(out.parent, say, effort)
    made = profile.costs(measured, out.stem, out.parent)
    partial = out.with_suffix(".partial")
    partial.write_text(profile.as_file(made, measured))
    partial.replace(out)
    if measured.foreign_share > FOREIGN_SHARE:
        click.echo(
            f"replbench: other programs took up to {measured.foreign_share:.0%} of this machine meanwhile, and costs are "
            "too high for it, so that predictions with them are suspect; repeat it when it is quiet",
            err=True,
        )
