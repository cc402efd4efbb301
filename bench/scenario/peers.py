"""The file that says where the replicas of a cluster are: one [[replica]] for each, with its id and its address."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any

from bench.scenario.fields import Integer, Kind, Place, Several, Sub, Table, read_table, shown
from bench.scenario.toml import read_toml

Address = tuple[str, int]


class AddressKind(Kind):
    """A text HOST:PORT: a name, an IPv4 address, or an IPv6 address in [ ]."""

    def read(self, value: Any, place: Place) -> Address:  # noqa: ARG002
        return read_address(value)

    def write(self, value: Address) -> str:
        return address_text(value)


class Peer(Table, frozen=True, kw_only=True):
    """One replica."""

    id: Annotated[int, Integer(0, 98), "from 0 on"]
    address: Annotated[Address, AddressKind(), '"HOST:PORT" that it is served at; it takes the next port, too']


class Peers(Table, frozen=True, kw_only=True):
    """All replicas, by whoever serves them and whoever drives them."""

    replica: Annotated[tuple[Peer, ...], Several(Sub(Peer)), "one for each"]

    def __post_init__(self) -> None:
        if not self.replica:
            raise ValueError("replica: is empty; give a [[replica]] for each")
        seen: dict[object, int] = {}
        for index, peer in enumerate(self.replica):
            host, port = peer.address
            if peer.id in seen:
                raise ValueError(f"replica[{index}].id: {peer.id} is also the id of replica[{seen[peer.id]}]; give each its own")
            seen[peer.id] = index
            for taken in (host, port), (host, port + 1):
                if taken in seen:
                    raise ValueError(
                        f"replica[{index}].address: {address_text(taken)} is also replica[{seen[taken]}]'s, and each takes the "
                        "port after its own, too; leave one between"
                    )
                seen[taken] = index
        missing = sorted(set(range(len(self.replica))) - {peer.id for peer in self.replica})
        if missing:
            raise ValueError(f"replica: there are {len(self.replica)}, but none has the id {missing[0]}; number them from 0 on")

    def addresses(self) -> dict[int, Address]:
        """Where each is served, by id."""
        return {peer.id: peer.address for peer in self.replica}


def read_address(value: Any) -> Address:
    """(host, port) of "HOST:PORT"; ValueError where it is none."""
    if not isinstance(value, str):
        raise ValueError(f'{shown(value)} is not an address; write "HOST:PORT" in quotes')
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal() or not 1 <= int(port) <= 65534:
        raise ValueError(f'{shown(value)} is not an address; write "HOST:PORT", with a port from 1 to 65534')
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1])), int(port)
        except ValueError:
            host = ""
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return str(ipaddress.IPv4Address(host)), int(port)
        except ValueError:
            host = ""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", host):
        raise ValueError(f"{shown(value)} names no host; write a name, an IPv4 address, or an IPv6 address in [ ]")
    return host, int(port)


def address_text(address: Address) -> str:
    """As ``read_address`` reads it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_peers(path: Path) -> Peers:
    """The file of a cluster; ScenarioError, in one line, for whatever is wrong."""
    table = read_toml(path, str(path), "name a file with a [[replica]] for each", 'id = 0 of a [[replica]]')
    return read_table(Peers, table, Place(str(path), path.parent))
