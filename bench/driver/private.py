"""What nobody else may know: files that only their owner can read."""
from __future__ import annotations

from pathlib import Path

SECRET_LEAST_BYTES = 16


def read_private(path: Path) -> bytes:
    """What is in the file; ValueError where it cannot be read, or others can read it."""
    try:
        if path.stat().st_mode & 0o077:
            raise ValueError(f"{path} holds a secret and can be read by others; chmod 600 it")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def read_secret(path: Path) -> bytes:
    """The secret of a cluster, white space around it left out; ValueError, too, where it is too short to be one."""
    secret = read_private(path).strip()
    if len(secret) < SECRET_LEAST_BYTES:
        raise ValueError(
            f"{path} holds {len(secret)} bytes, which can be guessed; put {SECRET_LEAST_BYTES} random ones or more there"
        )
    return secret
