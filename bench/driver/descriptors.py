"""Whether a run may open as many files as it needs. Clients need none each: all share one connection to each replica."""
from __future__ import annotations

import resource

OWN, PER_REPLICA = 64, 8


def require(replicas: int) -> None:
    """Raise the limit of this process, and of those that it starts, to all that it may have; ValueError where that is too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = OWN + PER_REPLICA * replicas
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ValueError(
            f"{replicas} replicas and their clients need {needed} open files, and a process may have {hard}; raise the limit "
            f"(ulimit -Hn {needed}), or take fewer replicas"
        )
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
