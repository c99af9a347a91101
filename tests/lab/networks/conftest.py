import numpy as np
import pytest

from sharpkit.lab.networks.base import Statistics


@pytest.fixture
def convolutional(torch):
    """``convolutional(name, rows, dtype)``: network, weights, x, y and averages."""
    from sharpkit.lab.networks import convnets
    from sharpkit.lab.networks.torch_network import TorchNetwork

    def network(name="C1", rows=5, dtype=np.float64, classes=3):
        module = getattr(convnets, name)(classes, 0.01)
        found, random = TorchNetwork(module), np.random.default_rng(8)
        weights = found.initial_weights(1, np.float64)
        weights += 0.2 * random.standard_normal(weights.shape)
        x = random.uniform(-1, 1, (rows, found.features))
        y = random.integers(0, classes, rows)
        widths = [len(mean) for mean in found.initial_statistics(weights).means]
        statistics = Statistics(
            tuple(random.normal(0, 0.3, width).astype(dtype) for width in widths),
            tuple(random.uniform(0.3, 2, width).astype(dtype) for width in widths),
        )
        return found, weights.astype(dtype), x.astype(dtype), y, statistics

    return network
