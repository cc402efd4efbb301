"""TLS between processes: who gets in, who is dropped and counted, and that encryption delays nothing."""
from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import select
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trustme

from bench.driver.connections import Connection
from bench.driver.frames import FrameError, encode
from bench.driver.replica import new_loop
from bench.driver.tls import Credentials, Session, TlsError, TlsFiles
from bench.scenario import ScenarioError
from tests.processes.certificates import issue, table
from tests.processes.cluster import SECRET, Caller, Cluster, eventually
from tests.processes.doorkeeper import Doorkeeper
from tests.processes.real import ran, short

HOST = "127.0.0.1"
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
EXPIRED = {"not_before": LONG_AGO, "not_after": LONG_AGO + datetime.timedelta(days=1)}


@dataclasses.dataclass
class Papers:
    """An authority with a good certificate, and where others can be made."""

    ca: trustme.CA
    folder: Path
    good: TlsFiles


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    ca, folder = trustme.CA(), tmp_path_factory.mktemp("papers")
    return Papers(ca, folder, issue(ca, folder, "good", HOST))


def client_context(files: TlsFiles | None, ca: str) -> ssl.SSLContext:
    """Of a caller that trusts ``ca`` and shows these papers, however bad they are."""
    context = ssl.create_default_context(cafile=ca)
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    return context


# Bytes in, bytes out


def conversation(accepting: Session, connecting: Session, said: bytes) -> bytes:
    """What arrives of ``said``, which the connecting end says at once."""
    data, heard = connecting.seal(said), b""
    for _ in range(4):
        heard += accepting.unseal(data)
        connecting.unseal(accepting.outgoing.read())
        data = connecting.outgoing.read()
    return heard


def test_what_is_said_before_the_handshake_arrives_after_it(papers: Papers) -> None:
    credentials = Credentials(papers.good)
    accepting, connecting = credentials.accept(), credentials.connect(HOST)
    assert conversation(accepting, connecting, b"early") == b"early"
    long = bytes(range(256)) * 4096
    sealed = accepting.seal(long)
    assert long[:256] not in sealed
    halves = [sealed[: len(sealed) // 2], sealed[len(sealed) // 2 :]]
    assert b"".join(connecting.unseal(half) for half in halves) == long
    assert accepting.tls.version() == "TLSv1.3"


@pytest.mark.parametrize(("data", "reason"), [
    (b"GET / HTTP/1.1\r\n\r\n", "not TLS"),
    (encode([1, 2]), "not TLS"),
    (b"\x16\x03\x01\x00\x05hello", "TLS failed"),
], ids=["http", "plain frame", "garbage"])  # fmt: skip
def test_what_is_no_tls_is_refused(papers: Papers, data: bytes, reason: str) -> None:
    with pytest.raises(TlsError, match=f"^{reason}: "):
        Credentials(papers.good).accept().unseal(data + bytes(100))


def test_another_name_and_another_authority_are_refused_by_whoever_connects(papers: Papers) -> None:
    other = issue(papers.ca, papers.folder, "elsewhere", "elsewhere.example")
    foreign = issue(trustme.CA(), papers.folder, "foreign", HOST)
    for files in (other, foreign):
        with pytest.raises(TlsError, match="wrong certificate: "):
            conversation(Credentials(files).accept(), Credentials(papers.good).connect(HOST), b"hello")


def test_papers_that_nobody_would_accept_are_bad_input(papers: Papers, tmp_path: Path) -> None:
    foreign = issue(trustme.CA(), tmp_path, "foreign", HOST)
    readable = tmp_path / "readable.key"
    readable.write_bytes(Path(papers.good.key).read_bytes())
    readable.chmod(0o640)
    empty = tmp_path / "empty.pem"
    empty.touch()
    replace = msgspec.structs.replace
    for files, complaint in (
        (replace(papers.good, certificate=str(tmp_path / "nowhere.pem")), "nowhere.pem cannot be read"),
        (replace(papers.good, key=str(readable)), "can be read by others; chmod 600 it"),
        (replace(papers.good, ca=str(empty)), "is no certificate of an authority"),
        (replace(papers.good, certificate=str(empty)), "are no certificate and its key"),
        (replace(papers.good, key=foreign.key), "key values mismatch"),
        (replace(papers.good, ca=foreign.ca), "would be refused: wrong certificate"),
        (issue(papers.ca, tmp_path, "expired", HOST, **EXPIRED), "would be refused: wrong certificate: certificate has expired"),
    ):
        with pytest.raises(ValueError, match=complaint) as raised:
            Credentials(files)
        assert "\n" not in str(raised.value)


def test_a_scenario_names_all_three_files_or_none() -> None:
    with pytest.raises(ScenarioError, match=r"tls\.key: is missing; give ca, certificate and key, or none"):
        short(tls={"ca": "ca.pem", "certificate": "own.pem"})


# A replica behind its door


@pytest.fixture
def guarded(papers: Papers, tmp_path: Path) -> Iterator[Cluster]:
    """One replica with TLS."""
    lone = Cluster("raft", tmp_path, replicas=1)
    lone.replicas[0].config |= {"tls": table(papers.good), "peers": {"0": [HOST, 0]}}
    try:
        lone.replicas[0].start()
        assert lone.replicas[0].line()["ready"]
        yield lone
    finally:
        lone.close()


def test_whoever_has_no_good_papers_is_dropped_counted_and_reported(guarded: Cluster, papers: Papers, tmp_path: Path) -> None:
    replica = guarded.replicas[0]
    foreign = issue(trustme.CA(), tmp_path, "foreign", HOST)
    expired = issue(papers.ca, tmp_path, "expired", HOST, **EXPIRED)
    replica.context = good = client_context(papers.good, papers.good.ca)
    for number, files in enumerate((foreign, expired, None), 1):
        with pytest.raises(OSError, match=r"alert|reset|closed|SSL"):
            Caller(replica.port, "control", 0, 0, context=client_context(files, papers.good.ca))
        eventually(lambda number=number: replica.status()["dropped"].get("wrong certificate") == number, "it is counted")
    assert "wrong certificate: certificate has expired" in replica.complaints()
    with pytest.raises(ssl.SSLCertVerificationError):
        Caller(replica.port, "control", 0, 0, context=client_context(papers.good, foreign.ca))
    with socket.create_connection((HOST, replica.port)) as plain, contextlib.suppress(ConnectionResetError):
        plain.sendall(encode([1, 2]) + bytes(100))
        while plain.recv(1 << 16):
            pass
    with pytest.raises((ConnectionError, FrameError)):
        Caller(replica.port, "client", 1, 0, secret=b"guess", context=good)
    counted = {"wrong certificate": 3, "refused by the other end": 1, "not TLS": 1, "wrong secret": 1}
    eventually(lambda: replica.status()["dropped"] == counted, "each is counted")
    eventually(lambda: replica.status()["leading"], "it runs on")
    assert SECRET.hex() not in replica.complaints()


def test_a_run_with_tls_survives_a_crash_and_passes_every_check(papers: Papers, tmp_path: Path) -> None:
    trial = ran("zab", tmp_path, duration="2s", tls=table(papers.good), faults=[{"at": "1s", "for": "300ms", "crash": "leader"}])
    assert trial.fairness["tls"] is True
    assert trial.counts["commits"] > 100


def test_a_replica_with_foreign_papers_does_not_hurt_the_others(papers: Papers, tmp_path: Path) -> None:
    foreign = issue(trustme.CA(), tmp_path / "foreign", "foreign", HOST)
    trio = Cluster("raft", tmp_path)
    good = client_context(papers.good, papers.good.ca)
    try:
        for replica in trio.replicas:
            replica.context = good
            replica.config["tls"] = table(papers.good)
        outcast = trio.replicas[2]
        outcast.config["tls"] = table(foreign)
        outcast.context = client_context(foreign, foreign.ca)
        trio.start()
        trio.put(b"key", b"value")
        for replica in trio.replicas[:2]:
            links = replica.status()["links"]
            assert not links["2"]["connected"]
            assert links[str(1 - replica.id)]["connected"]
        assert eventually(lambda: "refused by the other end" in trio.replicas[0].status()["dropped"], "it is counted")
        assert outcast.status()["dropped"]["wrong certificate"] >= 1
    finally:
        trio.close()


# What leaves at once


@pytest.mark.parametrize("kind", ["uvloop", "asyncio"])
def test_what_is_written_has_left_before_the_loop_goes_on(papers: Papers, kind: str) -> None:
    """The turn writes, then blocks in a sync: the bytes must be on their way by then."""
    loop = new_loop(kind)

    async def course() -> None:
        keeper = Doorkeeper(loop, 0, Credentials(papers.good))
        server = await loop.create_server(lambda: Connection(cast(Any, keeper)), HOST, 0)
        port = server.sockets[0].getsockname()[1]
        context = client_context(papers.good, papers.good.ca)
        caller = await asyncio.to_thread(Caller, port, "client", 1, 0, context=context)
        connection = await keeper.joining
        assert not select.select([caller.socket], [], [], 0)[0]
        connection.write(encode("first"))
        # Nothing has given the loop a turn since.
        assert select.select([caller.socket], [], [], 0)[0]
        assert bytes(caller.body()) == encode("first")[4:]
        caller.close()
        server.close()

    loop.run_until_complete(course())
    loop.close()
