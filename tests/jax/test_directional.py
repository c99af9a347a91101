"""Derivatives of the losses of single rows, against a gradient for each."""

import numpy as np
import pytest
from jax_cases import PARAMS, ROWS, V, X, Y, loss, model, pieces, squares
from numpy.testing import assert_allclose

import sharpkit

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")


def one_by_one(made, w, v):
    return np.array([made.subset([i])(w)[1] @ v for i in range(ROWS)])


@pytest.mark.parametrize("data", [lambda: (X, Y), lambda: pieces(5)])
@pytest.mark.parametrize("split", [True, False])
def test_they_are_those_of_each_row(x64, data, split):
    options = {"model": model} if split else {}
    made = sharpkit.jax.problem(squares if split else loss, PARAMS, data(), **options)
    w = made.weights
    found, known = made.directional(w, V), one_by_one(made, w, V)
    assert_allclose(found, known, rtol=1e-12)
    norm = sharpkit.fisher_rao(made)
    assert norm.value == pytest.approx(np.mean(one_by_one(made, w, w) ** 2), rel=1e-12)
    assert norm.method == "forward"


def test_without_forward_derivatives(x64):
    @jax.custom_vjp
    def same(x):
        return x

    same.defvjp(lambda x: (x, None), lambda _, g: (g,))

    def odd(params, x):
        return same(model(params, x))

    made = sharpkit.jax.problem(squares, PARAMS, (X, Y), model=odd)
    w = made.weights
    assert_allclose(made.directional(w, V), one_by_one(made, w, V), rtol=1e-12)


def test_without_data_there_are_none():
    made = sharpkit.jax.problem(lambda params: (params**2).sum(), jnp.ones(3))
    assert made.directional is None


def test_the_other_measures_of_batches(x64):
    made = sharpkit.jax.problem(squares, PARAMS, (X, Y), model=model)
    gradients = np.array([made.subset([i])(made.weights)[1] for i in range(ROWS)])
    rest = gradients - gradients.mean(0)
    noise = sharpkit.gradient_noise(made)
    assert noise.gradient_variance == pytest.approx(float((rest**2).sum() / (ROWS - 1)))
    sharp = sharpkit.batch_sharpness(made, batch_size=4, max_batches=12)
    assert sharp.source == "hvp"


@pytest.mark.parametrize("data", [lambda: (X, Y), lambda: pieces(5)])
def test_the_empirical_fisher_matrix(x64, data):
    made = sharpkit.jax.problem(squares, PARAMS, data(), model=model)
    w = made.weights
    gradients = np.array([made.subset([i])(w)[1] for i in range(ROWS)])
    dense = gradients.T @ gradients / ROWS
    assert_allclose(made.empirical_fisher(w, V), dense @ V, rtol=1e-11, atol=1e-13)
    trace = sharpkit.trace(made, hvp=made.empirical_fisher)
    assert float(trace) == pytest.approx(np.trace(dense), rel=1e-9)


LABELS = np.arange(ROWS) % 3
WIDE = {"w": np.random.default_rng(3).standard_normal((3, 3)), "b": np.zeros(3)}


def scores(params, x):
    return jnp.tanh(x @ params["w"]) + params["b"]


def cross_entropy(outputs, labels):
    logs = jax.nn.log_softmax(outputs)
    return -jnp.take_along_axis(logs, labels[:, None], 1).mean()


def classifier(size=ROWS):
    parts = [(X[i : i + size], LABELS[i : i + size]) for i in range(0, ROWS, size)]
    return sharpkit.jax.problem(cross_entropy, WIDE, parts, model=scores)


def test_the_monte_carlo_fisher_matrix(x64):
    made = classifier()
    w, fisher = made.weights, made.monte_carlo_fisher(seed=5)
    at = np.random.default_rng(5).random(ROWS)
    shares = np.asarray(jax.nn.softmax(scores(WIDE, X)))
    drawn = (shares.cumsum(1) < at[:, None]).sum(1)
    again = sharpkit.jax.problem(cross_entropy, WIDE, (X, drawn), model=scores)
    gradients = np.array([again.subset([i])(w)[1] for i in range(ROWS)])
    dense = gradients.T @ gradients / ROWS
    v = np.random.default_rng(0).standard_normal(12)
    assert_allclose(fisher(w, v), dense @ v, rtol=1e-9, atol=1e-12)
    assert_allclose(classifier(5).monte_carlo_fisher(5)(w, v), dense @ v, rtol=1e-9)
    trace = sharpkit.trace(made, hvp=fisher)
    assert float(trace) == pytest.approx(np.trace(dense), rel=1e-8)


def test_its_mean_over_seeds_is_the_gauss_newton_matrix(x64):
    made = classifier()
    w, v = made.weights, np.random.default_rng(1).standard_normal(12)
    found = np.array([made.monte_carlo_fisher(s)(w, v) @ v for s in range(400)])
    known = float(made.gauss_newton(w, v) @ v)
    assert abs(found.mean() - known) <= 4 * found.std() / 20


def test_labels_are_drawn_for_cross_entropy_only(x64):
    twice = lambda out, y: 2 * cross_entropy(out, y)  # noqa: E731
    made = sharpkit.jax.problem(twice, WIDE, (X, LABELS), model=scores)
    with pytest.raises(ValueError, match="not the plain mean cross-entropy"):
        made.monte_carlo_fisher()(made.weights, made.weights)
    numbers = sharpkit.jax.problem(squares, PARAMS, (X, Y), model=model)
    with pytest.raises(ValueError, match="the targets are no classes"):
        numbers.monte_carlo_fisher()(numbers.weights, numbers.weights)
    with pytest.raises(ValueError, match="a Monte-Carlo Fisher matrix needs to know"):
        sharpkit.jax.problem(loss, PARAMS, (X, Y)).monte_carlo_fisher()
