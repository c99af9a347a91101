"""Shared by all tests: their helper modules, the backends, and the thread count."""

import importlib
import importlib.util
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

# Side by side each process has one core, and BLAS that takes all would wait for itself.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import numpy as np
import pytest

# `problems`, `thread_comm` and others; importlib mode adds no path.
sys.path.insert(0, str(Path(__file__).parent / "helpers"))

import fake_cupy
from cuda_device import device_or_stand_in

from sharpkit._vectors import parallel
from sharpkit._vectors.backends import MODULES

# Their own tests refuse to skip these.
NO_LIBRARIES = {"", "chromium", "cuda", "nvrtc"}

# Marks of whole folders and files; the single tests that are slow or start processes
# say so themselves. What the marks mean stands in pyproject.toml.
CUDA_SOURCE = (
    "_vectors/kernels/test_cuda_bugs.py",
    "_vectors/kernels/test_cuda_compile.py",
)
KILLED = ("lab/store/test_killed.py", "lab/store/test_processes.py")
MARKS = {
    "lab": (
        *("lab", "cli/test_app.py", "cli/test_report.py", "cli/test_reproduce.py"),
        *("cli/test_runs.py", "test_docs_results.py", "test_docs_runs.py"),
    ),
    "conformance": ("_vectors/kernels",),
    "process": (*CUDA_SOURCE, *KILLED, "lab/jobs/test_pool.py", "examples"),
    "slow": (
        *CUDA_SOURCE,
        *KILLED,
        *("bench", "examples", "measures/test_trace_calibration.py"),
        "measures/test_radius_calibration.py",
        "test_agreement.py",
    ),
}

# Files of few tests that take long: last of all, they would leave a process idle.
LONG = (
    *("examples", "bench/test_device.py", "lab/jobs", "test_generated_inputs.py"),
    *("measures/test_ball_sharpness.py", "measures/test_gradient_noise.py"),
    *("test_without_extras.py", "torch/test_monitor_parallel.py"),
    "torch/test_sharded.py",
)


def pytest_configure():
    """Refuse to start without the libraries that SHARPKIT_REQUIRE names."""
    required = set(os.environ.get("SHARPKIT_REQUIRE", "").split(",")) - NO_LIBRARIES
    missing = {name for name in required if importlib.util.find_spec(name) is None}
    if missing:
        msg = f"SHARPKIT_REQUIRE names {sorted(missing)}, which cannot be imported"
        raise pytest.UsageError(msg)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items):
    """Mark the tests by where they stand, and those that open a browser."""
    here = Path(__file__).parent
    every = [p for ps in (*MARKS.values(), LONG) for p in ps]
    missing = [p for p in every if not (here / p).exists()]
    if missing:
        msg = f"tests/conftest.py names {missing}, which are not there"
        raise pytest.UsageError(msg)
    for item in items:
        place = item.path.relative_to(here)
        for mark, places in MARKS.items():
            if any(place.is_relative_to(each) for each in places):
                item.add_marker(mark)
        if "browser" in item.fixturenames:
            item.add_marker("browser")
    if "PYTEST_XDIST_WORKER" in os.environ:
        tests = Counter(item.path for item in items)
        items.sort(key=lambda item: (not is_long(item.path), -tests[item.path]))


def is_long(path):
    """Whether a file is one of the LONG ones."""
    place = path.relative_to(Path(__file__).parent)
    return any(place.is_relative_to(each) for each in LONG)


# The CUDA backend takes arrays of its own; its tests are apart.
@pytest.fixture(params=["cpu", "reference"])
def backend(request):
    return request.param


@pytest.fixture
def kernels(backend):
    return importlib.import_module(MODULES[backend])


@pytest.fixture(params=[np.float32, np.float64], ids=["f4", "f8"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(scope="module")
def cupy():
    """CuPy on a device if there is one, else the stand-in: what is computed there."""
    with device_or_stand_in() as module:
        yield module


@pytest.fixture
def stand_in():
    """The stand-in in any case, which counts the copies between host and device."""
    with fake_cupy.installed() as module:
        yield module


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


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium; missing, it skips the test, or fails it where SHARPKIT_REQUIRE
    names "chromium".
    """
    required = os.environ.get("SHARPKIT_REQUIRE", "").split(",")
    executable = shutil.which("chromium")
    if "chromium" in [name.strip() for name in required]:
        playwright = importlib.import_module("playwright.sync_api")
        assert executable, "SHARPKIT_REQUIRE names chromium, which is not installed"
    else:
        playwright = pytest.importorskip("playwright.sync_api")
        if not executable:
            pytest.skip("chromium is not installed")
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=executable, headless=True, args=arguments
        )
        yield opened
        opened.close()
