import itertools

import numpy as np
import pytest

from sharpkit import Status
from sharpkit._box.flips import Flips, settled
from sharpkit.measures.sharpness import sharpness

N = 300


def chained(seed, n=N):
    """A convex quadratic of a tridiagonal matrix, at its minimum."""
    rng = np.random.default_rng(seed)
    diagonal, beside = rng.uniform(0.5, 2, n), rng.uniform(-1.5, 1.5, n - 1)
    h = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    h += max(0.05 - np.linalg.eigvalsh(h)[0], 0) * np.eye(n)
    return h, lambda w: (0.5 * float(w @ h @ w), h @ w)


def most(h):
    """The largest rise at any corner, by dynamic programming along the chain."""
    diagonal, beside = np.diag(h), np.diag(h, 1)
    best = dict.fromkeys((-1, 1), 0.5 * diagonal[0])
    for own, link in zip(diagonal[1:], beside, strict=True):
        best = {
            sign: 0.5 * own + max(best[last] + link * last * sign for last in best)
            for sign in best
        }
    return max(best.values())


def test_the_largest_rise_is_that_of_all_corners():
    h, loss_fn = chained(0, 8)
    corners = itertools.product([-1.0, 1.0], repeat=8)
    assert most(h) == pytest.approx(max(loss_fn(np.array(z))[0] for z in corners))


def test_gains_of_a_diagonal_are_exact():
    rng = np.random.default_rng(0)
    h, b = rng.standard_normal((2, 20))
    flips = Flips()
    for _ in range(3):
        z = rng.uniform(-1, 1, 20)
        flips.saw(z, h * z + b)
    at = rng.uniform(-1, 1, 20)
    for i, gain in enumerate(flips.gains(at, h * at + b)):
        flipped = at.copy()
        flipped[i] *= -1
        change = 0.5 * h[i] * (flipped[i] ** 2 - at[i] ** 2) + b[i] * (flipped - at)[i]
        assert gain == pytest.approx(change, abs=1e-12)


def test_gains_that_are_settled():
    assert settled(np.array([-1.0, 4e-3, 5e-3]), 1.0)
    assert not settled(np.array([-1.0, 4e-3, 7e-3]), 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_converged_is_no_corner_that_single_flips_improve(seed):
    """Nor is a search with few evaluations: it says that they ran out."""
    h, loss_fn = chained(seed)
    found = sharpness(np.zeros(N), loss_fn, epsilon=0.1, max_evaluations=400)
    z = found.displacement
    gains = 2 * (np.diag(h) * z**2 - z * (h @ z))
    share = float(np.maximum(gains, 0).sum() / (found.max_loss - found.loss))
    if found.status in (Status.CONVERGED, Status.UNCONFIRMED):
        assert share < 0.02
    assert found.max_loss > 0.9 * 0.01 * most(h)
    few = sharpness(np.zeros(N), loss_fn, epsilon=0.1, max_evaluations=25)
    assert few.status is Status.BUDGET
