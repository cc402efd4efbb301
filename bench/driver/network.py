"""The simulated network: one Link per directed pair, with latency, loss, order and the life of its connection.

Over ``tcp`` a link is reliable and in order: a lost packet becomes retransmission delay (RFC 6298: the timeout doubles at
each loss of the same data), and what follows is held up behind it. What is lost again and again for the user timeout breaks the
connection (RFC 9293, 3.8.3). While a link is blocked its data is kept; it flows when
the block ends, unless the connection broke first; what is sent after that waits for a new one, as long as a connection is
tried for, and its sender is told when that was in vain. Over ``datagram`` messages are lost, duplicated and reordered.
"""
from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import cython
import numpy as np

from bench.distributions import ZERO, Uniform
from engines.core import NEVER

if not cython.compiled:
    from ext.columns import integers_of, reals_of

if TYPE_CHECKING:
    from bench.distributions import Distribution
    from bench.scenario import Loss, Network

# The branches of the generator tree.
LATENCY, LOSS, CPU, DISK, CLIENT, WORKLOAD, ARRIVALS, THINK, HOLD = range(9)

SEGMENT_BYTES = 1448
SLICE_BYTES = 65_536  # what a socket hands to its interface at a time (Linux: GSO), before another socket's turn comes
LOST = -1
BLOCK = 1024
MAX_RETRANSMIT_NS = 60_000_000_000
NO_LOSS, INDEPENDENT, GILBERT_ELLIOTT = 0, 1, 2
MODELS = {"none": NO_LOSS, "independent": INDEPENDENT, "gilbert-elliott": GILBERT_ELLIOTT}


def generator(seed: int, *path: int) -> np.random.Generator:
    """The branch of the seeded generator tree that belongs to ``path``."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *path])))


class Durations:
    """An endless stream of draws of a distribution, in ns, drawn in growing blocks; a constant draws nothing."""

    def __init__(self, distribution: Distribution, random: np.random.Generator) -> None:
        self.distribution = distribution
        self.random = random
        self.constant = distribution.distribution == "constant"
        self.value = int(distribution.mean_ns()) if self.constant else 0
        self.block = array("q")
        self.view = integers_of(self.block)
        self.size = 0
        self.used = 0

    def next(self) -> int:
        """The next draw."""
        if self.constant:
            return self.value
        if self.used == self.size:
            self.refill()
        self.used += 1
        draw: int = self.view[self.used - 1]
        return draw

    def refill(self) -> None:
        """Draw the next block."""
        self.size = min(BLOCK, max(16, 2 * self.size))
        self.block = array("q", self.distribution.sample(self.random, self.size).astype("<i8").tobytes())
        self.view = integers_of(self.block)
        self.used = 0


class Chances:
    """An endless stream of uniform draws in [0, 1)."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.block = array("d")
        self.view = reals_of(self.block)
        self.size = 0
        self.used = 0

    def next(self) -> float:
        """The next draw."""
        if self.used == self.size:
            self.size = min(BLOCK, max(16, 2 * self.size))
            self.block = array("d", self.random.random(self.size).tobytes())
            self.view = reals_of(self.block)
            self.used = 0
        self.used += 1
        draw: float = self.view[self.used - 1]
        return draw


class LossModel:
    """Whether the next packet of a link is lost: independently, or in Gilbert-Elliott bursts (Gilbert 1960, Elliott 1963).

    In the good state a packet is delivered with probability k, in the bad state with h; after each packet good turns bad with
    probability p, bad turns good with r. Stationary loss (p (1-h) + r (1-k)) / (p + r), mean sojourn in the bad state 1/r.
    """

    def __init__(self, loss: Loss, chances: Chances) -> None:
        self.model = MODELS[loss.model]
        self.probability = loss.probability
        self.p, self.r, self.h, self.k = loss.p, loss.r, loss.h, loss.k
        self.bad = False
        self.chances = chances

    def lost(self) -> bool:
        """Draw the fate of one packet."""
        if self.model == NO_LOSS:
            return False
        if self.model == INDEPENDENT:
            return self.chances.next() < self.probability
        lost = self.chances.next() >= (self.h if self.bad else self.k)
        if self.chances.next() < (self.r if self.bad else self.p):
            self.bad = not self.bad
        return lost

    def lost_of(self, packets: int) -> int:
        """How many of so many packets are lost."""
        lost = 0
        while packets > 0:
            packets -= 1
            if self.lost():
                lost += 1
        return lost


def segments(size: int) -> int:
    """How many packets a message takes."""
    return 1 + (size - 1) // SEGMENT_BYTES


class Link:
    """One direction between two ends: when does what departs now arrive?"""

    def __init__(
        self,
        base_ns: int,
        latency: Durations,
        jitter: Durations,
        loss: LossModel,
        chances: Chances,
        tcp: bool,
        retransmit_ns: int,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        user_timeout_ns: int = NEVER,
    ) -> None:
        self.base_ns = base_ns
        self.latency = latency
        self.jitter = jitter
        self.loss = loss
        self.chances = chances
        self.tcp = tcp
        self.retransmit_ns = retransmit_ns
        self.duplicate = duplicate
        self.reorder = reorder
        self.user_timeout_ns = user_timeout_ns
        self.extra_ns = 0
        self.blocks = 0
        self.broken = False
        self.held_since_ns = 0
        self.lost_since_ns = NEVER
        self.epoch = 0
        self.last_arrival_ns = 0
        self.held: list[tuple[Any, int]] = []
        self.leaving: list[tuple[Any, int, int]] = []  # (message, size, not before) of what leaves in slices, and all behind it
        self.unsent = 0  # bytes of the first of those
        self.carried = 0
        self.lost_messages = 0
        self.blocked_messages = 0
        self.doubled_messages = 0
        self.overtaken_messages = 0

    def carry(self, depart_ns: int, size: int) -> int:
        """The arrival time of a message that leaves at ``depart_ns``, or LOST. The link must not be blocked.

        What is lost over tcp breaks the connection at ``gives_up_ns``; what is sent behind it is then lost, too.
        """
        self.carried += 1
        arrival_ns = depart_ns + self.base_ns + self.extra_ns
        arrival_ns += self.latency.value if self.latency.constant else self.latency.next()
        arrival_ns += self.jitter.value if self.jitter.constant else self.jitter.next()
        if self.tcp:
            delay_ns = self.retransmission_ns(size) if self.loss.model else 0
            arrival_ns = max(arrival_ns + delay_ns, self.last_arrival_ns)
            self.last_arrival_ns = arrival_ns
            if delay_ns >= self.user_timeout_ns:
                self.lost_since_ns = min(self.lost_since_ns, depart_ns)
                return LOST
            return arrival_ns
        if self.loss.model and self.loss.lost_of(segments(size)):  # a datagram is lost where any of its fragments is
            self.lost_messages += 1
            return LOST
        if self.reorder > 0.0 and self.chances.next() < self.reorder:
            self.overtaken_messages += 1
            arrival_ns += 1 + int(3.0 * self.chances.next() * (arrival_ns - depart_ns))
        return arrival_ns

    def retransmission_ns(self, size: int) -> int:
        """How long the sender takes to get a message through: what was lost is sent again, and every loss of the same data
        doubles the timeout (RFC 6298, 5.5), until it gives up.
        """
        delay_ns = 0
        timeout_ns = self.retransmit_ns
        missing = self.loss.lost_of(segments(size))
        while missing > 0 and delay_ns < self.user_timeout_ns:
            self.lost_messages += 1
            delay_ns += timeout_ns
            timeout_ns = min(2 * timeout_ns, MAX_RETRANSMIT_NS)
            missing = self.loss.lost_of(missing)
        return delay_ns

    def leave(self, message: Any, size: int, ready_ns: int) -> bool:
        """Line up a message that is long, or behind one; whether it is the first, whose slices nobody has begun to send."""
        self.leaving.append((message, size, ready_ns))
        if len(self.leaving) == 1:
            self.unsent = size
        return len(self.leaving) == 1

    def next_slice(self) -> int:
        """Take the next bytes off the first message that leaves; it has left once ``unsent`` is 0."""
        size = min(self.unsent, SLICE_BYTES)
        self.unsent -= size
        return size

    def left(self) -> tuple[Any, int, int]:
        """Take the first message out of the line, as its last byte has left."""
        first = self.leaving.pop(0)
        if self.leaving:
            self.unsent = self.leaving[0][1]
        return first

    def gives_up_ns(self) -> int:
        """When tcp breaks the connection: the user timeout after the first that it holds, or has lost again and again."""
        since_ns = self.held_since_ns if self.held else NEVER
        since_ns = min(since_ns, self.lost_since_ns)
        return NEVER if since_ns > NEVER - self.user_timeout_ns else since_ns + self.user_timeout_ns

    def resume_ns(self, now_ns: int) -> int:
        """When the sender next retransmits what was held: the timer that doubles does not know of the healing."""
        resume_ns, timeout_ns = self.held_since_ns, self.retransmit_ns
        while resume_ns < now_ns:
            resume_ns += timeout_ns
            timeout_ns = min(2 * timeout_ns, MAX_RETRANSMIT_NS)
        return resume_ns

    def duplicated(self) -> bool:
        """Whether the message just carried arrives twice (datagram only)."""
        if self.duplicate > 0.0 and self.chances.next() < self.duplicate:
            self.doubled_messages += 1
            return True
        return False

    def reset(self, now_ns: int) -> None:
        """The connection is gone with all that was under way; what is sent next takes a new one."""
        self.epoch = (self.epoch + 1) & 0xFFFF
        self.held = []
        self.leaving = []
        self.lost_since_ns = NEVER
        self.last_arrival_ns = now_ns


def link_between(network: Network, seed: int, one: int, other: int) -> Link:
    """The link from replica ``one`` to replica ``other``, the same in both worlds."""
    base_ns, latency = 0, network.latency or ZERO
    if network.matrix is not None:
        base_ns, latency = network.matrix.one_way_ns(network.placement[one], network.placement[other]), ZERO
    jitter = Uniform(low=0, high=network.jitter_ns) if network.jitter_ns else ZERO
    chances = Chances(generator(seed, LOSS, one, other))
    return Link(
        base_ns,
        Durations(latency, generator(seed, LATENCY, one, other)),
        Durations(jitter, generator(seed, LATENCY, one, other, 1)),
        LossModel(network.loss, chances),
        chances,
        network.transport == "tcp",
        network.retransmit_ns,
        network.duplicate,
        network.reorder,
        network.user_timeout_ns,
    )
