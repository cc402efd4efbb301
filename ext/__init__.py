"""Cython cores: the replicated log, quorum counting, the event queue. Imports nothing else of the project."""
from ext import build

build.install()
