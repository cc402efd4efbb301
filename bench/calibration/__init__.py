"""What work costs on this machine: measured here, written as a cost profile, used by the simulation (bench.scenario.costs).

    loopback    round trips over TCP: how long, and at which cost
    disk        write + fdatasync of the replicas' log, alone and together
    codec       encode, decode, append, apply; timers
    turns       short runs of real replicas and clients
    profile     the costs that explain all this, as a file
"""
