"""Cython cores: the replicated log, quorum counting, the event queue, the search for linearizations.

They import nothing else of the project.
"""
from ext import build

build.install()
