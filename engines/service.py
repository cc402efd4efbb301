"""What a leader does for clients beside having their commands decided: the contract between a service and its host.

A service is a layer beside the engine, as pure as it: it is told the time and what happens, and each call returns the
effects that the host performs, in order. Only the replica that leads has its service called; any engine will do, since all
that a service knows of it is that commands which it proposes are applied here, in the order of the log.

    Propose(origin, command)          have it decided; ``applied`` is called once it is, with this origin
    Answer(client, sequence, result)  answer this client's request, now or long after it came, and more than once
    LetGo(client, sequence)           this client's request will not be answered here: it may ask again elsewhere

The host answers by itself what was proposed and lost with its leadership (as UNDECIDED); held requests are the service's
to let go when it is deposed.
"""

from __future__ import annotations

import cython

from engines.core import NEVER

# Origins of commands that no client of this replica sent: the service's own, and those that another leader proposed.
OWN = -(2**62)
ELSEWHERE = OWN + 1


@cython.no_gc
@cython.freelist(64)
@cython.cclass
class Propose:
    """Have ``command`` decided, for the client ``origin`` or as the service's OWN."""

    def __init__(self, origin: int, command: bytes) -> None:
        self.origin = origin
        self.command = command

    def __repr__(self) -> str:
        return f"Propose({'OWN' if self.origin == OWN else self.origin}, {self.command!r})"


@cython.no_gc
@cython.freelist(64)
@cython.cclass
class Answer:
    """Answer request ``sequence`` of ``client``."""

    def __init__(self, client: int, sequence: int, result: bytes) -> None:
        self.client = client
        self.sequence = sequence
        self.result = result

    def __repr__(self) -> str:
        return f"Answer({self.client}, {self.sequence}, {self.result!r})"


@cython.no_gc
@cython.cclass
class LetGo:
    """Request ``sequence`` of ``client`` finds no answer here."""

    def __init__(self, client: int, sequence: int) -> None:
        self.client = client
        self.sequence = sequence

    def __repr__(self) -> str:
        return f"LetGo({self.client}, {self.sequence})"


ServiceEffect = Propose | Answer | LetGo


class Service:
    """What all services share: the list of effects, and the calls below. ``deadline`` is when ``tick`` is next due."""

    def __init__(self) -> None:
        self.effects: list[ServiceEffect] = []
        self.now = 0
        self.deadline = NEVER
        self.beliefs = 0  # how often it has begun to believe something anew that watchers may doubt, such as in its lease

    def led(self, now: int) -> list[ServiceEffect]:
        """This replica begins to lead. Commands of earlier leaders may still be applied after this."""
        raise NotImplementedError

    def deposed(self, now: int) -> list[ServiceEffect]:
        """It leads no more: nothing proposed will be heard of. Forget everything, let go what is held, propose nothing."""
        raise NotImplementedError

    def request(self, client: int, command: bytes, now: int) -> list[ServiceEffect]:
        """A client's request arrived, while this replica leads."""
        raise NotImplementedError

    def applied(self, origin: int, command: bytes, result: bytes, now: int) -> list[ServiceEffect]:
        """The state machine has just applied this command, while this replica leads."""
        raise NotImplementedError

    def tick(self, now: int) -> list[ServiceEffect]:
        """The deadline has come. A call before the deadline changes nothing."""
        raise NotImplementedError

    def begin(self, now: int) -> None:
        """Open a call: the time, and a new list of effects."""
        assert now >= self.now, "time went backwards"
        self.now = now
        self.effects = []

    def propose(self, origin: int, command: bytes) -> None:
        """Emit a Propose."""
        effect = Propose.__new__(Propose)
        effect.origin = origin
        effect.command = command
        self.effects.append(effect)

    def answer(self, client: int, sequence: int, result: bytes) -> None:
        """Emit an Answer."""
        effect = Answer.__new__(Answer)
        effect.client = client
        effect.sequence = sequence
        effect.result = result
        self.effects.append(effect)

    def let_go(self, client: int, sequence: int) -> None:
        """Emit a LetGo."""
        self.effects.append(LetGo(client, sequence))
