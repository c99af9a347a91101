"""Which modules the adapter takes, and what it says of the others."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sharpkit.lab.networks.mlp import MLP


@pytest.fixture
def adapt(torch):
    from sharpkit.lab.networks.torch_network import TorchNetwork

    return lambda *parts, shape=(6,): TorchNetwork(torch.nn.Sequential(*parts), shape)


def test_a_perceptron_is_that_of_the_lab(torch, adapt):
    nn, known = torch.nn, MLP((6, 5, 4, 3))
    network = adapt(
        *(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU()),
        *(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)),
    )
    assert network.n_weights == known.n_weights
    assert (network.features, network.classes) == (6, 3)
    assert network.counts(9) == known.counts(9)
    random = np.random.default_rng(0)
    weights, gradient = random.standard_normal((2, known.n_weights))
    turned, turned_gradient = np.empty((2, known.n_weights))

    def turn(vector, into):
        for layer, other in zip(
            known.layers(vector), network.layers(into), strict=True
        ):
            other.weight[...] = layer.weight.T
            for part, same in zip(layer[1:], other[1:], strict=True):
                if part is not None:
                    same[...] = part

    turn(weights, turned)
    x, y = random.standard_normal((9, 6)), random.integers(0, 3, 9)
    expected = known.evaluate(weights, x, y, statistics="batch", gradient=gradient)
    found = network.evaluate(turned, x, y, statistics="batch", gradient=turned_gradient)
    assert_allclose(found.loss_sum, expected.loss_sum, rtol=1e-12)
    assert found.right == expected.right
    turn(gradient, turned)
    assert_allclose(turned_gradient, turned, rtol=1e-10, atol=1e-13)
    for kind in ("means", "variances"):
        for one, two in zip(
            getattr(found.statistics, kind),
            getattr(expected.statistics, kind),
            strict=True,
        ):
            assert_allclose(one, two, rtol=1e-12, atol=1e-14)


def test_a_linear_classifier(torch, adapt):
    network = adapt(torch.nn.Linear(6, 4))
    weights, x, y = network.initial_weights(0), np.ones((3, 6), "f4"), np.arange(3)
    found = network.evaluate(weights, x, y, statistics="batch")
    assert found.statistics.means == ()
    logits = network.layers(weights)[0].weight.sum(1)
    known = 3 * np.log(np.exp(logits).sum()) - logits[:3].sum()
    assert_allclose(found.loss_sum, known, rtol=1e-5)


def test_only_the_structure_is_used(torch, adapt):
    nn = torch.nn
    with torch.device("meta"):
        parts = nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 2).eval()
    network = adapt(*parts)
    assert network.classes == 2
    assert parts[0].training
    assert not parts[2].training


def test_refused_parts(torch, adapt):
    nn = torch.nn
    for part in (
        nn.Linear(6, 6, bias=False),
        nn.LayerNorm(6),
        nn.PReLU(),
        nn.BatchNorm1d(6, affine=False),
        nn.BatchNorm1d(6, eps=1e-3),
        nn.BatchNorm1d(6, track_running_stats=False),
        nn.AlphaDropout(0.1),
        nn.Dropout(1.0),
    ):
        with pytest.raises(
            TypeError, match=rf"(?s)the module has {type(part).__name__}"
        ):
            adapt(nn.Linear(6, 6), part, nn.Linear(6, 3))


def test_refused_orders(torch, adapt):
    nn = torch.nn
    for parts in (
        (nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)),
        (nn.Linear(6, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 3)),
        (nn.BatchNorm1d(6), nn.Linear(6, 3)),
        (nn.Linear(6, 3), nn.BatchNorm1d(3)),
        (nn.ReLU(),),
    ):
        with pytest.raises(
            ValueError, match="must be directly followed by its batch n"
        ):
            adapt(*parts)


def test_refused_parameters(torch, adapt):
    nn = torch.nn
    shared = nn.Linear(6, 6), nn.BatchNorm1d(6)
    for part in (nn.Sequential(*shared, *shared), nn.Sequential(*shared)):
        if len(part) == 2:
            part.register_parameter("loose", nn.Parameter(torch.ones(1)))
        with pytest.raises(ValueError, match="give a module that uses each layer once"):
            adapt(part, nn.Linear(6, 3))


def test_refused_ends(torch, adapt):
    nn = torch.nn
    with pytest.raises(ValueError, match=r"last layer is Conv2d.*give a Linear"):
        adapt(nn.Conv2d(3, 2, 3), nn.Flatten(), shape=(3, 3, 3))
    with pytest.raises(ValueError, match=r"last layer is Linear.*give a Linear"):
        adapt(nn.Linear(6, 2), shape=(4, 6))


def test_refused_shape(torch, adapt):
    with pytest.raises(ValueError, match=r"shape=\(5,\) is not what the module takes"):
        adapt(torch.nn.Linear(6, 2), shape=(5,))
