"""What must hold at every moment of a cell's life, seen from outside.

- Nobody believes to hold a lock, with a lease that it believes valid, while somebody else believes so of an exclusive one.
- Each lock's generations increase from one free-to-held to the next, as their holders see it.
- No session is ended by a master while its client believes in it.
- An ephemeral node vanishes once, and never without its last handle.
- A read finds nothing older than what was acknowledged before it began.
- Replicas that have applied the same commands are equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines.lock_service.client import Completed
from engines.lock_service.commands import EPHEMERAL, EXCLUSIVE, Contents, Expire, Granted, Written
from engines.lock_service.tree import End

if TYPE_CHECKING:
    from tests.locks.cell import Cell, Person


class Violation(AssertionError):  # noqa: N818 (what it is, not what went wrong with the test)
    """Something happened that no schedule may bring about."""


def require(condition: object, complaint: str) -> None:
    """An assert that stays when Python is asked to drop them."""
    if not condition:
        raise Violation(complaint)


class Watch:
    """The watcher of one cell."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.trusted = True  # false where clocks are beyond their bound, and beliefs may be wrong
        self.digests: list[int] = []
        self.applied_at: dict[int, int] = {}
        self.ephemeral: dict[int, str] = {}  # alive, by instance
        self.vanished: set[int] = set()
        self.acknowledged: dict[str, int] = {}
        self.reads: dict[tuple[int, int], tuple[str, int]] = {}
        self.writes: dict[tuple[int, int], str] = {}
        self.seen: dict[str, int] = {}  # the newest generation that anybody held
        self.locks: dict[str, tuple[list[int], int]] = {}  # the holders, and the newest generation
        self.grants = 0
        self.doubles = 0

    def booted(self, replica: int) -> None:
        self.applied_at[replica] = 0

    def applied(self, host: Any, position: int) -> None:
        """A replica applied a command, perhaps as the first."""
        tree = host.machine
        if position > len(self.digests):
            if position == len(self.digests) + 1:
                self.digests.append(tree.digest)
                self._first(tree)
            return
        require(tree.digest == self.digests[position - 1], f"replica {host.id} applied {position} differently")

    def _first(self, tree: Any) -> None:
        for news in tree.news:
            if isinstance(news, End) and isinstance(tree.request, Expire):
                for person in self.cell.clients:
                    if person.library.session == news.session and self.trusted:
                        require(not person.valid(self.cell.now), f"client {person.id} believes in a session that was ended")
        alive = {node.instance: node.path for node in tree.nodes.values() if node.kind == EPHEMERAL}
        for instance in self.ephemeral.keys() - alive.keys():
            self.vanished.add(instance)
        require(not (self.vanished & alive.keys()), "an ephemeral node is back")
        for path in alive.values():
            require(tree.nodes[path].handles, f"{path} is ephemeral, and nobody has it open")
        self.ephemeral = alive
        for path, node in tree.nodes.items():
            holders, generation = self.locks.get(path, ([], 0))
            if node.mode == EXCLUSIVE and node.holders != holders:
                require(node.lock_generation > generation, f"{path} has another holder in the same generation")
            self.locks[path] = list(node.holders), max(generation, node.lock_generation)

    # Clients

    def begins(self, person: Person, name: str, arguments: tuple[Any, ...]) -> None:
        """Before the library is asked, which may answer at once."""
        if name == "get_contents":
            path = person.library.opening(arguments[0]).path
            self.reads[person.id, person.library.sequence + 1] = path, self.acknowledged.get(path, 0)

    def begun(self, person: Person, call: int, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "set_contents":
            self.writes[person.id, call] = person.library.opening(arguments[0]).path

    def completed(self, person: Person, effect: Completed) -> None:
        """A call was answered."""
        key, answer = (person.id, effect.call), effect.answer
        if isinstance(answer, Written) and key in self.writes:
            path = self.writes[key]
            self.acknowledged[path] = max(self.acknowledged.get(path, 0), answer.generation)
        elif isinstance(answer, Contents) and key in self.reads:
            path, least = self.reads[key]
            read = f"client {person.id} read {path} of {answer.generation}"
            require(answer.generation >= least, f"{read} after {least} was acknowledged")
        elif isinstance(answer, Granted):
            self.grants += 1

    def check(self, person: Person) -> None:
        """This client has done something: whom does it contradict?"""
        now = self.cell.now
        for handle, opening in person.library.handles.items():
            if opening.held is None or not person.library.holds(handle, person.local(now)):
                continue
            newest = self.seen.get(opening.path, 0)
            if opening.held.generation > newest:
                self.seen[opening.path] = opening.held.generation
            elif self.trusted:
                require(opening.held.generation == newest, f"{opening.path}: {opening.held} after {newest}")
            self._exclude(person, handle)

    def _exclude(self, person: Person, handle: int) -> None:
        mine = person.library.handles[handle]
        for other in self.cell.clients:
            for number, opening in other.library.handles.items():
                if (other is person and number == handle) or opening.path != mine.path or not other.up:
                    continue
                if not other.library.holds(number, other.local(self.cell.now)):
                    continue
                modes = {mine.held.mode, opening.held.mode}  # type: ignore[union-attr]
                if EXCLUSIVE in modes:
                    self.doubles += 1
                    require(not self.trusted, f"clients {person.id} and {other.id} both hold {mine.path}")
