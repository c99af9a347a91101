import numpy as np
import pytest

from sharpkit.lab.networks.base import Statistics
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.networks.rescale import layer_norms, with_norms
from sharpkit.lab.problem import Problem


@pytest.fixture
def trained():
    rng = np.random.default_rng(3)
    network = MLP((6, 5, 7, 4))
    weights = rng.normal(size=network.n_weights)
    statistics = Statistics(
        tuple(rng.normal(size=width) for width in (5, 7)),
        tuple(rng.uniform(0.1, 2.0, size=width) for width in (5, 7)),
    )
    x, y = rng.normal(size=(30, 6)), rng.integers(0, 4, 30)
    return network, weights, statistics, x, y


def test_the_function_stays_and_the_norms_change(trained):
    network, weights, statistics, x, y = trained
    norms = np.array([3.0, 0.2, 11.0])
    changed, moved = with_norms(network, weights, statistics, norms)
    np.testing.assert_allclose(layer_norms(network, changed), norms, rtol=1e-14)
    losses = [
        Problem(network, x, y, batch_norm="running", statistics=s)(w)[0]
        for w, s in ((weights, statistics), (changed, moved))
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-13)
    # with the old statistics it is another function: they belong to the weights
    other = Problem(network, x, y, batch_norm="running", statistics=statistics)
    assert other(changed)[0] != pytest.approx(losses[0], rel=1e-3)


def test_the_given_weights_are_left_alone(trained):
    network, weights, statistics, _, _ = trained
    before = weights.copy()
    with_norms(network, weights, statistics, np.ones(3))
    np.testing.assert_array_equal(weights, before)


def test_layer_norms_are_those_of_the_matrices_alone(trained):
    network, weights, _, _, _ = trained
    expected = [np.linalg.norm(layer.weight) for layer in network.layers(weights)]
    np.testing.assert_allclose(layer_norms(network, weights), expected, rtol=1e-15)
