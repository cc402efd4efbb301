"""Every test of a core runs twice: over the compiled module, and over the same source interpreted."""
import importlib

import pytest

from ext import build

FORMS = ["compiled", "interpreted"]


def core(name, form):
    """The module of this core in this form; skips where there is no build of it."""
    if form == "interpreted":
        return build.interpreted(name)
    if not build.compiled():
        pytest.skip("the cores are not compiled here: run `make build`, without REPLBENCH_PURE")
    module = importlib.import_module(name)
    assert not module.__file__.endswith(".py")
    return module


@pytest.fixture(params=FORMS)
def log(request):
    """ext.log"""
    return core("ext.log", request.param)


@pytest.fixture(params=FORMS)
def quorum(request):
    """ext.quorum"""
    return core("ext.quorum", request.param)


@pytest.fixture(params=FORMS)
def events(request):
    """ext.events"""
    return core("ext.events", request.param)


@pytest.fixture(params=FORMS)
def search(request):
    """ext.search"""
    return core("ext.search", request.param)
