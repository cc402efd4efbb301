"""A cell of the lock service."""

from engines.lock_service.client import Client
from engines.lock_service.master import Master
from engines.lock_service.options import LockOptions
from engines.lock_service.tree import LockTree

__all__ = ["Client", "LockOptions", "LockTree", "Master"]
