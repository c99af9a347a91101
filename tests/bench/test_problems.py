import itertools

import numpy as np
import pytest


@pytest.fixture
def problems(load):
    return load("bench.problems")


@pytest.fixture(params=["convex", "concave"])
def problem(request, problems):
    return problems.Quadratic(300, np.float64, request.param)


def test_the_loss_at_the_weights_is_one(problem):
    assert problem(problem.w)[0] == pytest.approx(1)


def test_the_gradient_is_that_of_the_loss(problem):
    random = np.random.default_rng(0)
    direction = random.standard_normal(problem.w.size)
    above, below = (problem(problem.w + h * direction)[0] for h in (1e-4, -1e-4))
    gradient = problem(problem.w)[1]
    assert gradient is problem(problem.w)[1]  # one buffer
    assert (above - below) / 2e-4 == pytest.approx(gradient @ direction, rel=1e-6)


def test_the_maximum_is_known(problems, problem):
    radius = problems.EPSILON * (np.abs(problem.w) + 1)
    places = np.linspace(-1, 1, 2001)[:, None] * radius + problem.w
    terms = 0.5 * problem.h * (places - problem.m) ** 2
    rise = np.sum(terms.max(axis=0) - terms[1000])
    assert problem.maximum == pytest.approx(100 * rise / 2, rel=1e-4)


def test_the_kinds_are_what_they_say(problems):
    convex, concave = (
        problems.Quadratic(5000, np.float32, kind) for kind in ("convex", "concave")
    )
    assert (convex.h > 0).all()
    assert np.mean(concave.h < 0) == pytest.approx(1 - problems.RISING, abs=0.02)
    radius = problems.EPSILON * (np.abs(concave.w) + 1)
    inside = np.abs(concave.m - concave.w) < radius
    assert 0.6 < inside.mean() < 0.73


def test_corners_of_a_small_one(problems):
    problem = problems.Quadratic(8, np.float64, "convex")
    radius = problems.EPSILON * (np.abs(problem.w) + 1)
    losses = [
        problem(problem.w + radius * np.array(signs))[0]
        for signs in itertools.product((-1, 1), repeat=8)
    ]
    assert problem.maximum == pytest.approx(100 * (max(losses) - 1) / 2)
