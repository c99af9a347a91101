"""The lab's loss and controls with a convolutional network."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import sharpkit
from sharpkit.lab.networks.base import Statistics
from sharpkit.lab.networks.rescale import layer_norms, with_norms
from sharpkit.lab.problem import Problem, frozen_statistics

modes = pytest.mark.parametrize("mode", ["batch", "running", "frozen"])


@pytest.fixture
def case(torch):
    """A network, weights, running statistics, x and y in float64."""
    from sharpkit.lab.networks import convnets
    from sharpkit.lab.networks.torch_network import TorchNetwork

    network = TorchNetwork(convnets.C1(4, 0.01))
    random = np.random.default_rng(6)
    weights = network.initial_weights(2, np.float64)
    weights += 0.1 * random.standard_normal(weights.shape)
    widths = [len(layer.bias) for layer in network.layers(weights)[:-1]]
    statistics = Statistics(
        tuple(random.normal(0, 0.3, width) for width in widths),
        tuple(random.uniform(0.3, 2, width) for width in widths),
    )
    x = random.uniform(-1, 1, (11, network.features))
    return network, weights, statistics, x, random.integers(0, 4, 11)


def in_mode(case, mode):
    """The lab's problem, and the statistics that the module then has."""
    network, weights, running, x, y = case
    if mode == "frozen":
        running = frozen_statistics(network, weights, x, y)
    given = None if mode == "batch" else running
    return Problem(network, x, y, batch_norm=mode, statistics=given), running


def modules_problem(torch, case, mode, statistics):
    network, weights, _, x, y = case
    module = network.module(weights, statistics)
    data = torch.tensor(x.reshape(-1, 3, 32, 32)), torch.tensor(y)
    loss = torch.nn.CrossEntropyLoss()
    return sharpkit.torch.problem(module, loss, data, batch_norm=mode)


@modes
def test_loss_and_gradient_are_those_of_the_modules_problem(torch, case, mode):
    problem, statistics = in_mode(case, mode)
    weights = case[1]
    known = modules_problem(torch, case, mode, statistics)
    np.testing.assert_array_equal(known.weights.numpy(), weights)
    step = 0.01 * np.random.default_rng(0).standard_normal(weights.shape)
    for at in (weights, weights + step):
        loss, gradient = problem(at)
        known_loss, known_gradient = known(torch.from_numpy(at))
        assert_allclose(loss, known_loss, rtol=1e-10)
        largest = float(known_gradient.abs().max())
        assert_allclose(gradient, known_gradient, rtol=0, atol=1e-10 * largest)
        measured = problem.evaluate(at)
        assert measured.loss == pytest.approx(loss, rel=1e-13)
        assert measured.accuracy == known.accuracy(torch.from_numpy(at))


@pytest.mark.parametrize("mode", ["running", "frozen"])
@pytest.mark.parametrize("rows", [1, 4, 10, 11])
def test_blocks_of_rows_add_up(case, mode, rows):
    problem, _ = in_mode(case, mode)
    network, weights, *_ = case
    loss, gradient = problem(weights)
    assert network.block_rows > 11
    network.block_rows = rows
    blocked, blocked_gradient = problem(weights)
    assert_allclose(blocked, loss, rtol=1e-13)
    largest = np.abs(gradient).max()
    assert_allclose(blocked_gradient, gradient, rtol=0, atol=1e-13 * largest)


def test_batch_statistics_are_of_all_rows(case):
    problem, _ = in_mode(case, "batch")
    loss = problem(case[1])[0]
    case[0].block_rows = 4
    assert problem(case[1])[0] == loss


def test_other_norms_make_the_same_function(case):
    network, weights, statistics, x, y = case
    norms = np.array([3.0, 0.2, 1.5, 0.7, 4.0])
    changed, moved = with_norms(network, weights, statistics, norms)
    assert_allclose(layer_norms(network, changed), norms, rtol=1e-14)
    known, found = (
        network.module(w, s)(torch_images(network, x))
        for w, s in ((weights, statistics), (changed, moved))
    )
    assert_allclose(found.detach(), known.detach(), rtol=0, atol=1e-10)
    problem = Problem(network, x, y, batch_norm="running", statistics=statistics)
    again = Problem(network, x, y, batch_norm="running", statistics=moved)
    assert_allclose(again(changed)[0], problem(weights)[0], rtol=1e-10)
    assert problem(changed)[0] != pytest.approx(problem(weights)[0], rel=1e-3)


def torch_images(network, x):
    import torch

    return torch.from_numpy(x.reshape(len(x), *network.shape))


def test_norms_of_layers_are_those_of_their_filters(torch, case):
    network, weights, statistics, *_ = case
    module = network.module(weights, statistics)
    known = [float(p.detach().norm()) for p in module.parameters() if p.dim() > 1]
    assert_allclose(layer_norms(network, weights), known, rtol=1e-13)


def test_sharpness_works_on_it(case):
    problem, _ = in_mode(case, "running")
    weights = case[1].astype(np.float32)
    problem.x = problem.x.astype(np.float32)
    result = sharpkit.sharpness(weights, problem)
    assert result.value > result.noise
    assert result.max_loss == problem(weights + result.displacement)[0]
    with pytest.raises(NotImplementedError, match=r"with sharpkit\.torch\.problem"):
        problem.hvp(weights, weights)
