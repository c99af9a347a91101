"""One network through NumPy, JAX and PyTorch: the same measured values.

The network is the lab's 64-20-10 perceptron with ReLU and batch normalisation by
constant statistics, at a minimum that gradient descent found on real digits. Each
library has the matrices in its own flat order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

import sharpkit
from sharpkit.lab.data import load_digits
from sharpkit.lab.networks.base import BATCH_NORM_EPS
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.problem import Problem, frozen_statistics

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
torch = pytest.importorskip("torch")

SIZES = (64, 20, 10)
# Asked for is 1e-5. The largest relative difference seen is 6e-15 in float64 and 3.2e-6
# in float32, both of the sharpness.
AGREED = {"float64": 1e-10, "float32": 1e-5}


class Through(NamedTuple):
    """A problem of one library, its weights, and where the lab's weights lie in it."""

    problem: object
    weights: object
    order: np.ndarray  # flat in the library = the lab's flat[order]


@pytest.fixture(scope="module")
def minimum():
    """Network, statistics and weights of a minimum in float64, and the data."""
    digits, network = load_digits(train=300), MLP(SIZES)
    x, y = digits.x_train.astype(np.float64), digits.y_train
    w = network.initial_weights(0, np.float64)
    statistics = frozen_statistics(network, w, x, y)
    problem = Problem(network, x, y, batch_norm="frozen", statistics=statistics)
    for _ in range(100):
        w -= 0.3 * problem(w)[1]
    return network, statistics, w, x, y


@pytest.fixture(params=["float64", "float32"], scope="module")
def three(request, minimum):
    """The three problems, in the same dtype; JAX's switch is on for all tests here."""
    network, statistics, w, x, y = minimum
    dtype = np.dtype(request.param)
    means, variances = ([*map(dtype.type, each)] for each in vars(statistics).values())
    w, x = w.astype(dtype), x.astype(dtype)
    statistics = type(statistics)(tuple(means), tuple(variances))
    with jax.enable_x64(True):
        problem = Problem(network, x, y, batch_norm="frozen", statistics=statistics)
        yield {
            "numpy": Through(problem, w, np.arange(w.size)),
            "jax": through_jax(network, statistics, w, x, y),
            "torch": through_torch(network, statistics, w, x, y),
        }


def through_jax(network, statistics, w, x, y):
    (mean,), (variance,) = statistics.means, statistics.variances

    def model(layers, x):
        hidden, last = layers
        z = x @ hidden.weight + hidden.bias
        z = (z - mean) * jax.lax.rsqrt(variance + BATCH_NORM_EPS)
        return jax.nn.relu(hidden.gamma * z + hidden.beta) @ last.weight + last.bias

    def loss(logits, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    problem = sharpkit.jax.problem(
        loss, network.layers(w), (x, y), model=model, micro_batch=110
    )
    return Through(problem, problem.weights, np.arange(w.size))  # the lab's order


def through_torch(network, statistics, w, x, y):
    def entries(vector):
        """The state dict of the lab's flat vector; the matrices are transposed."""
        hidden, last = network.layers(vector)
        return {
            "0.weight": hidden.weight.T,
            "0.bias": hidden.bias,
            "1.weight": hidden.gamma,
            "1.bias": hidden.beta,
            "3.weight": last.weight.T,
            "3.bias": last.bias,
        }

    model = torch.nn.Sequential(
        torch.nn.Linear(64, 20),
        torch.nn.BatchNorm1d(20),
        torch.nn.ReLU(),
        torch.nn.Linear(20, 10),
    ).to(torch.from_numpy(w).dtype)
    state = {name: torch.tensor(array) for name, array in entries(w).items()}
    state["1.running_mean"] = torch.tensor(statistics.means[0])
    state["1.running_var"] = torch.tensor(statistics.variances[0])
    model.load_state_dict(state, strict=False)
    problem = sharpkit.torch.problem(
        model,
        torch.nn.CrossEntropyLoss(),
        (torch.tensor(x), torch.tensor(y)),
        batch_norm="running",
        micro_batch=110,
    )
    order = entries(np.arange(w.size))
    order = np.concatenate([each.ravel() for each in order.values()])
    return Through(problem, problem.weights, order)


def in_the_labs_order(through):
    """The same loss as a NumPy callback in the lab's order."""
    like = through.weights

    def loss_fn(w):
        own = w[through.order]
        given = torch.from_numpy(own) if isinstance(like, torch.Tensor) else own
        loss, gradient = through.problem(given)
        back = np.empty_like(w)
        back[through.order] = np.asarray(gradient)
        return loss, back

    return loss_fn


def agree(values, dtype):
    assert values["numpy"] > 0
    for name in ("jax", "torch"):
        assert_allclose(values[name], values["numpy"], rtol=AGREED[dtype], err_msg=name)


def dtype_of(three):
    return str(three["numpy"].weights.dtype)


def test_the_weights_are_the_same(three):
    w = three["numpy"].weights
    for through in three.values():
        assert_allclose(np.asarray(through.weights), w[through.order], rtol=0, atol=0)
    # else the test would not see a wrong order
    assert not np.array_equal(three["torch"].order, three["numpy"].order)


def test_loss_and_gradient(three):
    found = {name: each.problem(each.weights) for name, each in three.items()}
    agree({name: loss for name, (loss, _) in found.items()}, dtype_of(three))
    if dtype_of(three) == "float32":
        return  # at a minimum the samples' gradients cancel: few digits are left
    known = found["numpy"][1]
    close = {"rtol": 0, "atol": 1e-12 * np.abs(known).max()}
    for name, through in three.items():
        assert_allclose(np.asarray(found[name][1]), known[through.order], **close)


def test_sharpness_in_one_order(three):
    """The search draws a sign for every coordinate, so that its value depends on the
    flat order: here all three are searched in the lab's.
    """
    w = three["numpy"].weights
    values = {
        name: sharpkit.sharpness(
            w, in_the_labs_order(through), epsilon=1e-3, max_evaluations=25
        ).value
        for name, through in three.items()
    }
    agree(values, dtype_of(three))


def test_sharpness_in_each_librarys_own_order(three):
    """L-BFGS-B draws nothing: another order only rounds differently."""
    values = {
        name: sharpkit.sharpness(
            through.weights, through.problem, epsilon=1e-3, solver="lbfgsb"
        ).value
        for name, through in three.items()
    }
    agree(values, dtype_of(three))


def test_the_largest_eigenvalue(three):
    """By each library's own exact products, in its own order."""
    tol = 1e-8 if dtype_of(three) == "float64" else 1e-5
    found = {
        name: sharpkit.eigenvalues(through.weights, through.problem, tol=tol)
        for name, through in three.items()
    }
    assert {each.run.source for each in found.values()} == {"hvp"}
    agree({name: each.values[0] for name, each in found.items()}, dtype_of(three))
