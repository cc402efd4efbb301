"""Says in one line what a machine lacks to build replbench, before anything is tried. Runs on any Python, however old."""
from __future__ import print_function

import os
import shutil
import sys
import sysconfig


def missing():
    """What is missing and how to mend it; None where nothing is."""
    if sys.version_info < (3, 11):
        found = "{}.{}".format(*sys.version_info[:2])
        return "Python 3.11 or newer is needed, and {} is {}: try `make PYTHON=python3.11`".format(sys.executable, found)
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        return "the headers of Python {}.{} are missing: install python3-dev".format(*sys.version_info[:2])
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return "the C compiler {} is missing: install gcc, or set CC".format(compiler)
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return "the module venv is missing: install python3-venv"
    return None


if __name__ == "__main__":
    lack = missing()
    if lack:
        sys.exit("replbench: " + lack)
