"""What the tests of the sharpness share."""

import numpy as np
from problems import Separable

from sharpkit import LBFGSB, ScipyLBFGSB

SOLVERS = [
    {"solver": "auto"},
    {"solver": "lbfgsb"},
    {"solver": LBFGSB(rescale=True)},
    {"solver": "scipy"},
    {"solver": ScipyLBFGSB(rescale=True)},
]


def separable(seed, n, dtype=np.float64, *, offset=0.3):
    """A quadratic, and weights that lie off its minimum by some ``offset``."""
    rng = np.random.default_rng(seed)
    h, m = rng.uniform(0.1, 10, n), rng.standard_normal(n)
    h[rng.random(n) < 0.2] = 0
    w = (m + offset * rng.choice([-1, 1], n) * rng.uniform(0.5, 1, n)).astype(dtype)
    return Separable(h, m), w


def inside(result, weights):
    """Whether the displacement lies in the box as the weights' dtype has it."""
    one = weights.dtype.type
    half_width = one(result.epsilon) * (np.abs(weights) + one(1))
    return bool((np.abs(result.displacement) <= half_width).all())


def same_bits(one, other):
    assert one.value == other.value
    assert one.starts == other.starts
    assert one.gap == other.gap
    np.testing.assert_array_equal(one.history, other.history)
    np.testing.assert_array_equal(one.displacement, other.displacement)
