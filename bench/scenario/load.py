"""What clients ask for, how often, from where; and what goes wrong meanwhile."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

from bench.distributions import ZERO, Distribution
from bench.scenario.fields import (
    DURATION,
    SIZE,
    Choice,
    Integer,
    Kind,
    Number,
    Place,
    Row,
    Several,
    Sub,
    Table,
    Text,
    nearest,
    read,
    read_table,
    shown,
    write_table,
)
from bench.scenario.network import DRAWN

SHARE = Number(0, 1)
RATE = Number(0, 1e9)


class Mix(Table, frozen=True, kw_only=True):
    """Shares of the kinds of operation; they sum to 1. The letters are the core workloads of YCSB (Cooper et
    al., SoCC 2010).
    """

    name: Annotated[str, Text(), "where the shares come from"] = "ratios"
    read: Annotated[float, SHARE, "of reads"] = 0.0
    write: Annotated[float, SHARE, "of writes of an existing key"] = 0.0
    cas: Annotated[float, SHARE, "of compare-and-set"] = 0.0
    insert: Annotated[float, SHARE, "of writes of a new key"] = 0.0
    read_modify_write: Annotated[
        float, SHARE, "of a read whose answer is followed by a write of the same key"
    ] = 0.0

    def __post_init__(self) -> None:
        shares = (self.read, self.write, self.cas, self.insert, self.read_modify_write)
        if not math.isclose(math.fsum(shares), 1, abs_tol=1e-9):
            raise ValueError(f"read: the shares sum to {math.fsum(shares):g}; make them sum to 1")


YCSB = {
    "ycsb-a": Mix(name="ycsb-a", read=0.5, write=0.5),
    "ycsb-b": Mix(name="ycsb-b", read=0.95, write=0.05),
    "ycsb-c": Mix(name="ycsb-c", read=1.0),
    "ycsb-d": Mix(name="ycsb-d", read=0.95, insert=0.05),
    "ycsb-f": Mix(name="ycsb-f", read=0.5, read_modify_write=0.5),
}


class MixKind(Kind):
    """A name of YCSB, or a table of shares."""

    def read(self, value: Any, place: Place) -> Mix:
        if isinstance(value, dict):
            if "name" in value:
                raise place.at("name").error("a table of shares has no name; remove it")
            mix = Sub(Mix).read(value, place)
            assert isinstance(mix, Mix)
            return mix
        if value not in YCSB:
            raise ValueError(
                f"unknown mix {shown(value)}; {nearest(value, YCSB)} or give {{ read = 0.5, write = 0.5 }}"
            )
        return YCSB[value]

    def write(self, value: Mix) -> Any:
        if value.name in YCSB:
            return value.name
        return self.shares(value)

    @staticmethod
    def shares(value: Mix) -> dict[str, float]:
        """The share of each kind of operation that there is."""
        return {name: share for name, share in write_table(value).items() if share and name != "name"}


class Keys(Table, frozen=True, kw_only=True):
    """Which key an operation is about: one of ``count`` equally likely, Zipf, a hot fraction, or those
    inserted lately.
    """

    CHOICES: ClassVar[dict[str, dict[str, tuple[str, ...]]]] = {
        "distribution": {
            "uniform": (),
            "zipfian": ("theta",),
            "hotspot": ("fraction", "probability"),
            "latest": ("theta",),
        }
    }

    distribution: Annotated[
        str, Choice("distribution of keys", *CHOICES["distribution"]), "uniform, zipfian, hotspot or latest"
    ] = "zipfian"
    count: Annotated[int, Integer(1, 10_000_000), "how many keys there are at the start"] = 10_000
    theta: Annotated[float, Number(0, 10), "the k-th key is asked for in proportion to 1 / k ** theta"] = 0.99
    fraction: Annotated[float, Number(0, 1), "of the keys that are hot"] = 0.2
    probability: Annotated[float, Number(0, 1), "of an operation to ask for a hot key"] = 0.8


class ValueSize(Table, frozen=True, kw_only=True):
    """Bytes of a value: "100B", { uniform = ["10B", "1kB"] } (both included), or [["100B", 9], ["1kB", 1]]
    (size, weight).
    """

    kind: Annotated[
        str, Choice("kind", "constant", "uniform", "weighted"), "constant, uniform or weighted"
    ] = "constant"
    low_bytes: Annotated[int, SIZE, "least (constant: the size)"] = 100
    high_bytes: Annotated[int, SIZE, "most (constant: the size)"] = 100
    choices: Annotated[
        tuple[tuple[int, float], ...], Several(Row("a size and its weight", SIZE, RATE)), "weighted sizes"
    ] = ()


class ValueSizeKind(Kind):
    """The three ways to write a ValueSize."""

    pair = Row("a range of sizes", SIZE, SIZE)
    weighted = Several(Row("a size and its weight", SIZE, RATE))

    def read(self, value: Any, place: Place) -> ValueSize:
        if isinstance(value, dict):
            if list(value) != ["uniform"]:
                raise ValueError('a table of sizes takes exactly uniform; write { uniform = ["10B", "1kB"] }')
            low, high = read(self.pair, value["uniform"], place.at("uniform"))
            if low > high:
                raise place.at("uniform").error("the first size is above the second; swap them")
            size = ValueSize(kind="uniform", low_bytes=low, high_bytes=high)
        elif isinstance(value, list | tuple):
            choices = self.weighted.read(value, place)
            if not choices or not sum(weight for _, weight in choices) > 0:
                raise ValueError('no size has a weight above zero; write [["100B", 9], ["1kB", 1]]')
            sizes = [each for each, _ in choices]
            size = ValueSize(kind="weighted", low_bytes=min(sizes), high_bytes=max(sizes), choices=choices)
        else:
            exact = SIZE.read(value, place)
            size = ValueSize(low_bytes=exact, high_bytes=exact)
        if size.high_bytes > 16 * 2**20:
            raise ValueError("a value is at most 16MiB; give a smaller size")
        return size

    def write(self, value: ValueSize) -> Any:
        if value.kind == "weighted":
            return self.weighted.write(value.choices)
        if value.kind == "uniform":
            return {"uniform": [SIZE.write(value.low_bytes), SIZE.write(value.high_bytes)]}
        return SIZE.write(value.low_bytes)


class Arrivals(Table, frozen=True, kw_only=True):
    """When operations start.

    Open: by a schedule, however slow the answers: ``rate`` operations a second in all, which ``clients``
    sessions share in turn. constant: evenly spaced; poisson; burst: Poisson at ``rate`` for ``on``, nothing
    for ``off``, and again; ramp: from ``rate`` at the start of the run to ``to`` at its end; steps: each rate
    for its duration, the last to the end. Closed: each of ``clients`` waits for its answer, thinks, and asks
    again.
    """

    CHOICES: ClassVar[dict[str, dict[str, tuple[str, ...]]]] = {
        "kind": {"open": ("process",), "closed": ("think",)},
        "process": {
            "constant": ("rate",),
            "poisson": ("rate",),
            "burst": ("rate", "on", "off"),
            "ramp": ("rate", "to"),
            "steps": ("steps",),
        },
    }

    kind: Annotated[str, Choice("kind of arrivals", "open", "closed"), "open or closed"] = "open"
    clients: Annotated[int, Integer(1, 1_000_000), "sessions, spread over the regions in turn"] = 64
    process: Annotated[
        str, Choice("process", *CHOICES["process"]), "constant, poisson, burst, ramp or steps"
    ] = "poisson"
    rate_per_s: Annotated[float, RATE, "operations a second, of all clients together"] = 1000.0
    to_per_s: Annotated[float | None, RATE, "operations a second at the end of a ramp"] = None
    on_ns: Annotated[int | None, DURATION, "how long a burst lasts"] = None
    off_ns: Annotated[int | None, DURATION, "how long nothing comes after a burst"] = None
    steps: Annotated[
        tuple[tuple[int, float], ...],
        Several(Row("a duration and a rate", DURATION, RATE)),
        "(duration, rate)",
    ] = ()
    think: Annotated[Distribution, DRAWN, "between an answer and the next question"] = ZERO

    def __post_init__(self) -> None:
        if self.kind == "closed":
            return
        if self.process != "steps" and not self.rate_per_s and not self.to_per_s:
            raise ValueError("rate: must be above zero; give operations a second")
        if self.process == "burst" and not self.on_ns:
            raise ValueError('on: must be above zero; give a duration such as "1s"')
        if self.process == "steps" and not any(rate and lasting for lasting, rate in self.steps):
            raise ValueError('steps: no step has a rate and a duration; write [["5s", 1000], ["5s", 2000]]')


class Clients(Kind):
    """A region, a list of regions, or "everywhere": in every region where there is a replica."""

    def read(self, value: Any, place: Place) -> tuple[str, ...]:
        regions = Several(Text(), alone=True).read(value, place)
        if not regions or ("everywhere" in regions and len(regions) > 1):
            raise ValueError('name regions, or "everywhere" alone')
        return regions

    def write(self, value: tuple[str, ...]) -> Any:
        return value[0] if len(value) == 1 else list(value)


class Workload(Table, frozen=True, kw_only=True):
    """Defaults: YCSB A, a thousand operations a second by 64 sessions near the replicas. Of locks, ``keys`` says which."""

    CHOICES: ClassVar[dict[str, dict[str, tuple[str, ...]]]] = {
        "kind": {"key-value": ("mix", "value_size"), "locks": ()}
    }

    kind: Annotated[str, Choice("kind of workload", *CHOICES["kind"]), "key-value or locks (see [locks])"] = "key-value"
    mix: Annotated[Mix, MixKind(), "ycsb-a, b, c, d, f, or { read = .., write = .., cas = .. }"] = YCSB[
        "ycsb-a"
    ]
    keys: Annotated[Keys, Sub(Keys), "which keys"] = Keys()
    value_size: Annotated[ValueSize, ValueSizeKind(), "of what is written"] = ValueSize()
    arrivals: Annotated[Arrivals, Sub(Arrivals), "when operations start"] = Arrivals()
    clients_in: Annotated[
        tuple[str, ...], Clients(), "a region, a list, or everywhere (where replicas are)"
    ] = ("everywhere",)
    routing: Annotated[
        str, Choice("routing", "leader", "round-robin", "nearest"), "leader, round-robin or nearest"
    ] = "leader"

    def __post_init__(self) -> None:
        if self.kind == "locks":
            if self.arrivals.kind != "closed":
                raise ValueError('arrivals: who waits for a lock asks for no other; set arrivals = { kind = "closed" }')
            if self.routing != "leader":
                raise ValueError('routing: only the master of a lock service answers; set routing = "leader"')
        # YCSB D without its key distribution is another workload under the same name.
        if self.mix.insert and self.keys.distribution != "latest":
            raise ValueError(
                'keys: a mix with inserts reads the latest keys; set keys = { distribution = "latest" }'
            )
        if not self.mix.insert and self.keys.distribution == "latest":
            raise ValueError('keys: "latest" needs inserts, and the mix has none; set mix = "ycsb-d"')


Target = int | str  # a replica, "leader" or "random"


class TargetKind(Kind):
    """A replica's number, "leader" (whoever leads when the fault strikes) or "random"."""

    def read(self, value: Any, place: Place) -> Target:
        if isinstance(value, int):
            return int(Integer(0, 98).read(value, place))
        if value not in ("leader", "random"):
            raise ValueError(f'unknown target {shown(value)}; give a replica\'s number, "leader" or "random"')
        return str(value)


TARGET = TargetKind()


def _targets(value: Any) -> dict[str, Any]:
    return {"groups": value} if isinstance(value, list | tuple) else {"replica": value}


# What each action is written as: the fields of its table, or a shorthand that stands for the table.
ACTIONS: dict[str, tuple[str, ...]] = {
    "crash": (),
    "torn_write": (),
    "pause": (),
    "partition": (),
    "minority": (),
    "bridge": (),
    "deaf": (),
    "mute": (),
    "one_way": ("from", "to"),
    "slow_link": ("from", "to", "extra"),
    "slow_disk": ("replica", "factor"),
    "clock": ("replica", "rate"),
    "client_crash": ("client",),
    "client_pause": ("client",),
    "client_cut": ("client",),
    "client_mute": ("client",),
    "client_clock": ("client", "rate"),
}
CLOCKS = ("clock", "client_clock")
OF_CLIENTS = tuple(action for action in ACTIONS if action.startswith("client_"))


class Fault(Table, frozen=True, kw_only=True):
    """Something goes wrong at ``at_ns`` (since the start of the run, warm-up included) and is mended
    ``for_ns`` later.

    In a file: ``at``, ``for``, and one action:

        crash = TARGET                              it stops, loses what was not synced, and starts again
        torn_write = TARGET                         it crashes amid its next sync, of which a part survives (only simulated)
        pause = TARGET                              its process is stopped, and goes on
        partition = TARGET                          it hears nobody, and nobody hears it
        partition = [[0, 1], [2, 3, 4]]             groups that do not hear each other
        minority = TARGET                           it and as many as make no majority are cut off, but not from clients
        bridge = TARGET                             the others, in two halves, hear it and their own half only
        deaf = TARGET                               it hears nobody, and is heard
        mute = TARGET                               nobody hears it, and it hears
        one_way = { from = TARGET, to = TARGET }    messages this way are lost
        slow_link = { from = TARGET, to = TARGET, extra = "10ms" }     both ways take this much longer
        slow_disk = { replica = TARGET, factor = 10 }       each sync takes this many times as long
        clock = { replica = TARGET, rate = 1.1 }            its clock runs at this rate

    Of a client of a lock service (only simulated):

        client_crash = { client = 0 }               it dies, and another takes its place
        client_pause = { client = 0 }               its process is stopped, and goes on
        client_cut = { client = 0 }                 it hears no replica, and none hears it
        client_mute = { client = 0 }                no replica hears it, and it hears them
        client_clock = { client = 0, rate = 1.1 }   its clock runs at this rate

    TARGET is a replica's number, "leader" or "random". ``replica`` is the target of all but one_way and
    slow_link, which have ``sender`` and ``receiver``, and of a partition by ``groups``.
    """

    CHOICES: ClassVar[dict[str, dict[str, tuple[str, ...]]]] = {
        "kind": {
            "crash": ("replica",),
            "torn_write": ("replica",),
            "pause": ("replica",),
            "partition": ("replica", "groups"),
            "minority": ("replica",),
            "bridge": ("replica",),
            "deaf": ("replica",),
            "mute": ("replica",),
            "one_way": ("from", "to"),
            "slow_link": ("from", "to", "extra"),
            "slow_disk": ("replica", "factor"),
            "clock": ("replica", "rate"),
            "client_crash": ("client",),
            "client_pause": ("client",),
            "client_cut": ("client",),
            "client_mute": ("client",),
            "client_clock": ("client", "rate"),
        }
    }
    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"groups"})
    NAMES: ClassVar[dict[str, str]] = {"sender": "from", "receiver": "to"}

    at_ns: Annotated[int, DURATION, "since the start of the run, warm-up included"]
    for_ns: Annotated[int, DURATION, "until it is mended"] = 1_000_000_000
    kind: Annotated[str, Choice("action", *CHOICES["kind"]), "what goes wrong"]
    replica: Annotated[Target, TARGET, "whom it strikes"] = "leader"
    groups: Annotated[
        tuple[tuple[int, ...], ...], Several(Several(Integer(0, 98))), "that do not hear each other"
    ] = ()
    sender: Annotated[Target | None, TARGET, "of the messages"] = None
    receiver: Annotated[Target | None, TARGET, "of the messages"] = None
    extra_ns: Annotated[int, DURATION, "added to the latency, both ways"] = 10_000_000
    factor: Annotated[float, Number(1, 1e6), "on each sync"] = 10.0
    rate: Annotated[float, Number(0.5, 2), "of the clock; 1 is right"] = 1.1
    client: Annotated[int, Integer(0, 999_999), "whom it strikes"] = 0

    def __post_init__(self) -> None:
        if not self.for_ns:
            raise ValueError('for: must be above zero; give a duration such as "1s"')
        if self.sender is not None and self.sender == self.receiver and self.sender != "random":
            raise ValueError("to: is the same as from; name two replicas")
        if self.groups:
            members = [replica for group in self.groups for replica in group]
            if len(self.groups) < 2 or len(set(members)) != len(members) or not all(self.groups):
                raise ValueError(
                    "partition: needs two groups or more that share no replica, such as [[0, 1], [2, 3, 4]]"
                )

    @classmethod
    def expand(cls, value: Any) -> Any:
        """From one key for the action, as a file has it, to the fields of the struct."""
        if not isinstance(value, dict):
            return value
        given = [key for key in value if key in ACTIONS]
        unknown = [key for key in value if key not in (*ACTIONS, "at", "for")]
        if unknown:
            raise ValueError(f"unknown key {unknown[0]}; {nearest(unknown[0], (*ACTIONS, 'at', 'for'))}")
        if len(given) != 1:
            what = f"{' and '.join(given)} are two actions" if given else "no action is named"
            raise ValueError(f"{what}; give exactly one of {', '.join(ACTIONS)} in each [[faults]]")
        action = given[0]
        target = value[action]
        if not ACTIONS[action]:
            target = _targets(target) if action == "partition" else {"replica": target}
        elif not isinstance(target, dict):
            raise ValueError(
                f"{action} is not a table; write {action} = "
                f"{{ {', '.join(f'{key} = ..' for key in ACTIONS[action])} }}"
            )
        else:
            for key in target:
                if key not in ACTIONS[action]:
                    raise ValueError(f"unknown key {action}.{key}; {nearest(key, ACTIONS[action])}")
        return {key: each for key, each in value.items() if key != action} | {"kind": action} | target


class FaultKind(Kind):
    """A fault, written with one key for its action."""

    def read(self, value: Any, place: Place) -> Fault:
        for action in value if isinstance(value, dict) else ():
            # Read here first, so that what is wrong is named as it was written.
            if ACTIONS.get(action) == () and not isinstance(value[action], list | tuple):
                read(TARGET, value[action], place.at(action))
        return read_table(Fault, value, place)

    def write(self, value: Fault) -> dict[str, Any]:
        written = write_table(value)
        target = {key: written[key] for key in ACTIONS[value.kind]}
        if not target:
            target = (
                written["groups"] or written["replica"] if value.kind == "partition" else written["replica"]
            )
        return {"at": written["at"], "for": written["for"], value.kind: target}
