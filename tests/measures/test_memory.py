"""What the docstrings say of memory, held against what Python allocates."""

import re
import tracemalloc

import numpy as np
import pytest

import sharpkit

N = 100_000
NUMBERS = {
    sharpkit.ball_sharpness: re.compile(
        r"at most: (\d+) for\s+l2 and (\d+) for linf, if adaptive (\d+) and (\d+); for "
        r"one step (\d+), if adaptive (\d+)\."
    ),
    sharpkit.average_sharpness: re.compile(r"at most: (\d+), (\d+) if uniform"),
}
LONG = {"radius": 2.0, "max_evaluations": 60}
CUBE = {"norm": "linf", "radius": 0.02, "max_evaluations": 100}
CASES = {
    sharpkit.ball_sharpness: [
        LONG,
        CUBE,
        LONG | {"adaptive": True},
        CUBE | {"adaptive": True},
        {"method": "one_step"},
        {"method": "one_step", "adaptive": True},
    ],
    sharpkit.average_sharpness: [
        {"samples": 4, "adaptive": True},
        {"samples": 4, "distribution": "uniform"},
    ],
}


@pytest.fixture(scope="module")
def ridges():
    """Weights, and a loss of many basins that allocates nothing of their length."""
    random = np.random.default_rng(5)
    w, c = random.standard_normal(N), random.standard_normal((6, N)) / np.sqrt(N)
    gradient, part = np.empty(N), np.empty(N)

    def loss(w):
        z = c @ w
        np.multiply(w, 1e-3, out=gradient)
        for ridge, slope in zip(c, 21 * np.cos(7 * z), strict=True):
            np.multiply(ridge, slope, out=part)
            np.add(gradient, part, out=gradient)
        return 3 * float(np.sin(7 * z).sum()) + 5e-4 * float(w @ w), gradient

    return w, loss


@pytest.mark.parametrize("measure", CASES, ids=lambda each: each.__name__)
def test_the_memory_of_a_rise_is_what_its_docstring_says(ridges, measure):
    told = NUMBERS[measure].search(measure.__doc__).groups()
    for vectors, options in zip(told, CASES[measure], strict=True):
        measure(np.ones(9), small, progress=False, **options)  # compiles the kernels
        tracemalloc.start()
        try:
            measure(*ridges, progress=False, **options)
            peak = tracemalloc.get_traced_memory()[1] / (8 * N)
        finally:
            tracemalloc.stop()
        assert 0.7 * int(vectors) < peak <= int(vectors), options


def small(w):
    return float(np.sin(7 * w).sum()), 7 * np.cos(7 * w)
