"""A training in JAX with a monitor, and the values that it records."""

import numpy as np
import pytest

import sharpkit

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
jnp = jax.numpy

X = jnp.asarray(np.random.default_rng(0).standard_normal((40, 5)), jnp.float32)
Y = jnp.asarray(np.arange(40) % 2, jnp.float32)


def loss(params, batch):
    x, y = batch
    out = jnp.tanh(x @ params["a"]) @ params["b"]
    return jnp.mean((out - y) ** 2)


def trained(watch, make=optax.sgd, *, donated=False, **own):
    """Return the parameters after ten steps, and what was recorded."""
    key = jax.random.key(0)
    params = {"a": jax.random.normal(key, (5, 4)), "b": jnp.ones(4) / 4}
    optimizer = make(**own)
    state, rows, monitor = optimizer.init(params), [], None
    if watch:
        monitor = sharpkit.jax.monitor(
            loss, params, (X, Y), optimizer=make, options=own, budget=None, every=3
        )

    def update(params, state):
        gradient = jax.grad(loss)(params, (X[:20], Y[:20]))
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    update = jax.jit(update, donate_argnums=(0, 1) if donated else ())
    for _ in range(10):
        if monitor is not None:
            rows += monitor.step(params, state)
        params, state = update(params, state)
    if monitor is not None:
        rows += monitor.close(params, state)
    return params, rows


CASES = [
    (optax.sgd, {"learning_rate": 0.1, "momentum": 0.9}),
    (optax.adamw, {"learning_rate": 0.01}),
    (optax.rmsprop, {"learning_rate": optax.linear_schedule(0.01, 0.001, 10)}),
]


@pytest.mark.parametrize(("make", "own"), CASES)
def test_the_training_is_the_same_to_the_bit(make, own):
    without, _ = trained(False, make, **own)
    watched, rows = trained(True, make, **own)
    for name, value in without.items():
        assert np.array_equal(value, watched[name])
    assert [row for row in rows if row.status == "failed"] == []
    names = {row.name for row in rows}
    assert ("preconditioned_lambda_max" in names) == (make is not optax.sgd)
    held = "lambda_max" if make is optax.sgd else "preconditioned_lambda_max"
    assert all(row.threshold for row in rows if row.name == held)
    assert {row.step for row in rows if row.name == "critical_sharpness"} == {
        0,
        3,
        6,
        9,
    }


def test_with_parameters_that_are_donated():
    without, _ = trained(False, learning_rate=0.1, donated=True)
    watched, rows = trained(True, learning_rate=0.1, donated=True)
    assert [row for row in rows if row.status == "failed"] == []
    for name, value in without.items():
        assert np.array_equal(value, watched[name])


def test_values_are_those_of_the_measures():
    own = {"learning_rate": 0.1, "momentum": 0.5}
    params, rows = trained(True, optax.sgd, **own)
    last = {row.name: row for row in rows if row.step == 9}
    before = {row.name: row for row in rows if row.step == 6}
    assert last["lambda_max"].threshold == pytest.approx(30)
    monitor = sharpkit.jax.monitor(loss, params, (X, Y), budget=None)
    found = {row.name: row for row in monitor.step(params)}
    problem = sharpkit.jax.problem(loss, params, (X, Y))
    exact = float(sharpkit.eigenvalues(problem, tol=1e-4))
    assert found["lambda_max"].value == pytest.approx(exact, rel=0.01)
    assert found["loss"].value == pytest.approx(problem(problem.weights)[0])
    assert before["loss"].value > last["loss"].value > found["loss"].value


def test_an_optimizer_that_is_made_already_is_refused_with_the_cure():
    with pytest.raises(TypeError, match="give the function that made it"):
        sharpkit.jax.monitor(
            lambda w: (w**2).sum(), jnp.ones(2), optimizer=optax.adam(0.1)
        )
