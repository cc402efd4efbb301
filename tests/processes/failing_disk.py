"""A replica whose syncs fail from a moment on: ``python -m tests.processes.failing_disk CONFIG``; a file named fail in its
data folder is the moment.
"""
from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from bench.driver.replica import main, read_config

if __name__ == "__main__":
    moment = Path(read_config(Path(sys.argv[1])).data) / "fail"
    sync = os.fdatasync

    def fdatasync(file: int) -> None:
        if moment.exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(file)

    os.fdatasync = fdatasync
    sys.exit(main(sys.argv[1:]))
