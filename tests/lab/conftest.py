import importlib
import os

import numpy as np
import pytest

from sharpkit.lab.networks.base import Statistics
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.problem import Problem, frozen_statistics


@pytest.fixture(scope="session")
def torch():
    """PyTorch; missing, it skips the test, or fails it where SHARPKIT_REQUIRE says."""
    required = os.environ.get("SHARPKIT_REQUIRE", "").split(",")
    if "torch" in [name.strip() for name in required]:
        return importlib.import_module("torch")
    return pytest.importorskip("torch")


@pytest.fixture
def draw():
    """``draw(sizes, rows, dtype)``: a network, weights off the start, x and y."""

    def make(sizes=(5, 7, 6, 4), rows=9, dtype=np.float64, seed=0):
        network, random = MLP(sizes), np.random.default_rng(seed)
        weights = network.initial_weights(seed, np.float64)
        weights += 0.2 * random.standard_normal(weights.shape)
        x = random.standard_normal((rows, sizes[0]))
        y = random.integers(0, sizes[-1], rows)
        return network, weights.astype(dtype), x.astype(dtype), y

    return make


@pytest.fixture
def draw_statistics():
    """Statistics that belong to no batch, as running averages do."""

    def make(network, dtype=np.float64, seed=0):
        random = np.random.default_rng([seed, 7])
        widths = network.sizes[1:-1]
        return Statistics(
            tuple(random.standard_normal(n).astype(dtype) for n in widths),
            tuple(random.uniform(0.3, 2, n).astype(dtype) for n in widths),
        )

    return make


class Twin:
    """The same network in PyTorch, its parameters set from a flat vector."""

    def __init__(self, torch, network, weights):
        self.torch, self.network = torch, network
        parts = []
        for inputs, outputs, last in network._shapes():
            parts.append(torch.nn.Linear(inputs, outputs, dtype=torch.float64))
            if not last:
                parts.append(torch.nn.BatchNorm1d(outputs, dtype=torch.float64))
                parts.append(torch.nn.ReLU())
        self.model = torch.nn.Sequential(*parts)
        with torch.no_grad():
            for layer, (linear, norm) in zip(
                network.layers(weights), self.pairs(), strict=True
            ):
                linear.weight[...] = torch.from_numpy(layer.weight.T.copy())
                linear.bias[...] = torch.from_numpy(layer.bias)
                if norm is not None:
                    norm.weight[...] = torch.from_numpy(layer.gamma)
                    norm.bias[...] = torch.from_numpy(layer.beta)

    def pairs(self):
        linear = [m for m in self.model if isinstance(m, self.torch.nn.Linear)]
        return list(zip(linear, [*self.norms(), None], strict=True))

    def norms(self):
        return [m for m in self.model if isinstance(m, self.torch.nn.BatchNorm1d)]

    def set_statistics(self, statistics):
        for norm, mean, var in zip(
            self.norms(), statistics.means, statistics.variances, strict=True
        ):
            norm.running_mean[...] = self.torch.from_numpy(mean)
            norm.running_var[...] = self.torch.from_numpy(var)

    def statistics(self):
        return Statistics(
            tuple(norm.running_mean.numpy().copy() for norm in self.norms()),
            tuple(norm.running_var.numpy().copy() for norm in self.norms()),
        )

    def loss(self, x, y, *, train):
        self.model.train(train)
        self.model.zero_grad()
        logits = self.model(self.torch.from_numpy(x))
        loss = self.torch.nn.functional.cross_entropy(logits, self.torch.from_numpy(y))
        loss.backward()
        return float(loss.detach())

    def flat(self, of=lambda parameter: parameter.detach()):
        """The parameters, or what ``of`` makes of them, in the network's order."""
        vector = np.empty(self.network.n_weights)
        for layer, (linear, norm) in zip(
            self.network.layers(vector), self.pairs(), strict=True
        ):
            layer.weight[...] = of(linear.weight).numpy().T
            layer.bias[...] = of(linear.bias).numpy()
            if norm is not None:
                layer.gamma[...] = of(norm.weight).numpy()
                layer.beta[...] = of(norm.bias).numpy()
        return vector

    def gradient(self):
        return self.flat(lambda parameter: parameter.grad)


@pytest.fixture
def twin(torch):
    return lambda network, weights: Twin(torch, network, weights)


@pytest.fixture
def make(draw, draw_statistics):
    """``make(mode)``: the problem, weights to try it at, and a generator."""

    def problem(mode, sizes=(5, 7, 6, 4), rows=30, dtype=np.float64):
        network, weights, x, y = draw(sizes, rows, dtype)
        statistics = {
            "batch": lambda: None,
            "running": lambda: draw_statistics(network, dtype),
            # of another point: at their own, the output would be that of "batch"
            "frozen": lambda: frozen_statistics(network, 1.1 * weights, x, y),
        }[mode]()
        found = Problem(network, x, y, batch_norm=mode, statistics=statistics)
        return found, weights, np.random.default_rng(5)

    return problem
