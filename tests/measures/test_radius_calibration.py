"""The intervals of sigma hold it in 95 of 100 runs, over 500 seeds."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ndtr

from sharpkit import Problem, RadiusStatus, flatness_radius

TARGET = 0.1


def rotated(curvature, seed=0):
    rng = np.random.default_rng(seed)
    n = len(curvature)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return (Q * curvature) @ Q.T


def quadratic(H, w, slope=0.0, **known):
    def loss(x):
        d = x - w
        return float(slope * d.sum() + 0.5 * d @ H @ d), slope + H @ d

    return Problem(w, loss, **known)


def true_sigma(H, w, *, magnitude):
    """sum_i (sigma^2 c_i^2 + e^2) H_ii = 2 target; e is 0 but for magnitudes."""
    h = np.diag(H)
    left = 2 * TARGET - (1e-6 * h.sum() if magnitude else 0)
    return math.sqrt(left / float(h @ (w**2 if magnitude else np.ones_like(w))))


CURVATURES = {
    "one direction": np.r_[1.0, np.zeros(29)],
    "slow": 1 / np.arange(1.0, 41),
    "indefinite": np.linspace(-1, 5, 30),
}


@pytest.mark.slow
@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize(
    ("name", "slope"), [("one direction", 0.0), ("slow", 0.05), ("indefinite", 0.0)]
)
def test_the_interval_of_the_average_holds_it_in_95_of_100_runs(name, slope, magnitude):
    H, w = rotated(CURVATURES[name]), np.random.default_rng(1).standard_normal
    w = w(len(H))
    problem, true = quadratic(H, w, slope), true_sigma(H, w, magnitude=magnitude)
    held = 0
    for seed in range(500):
        found = flatness_radius(problem, of="loss", magnitude=magnitude, seed=seed)
        low, high = found.interval
        held += low <= true <= high
        assert found.status is RadiusStatus.CONVERGED
        assert low <= found.value <= high
    assert 0.92 <= held / 500 <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("magnitude", [False, True])
def test_the_interval_for_the_error_of_a_linear_model(magnitude):
    """A margin m_i under noise is normal, with the deviation |s x_i|."""
    rng = np.random.default_rng(2)
    X, w = rng.standard_normal((300, 10)), rng.standard_normal(10)
    y = np.sign(X @ w)
    problem = Problem(
        w,
        lambda v: float(np.logaddexp(0, -y * (X @ v)).mean()),
        accuracy=lambda v: float((y * (X @ v) > 0).mean()),
    )

    def excess(sigma):
        s = np.sqrt((sigma * w) ** 2 + 1e-6) if magnitude else sigma
        return ndtr(-abs(X @ w) / np.linalg.norm(s * X, axis=1)).mean() - TARGET

    true, held = brentq(excess, 1e-3, 10), 0
    for seed in range(500):
        low, high = flatness_radius(problem, magnitude=magnitude, seed=seed).interval
        held += low <= true <= high
    assert 0.92 <= held / 500 <= 0.98
