"""replbench serve: run one replica of a cluster, for runs on other hosts to drive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.arguments import GOOD, Whole, reported, reported_values
from bench.scenario import ScenarioError, read_address, read_peers


class ListenAddress(click.ParamType[tuple[str, int]]):
    """HOST:PORT of this machine."""

    name = "address"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> tuple[str, int]:
        try:
            return read_address(value)
        except ValueError as error:
            self.fail(str(error), parameter, context)


FILE = click.Path(path_type=Path)


@click.command(short_help="Run one replica, for a run elsewhere to drive.")
@click.option("--id", "replica", type=Whole(0, 98), required=True, help="Which of the peers this is.")
@click.option("--peers", type=FILE, required=True, help="Where all replicas are (TOML), the same file everywhere.")
@click.option("--secret", type=FILE, required=True, help="A file that all hosts share, readable by its owner only.")
@click.option(
    "--listen", type=ListenAddress(), metavar="HOST:PORT", help="Where to listen, if not at its address among the peers."
)
@click.option("--data", type=FILE, default=Path(), help="The folder for the logs of runs; by default this one.")
@click.option("--tls-ca", type=FILE, help="TLS: the certificate of the authority that all trust (PEM).")
@click.option("--tls-certificate", type=FILE, help="TLS: the certificate of this host (PEM).")
@click.option("--tls-key", type=FILE, help="TLS: its key (PEM), readable by its owner only.")
@click.pass_context
def serve(
    context: click.Context,
    /,
    *,
    replica: int,
    peers: Path,
    secret: Path,
    listen: tuple[str, int] | None,
    data: Path,
    tls_ca: Path | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
) -> None:
    """Run replica ID of a cluster until it is stopped, as `replbench run SCENARIO --cluster PEERS` wants it run.

    \b
    replbench serve --id 2 --peers peers.toml --secret secret
    replbench serve --id 2 --peers peers.toml --secret secret --listen 0.0.0.0:7000 --data /var/tmp

    PEERS has a [[replica]] for each, with its id and its address:

    \b
    [[replica]]
    id = 2
    address = "10.0.0.3:7000"

    A replica takes two ports: this one, where it is told what to run, and the next one, where it runs. A secret is made with
    `(umask 077; head -c 32 /dev/urandom | base64 > secret)`. What a run leaves here is removed when it ends.
    """
    import asyncio

    from bench.driver import descriptors
    from bench.driver.private import read_secret
    from bench.driver.steward import Steward

    with reported(), reported_values():
        addresses = read_peers(peers).addresses()
        if replica not in addresses:
            raise ScenarioError(f"{peers}: has no replica {replica}; add it, or give an --id from 0 to {len(addresses) - 1}")
        descriptors.require(len(addresses))
        tls = _tls(tls_ca, tls_certificate, tls_key)
        own = listen or addresses[replica]
        steward = Steward(replica, addresses, own, read_secret(secret), _writable(data), tls, _report)
        asyncio.run(steward.serve())
    context.exit(GOOD)


def _tls(ca: Path | None, certificate: Path | None, key: Path | None) -> Any:
    from bench.driver.tls import TlsFiles

    if ca is None and certificate is None and key is None:
        return None
    if ca is None or certificate is None or key is None:
        raise click.UsageError("TLS takes all of --tls-ca, --tls-certificate and --tls-key; give the others, too")
    return TlsFiles(str(ca.absolute()), str(certificate.absolute()), str(key.absolute()))


def _writable(folder: Path) -> Path:
    """The folder itself; ValueError where nothing can be made in it."""
    import tempfile

    try:
        with tempfile.TemporaryDirectory(prefix=".processes-", dir=folder):
            return folder
    except OSError as error:
        raise ValueError(f"{folder} cannot be written: {error.strerror}; name another folder with --data") from None


def _report(line: str) -> None:
    click.echo(f"replbench: {line}", err=True)

