"""A model where it lives, on the CPU or on a device, against dense matrices."""

import numpy as np
import pytest
from cuda_device import required
from jax_cases import PARAMS, V, X, Y, jax, jnp, loss
from numpy.testing import assert_allclose

import sharpkit

flatten_util = pytest.importorskip("jax.flatten_util")


@pytest.fixture(params=["cpu", "cuda"])
def device(request, x64):
    try:
        found = jax.devices(request.param)[0]
    except RuntimeError:
        assert not required(), "SHARPKIT_REQUIRE names cuda; JAX finds no device"
        pytest.skip("JAX finds no CUDA device")
    # Products of float32 on a device are rounded to 10 bits otherwise.
    with jax.default_device(found), jax.default_matmul_precision("highest"):
        yield request.param


@pytest.fixture
def hessian(x64):
    """The dense matrix on the CPU, in the flat order of the problem."""
    with jax.default_device(jax.devices("cpu")[0]):
        tree = {k: jnp.asarray(v) for k, v in PARAMS.items()}
        flat, unravel = flatten_util.ravel_pytree(tree)
        return np.asarray(jax.hessian(lambda w: loss(unravel(w), (X, Y)))(flat))


def made(dtype=np.float64):
    params = {name: jnp.asarray(value, dtype) for name, value in PARAMS.items()}
    return sharpkit.jax.problem(
        loss, params, (jnp.asarray(X, dtype), jnp.asarray(Y, dtype))
    )


def test_loss_gradient_and_products(device, hessian):
    p = made()
    found, gradient = p(p.weights)
    with jax.default_device(jax.devices("cpu")[0]):
        expected, slopes = jax.value_and_grad(loss)(PARAMS, (X, Y))
    assert float(found) == pytest.approx(float(expected), rel=1e-12)
    assert_allclose(gradient, flatten_util.ravel_pytree(slopes)[0], rtol=0, atol=1e-12)
    assert_allclose(p.hvp(p.weights, jnp.asarray(V)), hessian @ V, rtol=0, atol=1e-12)
    (where,) = gradient.devices()
    assert where.platform == {"cpu": "cpu", "cuda": "gpu"}[device]


def test_measures(device, hessian):
    known = np.linalg.eigvalsh(hessian)
    p = made()
    found = sharpkit.eigenvalues(p, k=2, tol=1e-8)
    assert found.run.backend == device
    assert found.values == pytest.approx(known[:-3:-1], rel=1e-6)
    assert sharpkit.trace(p).value == pytest.approx(known.sum(), rel=1e-8)
    assert sharpkit.check(p).ok


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f4", "f8"])
def test_the_sharpness_is_that_of_the_cpu(device, dtype):
    found = sharpkit.sharpness(made(dtype), epsilon=1e-2)
    with jax.default_device(jax.devices("cpu")[0]):
        known = sharpkit.sharpness(made(dtype), epsilon=1e-2)
    assert (known.backend, found.backend) == ("cpu", device)
    rel = 1e-3 if dtype == np.float32 else 1e-8
    assert found.value == pytest.approx(known.value, rel=rel)
    assert found.value > 0
