"""What the log of a lock service says: a model of locks, handles and sessions, made of the commands that were applied, and
compared with the tree after each of them.

It is told of each position once, by whichever replica applied it first, or reads the log of one replica from its disk. What
clients and masters believe is compared with it by ``bench.checkers.beliefs``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from bench.checkers.statements import EPHEMERALS, FENCES, GENERATIONS, LETTING_GO, LOCK_DELAYS, OVER_ONCE, STALE_EPOCHS
from engines.lock_service.commands import (
    EPHEMERAL,
    EXCLUSIVE,
    FREE,
    SHARED,
    Acquire,
    Close,
    Delete,
    EndDelay,
    Expire,
    Open,
    OpenSession,
    Release,
    Sequencer,
    SetContents,
    TakeOver,
)
from engines.lock_service.tree import End, Handover, Notice

if TYPE_CHECKING:
    from bench.checkers.invariants import Agreement
    from engines.lock_service.options import LockOptions
    from engines.lock_service.tree import LockTree

# What is worth having happened, and is counted here.
EXPIRED, DELAYS, REJECTED, VANISHED, HANDOVERS = (
    "sessions expired", "lock-delays served", "stale sequencers rejected", "ephemeral nodes vanished", "locks handed over",
)  # fmt: skip


class Opened:
    """A handle, as its Open said."""

    def __init__(self, session: int, path: str, instance: int, lock_delay_ns: int) -> None:
        self.session = session
        self.path = path
        self.instance = instance
        self.lock_delay_ns = lock_delay_ns


class Lock:
    """A lock by its name, over all nodes that have had it."""

    def __init__(self) -> None:
        self.mode = FREE
        self.generation = 0
        self.holders: list[int] = []
        self.since_ns = 0  # when it last went from free to held
        self.free_ns = 0  # when it last became free
        self.owed_ns = 0  # the lock-delay that failed holders have left, while others hold it
        self.not_before_ns = 0  # nobody may have it earlier


class LockLog:
    """The model, and what contradicts it, which goes to ``agreement``. ``clocks`` says that they keep to their bound, and that
    there is a time at all.

    ``ended`` has the sessions that ended with the last command and their clients, ``lost`` the handles that lost their lock by
    it, and theirs.
    """

    def __init__(self, agreement: Agreement, options: LockOptions, clocks: bool = True) -> None:
        self.agreement = agreement
        self.options = options
        self.clocks = clocks
        self.counts: Counter[str] = Counter()
        self.epoch = 0
        self.clients: dict[int, int] = {}  # of each session that is open
        self.expired: set[int] = set()  # sessions that a master has ended
        self.handles: dict[int, Opened] = {}
        self.open: dict[int, dict[int, None]] = {}  # the handles of each session
        self.locks: dict[str, Lock] = {}
        self.ephemeral: dict[str, tuple[int, set[int]]] = {}  # the instance and the open handles of each ephemeral node
        self.vanished: set[int] = set()
        self.notices: Counter[tuple[int, int]] = Counter()  # events by handle and kind
        self.ended: dict[int, int] = {}
        self.lost: dict[int, int] = {}

    def resume(self, tree: LockTree) -> None:
        """Begin with a state that a snapshot brought."""
        self.epoch = tree.epoch
        for session, tenancy in tree.tenancies.items():
            self.clients[session] = tenancy.client
            self.open[session] = dict(tenancy.handles)
        for handle, opened in tree.handles.items():
            self.handles[handle] = Opened(opened.session, opened.path, opened.instance, opened.lock_delay_ns)
        for path, node in tree.nodes.items():
            lock = self.locks[path] = Lock()
            lock.mode, lock.generation, lock.holders = node.mode, node.lock_generation, list(node.holders)
            if node.kind == EPHEMERAL:
                self.ephemeral[path] = node.instance, set(node.handles)

    def applied(self, tree: LockTree, now: int = 0) -> None:
        """A command was applied for the first time; ``tree`` is as it was left by it. (A no-op leaves all as it was.)"""
        if self.ended:
            self.ended = {}
        if self.lost:
            self.lost = {}
        request: Any = tree.request
        kind = type(request)
        if kind is TakeOver:
            self.epoch = tree.applied
        if tree.epoch != self.epoch:
            self.violated(STALE_EPOCHS, f"the tree is in epoch {tree.epoch} after the TakeOver at {self.epoch}")
            self.epoch = tree.epoch
        if kind is Acquire or kind is Release:
            self.asked(tree, request, now)
        elif kind is OpenSession:
            self.session_opened(tree)
        elif kind is Open:
            self.opened(tree, request)
        elif kind is SetContents:
            self.written(tree, request)
        elif kind in CHANGING or tree.news:
            self.changed(tree, request, now)
        for news in tree.news:
            if type(news) is Notice:
                self.notices[news.handle, news.kind] += 1
            elif type(news) is Handover:
                self.counts[HANDOVERS] += 1

    # Sessions and handles

    def session_opened(self, tree: LockTree) -> None:
        """A retry opens nothing."""
        tenancy = tree.tenancies.get(tree.applied)
        if tenancy is not None:
            self.clients[tree.applied] = tenancy.client
            self.open[tree.applied] = {}

    def opened(self, tree: LockTree, request: Open) -> None:
        """A handle, and perhaps the node that it is of."""
        position = tree.applied
        if position not in tree.handles:
            return
        if request.session not in self.clients:
            self.violated(OVER_ONCE, f"session {request.session}, which is over, opened {request.path} at {position}")
            return
        node = tree.nodes[request.path]
        self.handles[position] = Opened(request.session, request.path, node.instance, request.lock_delay_ns)
        self.open[request.session][position] = None
        if node.kind == EPHEMERAL:
            if node.instance in self.vanished:
                self.violated(EPHEMERALS, f"{node.path}, which had vanished, is back at {position}")
            instance, handles = self.ephemeral.get(node.path, NO_NODE)
            self.ephemeral[node.path] = node.instance, handles if instance == node.instance else set()
            self.ephemeral[node.path][1].add(position)

    def changed(self, tree: LockTree, request: Any, now: int) -> None:
        """Something else was done: with one handle, with all of a session, or with one lock."""
        handle = getattr(request, "handle", 0)
        touched = {self.handles[handle].path} if handle in self.handles else set()
        if type(request) is EndDelay:
            touched.add(request.path)
        if type(request) in (Expire, EndDelay) and request.epoch != self.epoch and tree.news:
            self.violated(STALE_EPOCHS, f"{request} at {tree.applied} took effect in epoch {self.epoch}")
        for news in tree.news:
            if type(news) is End:
                self.ended[news.session] = self.clients.get(news.session, -1)
                touched.update(self.handles[each].path for each in self.open.get(news.session, ()))
        sequencer = getattr(request, "sequencer", None)
        fenced = sequencer is None or self.holds(sequencer)
        for path in sorted(touched):
            self.compare(tree, path, request, fenced, now)
        self.shut(tree, request)
        for path in sorted(touched & self.ephemeral.keys()):
            self.check_ephemeral(tree, path, type(request) is Delete)

    def shut(self, tree: LockTree, request: Any) -> None:
        """Forget the handles that are no more."""
        gone: list[int] = []
        for session in self.ended:
            if type(request) is Expire:
                self.counts[EXPIRED] += 1
                self.expired.add(session)
            if self.clients.pop(session, None) is None:
                self.violated(OVER_ONCE, f"session {session} ended again at {tree.applied}")
            gone += self.open.pop(session, {})
        if type(request) is Close and request.handle in self.open.get(request.session, ()):
            del self.open[request.session][request.handle]
            gone.append(request.handle)
        for handle in gone:
            opened = self.handles.pop(handle)
            instance, handles = self.ephemeral.get(opened.path, NO_NODE)
            if instance == opened.instance:
                handles.discard(handle)

    def check_ephemeral(self, tree: LockTree, path: str, deleted: bool) -> None:
        """An ephemeral node is there as long as somebody has it open, unless it is deleted (2.3)."""
        node, (instance, handles) = tree.nodes.get(path), self.ephemeral[path]
        if node is not None and node.instance == instance:
            if not handles:
                self.violated(EPHEMERALS, f"{path} is there after position {tree.applied}, and nobody has it open")
            return
        if handles and not deleted:
            self.violated(EPHEMERALS, f"{path} vanished at {tree.applied}, when somebody had it open")
        del self.ephemeral[path]
        self.counts[VANISHED] += 1
        self.vanished.add(instance)

    # Locks

    def asked(self, tree: LockTree, request: Any, now: int) -> None:
        """A handle asked for its lock, or asked no more: nothing else is touched."""
        opened = self.handles.get(request.handle)
        if opened is not None:
            fenced = type(request) is Release or request.sequencer is None or self.holds(request.sequencer)
            self.compare(tree, opened.path, request, fenced, now)

    def lock(self, path: str) -> Lock:
        """The lock of this name."""
        lock = self.locks.get(path)
        if lock is None:
            lock = self.locks[path] = Lock()
        return lock

    def holds(self, sequencer: Sequencer) -> bool:
        """Whether the lock is held as the sequencer says, so that who shows it may have what it asks for (2.4)."""
        lock = self.lock(sequencer.path)
        return lock.mode != FREE and (lock.mode, lock.generation) == (sequencer.mode, sequencer.generation)

    def compare(self, tree: LockTree, path: str, request: Any, fenced: bool, now: int) -> None:
        """Who holds the lock now, and who had held it before this command?"""
        lock, node = self.lock(path), tree.nodes.get(path)
        before, holders = lock.holders, NOBODY if node is None else node.holders
        if type(request) is Acquire and holders == before:
            return  # it was refused, or waits
        lost = [handle for handle in before if handle not in holders] if holders and before else before
        gained = [handle for handle in holders if handle not in before] if holders and before else holders
        if type(request) is EndDelay and lock.not_before_ns and now >= lock.not_before_ns:
            self.counts[DELAYS] += 1
            lock.not_before_ns = 0
        for handle in lost:
            self.let_go(handle, lock, path, request)
        was_free = len(lost) == len(before)
        if lost and was_free:
            lock.free_ns = now
            lock.not_before_ns = now + self.options.shortest_ns(lock.owed_ns) if lock.owed_ns and self.clocks else 0
            lock.owed_ns = 0
        if node is None:
            lock.not_before_ns = 0  # with the node of a lock, what is owed of it vanishes
        if gained:
            self.gain(lock, path, tree, gained, was_free, now)
            if not fenced and getattr(request, "handle", 0) in gained:
                self.violated(FENCES, f"{path} was acquired at {tree.applied} by {request.sequencer}, which is stale")
        lock.mode = FREE if node is None else node.mode
        if lock.mode == EXCLUSIVE and len(holders) != 1:
            self.violated(GENERATIONS, f"{len(holders)} handles have {path} exclusively after position {tree.applied}")
        lock.holders = holders[:]

    def let_go(self, handle: int, lock: Lock, path: str, request: Any) -> None:
        """A handle holds its lock no more: by its own session's will, or with that session."""
        opened = self.handles.get(handle)
        if opened is None:
            return
        self.lost[handle] = self.clients.get(opened.session, -1)
        kind = type(request)
        leaving = kind is Release or kind in LEAVING
        if not (leaving and request.handle == handle and request.session == opened.session) and opened.session not in self.ended:
            self.violated(LETTING_GO, f"handle {handle} lost {path} by {request}, which is not of its session")
        if kind is Expire:
            lock.owed_ns = max(lock.owed_ns, opened.lock_delay_ns)

    def gain(self, lock: Lock, path: str, tree: LockTree, gained: list[int], was_free: bool, now: int) -> None:
        """Somebody holds it who had not before."""
        position, node = tree.applied, tree.nodes[path]
        for handle in gained:
            opened = self.handles.get(handle)
            if opened is None or opened.session not in self.clients:
                self.violated(OVER_ONCE, f"handle {handle}, whose session is over, got {path} at {position}")
        generation = node.lock_generation
        if was_free or node.mode != SHARED:
            if generation <= lock.generation:
                self.violated(GENERATIONS, f"{path} was acquired at {position} in generation {generation} again")
            lock.since_ns = now
        if now < lock.not_before_ns:
            early_ns = lock.not_before_ns - now
            self.violated(LOCK_DELAYS, f"{path} was acquired at {position}, {early_ns} ns before its lock-delay was over")
        lock.not_before_ns = 0
        lock.generation = generation

    def written(self, tree: LockTree, request: SetContents) -> None:
        """A file was written, or not."""
        opened = self.handles.get(request.handle)
        node = None if opened is None else tree.nodes.get(opened.path)
        fenced = request.sequencer is None or self.holds(request.sequencer)
        if node is None or node.content_generation != tree.applied:
            self.counts[REJECTED] += not fenced
            return
        if request.session not in self.clients:
            self.violated(OVER_ONCE, f"session {request.session}, which is over, wrote {node.path} at {tree.applied}")
        if not fenced:
            self.violated(FENCES, f"{node.path} was written at {tree.applied} by {request.sequencer}, which is stale")

    def violated(self, name: str, what: str) -> None:
        """Report that a statement does not hold."""
        self.agreement.violated(f"{name}: {what}")


NOBODY: list[int] = []
NO_NODE: tuple[int, set[int]] = (0, set())
LEAVING = (Close, Delete)
CHANGING = (Close, Delete, EndDelay, Expire)
