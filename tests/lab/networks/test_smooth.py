"""The smooth network against PyTorch, and the polynomial against NumPy."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sharpkit.lab.networks.smooth import SquaredError, chebyshev


@pytest.fixture
def problem():
    random = np.random.default_rng(0)
    return SquaredError((4, 3), random.normal(size=(7, 2)), random.normal(size=(7, 3)))


def judged(torch, problem, vector):
    """The loss in PyTorch, written once more, on a flat vector."""
    h, start = torch.from_numpy(problem.x), 0
    sizes = problem.sizes
    for i, (a, b) in enumerate(pairwise(sizes)):
        matrix = vector[start : start + a * b].reshape(a, b)
        h = h @ matrix + vector[start + a * b : start + a * b + b]
        start += a * b + b
        if i < len(sizes) - 2:
            h = torch.tanh(h)
    assert start == len(vector) == problem.n_weights
    return ((h - torch.from_numpy(problem.y)) ** 2).sum() / (2 * len(h))


def test_loss_gradient_and_products(torch, problem):
    weights = problem.initial_weights(3)
    vector = torch.tensor(weights, requires_grad=True)
    known = judged(torch, problem, vector)
    (gradient,) = torch.autograd.grad(known, vector)
    loss, found = problem(weights)
    assert loss == pytest.approx(known.item(), rel=1e-13)
    assert_allclose(found, gradient.numpy(), rtol=1e-11, atol=1e-14)
    hessian = torch.autograd.functional.hessian(
        lambda w: judged(torch, problem, w), vector.detach()
    ).numpy()
    ours = np.array([problem.hvp(weights, unit) for unit in np.eye(len(weights))])
    assert_allclose(ours, hessian, rtol=1e-10, atol=1e-13)


def test_the_start_is_within_its_bounds(problem):
    weights = problem.initial_weights(1)
    assert np.abs(weights[:12]).max() <= 1 / np.sqrt(2)
    assert np.abs(weights[12:27]).max() <= 1 / np.sqrt(4)
    assert np.abs(weights[27:]).max() <= 1 / np.sqrt(3)
    assert not np.array_equal(weights, problem.initial_weights(2))


@pytest.mark.parametrize("degree", [3, 4, 5])
def test_the_polynomial(degree):
    x, y = chebyshev(degree)
    assert_allclose(x[:, 0], -1 + 2 * np.arange(20) / 19, atol=1e-15)
    known = np.polynomial.Chebyshev.basis(degree)(x)
    assert_allclose(y, known, atol=1e-13)
