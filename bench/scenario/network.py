"""What lies between the replicas: latency or a matrix of regions, loss, bandwidth; and how a distribution is
written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec

from bench.distributions import KINDS, Constant, Distribution, Lognormal
from bench.scenario import units
from bench.scenario.fields import (
    BANDWIDTH,
    DURATION,
    PROBABILITY,
    Choice,
    Kind,
    Number,
    Place,
    Several,
    Sub,
    Table,
    Text,
    nearest,
    read,
    shown,
)
from bench.scenario.toml import read_toml, reason

NETWORKS = Path(__file__).resolve().parent.parent / "networks"


class Drawn(Kind):
    """A distribution of a duration: ``{ distribution = "normal", mean = "1ms", stddev = "0.1ms" }``, or "1ms"
    for a constant.
    """

    def read(self, value: Any, place: Place) -> Distribution:
        if not isinstance(value, dict):
            return Constant(value=units.duration_ns(value))
        name = value.get("distribution")
        if name not in KINDS:
            remedy = nearest(name, KINDS)
            raise ValueError(
                f"unknown distribution {shown(name)}; {remedy}"
                if name
                else f"distribution is missing; {remedy}"
            )
        kind = KINDS[name]
        given = {key: each for key, each in value.items() if key != "distribution"}
        if kind.distribution == "empirical" and "file" in given:
            given["values"] = _measured(given.pop("file"), place.at("file"))
        by_mean = kind is Lognormal and "mean" in given
        parameters = ["mean", "stddev"] if by_mean else list(kind.__struct_fields__)
        self._complete(kind, given, parameters, place)
        arguments = {key: self._parameter(key, each, place.at(key)) for key, each in given.items()}
        try:
            return Lognormal.of_mean(**arguments) if by_mean else kind(**arguments)
        except ValueError as error:
            parameter, _, message = str(error).partition(": ")
            raise place.at(parameter).error(message) from None

    def _complete(
        self, kind: type[Distribution], given: dict[str, Any], parameters: list[str], place: Place
    ) -> None:
        for key in given:
            if key not in parameters:
                raise place.at(key).error(
                    f"unknown parameter of {kind.distribution}; {nearest(key, parameters)}"
                )
        optional = {
            field.name for field in msgspec.structs.fields(kind) if field.default is not msgspec.NODEFAULT
        }
        missing = [key for key in parameters if key not in given and key not in optional]
        if missing:
            raise ValueError(f"{kind.distribution} needs {' and '.join(missing)}; add {missing[0]} = ...")

    def _parameter(self, name: str, value: Any, place: Place) -> Any:
        if name in ("sigma", "alpha"):
            return read(Number(0, 1000), value, place)
        if name == "weights":
            return read(Several(Number(0, 1e9)), value, place)
        if name == "parts":
            return read(Several(self), value, place)
        if name == "values":
            return read(Several(DURATION), value, place)
        return read(DURATION, value, place)

    def write(self, value: Distribution) -> Any:
        if isinstance(value, Constant):
            return units.duration_text(value.value)
        written: dict[str, Any] = {"distribution": value.distribution}
        for name in value.__struct_fields__:
            parameter = getattr(value, name)
            if name in ("sigma", "alpha"):
                written[name] = parameter
            elif name == "weights":
                written[name] = list(parameter)
            elif name == "parts":
                written[name] = [self.write(part) for part in parameter]
            elif name == "values":
                written[name] = [units.duration_text(each) for each in parameter]
            else:
                written[name] = units.duration_text(parameter)
        return written


DRAWN = Drawn()


def _measured(name: Any, place: Place) -> list[str]:
    """The lines of a file of measured durations; blank lines and what follows a # are skipped."""
    if not isinstance(name, str):
        raise place.error(f"{shown(name)} is not a path; write it in quotes")
    try:
        text = (place.folder / name).read_text()
    except (OSError, ValueError) as error:
        raise place.error(
            f'"{name}" cannot be read ({reason(error)}); name a text file, one duration a line'
        ) from None
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [line for line in lines if line]


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """Measured round trips between regions: ``rtt_ns[row][column]``, not necessarily symmetric; inside a
    region: the diagonal.
    """

    name: str
    regions: tuple[str, ...]
    rtt_ns: tuple[tuple[int, ...], ...]

    def one_way_ns(self, sender: str, receiver: str) -> int:
        """Half the round trip from one region to another, in ns."""
        return self.rtt_ns[self.regions.index(sender)][self.regions.index(receiver)] // 2


class MatrixKind(Kind):
    """A name in bench/networks, the path of a TOML file with ``regions`` and ``rtt_ms``, or a table with
    these two.
    """

    def read(self, value: Any, place: Place) -> Matrix:
        if isinstance(value, dict):
            return self._matrix(str(value.get("name", "inline")), value, place)
        if not isinstance(value, str):
            raise ValueError(
                f"{shown(value)} is not a matrix; name one ({', '.join(network_names())}) or a TOML file"
            )
        if value in network_names():
            path = NETWORKS / f"{value}.toml"
        elif value.endswith(".toml"):
            path = place.folder / value
        else:
            raise ValueError(
                f'unknown network "{value}"; {nearest(value, network_names())} '
                "or give a path that ends in .toml"
            )
        return self._matrix(
            value, read_toml(path, str(path) if value.endswith(".toml") else f"network {value}"), place
        )

    def _matrix(self, name: str, table: dict[str, Any], place: Place) -> Matrix:
        for key in table:
            if key not in ("name", "about", "regions", "rtt_ms"):
                raise ValueError(f"{name}: unknown key {key}; {nearest(key, ('regions', 'rtt_ms'))}")
        for key in ("regions", "rtt_ms"):
            if key not in table:
                raise ValueError(f"{name}: {key} is missing; give regions = [...] and rtt_ms = [[...]]")
        regions = read(Several(Text()), table["regions"], place.at("regions"))
        rows = read(Several(Several(Number(0, 1e6))), table["rtt_ms"], place.at("rtt_ms"))
        if not regions or len(set(regions)) != len(regions):
            raise ValueError(f"{name}: regions must be distinct and at least one; mend regions")
        if len(rows) != len(regions) or any(len(row) != len(regions) for row in rows):
            raise ValueError(
                f"{name}: rtt_ms must be {len(regions)} rows of {len(regions)}, as there are regions; mend it"
            )
        rtt_ns = tuple(tuple(round(milliseconds * 1_000_000) for milliseconds in row) for row in rows)
        return Matrix(name=name, regions=regions, rtt_ns=rtt_ns)

    def write(self, value: Matrix) -> Any:
        # A built-in is written by its name; one that came from the user's file travels with the result.
        if value.name in network_names():
            return value.name
        rows = [[nanoseconds / 1_000_000 for nanoseconds in row] for row in value.rtt_ns]
        return {"name": value.name, "regions": list(value.regions), "rtt_ms": rows}


def network_names() -> list[str]:
    """The matrices that come with the program."""
    return sorted(path.stem for path in NETWORKS.glob("*.toml"))


class Loss(Table, frozen=True, kw_only=True):
    """Which packets are lost: none, each alike, or in bursts (Gilbert 1960, Elliott 1963).

    Gilbert-Elliott: a link turns bad with probability ``p`` and good again with ``r`` at each packet; a
    packet is delivered with probability ``h`` while bad and ``k`` while good.
    """

    CHOICES: ClassVar[dict[str, dict[str, tuple[str, ...]]]] = {
        "model": {"none": (), "independent": ("probability",), "gilbert-elliott": ("p", "r", "h", "k")}
    }

    model: Annotated[
        str, Choice("model of loss", *CHOICES["model"]), "none, independent or gilbert-elliott"
    ] = "none"
    probability: Annotated[float, Number(0, 0.99), "of each packet to be lost"] = 0.0
    p: Annotated[float, PROBABILITY, "from good to bad, at each packet"] = 0.001
    r: Annotated[float, PROBABILITY, "from bad to good, at each packet"] = 0.3
    h: Annotated[float, PROBABILITY, "of delivery while bad"] = 0.5
    k: Annotated[float, PROBABILITY, "of delivery while good"] = 1.0

    def __post_init__(self) -> None:
        if self.model == "gilbert-elliott" and self.p > 0 and (self.r == 0 or self.k == 0):
            raise ValueError("r: with r or k at zero nothing is ever delivered again; give both above zero")

    @classmethod
    def expand(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {"model": "independent" if value else "none"} | ({"probability": value} if value else {})
        return value


class Network(Table, frozen=True, kw_only=True):
    """Defaults: one data centre of the 2020s. 0.1 ms one way between hosts (kernel and switches), 10 Gbit/s a
    host.
    """

    transport: Annotated[
        str, Choice("transport", "tcp", "datagram"), "tcp (in order, lost packets sent again) or datagram"
    ] = "tcp"
    latency: Annotated[
        Distribution | None, DRAWN, "one way between two replicas; 0.1ms where there is no matrix"
    ] = None
    matrix: Annotated[Matrix | None, MatrixKind(), "round trips by region instead of one latency"] = None
    placement: Annotated[tuple[str, ...], Several(Text()), "the region of each replica; needs a matrix"] = ()
    jitter_ns: Annotated[int, DURATION, "added to each latency, evenly from zero to this"] = 0
    client_latency: Annotated[
        Distribution | None, DRAWN, "one way, client to replica; as between replicas where not given"
    ] = None
    loss: Annotated[Loss, Sub(Loss), "a probability, or a model"] = Loss()
    duplicate: Annotated[float, PROBABILITY, "of a datagram to arrive twice"] = 0.0
    reorder: Annotated[float, PROBABILITY, "of a datagram to be overtaken by those behind it"] = 0.0
    bandwidth_bytes_per_s: Annotated[float, BANDWIDTH, "of each host's interface, or unlimited"] = 1.25e9
    retransmit_ns: Annotated[
        int, DURATION, "tcp sends a lost packet again after this (least in Linux: 200ms)"
    ] = 200_000_000
    user_timeout_ns: Annotated[int, DURATION, "tcp gives a silent connection up after this"] = 5_000_000_000

    def __post_init__(self) -> None:
        if self.matrix is not None and self.latency is not None:
            raise ValueError("latency: a matrix gives the latencies; remove latency or matrix")
        if self.matrix is None and self.placement:
            raise ValueError(f'placement: needs a matrix of regions; add matrix = "{network_names()[0]}"')
        for region in self.placement:
            require_region(self.matrix, region, "placement")
        if self.transport == "tcp" and (self.duplicate or self.reorder):
            field = "duplicate" if self.duplicate else "reorder"
            raise ValueError(f'{field}: tcp hides it; set it to 0, or set transport = "datagram"')
        if not self.retransmit_ns or not self.user_timeout_ns:
            field = "user_timeout" if self.retransmit_ns else "retransmit"
            raise ValueError(f'{field}: must be above zero; give a duration such as "200ms"')

    @classmethod
    def expand(cls, value: Any) -> Any:
        if isinstance(value, dict) and "matrix" not in value and "latency" not in value:
            return {**value, "latency": "0.1ms"}
        return value


def require_region(matrix: Matrix | None, region: str, field: str) -> None:
    """ValueError where the region is not one of the matrix."""
    if matrix is None:
        raise ValueError(
            f'{field}: "{region}" needs a matrix of regions; set network.matrix, or leave {field} out'
        )
    if region not in matrix.regions:
        remedy = nearest(region, matrix.regions)
        raise ValueError(f'{field}: region "{region}" is not in the matrix "{matrix.name}"; {remedy}')
