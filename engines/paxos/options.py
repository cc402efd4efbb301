"""What Paxos alone is told."""
from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ext.quorum import MajorityQuorum, QuorumSystem, intersects


class PaxosOptions(msgspec.Struct, frozen=True):
    """The quorum systems of the phases (None: majorities); whether a replica inquires before it stands."""

    phase1: QuorumSystem | None = None
    phase2: QuorumSystem | None = None
    inquire: bool = True

    def quorums(self, voters: Sequence[int]) -> tuple[QuorumSystem, QuorumSystem]:
        """Those of phase 1 and 2; ValueError where they have other voters, or do not meet (FPaxos)."""
        phase1 = MajorityQuorum(voters) if self.phase1 is None else self.phase1
        phase2 = MajorityQuorum(voters) if self.phase2 is None else self.phase2
        for phase in (phase1, phase2):
            if set(phase.voters) != set(voters):
                raise ValueError(f"a quorum system over {phase.voters} cannot serve {tuple(voters)}")
        if not intersects(phase1, phase2):
            raise ValueError("phase1 and phase2: not all of their quorums meet, two values could be decided")
        return phase1, phase2
