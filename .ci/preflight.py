"""Says in one line what a machine lacks to build replbench, before anything is tried."""
import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path


def missing():
    """What is missing and how to mend it; None where nothing is."""
    version = ".".join(map(str, sys.version_info[:2]))
    if sys.version_info < (3, 11):  # noqa: UP036  (this is where older ones are turned away)
        return f"Python 3.11 or newer is needed, and {sys.executable} is {version}: try make PYTHON=.."
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return f"the headers of Python {version} are missing: install python3-dev"
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"the C compiler {compiler} is missing: install gcc, or set CC"
    if importlib.util.find_spec("ensurepip") is None:
        return "Python's modules venv and ensurepip are missing: install python3-venv"
    return None


if __name__ == "__main__":
    lack = missing()
    if lack:
        sys.exit("replbench: " + lack)
