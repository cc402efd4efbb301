"""The scenario's network, applied in user space by the replica that sends: no root, and the simulation's own Link model.

A message is held back until its link would have delivered it. What the real connection underneath adds comes on top; a
network of no latency, loss or bandwidth limit holds nothing back, and messages pass at once. While a link is blocked, or
its peer has no connection, what is sent over ``tcp`` is kept; when that lasts longer than the user timeout, or more is kept
than the limit, the peer is starving and its connection must be given up (bench.driver.network says the same of the
simulation). Over ``datagram`` it is lost.
"""
from __future__ import annotations

import heapq
from typing import Any

from bench.driver.network import LOST, SLICE_BYTES, Link, link_between
from bench.scenario import Network
from engines.core import NEVER

SECOND_NS = 1_000_000_000
# More than an engine has under way to a follower that catches up (Configuration: 256 messages of 1 MiB), which would else
# lose its connection again and again.
HELD_LIMIT_BYTES = 384 << 20


def imposes_nothing(network: Network) -> bool:
    """Whether messages may pass as fast as the machine carries them."""
    latency = network.latency
    without_latency = network.matrix is None and (latency is None or latency.mean_ns() == 0)
    harmless = network.loss.model == "none" and not network.duplicate and not network.reorder
    return without_latency and harmless and not network.jitter_ns and not network.bandwidth_bytes_per_s


class Shaper:
    """What one replica sends to the others, held back as on their links. Times are monotonic ns, sizes bytes."""

    def __init__(self, network: Network, seed: int, id: int, peers: list[int]) -> None:
        self.links: dict[int, Link] = {peer: link_between(network, seed, id, peer) for peer in peers}
        self.tcp = network.transport == "tcp"
        self.free = imposes_nothing(network)
        self.byte_ns = SECOND_NS / network.bandwidth_bytes_per_s if network.bandwidth_bytes_per_s else 0.0
        self.nic_free_ns = 0.0
        self.connected: set[int] = set()
        self.open: set[int] = set()  # peers to whom messages pass at once
        self.holding: set[int] = set()
        self.kept_bytes = dict.fromkeys(peers, 0)
        self.longest_bytes = dict.fromkeys(peers, 0)  # of the messages to each: a state may be longer than the limit
        self.parcels: list[tuple[int, int, int, int, int, Any]] = []
        self.slices: list[tuple[int, int, int, list[Any]]] = []  # when the next one of a peer may leave, and what of it waits
        self.under_way = dict.fromkeys(peers, 0)
        self.slowed = dict.fromkeys(peers, 0)  # messages that a fault made slower
        self.order = 0

    def send(self, to: int, message: Any, size: int, now: int) -> None:
        """Take a message to a peer that is not in ``open``."""
        link = self.links[to]
        self.longest_bytes[to] = max(self.longest_bytes[to], size)
        if link.blocks:
            link.blocked_messages += 1
        behind = self.tcp and len(link.leaving) > 0  # and a block changes nothing about the order on a connection
        if to in self.connected and (behind or not link.blocks):
            self._leave(to, link, message, size, now)
        elif self.tcp:
            self._hold(to, link, message, size, now)

    def due(self, now: int) -> list[tuple[int, Any]]:
        """The messages whose time has come, in order, each with its peer."""
        self._send_slices(now)
        parcels = self.parcels
        found = []
        while parcels and parcels[0][0] <= now:
            _, _, to, epoch, size, message = heapq.heappop(parcels)
            if epoch != self.links[to].epoch:
                continue
            self.under_way[to] -= 1
            self.kept_bytes[to] -= size
            if to in self.connected:
                found.append((to, message))
            if not self.under_way[to]:
                self._reopen(to)
        return found

    def next_ns(self) -> int:
        """When ``due`` or ``starving`` has something next."""
        soonest = self.parcels[0][0] if self.parcels else NEVER
        if self.slices:
            soonest = min(soonest, self.slices[0][0])
        for peer in self.holding:
            soonest = min(soonest, self.links[peer].gives_up_ns())
        return soonest

    def starving(self, now: int) -> list[int]:
        """The peers whose connection, or the attempt to make one, has to be given up."""
        starved = {peer for peer in self.holding if now >= self.links[peer].gives_up_ns()}
        for peer, kept in self.kept_bytes.items():
            if kept > max(HELD_LIMIT_BYTES, 2 * self.longest_bytes[peer]):
                starved.add(peer)
        return sorted(starved)

    def connect(self, peer: int, now: int) -> None:
        """A connection has been made: what waited for it flows."""
        self.connected.add(peer)
        if not self.links[peer].blocks:
            self._release(peer, now)
        self._reopen(peer)

    def disconnect(self, peer: int, now: int) -> None:
        """The connection, or the attempt to make one, has ended: over tcp all that was under way is lost."""
        self.connected.discard(peer)
        self.open.discard(peer)
        if self.tcp:
            self.holding.discard(peer)
            self.kept_bytes[peer] = self.under_way[peer] = 0
            self.links[peer].reset(now)

    def block(self, peer: int) -> None:
        """Nothing is sent to this peer any more, until each block has ended."""
        self.links[peer].blocks += 1
        self.open.discard(peer)

    def unblock(self, peer: int, now: int) -> None:
        """One block ends; ValueError where none has begun."""
        link = self.links[peer]
        if not link.blocks:
            raise ValueError(f"the link to {peer} is not blocked")
        link.blocks -= 1
        if not link.blocks and peer in self.connected:
            # The sender does not know that the way is free: it flows at the next retransmission.
            self._release(peer, link.resume_ns(now) if link.held else now)
            self._reopen(peer)

    def slow(self, peer: int, extra_ns: int) -> None:
        """Messages to this peer take so much longer from now on (0: no longer)."""
        self.links[peer].extra_ns = extra_ns
        self.open.discard(peer)
        self._reopen(peer)

    def _leave(self, to: int, link: Link, message: Any, size: int, now: int) -> None:
        """Connections share the interface: a long message holds up only what is behind it on its own."""
        if not self.byte_ns or (size <= SLICE_BYTES and not link.leaving):
            self._carry(to, link, message, size, self._depart(size, now))
            return
        self.kept_bytes[to] += size
        if link.leave(message, size, now):
            self._line_up(now, to, link.leaving)
            self._send_slices(now)

    def _line_up(self, at_ns: int, to: int, leaving: list[Any]) -> None:
        self.order += 1
        heapq.heappush(self.slices, (at_ns, self.order, to, leaving))

    def _send_slices(self, now: int) -> None:
        """Let those leave whose predecessors have left; each goes behind what others have sent meanwhile."""
        while self.slices and self.slices[0][0] <= now:
            at_ns, _, to, leaving = heapq.heappop(self.slices)
            link = self.links[to]
            if link.leaving is not leaving:
                continue  # the connection is gone, and with it the rest
            gone_ns = self._depart(link.next_slice(), at_ns)
            if link.unsent == 0:
                message, size, _ = link.left()
                self.kept_bytes[to] -= size
                if link.blocks and self.tcp:
                    self._hold(to, link, message, size, now)
                elif not link.blocks:
                    self._carry(to, link, message, size, gone_ns)
            if leaving:
                self._line_up(gone_ns, to, leaving)

    def _hold(self, to: int, link: Link, message: Any, size: int, now: int) -> None:
        if not link.held:
            self.holding.add(to)
            link.held_since_ns = now
        link.held.append((message, size))
        self.kept_bytes[to] += size

    def _depart(self, size: int, now: int) -> int:
        """When the last byte has left a host whose interface has the bandwidth of the scenario."""
        if not self.byte_ns:
            return now
        self.nic_free_ns = max(float(now), self.nic_free_ns) + size * self.byte_ns
        return int(self.nic_free_ns)

    def _carry(self, to: int, link: Link, message: Any, size: int, depart_ns: int) -> None:
        arrival_ns = link.carry(depart_ns, size)
        if arrival_ns == LOST:
            if self.tcp:
                self.holding.add(to)
            return
        if link.extra_ns:
            self.slowed[to] += 1
        self._put(to, link, message, size, arrival_ns)
        if link.duplicated():
            arrival_ns = link.carry(depart_ns, size)
            if arrival_ns != LOST:
                self._put(to, link, message, size, arrival_ns)

    def _put(self, to: int, link: Link, message: Any, size: int, release_ns: int) -> None:
        self.order += 1
        self.under_way[to] += 1
        self.kept_bytes[to] += size
        heapq.heappush(self.parcels, (release_ns, self.order, to, link.epoch, size, message))

    def _release(self, peer: int, at_ns: int) -> None:
        link = self.links[peer]
        held, link.held = link.held, []
        if link.gives_up_ns() == NEVER:
            self.holding.discard(peer)
        for message, size in held:
            self.kept_bytes[peer] -= size
            self._carry(peer, link, message, size, at_ns)

    def _reopen(self, peer: int) -> None:
        link = self.links[peer]
        if self.free and peer in self.connected and not (link.blocks or link.extra_ns or self.under_way[peer]):
            self.open.add(peer)
