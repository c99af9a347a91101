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
