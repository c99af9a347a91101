"""Shared by all tests: their helper modules, the backends, and the thread count."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

# `problems`, `thread_comm` and others; importlib mode adds no path.
sys.path.insert(0, str(Path(__file__).parent / "helpers"))

from sharpkit._vectors import parallel

# Their own tests refuse to skip these.
NO_LIBRARIES = {"", "chromium", "cuda", "nvrtc"}


def pytest_configure():
    """Refuse to start without the libraries that SHARPKIT_REQUIRE names."""
    required = set(os.environ.get("SHARPKIT_REQUIRE", "").split(",")) - NO_LIBRARIES
    missing = {name for name in required if importlib.util.find_spec(name) is None}
    if missing:
        msg = f"SHARPKIT_REQUIRE names {sorted(missing)}, which cannot be imported"
        raise pytest.UsageError(msg)


# The CUDA backend takes arrays of its own; its tests are apart.
@pytest.fixture(params=["cpu", "reference"])
def backend(request):
    return request.param


@pytest.fixture(params=[np.float32, np.float64], ids=["f4", "f8"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def threads():
    yield parallel.set_num_threads
    parallel._threads, parallel._pool = None, None


@pytest.fixture
def interruptible():
    """Processes started meanwhile heed Ctrl-C, also where a shell runs the tests in the
    background: it has them ignored there, and children inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
