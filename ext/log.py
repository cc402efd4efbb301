"""The replicated log (first version; see the docstrings for the contract)."""
from __future__ import annotations


class Log:
    def __init__(self, base: int = 0, base_term: int = 0) -> None:
        self.base = base
        self.base_term = base_term
        self.last = base

    def payload(self, position: int) -> bytes:
        raise IndexError(position)
