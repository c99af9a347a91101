"""CuPy on a CUDA device, or the stand-in where there is none."""

import importlib
import os
from contextlib import contextmanager

import fake_cupy

from sharpkit._vectors.backends import backends


def required():
    """Return whether SHARPKIT_REQUIRE demands a device."""
    return "cuda" in os.environ.get("SHARPKIT_REQUIRE", "").split(",")


@contextmanager
def device_or_stand_in():
    """Give CuPy: that of the device if there is one, which SHARPKIT_REQUIRE demands."""
    reason = backends()["cuda"]
    if reason == "available":
        module = importlib.import_module("cupy")
        assert not required() or module is not fake_cupy.fake
        yield module
        return
    assert not required(), f"SHARPKIT_REQUIRE names cuda, but {reason}"
    with fake_cupy.installed() as module:
        yield module
