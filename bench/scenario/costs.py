"""What work costs on one machine that replicas and clients share: measured by ``replbench calibrate``, used by the simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from bench.distributions import ZERO, Constant, Distribution
from bench.scenario.fields import (
    COST,
    Integer,
    Kind,
    Number,
    Place,
    Table,
    Text,
    nearest,
    read_table,
    shown,
    write_table,
)
from bench.scenario.network import DRAWN
from bench.scenario.toml import read_toml

COSTS = Path(__file__).resolve().parent.parent / "costs"


class Costs(Table, frozen=True, kw_only=True):
    """Replicas and clients as processes that share a machine's cores and its disk; ``[cpu]`` and the costs of ``[storage]`` then
    do not count. Each process does one thing at a time, in turns: it takes all that has arrived.

    In a file beside these: ``measured``, a table of figures that no run uses.
    """

    NOTES: ClassVar[str] = "measured"

    name: Annotated[str, Text(), "of the machine"] = "inline"
    about: Annotated[str, Text(), "processor, cores, kernel, file system, interpreter"] = ""
    cores: Annotated[int, Integer(1, 1024), "that all processes share, first come first served"]
    wake_up: Annotated[Distribution, DRAWN, "until a process runs on a core that was idle"] = ZERO
    per_turn_ns: Annotated[float, COST, "of a replica: to wake up and look around"] = 0.0
    per_frame_ns: Annotated[float, COST, "to read or to write all that goes between two processes at once"] = 0.0
    per_message_ns: Annotated[float, COST, "to decode and take, or to make and encode, one"] = 0.0
    per_byte_ns: Annotated[float, COST, "to copy and decode, or to encode"] = 0.0
    per_command_ns: Annotated[float, COST, "to apply one, at each replica"] = 0.0
    per_sync_ns: Annotated[float, COST, "of a core, beside the wait for the disk"] = 0.0
    per_new_block_ns: Annotated[float, COST, "as per_sync, where a block of 4 KiB is begun: the file system notes it"] = 0.0
    client_per_turn_ns: Annotated[float, COST, "of the process of the clients"] = 0.0
    client_per_message_ns: Annotated[float, COST, "for a client to send or to hear one"] = 0.0
    fsync: Annotated[Distribution, DRAWN, "of one sync, where no other replica syncs"] = Constant(value=200_000)
    fsync_new_block_ns: Annotated[float, COST, "more, where a block of 4 KiB is begun"] = 0.0
    fsync_per_byte_ns: Annotated[float, COST, "to write, beside the sync"] = 0.0
    contention: Annotated[
        float, Number(0, 10), "how much longer a sync takes for each other one under way; 0: a disk a replica"
    ] = 0.0
    others_share_of_machine: Annotated[
        float, Number(0, 1), "that other programs took while this was measured; above a tenth, predictions are suspect"
    ] = 0.0


class CostsKind(Kind):
    """A name in bench/costs, the path of a TOML file that ``replbench calibrate`` wrote, or a table."""

    def read(self, value: Any, place: Place) -> Costs:
        if isinstance(value, dict):
            return read_table(Costs, value, place)
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} is no cost profile; name one ({_known()}) or a TOML file")
        if value in costs_names():
            path = COSTS / f"{value}.toml"
        elif value.endswith(".toml"):
            path = place.folder / value
        else:
            raise ValueError(
                f'unknown cost profile "{value}"; {nearest(value, costs_names())} or give a path that ends in .toml: '
                "replbench calibrate makes one"
            )
        source = str(path) if value.endswith(".toml") else f"costs {value}"
        table = read_toml(path, source)
        table.pop(Costs.NOTES, None)
        return read_table(Costs, {"name": path.stem} | table, Place(source, path.parent))

    def write(self, value: Costs) -> dict[str, Any]:
        """Whole, even where it has a name: a result must say what it rests on."""
        return write_table(value)


def _known() -> str:
    return ", ".join(costs_names()) or "none comes with the program"


def costs_names() -> list[str]:
    """The cost profiles that come with the program."""
    return sorted(path.stem for path in COSTS.glob("*.toml"))
