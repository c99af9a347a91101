"""The trainer is written on an array module; `plain` is what any other one runs."""

import numpy as np

from sharpkit.lab import network, optimizers
from sharpkit.lab.network import MLP
from sharpkit.lab.optimizers import SGD, Adam
from sharpkit.lab.steps import array_module, plain, steps_for
from sharpkit.lab.train import train


def _trained(optimizer):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(70, 9)), rng.integers(0, 4, 70)
    mlp = MLP((9, 12, 11, 4))
    start = mlp.initial_weights(1, np.float64)
    return train(
        mlp, x, y, batch_size=16, optimizer=optimizer, start=start, seed=2, max_epochs=5
    )


def test_numpy_takes_the_fused_steps():
    assert array_module(np.zeros(1)) is np
    assert steps_for(np.zeros(1)).__name__.endswith("fused")


def test_training_on_plain_steps_gives_the_same_weights(monkeypatch):
    for make in (Adam, SGD):
        fused = _trained(make())
        with monkeypatch.context() as patch:
            for module in (network, optimizers):
                patch.setattr(module, "steps_for", lambda array: plain)
            other = _trained(make())
        np.testing.assert_allclose(other.weights, fused.weights, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(other.losses, fused.losses, rtol=1e-10)
        assert np.abs(fused.weights - fused.start).max() > 1e-3
