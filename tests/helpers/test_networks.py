"""The network that the tests of `check` take for right."""

import numpy as np
import pytest
from networks import Network, relu, tanh


@pytest.mark.parametrize("act", [tanh, relu])
def test_gradient_and_product_are_those_of_the_loss(act):
    network = Network(0, sizes=(3, 5, 4, 2), samples=20, act=act)
    w = network.weights(0)
    h, basis = 1e-6, np.eye(w.size)
    losses = [(network(w + h * e)[0] - network(w - h * e)[0]) / (2 * h) for e in basis]
    np.testing.assert_allclose(network(w)[1], losses, atol=1e-8)
    rows = [(network(w + h * e)[1] - network(w - h * e)[1]) / (2 * h) for e in basis]
    products = [network.hvp(w, e) for e in basis]
    np.testing.assert_allclose(products, rows, atol=1e-7)
    np.testing.assert_allclose(products, np.transpose(products), atol=1e-12)
