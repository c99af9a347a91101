"""Pytrees of Flax, Equinox and Haiku, and the example of the documentation."""

import numpy as np
import pytest
from jax_cases import normal, sizes
from numpy.testing import assert_allclose, assert_array_equal

import sharpkit

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")


def test_batch_statistics_of_linen_are_constant():
    nn = pytest.importorskip("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            x = nn.BatchNorm(use_running_average=not train)(nn.Dense(4)(x))
            return nn.Dense(1)(jnp.tanh(x))

    net, x = Net(), normal(6, 3)
    variables = net.init(jax.random.key(0), x)

    def loss(variables, x):
        return jnp.mean(net.apply(variables, x) ** 2)

    problem = sharpkit.jax.problem(loss, variables, x)
    assert set(problem.layers) == {
        "params.Dense_0",
        "params.BatchNorm_0",
        "params.Dense_1",
    }
    statistics = variables["batch_stats"]
    alone = sharpkit.jax.problem(
        lambda params, x: loss({"params": params, "batch_stats": statistics}, x),
        variables["params"],
        x,
    )
    assert_array_equal(problem.weights, alone.weights)
    assert problem(problem.weights)[0] == alone(alone.weights)[0]
    assert_array_equal(problem(problem.weights)[1], alone(alone.weights)[1])
    # a checkpoint brings its own
    mean = "batch_stats.BatchNorm_0.mean"
    named = {name: problem.weights[part] for name, part in problem.parameters.items()}
    leaves = jax.tree_util.tree_flatten_with_path(variables)[0]
    shapes = {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf.shape
        for path, leaf in leaves
    }
    named = {name: np.reshape(array, shapes[name]) for name, array in named.items()}
    with pytest.raises(
        ValueError, match=r"named lacks batch_stats\.BatchNorm_0\.mean, "
    ):
        problem.at(named)
    named |= {mean: normal(4), mean.replace("mean", "var"): np.full(4, 2.0)}
    moved = problem.at(named)
    assert_array_equal(moved.weights, problem.weights)
    statistics = {"BatchNorm_0": {"mean": normal(4), "var": np.full(4, 2.0, "f4")}}
    known = loss({"params": variables["params"], "batch_stats": statistics}, x)
    assert moved(moved.weights)[0] == pytest.approx(float(known), rel=1e-6)


def test_only_params_of_an_nnx_module_are_weights():
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(3, 4, rngs=rngs)
            self.norm = nnx.BatchNorm(4, rngs=rngs)
            self.dropout = nnx.Dropout(0.5, rngs=rngs)
            self.rest = nnx.List([nnx.Linear(4, 2, rngs=rngs)])

        def __call__(self, x):
            return self.rest[0](self.dropout(jnp.tanh(self.norm(self.first(x)))))

    net, x, y = Net(nnx.Rngs(0)), normal(6, 3), np.arange(6) % 2
    net.eval()
    graph, params, others = nnx.split(net, nnx.Param, ...)

    def loss(logits, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    whole = sharpkit.jax.problem(loss, net, (x, y), model=lambda net, x: net(x))
    split = sharpkit.jax.problem(
        loss,
        params,
        (x, y),
        model=lambda params, x: nnx.merge(graph, params, others)(x),
    )
    assert sizes(whole.layers) == {"first": 16, "norm": 8, "rest.0": 10}
    for problem in (whole, split):
        assert list(problem.parameters)[:2] == ["first.bias", "first.kernel"]
        assert problem.layers == whole.layers
        found, gradient = problem(problem.weights)
        assert found == pytest.approx(float(loss(net(x), y)), rel=1e-6)
        assert_allclose(gradient, whole(whole.weights)[1], rtol=1e-5, atol=1e-7)
    assert_array_equal(whole.tree(whole.weights)(x), net(x))


def test_an_equinox_module_is_a_pytree_as_it_is():
    eqx = pytest.importorskip("equinox")
    net = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    x = normal(5, 3)
    problem = sharpkit.jax.problem(
        lambda net, x: jnp.mean(jax.vmap(net)(x) ** 2), net, x
    )
    assert sizes(problem.layers) == {"layers.0": 16, "layers.1": 10}
    again = problem.tree(problem.weights)
    assert_array_equal(jax.vmap(again)(x), jax.vmap(net)(x))


def test_haikus_parameters_are_layers_by_module():
    hk = pytest.importorskip("haiku")
    net = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([4, 2])(x)))
    x = normal(5, 3)
    params = net.init(jax.random.key(0), x)
    problem = sharpkit.jax.problem(
        lambda p, x: jnp.mean(net.apply(p, x) ** 2), params, x
    )
    assert sizes(problem.layers) == {"mlp/~/linear_0": 16, "mlp/~/linear_1": 10}
