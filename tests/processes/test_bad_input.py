"""What a user gets wrong about real processes: one line, exit 2, and nothing is left behind."""
from __future__ import annotations

import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from bench.cli.commands import call
from ext.build import ROOT
from tests.processes.certificates import issue
from tests.processes.hosts import REPLBENCH, free_pair, write_peers, write_private

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Refused:
    """What a command says that is bad input."""

    def said(*arguments: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        assert call([str(argument) for argument in arguments]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert len(output.err.splitlines()) == 1, output.err
        assert sorted(tmp_path.rglob("*")) == before, "nothing is made"
        return output.err

    return said


@pytest.fixture
def served(refused: Refused, tmp_path: Path) -> Refused:
    """What `replbench serve` says that is bad input; options may be replaced by giving them again."""
    peers = write_peers(tmp_path / "peers.toml", [f"127.0.0.{last}:{free_pair()}" for last in (2, 3, 4)])
    secret = write_private(tmp_path / "secret", "s" * 32)
    return lambda *more: refused("serve", "--id", 0, "--peers", peers, "--secret", secret, "--data", tmp_path, *more)


@pytest.mark.parametrize("beside", [0, 1], ids=["its own port", "the port of the replica"])
def test_a_port_in_use(beside: int, served: Refused) -> None:
    port = free_pair()
    with socket.create_server(("127.0.0.1", port + beside)):
        said = served("--listen", f"127.0.0.1:{port}")
    assert said == f"replbench: cannot listen on 127.0.0.1:{port + beside}: Address already in use; choose another address\n"


def test_an_address_that_is_not_ours_or_is_none(served: Refused) -> None:
    assert "cannot listen on 192.0.2.77:7001: Cannot assign requested address" in served("--listen", "192.0.2.77:7000")
    assert '"7000" is not an address; write "HOST:PORT"' in served("--listen", "7000")


def test_an_id_that_is_no_peer_and_peers_that_are_wrong(served: Refused, tmp_path: Path) -> None:
    assert "peers.toml: has no replica 7; add it, or give an --id from 0 to 2" in served("--id", 7)
    twice = tmp_path / "twice.toml"
    twice.write_text('[[replica]]\nid = 0\naddress = "a:1"\n[[replica]]\nid = 0\naddress = "b:1"\n')
    assert "twice.toml: replica[1].id: 0 is also the id of replica[0]; give each its own" in served("--peers", twice)
    assert "nowhere.toml: cannot be read" in served("--peers", tmp_path / "nowhere.toml")


def test_a_secret_that_is_none(served: Refused, tmp_path: Path) -> None:
    readable = write_private(tmp_path / "readable", "s" * 32)
    readable.chmod(0o644)
    assert "readable holds a secret and can be read by others; chmod 600 it" in served("--secret", readable)
    short = write_private(tmp_path / "short", " hunter2\n")
    assert "short holds 7 bytes, which can be guessed" in served("--secret", short)
    assert "hunter2" not in served("--secret", short)
    assert "nowhere cannot be read: No such file" in served("--secret", tmp_path / "nowhere")


def test_certificates_that_cannot_be_used(served: Refused, tmp_path: Path) -> None:
    files = issue(trustme.CA(), tmp_path / "papers", "good", "127.0.0.2")
    other = issue(trustme.CA(), tmp_path / "papers", "other", "127.0.0.2")

    def with_tls(ca: str, certificate: str, key: str) -> str:
        return served("--tls-ca", ca, "--tls-certificate", certificate, "--tls-key", key)

    assert "nowhere cannot be read: No such file" in with_tls(files.ca, str(tmp_path / "nowhere"), files.key)
    assert "would be refused: wrong certificate" in with_tls(other.ca, files.certificate, files.key)
    assert "key values mismatch" in with_tls(files.ca, files.certificate, other.key)
    assert "give the others, too" in served("--tls-ca", files.ca)
    Path(files.key).chmod(0o604)
    assert "good.key holds a secret and can be read by others" in with_tls(files.ca, files.certificate, files.key)


def test_folders_that_cannot_be_written(served: Refused, refused: Refused, tmp_path: Path) -> None:
    file = write_private(tmp_path / "file", "")
    assert "cannot be written: No such file or directory; name another folder with --data" in served("--data", tmp_path / "no")
    assert "file cannot be written: Not a directory" in served("--data", file)
    assert "/proc cannot be written" in served("--data", "/proc")
    assert "/proc/out cannot be made" in refused("run", "real-3", "--out", "/proc/out")


def test_a_run_with_certificates_that_cannot_be_used(refused: Refused, tmp_path: Path) -> None:
    files = issue(trustme.CA(), tmp_path / "papers", "good", "127.0.0.1")
    key = tmp_path / "nowhere.key"
    settings = [f'tls.ca="{files.ca}"', f'tls.certificate="{files.certificate}"', f'tls.key="{key}"']
    arguments = [part for setting in settings for part in ("--set", setting)]
    said = refused("run", "real-3", "--out", tmp_path / "out", *arguments)
    assert "nowhere.key cannot be read: No such file or directory" in said


def test_a_cluster_without_its_secret_and_the_other_way_round(refused: Refused, tmp_path: Path) -> None:
    assert "--cluster and --secret go together" in refused("run", "quick-lan", "--cluster", tmp_path / "peers.toml")
    assert "--cluster and --secret go together" in refused("run", "real-3", "--secret", tmp_path / "secret")


def test_too_few_descriptors(tmp_path: Path) -> None:
    """Clients need none each, so that what is needed depends on the replicas alone."""
    done = subprocess.run(
        [*REPLBENCH, "run", "real-3", "--out", str(tmp_path / "out")], cwd=ROOT, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "replbench: 3 replicas and their clients need 88 open files, and a process may have 40; raise the limit "
        "(ulimit -Hn 88), or take fewer replicas\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_low_limit_of_descriptors_is_raised_as_far_as_it_may_be() -> None:
    code = (
        "import resource as r; from bench.driver.descriptors import require; _, hard = r.getrlimit(r.RLIMIT_NOFILE);"
        "r.setrlimit(r.RLIMIT_NOFILE, (40, hard)); require(3); print(r.getrlimit(r.RLIMIT_NOFILE) == (hard, hard))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
