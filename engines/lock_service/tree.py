"""The replicated state of a cell: nodes, handles, locks and sessions (Burrows 2006, sections 2.3 and 2.4).

What time has to say comes in as a master's command: that a session is over, or a lock-delay. All generation numbers are
positions of the log, so that they increase for each name, even beyond the end of its node (2.3 wants instance numbers to).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from engines.lock_service.commands import (
    ALREADY,
    CHANGED,
    CHILD_CHANGED,
    CONFLICT,
    CONFLICTING_REQUEST,
    CONTENTS_CHANGED,
    CONTENTS_LIMIT_BYTES,
    DIRECTORY,
    DONE,
    EPHEMERAL,
    EXCLUSIVE,
    EXISTING,
    FREE,
    IS_A_DIRECTORY,
    LOCK_ACQUIRED,
    NO_HANDLE,
    NO_NODE,
    NO_SESSION,
    NOT_A_DIRECTORY,
    NOT_EMPTY,
    NOT_HELD,
    QUEUED,
    SHARED,
    STALE_EPOCH,
    STALE_SEQUENCER,
    TOO_LONG,
    Acquire,
    Close,
    Delete,
    EndDelay,
    EndSession,
    Expire,
    Granted,
    Open,
    Opened,
    OpenSession,
    Refused,
    Release,
    Renew,
    Request,
    Sequencer,
    SessionOpened,
    SetContents,
    Taken,
    TakeOver,
    Written,
    decode_request,
    encode_answer,
    valid_path,
)
from engines.machine import ENVELOPE_BYTES, Machine

ROOT = "/"


class Waiter(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A handle that waits for a lock in this mode."""

    handle: int
    mode: int


class Node(msgspec.Struct, array_like=True):
    """A file or directory, which is a lock as well."""

    path: str
    kind: int
    instance: int
    contents: bytes = b""
    content_generation: int = 0
    lock_generation: int = 0  # the position at which the lock last went from free to held (2.4)
    mode: int = FREE
    holders: list[int] = []
    waiters: list[Waiter] = []  # first come, first served
    owed_ns: int = 0  # the lock-delay that a failed holder has left
    delayed: bool = False  # the lock is free, and nobody may have it yet
    handles: dict[int, int] = {}  # each open handle, with the events it subscribes to
    children: int = 0


class Handle(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What Open gave: a session's way to one instance of a node."""

    session: int
    path: str
    instance: int
    lock_delay_ns: int


class Tenancy(msgspec.Struct, array_like=True):
    """A session: its client, and its open handles in the order of their opening (a dict for the sake of removal)."""

    client: int
    handles: dict[int, None] = {}


class TreeState(msgspec.Struct, array_like=True, frozen=True):
    """A snapshot of a LockTree."""

    applied: int
    digest: int
    duplicates: int
    epoch: int
    nodes: list[Node]
    handles: dict[int, Handle]
    tenancies: dict[int, Tenancy]
    sessions: list[tuple[int, int, list[tuple[int, bytes]]]]


class Handover(NamedTuple):
    """A handle that had been waiting holds the lock now."""

    handle: int
    generation: int


class Withdrawal(NamedTuple):
    """A handle waits no more, and will not hold the lock."""

    handle: int


class Delay(NamedTuple):
    """A lock became free by a failure: nobody may hold it for so long (2.4)."""

    path: str
    instance: int
    duration_ns: int


class End(NamedTuple):
    """A session is over."""

    session: int


class Notice(NamedTuple):
    """An event for a handle that subscribes to it (2.5)."""

    session: int
    handle: int
    kind: int
    path: str


News = Handover | Withdrawal | Delay | End | Notice


class LockTree(Machine):
    """The nodes by path, the open handles, and the sessions.

    ``request`` is what was applied last, and ``news`` what a master is to tell because of it, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0
        self.nodes: dict[str, Node] = {ROOT: Node(ROOT, DIRECTORY, 0)}
        self.handles: dict[int, Handle] = {}
        self.tenancies: dict[int, Tenancy] = {}
        self.request: Request | None = None
        self.news: list[News] = []

    def body_of(self, command: bytes) -> int:
        """As Machine says; what was decoded waits in ``request``."""
        self.news = []
        self.request = None
        if len(command) <= ENVELOPE_BYTES:
            return 0
        try:
            self.request = decode_request(command)
        except ValueError:
            return 0
        return ENVELOPE_BYTES if type(self.request) in HANDLERS else 0

    def perform(self, command: bytes, body_from: int) -> bytes:  # noqa: ARG002
        """As Machine says."""
        request = self.request
        if type(request) is OpenSession:
            return self.open_session(int.from_bytes(command[:8], "little"))
        return HANDLERS[type(request)](self, request)

    # Sessions and handles

    def open_session(self, client: int) -> bytes:
        """2.8; its number is this position."""
        self.tenancies[self.applied] = Tenancy(client)
        return encode_answer(SessionOpened(self.applied))

    def end_session(self, request: EndSession) -> bytes:
        """The client ends it: locks are free at once."""
        if request.session not in self.tenancies:
            return refused(NO_SESSION)
        self.conclude(request.session, failed=False)
        return DONE

    def expire(self, request: Expire) -> bytes:
        """The master ends it: locks are lost to a failure, ephemeral nodes vanish (2.9.9)."""
        if request.epoch != self.epoch:
            return refused(STALE_EPOCH)
        if request.session not in self.tenancies:
            return refused(NO_SESSION)
        self.conclude(request.session, failed=True)
        return DONE

    def conclude(self, session: int, failed: bool) -> None:
        """Close all that a session has open."""
        for handle in list(self.tenancies[session].handles):
            self.shut(handle, failed)
        del self.tenancies[session]
        self.news.append(End(session))

    def open(self, request: Open) -> bytes:
        """2.6. The handle's number is this position, and so is the instance of a node that is created."""
        tenancy = self.tenancies.get(request.session)
        if tenancy is None:
            return refused(NO_SESSION)
        node = self.nodes.get(request.path)
        created = node is None
        if node is None:
            if request.kind == EXISTING:
                return refused(NO_NODE)
            node = self.create(request)
            if node is None:
                return refused(NOT_A_DIRECTORY)
        handle = self.applied
        self.handles[handle] = Handle(request.session, node.path, node.instance, request.lock_delay_ns)
        tenancy.handles[handle] = None
        node.handles[handle] = request.events
        return encode_answer(Opened(handle, node.instance, created))

    def create(self, request: Open) -> Node | None:
        """A new node, where its parent is a directory."""
        if not valid_path(request.path):
            return None
        parent = self.nodes.get(parent_of(request.path))
        if parent is None or parent.kind != DIRECTORY:
            return None
        contents = b"" if request.kind == DIRECTORY else request.contents
        node = Node(request.path, request.kind, self.applied, contents, self.applied)
        self.nodes[node.path] = node
        parent.children += 1
        self.notify(parent, CHILD_CHANGED)
        return node

    def close(self, request: Close) -> bytes:
        """2.6: it never fails, but for a session that has ended."""
        if request.session not in self.tenancies:
            return refused(NO_SESSION)
        if request.handle in self.tenancies[request.session].handles:
            self.shut(request.handle, failed=False)
        return DONE

    def shut(self, handle: int, failed: bool) -> None:
        """Close a handle: its lock is released or lost, and an ephemeral node that nobody has open vanishes (2.3)."""
        opened = self.handles.pop(handle)
        del self.tenancies[opened.session].handles[handle]
        node = self.node_of(opened)
        if node is None:
            return
        del node.handles[handle]
        if handle in node.holders:
            self.let_go(node, handle, opened.lock_delay_ns if failed else 0)
        else:
            self.withdraw(node, handle)
        if node.kind == EPHEMERAL and not node.handles:
            self.remove(node)

    def remove(self, node: Node) -> None:
        """The node is gone; handles that are still open know an instance that is no more."""
        for waiter in node.waiters:
            self.news.append(Withdrawal(waiter.handle))
        del self.nodes[node.path]
        parent = self.nodes[parent_of(node.path)]
        parent.children -= 1
        self.notify(parent, CHILD_CHANGED)

    def node_of(self, opened: Handle) -> Node | None:
        """The node that a handle was opened on, unless it was deleted since."""
        node = self.nodes.get(opened.path)
        return node if node is not None and node.instance == opened.instance else None

    def target(self, session: int, handle: int) -> tuple[Node | None, str]:
        """The node of a session's handle; or None, and why."""
        if session not in self.tenancies:
            return None, NO_SESSION
        opened = self.handles.get(handle)
        if opened is None or opened.session != session:
            return None, NO_HANDLE
        return self.node_of(opened), NO_NODE

    def notify(self, node: Node, kind: int) -> None:
        """Tell each handle on the node that subscribes to this."""
        for handle, events in node.handles.items():
            if events & kind:
                self.news.append(Notice(self.handles[handle].session, handle, kind, node.path))

    # Locks

    def acquire(self, request: Acquire) -> bytes:
        """2.4: many may hold it SHARED, or one EXCLUSIVE. Who waits is served in turn, so shared holders starve nobody."""
        node, why = self.target(request.session, request.handle)
        if node is None:
            return refused(why)
        if not self.holds(request.sequencer):
            return refused(STALE_SEQUENCER)
        if request.handle in node.holders or any(waiter.handle == request.handle for waiter in node.waiters):
            return refused(ALREADY)
        mode = EXCLUSIVE if request.mode == EXCLUSIVE else SHARED
        if self.admits(node, mode) and not node.waiters:
            self.grant(node, request.handle, mode)
            return encode_answer(Granted(node.lock_generation))
        for holder in node.holders:
            if node.handles[holder] & CONFLICTING_REQUEST:
                self.news.append(Notice(self.handles[holder].session, holder, CONFLICTING_REQUEST, node.path))
        if not request.wait:
            return refused(CONFLICT)
        node.waiters.append(Waiter(request.handle, mode))
        return QUEUED

    def admits(self, node: Node, mode: int) -> bool:
        """Whether nothing but earlier waiters stands against holding the lock in this mode."""
        return not node.delayed and (node.mode == FREE or (node.mode == SHARED and mode == SHARED))

    def grant(self, node: Node, handle: int, mode: int) -> None:
        """The handle holds the lock from here on."""
        if node.mode == FREE:
            node.mode = mode
            node.lock_generation = self.applied
            self.notify(node, LOCK_ACQUIRED)
        node.holders.append(handle)

    def release(self, request: Release) -> bytes:
        """The handle holds the lock, or waits for it, no more."""
        node, why = self.target(request.session, request.handle)
        if node is None:
            return refused(why)
        if request.handle in node.holders:
            self.let_go(node, request.handle, 0)
            return DONE
        return DONE if self.withdraw(node, request.handle) else refused(NOT_HELD)

    def let_go(self, node: Node, handle: int, owed_ns: int) -> None:
        """A holder leaves. If one has failed, the lock is not for others until the lock-delay is over (2.4)."""
        node.holders.remove(handle)
        node.owed_ns = max(node.owed_ns, owed_ns)
        if node.holders:
            return
        node.mode = FREE
        if node.owed_ns:
            node.delayed = True
            self.news.append(Delay(node.path, node.instance, node.owed_ns))
        else:
            self.hand_over(node)

    def hand_over(self, node: Node) -> None:
        """Grant the lock to the first in turn, and to those behind it who can share it."""
        while node.waiters and self.admits(node, node.waiters[0].mode):
            waiter = node.waiters.pop(0)
            self.grant(node, waiter.handle, waiter.mode)
            self.news.append(Handover(waiter.handle, node.lock_generation))

    def withdraw(self, node: Node, handle: int) -> bool:
        """The handle waits no more; whether it did. Whoever is behind it may have waited for it only."""
        if not node.waiters:
            return False
        kept = [waiter for waiter in node.waiters if waiter.handle != handle]
        if len(kept) == len(node.waiters):
            return False
        node.waiters = kept
        self.news.append(Withdrawal(handle))
        self.hand_over(node)
        return True

    def end_delay(self, request: EndDelay) -> bytes:
        """The lock-delay is over: the first in turn has the lock."""
        node = self.nodes.get(request.path)
        if request.epoch != self.epoch:
            return refused(STALE_EPOCH)
        if node is None or node.instance != request.instance or not node.delayed:
            return refused(NO_NODE)
        node.owed_ns = 0
        node.delayed = False
        self.hand_over(node)
        return DONE

    def holds(self, sequencer: Sequencer | None) -> bool:
        """Whether the lock is held as the sequencer says; what shows none is not checked."""
        if sequencer is None:
            return True
        node = self.nodes.get(sequencer.path)
        return (
            node is not None
            and node.mode != FREE
            and node.mode == sequencer.mode
            and node.lock_generation == sequencer.generation
        )

    # Files

    def set_contents(self, request: SetContents) -> bytes:
        """2.6: files are written whole."""
        node, why = self.target(request.session, request.handle)
        if node is None:
            return refused(why)
        if node.kind == DIRECTORY:
            return refused(IS_A_DIRECTORY)
        if len(request.contents) > CONTENTS_LIMIT_BYTES:
            return refused(TOO_LONG)
        if not self.holds(request.sequencer):
            return refused(STALE_SEQUENCER)
        if request.generation and request.generation != node.content_generation:
            return refused(CHANGED)
        node.contents = request.contents
        node.content_generation = self.applied
        self.notify(node, CONTENTS_CHANGED)
        return encode_answer(Written(node.content_generation))

    def delete(self, request: Delete) -> bytes:
        """2.6: only a node without children. One that another handle has locked stays: its holder relies on it."""
        node, why = self.target(request.session, request.handle)
        if node is None:
            return refused(why)
        if not self.holds(request.sequencer):
            return refused(STALE_SEQUENCER)
        if node.children or node.path == ROOT:
            return refused(NOT_EMPTY)
        if node.delayed or any(holder != request.handle for holder in node.holders):
            return refused(CONFLICT)
        self.remove(node)
        return DONE

    # Masters

    def take_over(self, request: TakeOver) -> bytes:  # noqa: ARG002
        """2.9.1: a new epoch; whatever an earlier master still has under way is void."""
        before, self.epoch = self.epoch, self.applied
        return encode_answer(Taken(self.epoch, before))

    def renew(self, request: Renew) -> bytes:
        """2.2: the master's lease goes on, if nobody has taken over."""
        return DONE if request.epoch == self.epoch else refused(STALE_EPOCH)

    def snapshot(self) -> bytes:
        """As Machine says."""
        return msgspec.msgpack.encode(
            TreeState(
                self.applied,
                self.digest,
                self.duplicates,
                self.epoch,
                list(self.nodes.values()),
                self.handles,
                self.tenancies,
                self.sessions.dump(),
            )
        )

    def restore(self, position: int, state: bytes) -> None:
        """As Machine says."""
        read = msgspec.msgpack.decode(state, type=TreeState)
        self.resume(position, read.applied, read.digest, read.duplicates)
        self.epoch = read.epoch
        self.nodes = {node.path: node for node in read.nodes}
        self.handles = read.handles
        self.tenancies = read.tenancies
        self.sessions.load(read.sessions)


HANDLERS: dict[Any, Callable[[Any, Any], bytes]] = {
    OpenSession: LockTree.open_session,
    EndSession: LockTree.end_session,
    Open: LockTree.open,
    Close: LockTree.close,
    Acquire: LockTree.acquire,
    Release: LockTree.release,
    SetContents: LockTree.set_contents,
    Delete: LockTree.delete,
    TakeOver: LockTree.take_over,
    Renew: LockTree.renew,
    Expire: LockTree.expire,
    EndDelay: LockTree.end_delay,
}


def refused(why: str) -> bytes:
    """The bytes of a refusal."""
    return encode_answer(Refused(why))


def parent_of(path: str) -> str:
    """The directory that a node lies in."""
    return path.rpartition("/")[0] or ROOT
