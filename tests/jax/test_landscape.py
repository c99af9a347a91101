"""Landscapes of JAX problems: filters along the last axis, and one pass."""

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from sharpkit import landscape  # noqa: E402
from sharpkit.jax import problem  # noqa: E402
from sharpkit.landscape.directions import random_direction  # noqa: E402
from sharpkit.measures._point import Point  # noqa: E402

RNG = np.random.default_rng(0)
PARAMS = {
    "dense": {"bias": RNG.normal(size=4), "kernel": RNG.normal(size=(3, 4))},
}
PARAMS = jax.tree_util.tree_map(lambda each: jnp.asarray(each, jnp.float32), PARAMS)
X, Y = jnp.asarray(RNG.normal(size=(12, 3)), jnp.float32), jnp.arange(12) % 4


def model(params, x):
    return x @ params["dense"]["kernel"] + params["dense"]["bias"]


def loss(outputs, targets):
    return -jax.nn.log_softmax(outputs)[jnp.arange(len(targets)), targets].mean()


def test_a_filter_is_a_column_of_a_kernel():
    p = problem(loss, PARAMS, (X, Y), model=model)
    found = random_direction(Point.of(p), seed=1)
    bias, kernel = found.vector[:4], found.vector[4:].reshape(3, 4)
    assert not bias.any()
    wanted = np.linalg.norm(PARAMS["dense"]["kernel"], axis=0)
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), wanted, rtol=1e-6)


def test_one_pass_has_loss_and_accuracy():
    for batches in ((X, Y), [(X[:5], Y[:5]), (X[5:], Y[5:])]):
        p = problem(loss, PARAMS, batches, model=model)
        value, share = p.evaluate(p.weights)
        assert value == pytest.approx(p(p.weights)[0], rel=1e-6)
        right = float((model(PARAMS, X).argmax(1) == Y).mean())
        assert share == p.accuracy(p.weights) == pytest.approx(right)
    alone = problem(
        lambda params, batch: loss(model(params, batch[0]), batch[1]), PARAMS, (X, Y)
    )
    assert alone.evaluate(alone.weights) == (alone.forward(alone.weights), None)


def test_a_plane_of_eigenvectors():
    p = problem(loss, PARAMS, (X, Y), model=model)
    found = landscape.plane(p, directions="eigenvectors", points=5, span=0.02)
    assert set(found.values) == {"loss", "accuracy"}
    np.testing.assert_allclose(found.quadratic(), found.values["loss"], atol=1e-5)


def test_a_problem_with_functions_inside_others_stays_in_one_process():
    p = problem(loss, PARAMS, (X, Y), model=model)
    with pytest.raises(TypeError, match="cannot be sent to other processes"):
        landscape.line(p, points=3, executor=2)
