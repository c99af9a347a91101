"""Small boxes, whose maxima are known by enumeration."""

import itertools

import numpy as np
import pytest
from problems import Dense, Recorded, rotated

from sharpkit import Status
from sharpkit.measures.sharpness import sharpness


def rosenbrock(x):
    a, b = x[:-1], x[1:]
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * a * (b - a * a) - 2 * (1 - a)
    gradient[1:] += 200 * (b - a * a)
    return float(np.sum(100 * (b - a * a) ** 2 + (1 - a) ** 2)), gradient


def chained(seed, n):
    """Return a convex quadratic that couples neighbours, with its minimum at 0."""
    rng = np.random.default_rng(seed)
    off = 1.5 * rng.uniform(-1, 1, n - 1)
    h = np.diag(rng.uniform(0.5, 2, n)) + np.diag(off, 1) + np.diag(off, -1)
    return Dense(h + (0.05 - min(np.linalg.eigvalsh(h)[0], 0)) * np.eye(n), np.zeros(n))


@pytest.mark.parametrize("seed", range(5))
def test_rosenbrock_in_30_dimensions_reaches_its_best_known_corner(seed):
    start = np.ones(30)
    result = sharpness(start, rosenbrock, max_evaluations=100, seed=seed)
    assert result.value >= 10.45
    short = sharpness(start, rosenbrock, seed=seed)
    assert short.value > 9.4


@pytest.mark.parametrize("seed", range(5))
def test_chained_quadratics_in_14_dimensions(seed):
    loss_fn, w = chained(seed, 14), np.zeros(14)
    want = 100 * loss_fn.maximum(w, 0.1)
    assert sharpness(w, loss_fn, epsilon=0.1).value >= 0.95 * want
    more = sharpness(w, loss_fn, epsilon=0.1, max_evaluations=100)
    assert more.value == pytest.approx(want, rel=1e-9)
    assert more.status is Status.CONVERGED


def test_converged_means_that_no_single_flip_gains():
    for seed in range(20):
        loss_fn = rotated(np.random.default_rng(seed), 10)
        result = sharpness(loss_fn.m, loss_fn, epsilon=0.1, seed=seed)
        if result.status is not Status.CONVERGED:
            continue
        for i in range(10):
            flipped = result.displacement.copy()
            flipped[i] *= -1
            assert loss_fn(loss_fn.m + flipped)[0] <= result.max_loss * (1 + 1e-9)


def test_a_box_of_few_corners_is_seen_through():
    loss_fn = rotated(np.random.default_rng(0), 3)
    recorded = Recorded(loss_fn)
    result = sharpness(loss_fn.m, recorded, epsilon=0.1, max_evaluations=50)
    assert result.max_loss == pytest.approx(loss_fn.maximum(loss_fn.m, 0.1), rel=1e-12)
    assert result.evaluations <= 2 + 2**3 + 2
    corners = {tuple(np.sign(x - loss_fn.m)) for x in recorded.seen}
    assert corners >= set(itertools.product([-1.0, 1.0], repeat=3))


def test_every_seed_begins_elsewhere_where_the_centre_says_nothing():
    seen = []
    for seed in range(4):
        recorded = Recorded(rosenbrock)
        sharpness(np.ones(30), recorded, seed=seed)
        seen.append(recorded.seen[4])
    assert len(np.unique(seen, axis=0)) == 4


def test_a_maximum_inside_a_small_box():
    top = np.linspace(-0.08, 0.09, 10)
    result = sharpness(
        np.zeros(10),
        lambda w: (1 - float(np.sum((w - top) ** 2)), -2 * (w - top)),
        epsilon=0.1,
    )
    assert result.max_loss > 1 - 0.05 * float(np.sum(top**2))


def test_the_maximum_in_sixty_dimensions():
    result = sharpness(np.ones(60), rosenbrock)
    corner = 1e-3 * 2 * np.where(np.arange(60) % 2, 1.0, -1.0)
    assert result.max_loss >= rosenbrock(1 + corner)[0]


@pytest.mark.parametrize("n", [100, 200])
def test_beyond_small_boxes_converged_means_that_the_weakest_flip_loses(n):
    result = sharpness(np.ones(n), rosenbrock)
    assert result.status is Status.BUDGET  # of so few evaluations
    corner = 1e-3 * 2 * np.where(np.arange(n) % 2, 1.0, -1.0)
    assert result.max_loss < rosenbrock(1 + corner)[0]
