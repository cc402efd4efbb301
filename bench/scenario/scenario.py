"""A scenario: everything that decides the outcome of a run. Every field has a default; a LAN of the 2020s.

The costs are of the kind of machine that such clusters are run on: a few microseconds of CPU to receive or
send a message through the kernel, about a nanosecond for each byte of it, and a millisecond for a sync of
network-attached SSD storage.
"""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from bench.distributions import Constant, Distribution
from bench.scenario.costs import Costs, CostsKind
from bench.scenario.fields import (
    COST,
    DURATION,
    SIZE,
    Choice,
    Integer,
    Kind,
    Place,
    Row,
    Several,
    Sub,
    Switch,
    Table,
    Text,
    read_table,
    shown,
    write_table,
)
from bench.scenario.load import CLOCKS, OF_CLIENTS, Fault, FaultKind, Workload
from bench.scenario.locks import Locks
from bench.scenario.network import DRAWN, Network, require_region
from bench.scenario.settings import axis_keys, set_key

if TYPE_CHECKING:
    from ext.quorum import QuorumSystem

ENGINES = ("paxos", "raft", "zab", "unreplicated")
FIFO_ONLY = (
    "zab",
)  # those whose paper assumes FIFO channels (Junqueira, Reed, Serafini, DSN 2011, section III)
WORLDS = ("simulation", "processes", "both")
COUNT = Integer(1, 1_000_000)
TICKS = Integer(2, 1_000_000)  # in fewer no answer to a ping can have come


class Cpu(Table, frozen=True, kw_only=True):
    """What a message costs its receiver, and again its sender; one core, one queue a replica."""

    per_message: Annotated[Distribution, DRAWN, "to receive or to send one"] = Constant(value=5_000)
    per_byte_ns: Annotated[float, COST, "to copy and decode"] = 1.0


class Storage(Table, frozen=True, kw_only=True):
    """When a promise is durable, and what that costs."""

    durability: Annotated[
        str,
        Choice("durability", "fsync", "batch-interval", "none"),
        "fsync (before any promise), batch-interval (synced behind its back) or none",
    ] = "fsync"
    fsync: Annotated[Distribution, DRAWN, "of one sync"] = Constant(value=1_000_000)
    per_byte_ns: Annotated[float, COST, "to write, beside the sync (2ns: 500 MB/s)"] = 2.0
    interval_ns: Annotated[int, DURATION, "between syncs, for batch-interval"] = 10_000_000
    group: Annotated[int, Integer(0, 1_000_000), "records that one sync may cover; 0: all that wait"] = 0
    compact_after_bytes: Annotated[int, SIZE, "a snapshot replaces a log that has grown by this"] = 64 * 2**20

    def __post_init__(self) -> None:
        if self.durability == "batch-interval" and not self.interval_ns:
            raise ValueError('interval: must be above zero; give a duration such as "10ms"')
        if not 1024 <= self.compact_after_bytes <= 2**40:  # sixteen times as much must be a number in C
            raise ValueError('compact_after: must be from 1KiB to 1024GiB; try "64MiB"')


class Batching(Table, frozen=True, kw_only=True):
    """How a leader gathers commands, and what it has under way: the same for every engine."""

    max_commands: Annotated[int, COUNT, "in one proposal"] = 64
    max_delay_ns: Annotated[int, DURATION, "that a command waits for company"] = 0
    pipeline: Annotated[int, COUNT, "proposals under way at once"] = 32
    message_bytes: Annotated[
        int, SIZE, "of entries that a replica puts into one message, though one entry at least; in a datagram at most 65,000"
    ] = 2**20
    inflight_messages: Annotated[int, COUNT, "with entries, under way to one follower at once"] = 256

    def __post_init__(self) -> None:
        if not self.message_bytes:
            raise ValueError('message: must be above zero; "1B" makes one entry a message')


class Timeouts(Table, frozen=True, kw_only=True):
    """Of the protocols, and of the clients."""

    election_ns: Annotated[
        tuple[int, int], Row("a range of durations", DURATION, DURATION), "drawn from this range"
    ] = (
        1_000_000_000,
        2_000_000_000,
    )
    heartbeat_ns: Annotated[int, DURATION, "between signs of life of a leader"] = 200_000_000
    request_ns: Annotated[int, DURATION, "a client tries again, elsewhere, after this"] = 1_000_000_000
    operation_ns: Annotated[int, DURATION, "a client gives up after this: the outcome is unknown"] = (
        10_000_000_000
    )

    def __post_init__(self) -> None:
        low, high = self.election_ns
        if not 0 < low <= high:
            raise ValueError('election: must be a range above zero, the lower end first; try ["1s", "2s"]')
        if not 0 < self.heartbeat_ns < low:
            raise ValueError(
                "heartbeat: must be above zero and below the election timeout; lower it, or raise election"
            )
        if not 0 < self.request_ns <= self.operation_ns:
            raise ValueError(
                "request: must be above zero and at most operation; lower it, or raise operation"
            )


class Raft(Table, frozen=True, kw_only=True):
    """Ongaro's thesis, beside the basic protocol."""

    pre_vote: Annotated[bool, Switch(), "ask before standing (9.6)"] = True
    check_quorum: Annotated[bool, Switch(), "a leader that hears no quorum steps down (6.2)"] = True
    empty_probes: Annotated[bool, Switch(), "where logs part is asked without entries (3.5)"] = False


class Quorum(Table, frozen=True, kw_only=True):
    """Who must agree: "majority", a number of replicas, a grid, or more than half of the weight.

    Of a grid: all of one row, and one of each other row.
    """

    CHOICES: ClassVar[dict[str, dict[str, tuple[str, ...]]]] = {
        "kind": {"majority": (), "size": ("size",), "grid": ("rows",), "weights": ("weights",)}
    }

    kind: Annotated[str, Choice("kind of quorum", *CHOICES["kind"]), "majority, size, grid or weights"] = (
        "majority"
    )
    size: Annotated[int | None, Integer(1, 99), "any so many replicas"] = None
    rows: Annotated[tuple[tuple[int, ...], ...], Several(Several(Integer(0, 98))), "of replicas"] = ()
    weights: Annotated[tuple[int, ...], Several(Integer(0, 1_000_000)), "of each replica"] = ()

    @classmethod
    def expand(cls, value: Any) -> Any:
        if value == "majority":
            return {}
        return (
            {"kind": "size", "size": value}
            if isinstance(value, int) and not isinstance(value, bool)
            else value
        )

    def system(self, replicas: int) -> QuorumSystem:
        """Of the replicas from 0 on."""
        from ext.quorum import FlexibleQuorum, GridQuorum, MajorityQuorum, WeightedQuorum

        if self.kind == "size":
            assert self.size is not None
            return FlexibleQuorum(range(replicas), self.size)
        if self.kind == "grid":
            return GridQuorum(self.rows)
        if self.kind == "weights":
            return WeightedQuorum(dict(enumerate(self.weights)))
        return MajorityQuorum(range(replicas))

    def require_replicas(self, replicas: int) -> None:
        """ValueError where it does not fit so many replicas."""
        members = sorted(replica for row in self.rows for replica in row)
        if self.kind == "size" and self.size is not None and self.size > replicas:
            raise ValueError(f"a quorum of {self.size} among {replicas} replicas; give at most {replicas}")
        if self.kind == "grid" and (members != list(range(replicas)) or not all(self.rows)):
            raise ValueError(f"the rows must hold each replica from 0 to {replicas - 1} once; mend rows")
        if self.kind == "weights" and (len(self.weights) != replicas or not sum(self.weights)):
            raise ValueError(
                f"{len(self.weights)} weights for {replicas} replicas; give one each, not all zero"
            )


class QuorumKind(Sub):
    """A quorum, by its shorthand where it has one."""

    def write(self, value: Table) -> Any:
        assert isinstance(value, Quorum)
        return {"majority": "majority", "size": value.size}.get(value.kind) or write_table(value)


class Paxos(Table, frozen=True, kw_only=True):
    """Flexible Paxos (Howard, Malkhi, Spiegelman 2016): quorums of the two phases need only intersect each
    other.
    """

    phase1_quorum: Annotated[Quorum, QuorumKind(Quorum), "to become leader"] = Quorum()
    phase2_quorum: Annotated[Quorum, QuorumKind(Quorum), "to decide a slot"] = Quorum()
    inquire: Annotated[bool, Switch(), "ask whether others have lost the leader too, before standing"] = True


class Checks(Table, frozen=True, kw_only=True):
    """How much is checked of a trial when it is over."""

    linearizability_steps: Annotated[
        int, Integer(0, 10**12), "of the search in a trial's history, some 5 ns each; then unknown. 0: none"
    ] = 200_000_000
    invariants: Annotated[
        str,
        Choice("level of watching", "all", "cheap", "thorough"),
        "of the replicas; cheap: not their protocol, which makes a run suspect; thorough: every message and status",
    ] = "all"
    progress: Annotated[
        tuple[tuple[int, int], ...],
        Several(Row("a span, from one time to another", DURATION, DURATION)),
        "spans since the start of the run; in each some operation that begins there must succeed there",
    ] = ()
    level_within_ns: Annotated[
        int, DURATION, "after the load, by which all replicas must hold the same; 0s: not asked (only simulated)"
    ] = 0
    witnesses: Annotated[
        bool, Switch(), "a fault that nothing witnessed makes the run invalid; false for faults drawn at random"
    ] = True

    def __post_init__(self) -> None:
        if any(begin >= end for begin, end in self.progress):
            raise ValueError('progress: a span ends before it begins; give the earlier time first, as in [["3s", "5s"]]')


class Zab(Table, frozen=True, kw_only=True):
    """ZooKeeper's limits; a tick is the heartbeat. Not given, failures are noticed as fast as by the others."""

    init_limit: Annotated[
        int | None, TICKS, "ticks to find and follow a leader; where not given, twice the sync limit"
    ] = None
    sync_limit: Annotated[
        int | None, TICKS, "ticks of silence until a leader is given up; where not given, drawn from election"
    ] = None


class Processes(Table, frozen=True, kw_only=True):
    """Where world is processes. ``[cpu]`` and the costs of ``[storage]`` are the machine's own there."""

    loop: Annotated[str, Choice("event loop", "uvloop", "asyncio"), "of each replica"] = "uvloop"
    generators: Annotated[
        int, Integer(1, 64), "client processes, which have clients and arrivals between them; no effect in a simulation"
    ] = 1


class File(Kind):
    """The path of a file, relative to that of the scenario; it is opened when it is needed."""

    def read(self, value: Any, place: Place) -> str:
        path = Text().read(value, place)
        if not path:
            raise ValueError("the name is empty; name a file")
        return str((place.folder / path).absolute())


class Tls(Table, frozen=True, kw_only=True):
    """Between processes, where the three are given: each end shows its certificate, which the authority must have issued
    and which must name the address that it is reached at (127.0.0.1 on one machine).
    """

    ca: Annotated[str | None, File(), "certificate of the authority that every process trusts (PEM)"] = None
    certificate: Annotated[str | None, File(), "that every process shows (PEM)"] = None
    key: Annotated[str | None, File(), "of the certificate (PEM), readable by its owner only"] = None

    def __post_init__(self) -> None:
        given = {"ca": self.ca, "certificate": self.certificate, "key": self.key}
        missing = [name for name, path in given.items() if path is None]
        if 0 < len(missing) < len(given):
            raise ValueError(f"{missing[0]}: is missing; give ca, certificate and key, or none of them")


class Sweep(Kind):
    """Axes, named as in --set, each with its list of values; the points are all combinations, the last axis
    fastest.
    """

    def read(self, value: Any, place: Place) -> dict[str, tuple[Any, ...]]:
        if not isinstance(value, dict):
            raise ValueError(
                f'{shown(value)} is not a table; write "workload.arrivals.rate" = [250, 500] under [sweep]'
            )
        for axis, values in value.items():
            if axis.split(".")[0] in ("sweep", "suite", "name", "about", "engine"):
                raise ValueError(f"{axis} cannot be swept; engine takes a list, the others take no values")
            if isinstance(values, list | tuple) and not values:
                raise place.at(f'"{axis}"').error("the list of values is empty; give at least one, or remove the axis")
            if not isinstance(values, list | tuple):
                raise place.at(f'"{axis}"').error(f"{shown(values)} is not a list of values; write it in [ ]")
        return {axis: tuple(values) for axis, values in value.items()}

    def write(self, value: dict[str, tuple[Any, ...]]) -> dict[str, list[Any]]:
        return {axis: list(values) for axis, values in value.items()}


class Scenario(Table, frozen=True, kw_only=True):
    """What is run. The measured window is [warmup, warmup + duration) from the start; the load goes on for
    ``cooldown`` after it.

    What is measured never depends on an operation's neighbours in warm-up or cool-down: operations count by
    their intended start.
    """

    name: Annotated[str, Text(), "of the scenario; the file's name where not given"] = ""
    about: Annotated[str, Text(), "the real situation that it imitates"] = ""
    engine: Annotated[tuple[str, ...], Several(Choice("engine", *ENGINES), alone=True), "one or a list"] = (
        ENGINES[:3]
    )
    replicas: Annotated[int, Integer(1, 99), "that hold the data"] = 3
    initial_leader: Annotated[
        int | None, Integer(0, 98), "leads at the start; elections decide where not given"
    ] = None
    seed: Annotated[int, Integer(0, 2**63 - 1), "of all randomness"] = 1
    duration_ns: Annotated[int, DURATION, "measured time, after the warm-up"] = 10_000_000_000
    warmup_ns: Annotated[int, DURATION, "before it, not measured; a leader is found meanwhile"] = (
        3_000_000_000
    )
    cooldown_ns: Annotated[
        int, DURATION, "after it, not measured; the load goes on, so the last operations meet the same queue"
    ] = 1_000_000_000
    trials: Annotated[
        int, Integer(1, 1000), "repetitions of each point, with seeds that follow from the seed"
    ] = 1
    world: Annotated[str, Choice("world", *WORLDS), "that it runs in"] = "simulation"
    network: Annotated[Network, Sub(Network), "between the replicas"] = Network(
        latency=Constant(value=100_000)
    )
    cpu: Annotated[Cpu, Sub(Cpu), "of each replica"] = Cpu()
    storage: Annotated[Storage, Sub(Storage), "of each replica"] = Storage()
    costs: Annotated[
        Costs | None, CostsKind(), "a cost profile, in place of [cpu] and storage's: all on one machine"
    ] = None
    batching: Annotated[Batching, Sub(Batching), "of the leader's host"] = Batching()
    timeouts: Annotated[Timeouts, Sub(Timeouts), "of protocols and clients"] = Timeouts()
    workload: Annotated[Workload, Sub(Workload), "what clients do"] = Workload()
    faults: Annotated[tuple[Fault, ...], Several(FaultKind()), "what goes wrong"] = ()
    checks: Annotated[Checks, Sub(Checks), "after each trial"] = Checks()
    raft: Annotated[Raft, Sub(Raft), "where engine is raft"] = Raft()
    paxos: Annotated[Paxos, Sub(Paxos), "where engine is paxos"] = Paxos()
    zab: Annotated[Zab, Sub(Zab), "where engine is zab"] = Zab()
    locks: Annotated[Locks, Sub(Locks), "where workload.kind is locks"] = Locks()
    processes: Annotated[Processes, Sub(Processes), "where world is processes"] = Processes()
    tls: Annotated[Tls, Sub(Tls), "where world is processes"] = Tls()
    sweep: Annotated[
        dict[str, tuple[Any, ...]],
        Sweep(),
        "axis (as in --set) = list of values; paths are relative to the working directory",
    ] = msgspec.field(default_factory=dict)

    @property
    def end_ns(self) -> int:
        """When the load ends: warm-up, duration and cool-down."""
        return self.warmup_ns + self.duration_ns + self.cooldown_ns

    @property
    def client_regions(self) -> tuple[str, ...]:
        """Where clients are, in turn: regions of the matrix; none where there is no matrix."""
        if "everywhere" in self.workload.clients_in:
            return tuple(dict.fromkeys(self.network.placement))
        return self.workload.clients_in

    def worlds(self) -> list[Scenario]:
        """This scenario in the one world that it names, or in each of both."""
        if self.world != "both":
            return [self]
        return [msgspec.structs.replace(self, world=world) for world in WORLDS if world != self.world]

    def resolved(self) -> dict[str, Any]:
        """Every field as it would stand in a file, defaults included; ``read_scenario`` gives an equal
        scenario back.
        """
        return write_table(self)

    def points(self, source: str = "") -> list[tuple[dict[str, Any], Scenario]]:
        """All combinations of the sweep, the last axis fastest: (value of each axis, the scenario without a
        sweep).
        """
        base = self.resolved()
        base.pop("sweep", None)
        found = []
        for values in itertools.product(*self.sweep.values()):
            settings = dict(zip(self.sweep, values, strict=True))
            table = copy.deepcopy(base)
            label = ", ".join(f"{axis} = {value}" for axis, value in settings.items())
            place = Place(f"{source or self.name}: sweep: {label}" if settings else self.name, Path())
            for axis, value in settings.items():
                set_key(table, axis_keys(axis), value, place)
            axes = {
                axis: value if isinstance(value, str | int | float) else json.dumps(value)
                for axis, value in settings.items()
            }
            found.append((axes, read_scenario(table, place)))
        return found

    def __post_init__(self) -> None:
        if not self.duration_ns:
            raise ValueError('duration: must be above zero; give a duration such as "10s"')
        if not self.engine or len(set(self.engine)) != len(self.engine):
            raise ValueError(f"engine: must be distinct names; choose from: {', '.join(ENGINES)}")
        for engine in self.engine:
            if engine in FIFO_ONLY and self.network.transport != "tcp":
                raise ValueError(
                    f"network.transport: {engine} needs FIFO channels; set transport "
                    f'= "tcp", or leave {engine} out of engine'
                )
        if self.initial_leader is not None and self.initial_leader >= self.replicas:
            raise ValueError(
                f"initial_leader: {self.initial_leader} is not a replica; give 0 to {self.replicas - 1}"
            )
        self._require_world()
        self._require_places()
        self._require_faults()
        self._require_quorums()

    @property
    def clocks_in_bound(self) -> bool:
        """Whether no fault lets one clock run faster than the lock service was told that any may, compared with another."""
        if self.workload.kind != "locks":
            return True
        rates = [1.0, *(fault.rate for fault in self.faults if fault.kind in CLOCKS)]
        return max(rates) <= min(rates) * (1 + self.locks.skew)

    def _require_generators(self) -> None:
        generators = self.processes.generators
        if generators > self.workload.arrivals.clients:
            raise ValueError(
                f"processes.generators: {generators} client processes for {self.workload.arrivals.clients} clients; "
                "give at most one for each client (workload.arrivals.clients)"
            )
        if generators > 1 and self.world == "both":
            raise ValueError(
                'processes.generators: a simulated machine has one client process; set generators = 1, or world = "processes"'
            )
        if generators > 1 and self.workload.mix.insert:
            raise ValueError(
                "processes.generators: new keys come one after the other, from one process; set generators = 1, or "
                "choose a mix without inserts"
            )

    def _require_world(self) -> None:
        if self.world != "simulation" and self.network.transport != "tcp":
            raise ValueError(
                'network.transport: processes speak over tcp; set transport = "tcp", or world = "simulation"'
            )
        if self.world != "simulation":
            self._require_generators()
        if self.workload.kind == "locks" and self.locks.read and not self.workload.arrivals.think.mean_ns():
            raise ValueError(
                "workload.arrivals.think: a cached read takes no time, and a client that does not think would do nothing else; "
                'give a time such as "1ms", or set locks.read = 0'
            )
        cell = self.workload.kind == "locks" and self.world == "simulation" and self.costs is None
        if self.locks.errands_ns and not cell:
            raise ValueError("locks.errands: only simulated clients of a lock service run errands; leave it out")
        for index, fault in enumerate(self.faults):
            if fault.kind == "torn_write" and self.world != "simulation":
                raise ValueError(
                    f"faults[{index}].torn_write: only a simulated disk tears a write on demand; "
                    'use crash, or set world = "simulation"'
                )
            if fault.kind in OF_CLIENTS and not cell:
                raise ValueError(
                    f"faults[{index}].{fault.kind}: strikes only simulated clients of a lock service; leave it out"
                )
            shared = self.world == "both" or (self.world == "simulation" and self.costs is not None)
            if fault.kind in ("torn_write", "pause") and shared:
                raise ValueError(
                    f"faults[{index}].{fault.kind}: replicas that share one machine know no such fault; "
                    "leave costs out, or use crash"
                )

    def _require_places(self) -> None:
        placement = self.network.placement
        if self.network.matrix is not None and len(placement) != self.replicas:
            raise ValueError(
                f"network.placement: {len(placement)} regions for {self.replicas} "
                "replicas; name one region for each"
            )
        for region in self.workload.clients_in:
            if region != "everywhere":
                require_region(self.network.matrix, region, "workload.clients_in")

    def _require_faults(self) -> None:
        for index, fault in enumerate(self.faults):
            # A fault that is not mended within the run could not be shown to have been mended.
            if fault.at_ns >= self.end_ns:
                raise ValueError(
                    f"faults[{index}].at: lies beyond the end of the run; give "
                    "a time before it, or a longer duration"
                )
            if fault.at_ns + fault.for_ns >= self.end_ns:
                raise ValueError(
                    f"faults[{index}].for: is not over when the run ends; make it shorter, or duration longer"
                )
            members = [replica for group in fault.groups for replica in group]
            for target in (fault.replica, fault.sender, fault.receiver, *members):
                if isinstance(target, int) and target >= self.replicas:
                    raise ValueError(
                        f"faults[{index}].{fault.kind}: {target} is not a "
                        f"replica; give 0 to {self.replicas - 1}"
                    )
            clients = self.workload.arrivals.clients
            if fault.kind in OF_CLIENTS and fault.client >= clients:
                raise ValueError(f"faults[{index}].{fault.kind}: {fault.client} is not a client; give 0 to {clients - 1}")
            if fault.kind == "bridge" and self.replicas < 3:
                raise ValueError(f"faults[{index}].bridge: needs two replicas beside the bridge; add some, or use partition")
            if members and len(members) != self.replicas:
                raise ValueError(
                    f"faults[{index}].partition: the groups must hold each of "
                    f"the {self.replicas} replicas; add them"
                )

    def _require_quorums(self) -> None:
        phases = {"phase1_quorum": self.paxos.phase1_quorum, "phase2_quorum": self.paxos.phase2_quorum}
        for field, quorum in phases.items():
            try:
                quorum.require_replicas(self.replicas)
            except ValueError as error:
                raise ValueError(f"paxos.{field}: {error}") from None
        sizes = [
            {"majority": self.replicas // 2 + 1, "size": quorum.size}.get(quorum.kind)
            for quorum in phases.values()
        ]
        if None not in sizes and sum(size or 0 for size in sizes) <= self.replicas:
            raise ValueError(
                f"paxos.phase2_quorum: {sizes[0]} and {sizes[1]} of {self.replicas} need not intersect; "
                f"make the two sizes sum to more than {self.replicas}"
            )
        if {quorum.kind for quorum in phases.values()} <= {"majority", "size"}:
            return
        from ext.quorum import intersects

        if not intersects(*(quorum.system(self.replicas) for quorum in phases.values())):
            raise ValueError(
                "paxos.phase2_quorum: some quorum of it does not meet each phase1_quorum, and two values could "
                "be decided; give both phases the same, or larger quorums"
            )


def read_scenario(table: dict[str, Any], place: Place) -> Scenario:
    """Read and check the table of a scenario, and every point of its sweep, so that none fails half way
    through.
    """
    scenario = read_table(Scenario, table, place)
    if scenario.sweep:
        scenario.points(place.source)
    return scenario
