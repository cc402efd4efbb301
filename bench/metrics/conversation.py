"""What replicas of a simulation said to each other, and what it changed: a run's trace as lines to read, and as arrows to draw.

A ``Conversation`` is told each event of a simulation. A call of a host begins with what caused it (a message, a timer, a sync, a
client's command), goes on with what the replica did, and ends with "done"; the state that it left is told with its cause.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

NOBODY = 2**64 - 1
CAUSES = {
    "boot": "start", "step": "receive", "tick": "timer", "synced": "synced", "request": "request", "disconnect": "broken",
}  # fmt: skip
APART = ("crash", "pause", "resume")  # no call of a host
EFFECTS = {"send": "send", "answer": "answer", "apply": "apply", "lead": "lead"}
OUTCOMES = ("accepted", "refused", "undecided")
WHAT = 88
HEADER = f"{'ms':>14}  {'replica':>7}  {'event':<8}  {'peer':<6}  {'what':<{WHAT}}  change"


class Line(msgspec.Struct):
    """One event: when, of which replica, with whom, what, and the state that it left where that changed."""

    time_ns: int
    replica: int
    event: str
    peer: str = ""
    what: str = ""
    change: str = ""

    def __str__(self) -> str:
        what = self.what if len(self.what) <= WHAT else self.what[: WHAT - 3] + "..."
        text = (
            f"{self.time_ns / 1e6:14.6f}  {self.replica:>7}  {self.event:<8}  {self.peer:<6}  {what:<{WHAT}}  {self.change}"
        )
        return text.rstrip()


class Arrow(msgspec.Struct):
    """A message; ``arrived_ns`` is when the receiver took it up, None where it never did. A doubled one has several arrows."""

    sender: int
    receiver: int
    name: str
    sent_ns: int
    arrived_ns: int | None = None


class Mark(msgspec.Struct):
    """Something that happened to one replica: "crash", "start", "election", "leader", "deposed", "commit" (``number``: up to)."""

    time_ns: int
    replica: int
    kind: str
    number: int = 0


class State(msgspec.Struct):
    """What a replica said of itself after a call."""

    role: str = ""
    term: int = 0
    last: int = 0
    commit: int = 0


class Conversation:
    """Give ``watch`` to a simulation as its trace, with its clock in ``now``; ``show`` is called with each line once it is whole.

    Lines and arrows that begin outside [begin_ns, end_ns] are left out; marks are kept from the start on, for who leads when.
    """

    def __init__(
        self, now: Callable[[], int], show: Callable[[Line], None] | None = None, begin_ns: int = 0, end_ns: int = NOBODY
    ) -> None:
        self.now = now
        self.show = show
        self.begin_ns = begin_ns
        self.end_ns = end_ns
        self.arrows: list[Arrow] = []
        self.marks: list[Mark] = []
        self.states: dict[int, State] = {}
        self.leading: set[int] = set()
        self.pending: list[Line] = []
        # By identity of the message, which is kept here so that no other takes its place: a broadcast is one object.
        self.under_way: dict[tuple[int, int, int], tuple[Any, Arrow]] = {}

    def watch(self, event: str, node: Any, detail: Any) -> None:
        """An event of a replica, as bench.driver.simulation tells it."""
        now, replica = self.now(), node.id
        if event == "done":
            self._state(node, now)
            self.finish()
            return
        if event in CAUSES or event in APART:
            self.finish()
        if event == "send":
            self._sent(replica, detail[0], detail[1], now)
        elif event == "step":
            self._arrived(detail[0], replica, detail[1], now)
        elif event == "crash":
            self.marks.append(Mark(now, replica, "crash"))
            self.states.pop(replica, None)
            self.leading.discard(replica)
        elif event == "boot":
            self.marks.append(Mark(now, replica, "start"))
        elif event == "lead":
            self.leading.add(replica)
            self.marks.append(Mark(now, replica, "leader", detail))
        if self.show is not None and self._inside(now):
            peer, what = _told(event, detail)
            self.pending.append(Line(now, replica, CAUSES.get(event) or EFFECTS.get(event, event), peer, what))
            if event in APART:
                self.finish()

    def finish(self) -> None:
        """Hand out the lines of a call that is over."""
        pending, self.pending = self.pending, []
        if self.show is not None:
            for line in pending:
                self.show(line)

    def _inside(self, now: int) -> bool:
        return self.begin_ns <= now <= self.end_ns

    def _sent(self, sender: int, receiver: int, message: Any, now: int) -> None:
        if self._inside(now):
            arrow = Arrow(sender, receiver, type(message).__name__, now)
            self.arrows.append(arrow)
            self.under_way[id(message), sender, receiver] = (message, arrow)

    def _arrived(self, sender: int, receiver: int, message: Any, now: int) -> None:
        found = self.under_way.get((id(message), sender, receiver))
        if found is None:
            return
        if found[1].arrived_ns is None:
            found[1].arrived_ns = now
        else:
            self.arrows.append(Arrow(sender, receiver, found[1].name, found[1].sent_ns, now))

    def _state(self, node: Any, now: int) -> None:
        status = node.host.engine.status()
        state = State(status.role, status.term, status.last, status.commit)
        known = self.states.get(node.id, State())
        if state == known:
            return
        self.states[node.id] = state
        if state.commit > known.commit:
            self.marks.append(Mark(now, node.id, "commit", state.commit))
        if state.role != known.role and state.role in ("candidate", "looking"):
            self.marks.append(Mark(now, node.id, "election", state.term))
        if node.id in self.leading and not node.host.engine.leading:
            self.leading.discard(node.id)
            self.marks.append(Mark(now, node.id, "deposed"))
        if self.pending:
            fields = [field for field in State.__struct_fields__ if getattr(state, field) != getattr(known, field)]
            said = [state.role if field == "role" else f"{field} {getattr(state, field)}" for field in fields]
            self.pending[0].change = ", ".join(said)


def _told(event: str, detail: Any) -> tuple[str, str]:
    """The peer's and the event's column."""
    if event == "send":
        return f"-> {detail[0]}", described(detail[1])
    if event == "step":
        return f"<- {detail[0]}", described(detail[1])
    if event == "request":
        return f"<- c{detail[0]}", f"{len(detail[1])} bytes"
    if event == "answer":
        return f"-> c{detail[0]}", f"{detail[1]}: {OUTCOMES[detail[2]]}"
    if event == "disconnect":
        return f"<> {detail}", ""
    return "", TOLD[event](detail) if event in TOLD else ""


TOLD: dict[str, Callable[[Any], str]] = {
    "apply": lambda detail: f"{detail[0]}: {len(detail[1])} bytes",
    "crash": lambda detail: f"{detail[0]} of {detail[1]} records under way reached the disk",
    "boot": lambda records: f"with {records} records from its disk",
    "synced": lambda records: f"{records} records and promises",
    "lead": lambda term: f"in term {term}",
}


def described(message: Any) -> str:
    """A message by its class and fields; bytes by their number."""
    fields = [f"{name}={_value(getattr(message, name))}" for name in message.__struct_fields__]
    return f"{type(message).__name__}({', '.join(fields)})"


def _value(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)}B"
    if isinstance(value, tuple):
        return f"[{len(value)}]"
    return "nobody" if value == NOBODY else str(value)
