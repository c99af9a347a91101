"""Models with rules of differentiation of their own, which have no forward mode."""

import numpy as np
import pytest
from jax_cases import PARAMS, V, X, Y, jax, jnp, squares
from numpy.testing import assert_allclose

import sharpkit
from sharpkit import SharpkitWarning


@jax.custom_vjp
def smooth(x):
    return jnp.tanh(x)


smooth.defvjp(
    lambda x: (jnp.tanh(x), jnp.tanh(x)), lambda y, slope: ((1 - y**2) * slope,)
)


@jax.custom_vjp
def nested(x):
    return jnp.tanh(x)


# As a solver whose backward pass is a solver again: forward over reverse fails, too.
nested.defvjp(lambda x: (jnp.tanh(x), x), lambda x, s: ((1 - smooth(x) ** 2) * s,))


@jax.custom_vjp
def opaque(x):
    return jnp.tanh(x)


def _outside(y, slope):
    """Compute the backward pass in NumPy, where JAX sees nothing."""
    shape = jax.ShapeDtypeStruct(y.shape, y.dtype)
    return (jax.pure_callback(lambda y, s: (1 - y**2) * s, shape, y, slope),)


opaque.defvjp(lambda x: (jnp.tanh(x), jnp.tanh(x)), _outside)


def through(function):
    def model(params, x):
        return function(x @ params["hidden"]) @ params["out"]

    return model


def made(function, *, split=True, **options):
    model = through(function)
    if split:
        return sharpkit.jax.problem(squares, PARAMS, (X, Y), model=model, **options)

    def loss(params, batch):
        return squares(model(params, batch[0]), batch[1])

    return sharpkit.jax.problem(loss, PARAMS, (X, Y), **options)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("micro_batch", [None, 5])
@pytest.mark.parametrize("function", [smooth, nested])
def test_without_forward_mode(function, micro_batch):
    """The products are exact all the same, without a word."""
    found, known = made(function, micro_batch=micro_batch), made(jnp.tanh)
    w = found.weights + 0.1
    assert_allclose(found.hvp(w, V), known.hvp(w, V), rtol=1e-12, atol=1e-14)
    assert_allclose(
        found.gauss_newton(w, V), known.gauss_newton(w, V), rtol=1e-12, atol=1e-14
    )
    plain = made(function, split=False).at({k: x + 0.1 for k, x in PARAMS.items()})
    assert_allclose(plain.hvp(w, V), known.hvp(w, V), rtol=1e-12, atol=1e-14)
    top = sharpkit.eigenvalues(found, tol=1e-10)
    assert top.run.source == "hvp"
    assert_allclose(top.values, sharpkit.eigenvalues(known, tol=1e-10).values)


@pytest.mark.usefixtures("x64")
def test_without_second_derivatives():
    found, known = made(opaque), made(jnp.tanh)
    w = found.weights
    with pytest.warns(SharpkitWarning, match=r"no exact products .*callback") as said:
        assert found.hvp is None
    assert len(said) == 1
    assert said[0].filename == __file__
    assert str(said[0].message).endswith("differences of the gradient are used")
    assert found.hvp is None  # and no other warning
    assert found.at(PARAMS).hvp is None
    with pytest.raises(NotImplementedError, match="has no exact products"):
        found.gauss_newton(w, V)
    top = sharpkit.eigenvalues(found, tol=1e-6)
    assert "central differences" in top.run.source
    assert_allclose(top.values, sharpkit.eigenvalues(known).values, rtol=1e-5)
    assert_allclose(
        sharpkit.sharpness(found).value, sharpkit.sharpness(known).value, rtol=1e-9
    )


def test_without_any_derivative():
    """What JAX says of the gradient comes through."""

    def loss(params):
        halved = jax.lax.while_loop(lambda x: x.max() > 1, lambda x: x / 2, params)
        return (halved**2).sum()

    problem = sharpkit.jax.problem(loss, np.ones(3, np.float32))
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        _ = problem.hvp
