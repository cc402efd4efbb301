"""What all tests share: the finder of compiled modules comes first; the header says which cores are tested.

``REPLBENCH_PURE=1 pytest`` runs every test over the interpreted sources (see ext/build.py).
"""
import signal

import hypothesis

import ext  # noqa: F401  (installs the finder before any test imports an engine)
from ext import build

# A shell starts what runs in the background deaf to Ctrl-C, and its children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("replbench", deadline=None, print_blob=True)
hypothesis.settings.load_profile("replbench")


def pytest_report_header():
    return f"cores: {'compiled' if build.compiled() else 'interpreted'}"
