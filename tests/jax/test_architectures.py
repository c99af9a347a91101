"""Loss, gradient and products against dense float64 matrices and differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import sharpkit

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
flatten_util = pytest.importorskip("jax.flatten_util")

ROWS, PIECE = 8, 4

pytestmark = pytest.mark.usefixtures("x64")


@dataclasses.dataclass
class Case:
    """A model on params, its inputs and targets, and a mean loss of its outputs."""

    model: Callable[[Any, Any], Any]
    params: Any
    inputs: Any
    targets: Any
    loss: Callable[[Any, Any], Any]


def cross_entropy(logits, labels):
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], -1)
    return -chosen.mean()


def squared_error(outputs, targets):
    return 0.5 * jnp.mean((outputs - targets) ** 2)


def logistic(logits, targets):
    return jnp.mean(jax.nn.softplus(logits) - targets * logits)


def pseudo_huber(outputs, targets):
    return jnp.mean(jnp.sqrt(1 + (outputs - targets) ** 2) - 1)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def labels(*shape, classes=3):
    return np.random.default_rng([7, *shape]).integers(0, classes, shape)


def drawn(params):
    """Fill all arrays at random: biases at zero would hide mistakes."""
    flat, tree = jax.tree.flatten(params)
    filled = [
        0.6 * normal(*leaf.shape, seed=i) if hasattr(leaf, "shape") else leaf
        for i, leaf in enumerate(flat)
    ]
    return jax.tree.unflatten(tree, filled)


def dense(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def mlp():
    params = {
        name: {"kernel": normal(a, b), "bias": normal(b)}
        for name, a, b in (("first", 4, 5), ("second", 5, 3))
    }
    return Case(
        lambda p, x: dense(jnp.tanh(dense(x, p["first"])), p["second"]),
        params,
        normal(ROWS, 4),
        labels(ROWS),
        cross_entropy,
    )


def convolution():
    def model(params, x):
        x = jax.lax.conv(x, params["filters"], (1, 1), "SAME")
        x = jax.nn.softplus(x + params["offset"][:, None, None])
        return x.mean((2, 3)) @ params["head"]

    params = {"filters": normal(4, 2, 3, 3), "offset": normal(4), "head": normal(4, 1)}
    targets = normal(ROWS, 1) > 0
    return Case(model, params, normal(ROWS, 2, 5, 5), targets, logistic)


def layer_norm():
    nn = pytest.importorskip("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(nn.gelu(nn.LayerNorm()(nn.Dense(6)(x))))

    x = normal(ROWS, 4)
    net = Net()
    params = drawn(jax.eval_shape(net.init, jax.random.key(0), x))
    return Case(net.apply, params, x, normal(ROWS, 2), squared_error)


def batch_norm():
    nn = pytest.importorskip("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.BatchNorm(use_running_average=True)(nn.Dense(5)(x))
            return nn.Dense(3)(nn.silu(x))

    x, net = normal(ROWS, 4), Net()
    shapes = jax.eval_shape(net.init, jax.random.key(0), x)
    statistics = {"BatchNorm_0": {"mean": normal(5), "var": 1 + normal(5) ** 2}}

    def model(params, x):
        return net.apply({"params": params, "batch_stats": statistics}, x)

    params = drawn(shapes["params"])
    return Case(model, params, x, labels(ROWS), cross_entropy)


def attention():
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.mixed = nnx.Linear(4, 12, rngs=rngs)
            self.out = nnx.Linear(4, 4, rngs=rngs)

        def __call__(self, x):
            # By hand: the libraries' softmax is float32 whatever the inputs are.
            q, k, v = jnp.split(self.mixed(x), 3, axis=-1)
            shares = jax.nn.softmax(q @ k.mT / 2)
            return self.out(x + shares @ v)

    graph, params = nnx.split(nnx.eval_shape(lambda: Net(nnx.Rngs(0))))

    def model(params, x):
        return nnx.merge(graph, params)(x)

    x = normal(ROWS, 5, 4)
    return Case(model, drawn(params), x, labels(ROWS, 5, classes=4), cross_entropy)


def recurrent():
    eqx = pytest.importorskip("equinox")
    key = jax.random.key(0)
    cell = drawn(eqx.filter_eval_shape(eqx.nn.GRUCell, 3, 4, key=key))

    def one(cell, sequence):
        return jax.lax.scan(lambda h, x: (cell(x, h), None), jnp.zeros(4), sequence)[0]

    model = jax.vmap(one, in_axes=(None, 0))
    return Case(
        lambda cell, x: model(cell, x),
        cell,
        normal(ROWS, 5, 3),
        normal(ROWS, 4),
        pseudo_huber,
    )


def equinox_mlp():
    eqx = pytest.importorskip("equinox")
    key = jax.random.key(0)
    net = eqx.filter_eval_shape(eqx.nn.MLP, 4, 3, 5, 2, jax.nn.softplus, key=key)
    return Case(
        lambda net, x: jax.vmap(net)(x),
        drawn(net),
        normal(ROWS, 4),
        labels(ROWS),
        cross_entropy,
    )


def haiku_mlp():
    hk = pytest.importorskip("haiku")
    net = hk.without_apply_rng(
        hk.transform(lambda x: hk.nets.MLP([5, 3], activation=jnp.tanh)(x))
    )
    x = normal(ROWS, 4)
    params = drawn(jax.eval_shape(net.init, jax.random.key(0), x))
    return Case(net.apply, params, x, labels(ROWS), cross_entropy)


def tied():
    def model(params, tokens):
        h = jnp.tanh(params["embedding"][tokens].mean(1) @ params["mixing"])
        return h @ params["embedding"].T

    params = {"embedding": normal(6, 4), "mixing": normal(4, 4)}
    tokens, targets = labels(ROWS, 5, classes=6), labels(ROWS, classes=6)
    return Case(model, params, tokens, targets, cross_entropy)


def unused():
    case = mlp()
    return dataclasses.replace(case, params={"apart": normal(3), **case.params})


ARCHITECTURES = [
    mlp,
    convolution,
    layer_norm,
    batch_norm,
    attention,
    recurrent,
    equinox_mlp,
    haiku_mlp,
    tied,
    unused,
]


def reference(case):
    """Loss, gradient, Hessian and Gauss-Newton matrix of all rows at once, dense."""
    arrays = jax.tree.map(
        lambda leaf: leaf if isinstance(leaf, jax.Array | np.ndarray) else None,
        case.params,
    )
    w, unravel = flatten_util.ravel_pytree(arrays)

    def outputs(w):
        params = jax.tree.map(
            lambda given, leaf: leaf if given is None else given,
            unravel(w),
            case.params,
            is_leaf=lambda leaf: leaf is None,
        )
        return case.model(params, case.inputs)

    def loss(w):
        return case.loss(outputs(w), case.targets)

    def dense(w):
        out = outputs(w)
        jacobian = jax.jacfwd(outputs)(w).reshape(-1, w.size)
        curvature = jax.jacrev(jax.jacrev(lambda o: case.loss(o, case.targets)))(out)
        curvature = curvature.reshape(out.size, out.size)
        hessian = jax.jacrev(jax.jacrev(loss))(w)  # reverse over reverse
        return loss(w), jax.grad(loss)(w), hessian, jacobian.T @ curvature @ jacobian

    return w, jax.jit(loss), [np.asarray(each) for each in jax.jit(dense)(w)]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_is_that_of_the_dense_matrices(architecture):
    case = architecture()
    problem = sharpkit.jax.problem(
        case.loss,
        case.params,
        (case.inputs, case.targets),
        model=case.model,
        micro_batch=PIECE,
    )
    w, loss_fn, (loss, gradient, hessian, gauss_newton) = reference(case)
    assert problem.weights.dtype == np.float64
    assert_allclose(problem.weights, w, rtol=0, atol=0)
    assert sum(part.stop - part.start for part in problem.layers.values()) == w.size

    # Were either zero, or both the same, the products below would show nothing.
    assert np.abs(hessian - gauss_newton).max() > 0.01 * np.abs(hessian).max() > 1e-3
    assert np.linalg.eigvalsh(gauss_newton)[0] > -1e-13 * np.abs(hessian).max()

    found, slope = problem(problem.weights)
    assert_allclose(found, loss, rtol=1e-13)
    assert_allclose(slope, gradient, rtol=0, atol=1e-13 * np.abs(gradient).max())
    for seed in range(2):
        v = normal(w.size, seed=seed)
        for product, matrix in (
            (problem.hvp, hessian),
            (problem.gauss_newton, gauss_newton),
        ):
            known = matrix @ v
            size = np.abs(known).max()
            assert_allclose(product(w, v), known, rtol=0, atol=1e-12 * size)
        h = 1e-5
        ahead, behind = (loss_fn(w + sign * h * v) for sign in (1, -1))
        assert_allclose(slope @ v, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-9)
        ahead, behind = (problem(w + sign * h * v)[1] for sign in (1, -1))
        assert_allclose(
            problem.hvp(w, v), (ahead - behind) / (2 * h), rtol=0, atol=1e-6 * size
        )
