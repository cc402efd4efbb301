"""The file of a cluster: where each replica is served."""
from __future__ import annotations

from pathlib import Path

import pytest

from bench.scenario import ScenarioError, address_text, read_address, read_peers


def replica(id: object, address: str) -> str:
    return f"[[replica]]\nid = {id}\naddress = {address}\n"


def test_addresses_are_read_by_id_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "peers.toml").write_text(
        replica(2, '"[::1]:7000"') + replica(0, '"10.0.0.1:7000"') + replica(1, '"node-1.example:65534"')
    )
    assert read_peers(tmp_path / "peers.toml").addresses() == {
        0: ("10.0.0.1", 7000), 1: ("node-1.example", 65534), 2: ("::1", 7000)
    }  # fmt: skip


@pytest.mark.parametrize(("content", "complaint"), [
    (replica(0, '"a:7000"') + replica(0, '"b:7000"'), "replica[1].id: 0 is also the id of replica[0]; give each its own"),
    (replica(0, '"a:7000"') + replica(1, '"a:7000"'), "replica[1].address: a:7000 is also replica[0]'s"),
    (replica(0, '"a:7000"') + replica(1, '"a:7001"'), "replica[1].address: a:7001 is also replica[0]'s, and each takes the port"),
    (replica(0, '"a:7000"') + replica(2, '"b:7000"'), "replica: there are 2, but none has the id 1; number them from 0 on"),
    (replica(99, '"a:7000"'), "replica[0].id: 99 is not between 0 and 98; give a whole number"),
    (replica(0, "7000"), 'replica[0].address: 7000 is not an address; write "HOST:PORT" in quotes'),
    (replica(0, '"a"'), 'replica[0].address: "a" is not an address'),
    (replica(0, '"a:65535"'), "with a port from 1 to 65534"),
    (replica(0, '"10.0.0.256:7000"'), 'replica[0].address: "10.0.0.256:7000" names no host'),
    (replica(0, '"[:::1]:7000"'), "names no host"),
    (replica(0, '"a b:7000"'), "names no host"),
    (replica(0, '"a:7000"') + "colour = 1\n", "replica[0].colour: unknown key"),
    ("[[replica]]\nid = 0\n", "replica[0]: address is missing"),
    ("replica = []\n", "replica: is empty; give a [[replica]] for each"),
    ("id = [\n", "is not TOML"),
    ("", "is empty; give at least one key, such as id = 0 of a [[replica]]"),
], ids=range(16))  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(content: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "peers.toml"
    path.write_text(content)
    with pytest.raises(ScenarioError) as raised:
        read_peers(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_no_scenario() -> None:
    with pytest.raises(ScenarioError) as raised:
        read_peers(Path("gone.toml"))
    assert str(raised.value) == "gone.toml: cannot be read (no such file or directory); name a file with a [[replica]] for each"


@pytest.mark.parametrize("text", ["10.0.0.1:7000", "[::1]:7000", "localhost:1"])
def test_addresses_are_written_as_they_are_read(text: str) -> None:
    assert address_text(read_address(text)) == text
