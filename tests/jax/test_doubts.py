"""Products that lack a part, because a rule takes what it saved for a constant."""

import numpy as np
import pytest
from jax_cases import jax, jnp

import sharpkit
from sharpkit import SharpkitWarning

RANDOM = np.random.default_rng(0)
X = jnp.asarray(RANDOM.standard_normal((60, 8)), "float32")
Y = jnp.asarray(RANDOM.integers(0, 3, 60))
PARAMS = {
    name: jnp.asarray(RANDOM.standard_normal(shape) / 3, "float32")
    for name, shape in (("in", (8, 16)), ("mid", (16, 8)), ("out", (8, 3)))
}


@jax.custom_jvp
def swish(x):
    return x * jax.nn.sigmoid(x)


@swish.defjvp
def _(point, along):
    ((x,), (d,)), s = (point, along), jax.nn.sigmoid(point[0])
    return swish(x), jax.lax.stop_gradient(s * (1 + x * (1 - s))) * d


def problem(first, second, rows=60):
    def loss(params, batch):
        hidden = second(first(batch[0] @ params["in"]) @ params["mid"])
        scores = jax.nn.log_softmax(hidden @ params["out"])
        return -jnp.take_along_axis(scores, batch[1][:, None], 1).mean()

    return sharpkit.jax.problem(loss, PARAMS, (X[:rows], Y[:rows]))


@pytest.mark.parametrize("second", [jnp.tanh, jax.nn.relu])
def test_a_rule_with_saved_results(second):
    """Smooth, and with kinks, which hide what is missing in float32 but not in 64."""
    wrong, right = problem(swish, second), problem(jax.nn.silu, second)
    with pytest.warns(SharpkitWarning) as warned:
        found = sharpkit.eigenvalues(wrong)
    assert any("hvp is not the derivative" in str(each.message) for each in warned)
    assert found.source.startswith("central differences")
    exact = sharpkit.eigenvalues(right)
    assert exact.source == "hvp"
    assert abs(float(found) - float(exact)) <= 3 * found.error + 1e-3 * float(exact)


def test_float64_is_left_as_found():
    p = problem(jax.nn.relu, jax.nn.relu)
    wide = p.widened()
    loss, gradient = wide(wide.weights)
    assert (wide.weights.dtype, gradient.dtype) == (np.float64, np.float64)
    assert not jax.config.jax_enable_x64
    assert jnp.ones(1).dtype == np.float32
    few = problem(jax.nn.relu, jax.nn.relu, rows=16)
    assert loss == pytest.approx(few(few.weights)[0], rel=1e-5)
    v = np.ones(len(wide.weights))
    np.testing.assert_allclose(
        wide.hvp(wide.weights, v), few.hvp(few.weights, v.astype("f4")), atol=1e-4
    )
