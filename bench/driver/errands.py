"""What a client of a lock service may do beside its rounds, drawn at random: locks of both modes, files and their caches, writes
that show a sequencer, ephemeral nodes, events, second thoughts.

Clients do this in simulations that say so (``locks.errands``), and in the engine's own tests.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engines.lock_service.commands import (
    EPHEMERAL,
    EVENTS,
    EXCLUSIVE,
    FILE,
    SHARED,
    Answer,
    Granted,
    Opened,
    Refused,
    Sequencer,
)

if TYPE_CHECKING:
    from engines.lock_service import Client

PATHS = ("/red", "/green", "/file")
FENCED = "/file"  # nobody locks it; who writes it often shows that he holds another lock
OFTEN = ("acquire", "acquire", "acquire", "try_acquire", "get", "get", "get", "set", "close", "delete")
SELDOM = {"close": 0.2, "delete": 0.1}  # even when drawn


class Errands:
    """Of one client: handles on nodes, and at most one thing under way with each. ``begin`` asks the library, and says which call
    that is; ``delays_ns`` are the lock-delays to choose from.
    """

    def __init__(
        self, id: int, dice: random.Random, begin: Callable[..., int], library: Client, delays_ns: tuple[int, ...]
    ) -> None:
        self.id = id
        self.dice = dice
        self.begin = begin
        self.library = library
        self.delays_ns = delays_ns
        self.granted = 0
        self.forget()

    def forget(self) -> None:
        """The session is over, and with it all that was open or under way."""
        self.handles: dict[str, int] = {}
        self.calls: dict[int, str] = {}
        self.sequencers: list[Sequencer] = []

    def step(self) -> None:
        """Whatever comes to its mind, while the session is safe."""
        path = self.dice.choice((*PATHS, f"/member-{self.id}"))
        if path in self.calls.values():
            self._perhaps_withdraw(path)
        elif path not in self.handles:
            kind = FILE if path in PATHS else EPHEMERAL
            delay_ns = self.dice.choice(self.delays_ns)
            self._call(path, "open", path, kind=kind, lock_delay_ns=delay_ns, events=self.dice.randint(0, EVENTS))
        else:
            self._use(path, self.handles[path])

    def completed(self, call: int, answer: Answer) -> None:
        """A call was answered, perhaps one of these."""
        path = self.calls.pop(call, None)
        if path is None:
            return
        if isinstance(answer, Opened):
            self.handles[path] = answer.handle
        elif isinstance(answer, Granted):
            self.granted += 1
        elif isinstance(answer, Refused) and answer.why.startswith("no "):
            self.handles.pop(path, None)

    def _call(self, path: str, name: str, *arguments: Any, **more: Any) -> None:
        self.calls[self.library.sequence + 1] = path  # it may be answered at once
        self.begin(name, *arguments, **more)

    def _use(self, path: str, handle: int) -> None:
        held = self.library.opening(handle).held
        if held is not None:
            self._hold(path, handle, held)
            return
        what = self.dice.choice((*("get",) * 6, "set", "set", "check") if path == FENCED else OFTEN)
        if what == "get":
            self._call(path, "get_contents", handle)
        elif what == "check":
            if self.sequencers:
                self._call(path, "check_sequencer", self.dice.choice(self.sequencers))
        elif what == "set":
            self._write(path, handle)
        elif what in SELDOM:
            if self.dice.random() < SELDOM[what]:
                if what == "close":
                    del self.handles[path]
                self._call(path, what, handle)
        else:
            self._call(path, what, handle, self.dice.choice((EXCLUSIVE, EXCLUSIVE, SHARED)))

    def _hold(self, path: str, handle: int, held: Sequencer) -> None:
        """Remember the sequencer, for what is written elsewhere now or when it has become stale; release the lock in the end,
        and see what comes of that, or go on with the same lock at once.
        """
        if held not in self.sequencers:
            self.sequencers = [*self.sequencers[-3:], held]
        if self.dice.random() < 0.5:
            if self.dice.random() < 0.5:
                self._call(path, "release", handle)
            else:
                self.begin("release", handle)

    def _write(self, path: str, handle: int) -> None:
        shown = self.dice.choice((None, *self.sequencers)) if path == FENCED else None
        self.library.set_sequencer(handle, shown)
        self._call(path, "set_contents", handle, b"%d" % self.dice.getrandbits(32))

    def _perhaps_withdraw(self, path: str) -> None:
        """Once in a while an Acquire is taken back before it is answered."""
        handle = self.handles.get(path)
        if handle is not None and handle in self.library.handles and self.dice.random() < 0.03:
            self.begin("release", handle)
