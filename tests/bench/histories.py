"""Histories for the checker's tests: of an honest register, and lines as a person would write them."""

import json
import random

from bench.checkers.history import Operation, parse


def operation(client, op, call_ns, return_ns, arg=None, ret=None, **fields):
    """A completed operation, unless ``return_ns`` is None."""
    ok = fields.pop("ok", None if return_ns is None else True)
    return Operation(client=client, op=op, arg=arg, ret=ret, call_ns=call_ns, return_ns=return_ns, ok=ok, **fields)


def line(client=1, op="write", key="x", arg=1, ret=None, call_ns=0, return_ns=5, ok=True, **more):
    """A line of a history as JSON; ``more`` are further fields, and None in ``ok`` is null."""
    fields = {"client": client, "op": op, "key": key, "arg": arg, "ret": ret, "call_ns": call_ns}
    return json.dumps({**fields, "return_ns": return_ns, "ok": ok, **more})


def parsed(*lines, model="key-value"):
    """The histories in these lines."""
    return parse([text.encode() + b"\n" for text in lines], "lines", model)


def honest(seed, count, clients=10, values=0, unknown=0.05, mix=(0.5, 0.5, 0.0), ghosts=0.5):
    """Operations of one register that took effect one at a time: linearizable by construction.

    Each client does one thing after another; ``values`` is how many values there are (0: each write has its
    own), ``mix`` the shares of read, write and cas, ``unknown`` how many get no answer, and ``ghosts`` how
    many of these never happen. A client without an answer goes on under another name, as one would that was
    restarted.
    """
    dice = random.Random(seed)
    names = list(range(clients))
    free_at = [dice.randrange(1000) for _ in names]
    planned = []
    for _ in range(count):
        client = min(range(clients), key=free_at.__getitem__)
        called = free_at[client]
        returned = called + 1 + int(dice.expovariate(1 / 1000))
        lost = dice.random() < unknown
        late = dice.randrange(50_000) if lost and dice.random() < 0.2 else 0
        planned.append((dice.randint(called, returned) + late, names[client], called, None if lost else returned))
        free_at[client] = returned + dice.randrange(1, 200)
        if lost:
            names[client] = max(names) + 1
    planned.sort(key=lambda plan: plan[0])
    return _performed(dice, planned, values, mix, ghosts)


def _performed(dice, planned, values, mix, ghosts):
    found, value = [], None
    for token, (_, client, called, returned) in enumerate(planned, 1):
        new = dice.randrange(1, values + 1) if values else token
        [op] = dice.choices(("read", "write", "cas"), mix)
        if op == "cas" and value is None:
            op = "write"  # as the key-value machine has it, a cas finds a value
        happens = returned is not None or dice.random() >= ghosts
        if op == "read":
            found.append(operation(client, op, called, returned, ret=None if returned is None else value))
        elif op == "write":
            found.append(operation(client, op, called, returned, arg=new))
            value = new if happens else value
        else:
            old = value if dice.random() < 0.6 else dice.randrange(1, values + 1) if values else max(1, token - 3)
            applies = happens and old == value
            ret = None if returned is None else applies
            found.append(operation(client, op, called, returned, arg=[old, new], ret=ret))
            value = new if applies else value
    for number, one in enumerate(sorted(found, key=lambda one: one.call_ns), 1):
        one.line = number
    return sorted(found, key=lambda one: one.call_ns)
