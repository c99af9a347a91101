"""What the tests of JAX problems share."""

import numpy as np
import pytest

import sharpkit

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

ROWS, INPUTS = 12, 3
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.standard_normal((ROWS, INPUTS)), RANDOM.standard_normal(ROWS)
PARAMS = {"hidden": RANDOM.standard_normal((INPUTS, 2)), "out": np.array([0.7, -1.1])}
V = RANDOM.standard_normal(8)


def model(params, x):
    return jnp.tanh(x @ params["hidden"]) @ params["out"]


def squares(outputs, targets):
    return jnp.mean((outputs - targets) ** 2)


def loss(params, batch):
    return squares(model(params, batch[0]), batch[1])


def pieces(size):
    return [(X[i : i + size], Y[i : i + size]) for i in range(0, ROWS, size)]


class Loader:
    """Starts anew at every pass, as a data loader does."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        yield from self.batches


def normal(*shape, dtype=np.float32, seed=0):
    random = np.random.default_rng([seed, *shape])
    return random.standard_normal(shape).astype(dtype)


def sum_of_squares(params):
    return sum(
        0.5 * jnp.vdot(leaf, leaf)
        for leaf in jax.tree.leaves(params)
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating)
    )


def made(params, **options):
    return sharpkit.jax.problem(sum_of_squares, params, **options)


def sizes(slices):
    return {name: part.stop - part.start for name, part in slices.items()}
