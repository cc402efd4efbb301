"""Replication protocols as pure state machines."""
import ext  # noqa: F401  (installs the finder of compiled modules)
