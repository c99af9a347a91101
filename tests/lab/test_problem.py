import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import sharpkit
from sharpkit.lab import problem as module
from sharpkit.lab.problem import Problem, frozen_statistics


@pytest.fixture
def make(draw, draw_statistics):
    """``make(batch_norm)``: the problem, and the weights to try it at."""

    def problem(batch_norm, rows=30, dtype=np.float64):
        network, weights, x, y = draw(rows=rows, dtype=dtype)
        statistics = {
            "batch": lambda: None,
            "running": lambda: draw_statistics(network, dtype),
            "frozen": lambda: frozen_statistics(network, weights, x, y),
        }[batch_norm]()
        found = Problem(network, x, y, batch_norm=batch_norm, statistics=statistics)
        return found, weights

    return problem


@pytest.mark.parametrize("batch_norm", ["running", "frozen"])
@pytest.mark.parametrize("rows", [7, 10, 29, 30])
def test_blocks_of_rows_change_nothing(make, monkeypatch, batch_norm, rows):
    problem, weights = make(batch_norm)
    loss, gradient = problem(weights)
    measured = problem.evaluate(weights)
    monkeypatch.setattr(module, "BLOCK_ROWS", rows)
    blocked, blocked_gradient = problem(weights)
    assert_allclose(blocked, loss, rtol=1e-14)
    assert_allclose(blocked_gradient, gradient, rtol=0, atol=1e-15)
    assert_allclose(problem.evaluate(weights).loss, measured.loss, rtol=1e-14)
    assert problem.evaluate(weights).accuracy == measured.accuracy


def test_batch_statistics_are_of_all_rows(make, monkeypatch):
    problem, weights = make("batch")
    loss, gradient = problem(weights)
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    blocked, blocked_gradient = problem(weights)
    assert blocked == loss
    assert_array_equal(blocked_gradient, gradient)


@pytest.mark.parametrize("batch_norm", ["batch", "running", "frozen"])
def test_the_gradient_is_that_of_the_mean(make, batch_norm):
    problem, weights = make(batch_norm)
    gradient = problem(weights)[1]
    direction = np.random.default_rng(1).standard_normal(weights.shape)
    h = 1e-6
    ahead, behind = (problem(weights + sign * h * direction)[0] for sign in (1, -1))
    assert_allclose(gradient @ direction, (ahead - behind) / (2 * h), rtol=1e-7)


def test_the_gradient_is_a_new_array(make):
    problem, weights = make("running")
    first = problem(weights)[1]
    kept = first.copy()
    problem(weights * 0.9)
    assert_array_equal(first, kept)


def test_loss_and_gradient_are_pytorchs(make, twin, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ROWS", 8)
    problem, weights = make("running")
    model = twin(problem.network, weights)
    model.set_statistics(problem.statistics)
    known = model.loss(problem.x, problem.y, train=False)
    loss, gradient = problem(weights)
    assert_allclose(loss, known, rtol=1e-12)
    assert_allclose(gradient, model.gradient(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
def test_measure(make, twin, monkeypatch, batch_norm):
    monkeypatch.setattr(module, "BLOCK_ROWS", 8)
    problem, weights = make(batch_norm)
    model = twin(problem.network, weights)
    if batch_norm == "running":
        model.set_statistics(problem.statistics)
    model.model.train(batch_norm == "batch")
    answers = model.model(model.torch.from_numpy(problem.x)).argmax(1).numpy()
    measured = problem.evaluate(weights)
    assert measured.accuracy == np.mean(answers == problem.y)
    assert 0 < measured.accuracy < 1
    assert measured.loss == problem(weights)[0]


def test_frozen_statistics_are_those_of_the_point(make):
    frozen, weights = make("frozen")
    batch, _ = make("batch")
    assert_allclose(frozen(weights)[0], batch(weights)[0], rtol=1e-14)
    moved = weights * 1.1
    assert frozen(moved)[0] != pytest.approx(batch(moved)[0], rel=1e-3)
    # the gradient does not flow through constants
    assert not np.allclose(frozen(weights)[1], batch(weights)[1], rtol=1e-3)


@pytest.mark.parametrize("batch_norm", ["batch", "running", "frozen"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sharpness_works_on_it(make, batch_norm, dtype):
    problem, weights = make(batch_norm, dtype=dtype)
    result = sharpkit.sharpness(weights, problem)
    assert result.value > result.noise
    assert result.loss == problem(weights)[0]
    assert result.max_loss == problem(weights + result.displacement)[0]


def test_errors(draw, draw_statistics):
    network, _, x, y = draw()
    statistics = draw_statistics(network)
    with pytest.raises(ValueError, match="batch_norm='train' is none of 'batch', 'run"):
        Problem(network, x, y, batch_norm="train")
    for batch_norm in ("running", "frozen"):
        with pytest.raises(ValueError, match=f"'{batch_norm}' with statistics=None"):
            Problem(network, x, y, batch_norm=batch_norm)
    with pytest.raises(ValueError, match="and none for 'batch'"):
        Problem(network, x, y, batch_norm="batch", statistics=statistics)


@pytest.mark.parametrize("batch_norm", ["batch", "running", "frozen"])
def test_a_subset_is_the_problem_of_these_samples(make, batch_norm):
    whole, weights = make(batch_norm)
    chosen = [3, 29, 7, 11]
    alone = Problem(
        whole.network,
        whole.x[chosen],
        whole.y[chosen],
        batch_norm=batch_norm,
        statistics=whole.statistics,
    )
    problem = sharpkit.Problem(
        weights, whole, hvp=whole.hvp, samples=whole.samples, subset=whole.subset
    )
    part = problem.subset(chosen)
    assert part(weights)[0] == alone(weights)[0]
    assert_array_equal(part(weights)[1], alone(weights)[1])
    v = np.random.default_rng(2).standard_normal(weights.shape)
    assert_array_equal(part.hvp(weights, v), alone.hvp(weights, v))
    with pytest.raises(ValueError, match="indices holds 30, and there are 30"):
        whole.subset([30])


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
def test_normalized_logits_are_those_of_pytorch(make, twin, batch_norm):
    whole, weights = make(batch_norm)
    problem = Problem(
        whole.network,
        whole.x,
        whole.y,
        batch_norm=batch_norm,
        statistics=whole.statistics,
        normalize_logits=True,
    )
    model = twin(whole.network, weights)
    torch = model.torch
    if batch_norm == "running":
        model.set_statistics(whole.statistics)
    model.model.train(batch_norm == "batch")
    logits = model.model(torch.from_numpy(whole.x))
    centred = logits - logits.mean(1, keepdim=True)
    known = torch.nn.functional.cross_entropy(
        centred / centred.norm(dim=1, keepdim=True), torch.from_numpy(whole.y)
    )
    assert_allclose(problem(weights)[0], float(known.detach()), rtol=1e-12)


def differences(function, weights, v, h=1e-6):
    return (function(weights + h * v) - function(weights - h * v)) / (2 * h)


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
def test_derivatives_with_normalized_logits(make, batch_norm):
    whole, weights = make(batch_norm)
    problem = Problem(
        whole.network,
        whole.x,
        whole.y,
        batch_norm=batch_norm,
        statistics=whole.statistics,
        normalize_logits=True,
    )
    assert problem.subset([1, 2, 3]).normalize_logits
    v = np.random.default_rng(4).standard_normal(weights.shape)
    slope = differences(lambda w: problem(w)[0], weights, v)
    gradient = problem(weights)[1]
    assert_allclose(gradient @ v, slope, rtol=1e-7)
    bent = differences(lambda w: problem(w)[1], weights, v)
    scale = np.abs(bent).max()
    assert_allclose(problem.hvp(weights, v), bent, rtol=0, atol=1e-7 * scale)
    # The scale of the last layer counts for nothing; its Gauss-Newton matrix is none.
    along = np.zeros_like(weights)
    part = whole.network.layers(along)[-1]
    own = whole.network.layers(weights)[-1]
    part.weight[...], part.bias[...] = own.weight, own.bias
    assert abs(gradient @ along) < 1e-12
    assert np.abs(problem.gauss_newton(weights, along)).max() < 1e-12
    assert v @ problem.gauss_newton(weights, v) > 0
    assert abs(whole(weights)[1] @ along) > 1e-3
