"""Who compiles is told so, and who loads from Numba's cache on disk is not."""

import os
import subprocess
import sys

import numba
import pytest
from numba.core import event

from sharpkit._vectors.kernels import _jit

NOTICE = "sharpkit: compiling CPU kernels, once (about 10 s) ...\n"
# From a disk so slow that the time taken tells nothing.
TWO_KERNELS = """
import time
import numpy as np
from numba.core import caching
from sharpkit._vectors.kernels import _cpu_box, _jit

load = caching.FunctionCache.load_overload

def slowly(self, *args):
    time.sleep(0.6)
    return load(self, *args)

caching.FunctionCache.load_overload = slowly
for dtype in (np.float32, np.float64):
    _jit.compiled(_cpu_box.RADIUS, np.dtype(dtype))
"""


def said(cache):
    done = subprocess.run(
        [sys.executable, "-c", TWO_KERNELS],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
    )
    assert done.stdout == ""
    return done.stderr


def test_compiling_is_announced_once_and_loading_is_not(tmp_path):
    assert said(tmp_path) == NOTICE
    assert said(tmp_path) == ""


@pytest.mark.parametrize("ours", [True, False])
def test_only_our_compiling_is_announced(ours, capsys):
    def double(x):
        return 2 * x

    worker = _jit.Worker(double if ours else print, lambda t: t)
    _jit._announce.cache_clear()
    with event.install_listener("numba:compile", _jit._Notice(worker)):
        numba.njit("float64(float64)")(double)
    assert capsys.readouterr().err == (NOTICE if ours else "")
