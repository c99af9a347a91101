"""The most memory that one measurement takes, as the operating system sees it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

import sharpkit
from bench.problems import Quadratic
from bench.solving import EPSILON, solve

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
WARM = 300_000  # coordinates of a first measurement: enough for several threads
SUBSPACE = "subspace"
COLUMNS = 100


def measurable() -> bool:
    """Return whether this system tells the peak and lets it be set back: Linux."""
    return STATUS.exists() and CLEAR.exists()


def peak(method: str, n: int) -> dict[str, Any]:
    """Return the bytes that a measurement adds at its peak, and its seconds.

    To be called in a process of its own. The weights and the loss with all its buffers
    are there before, and kernels and threads have been used.
    """
    _measure(method, Quadratic(WARM, np.float32, "concave"))
    problem = Quadratic(n, np.float32, "concave")
    problem(problem.w)
    CLEAR.write_text("5")  # the peak is now what is resident
    before, began = _kibibytes("VmRSS"), time.perf_counter()
    value = _measure(method, problem)
    seconds = time.perf_counter() - began
    extra = 1024 * (_kibibytes("VmHWM") - before)
    return {
        "method": method,
        "n": n,
        "value": value,
        "seconds": seconds,
        "bytes": extra,
        "bytes_per_weight": extra / n,
    }


def _measure(method: str, problem: Quadratic) -> float:
    if method != SUBSPACE:
        return solve(method, problem.w, problem).value
    result = sharpkit.sharpness(
        problem.w, problem, epsilon=EPSILON, subspace=COLUMNS, progress=False
    )
    return result.value


def _kibibytes(field: str) -> int:
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
