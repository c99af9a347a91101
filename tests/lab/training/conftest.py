from dataclasses import fields

import numpy as np
import pytest

from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.problem import Measured, Problem
from sharpkit.lab.training.loop import train
from sharpkit.lab.training.regime import Regime

ROWS = 50


@pytest.fixture
def blobs():
    """Three well separated clouds: network, samples and labels."""
    random = np.random.default_rng(0)
    y = np.arange(ROWS) % 3
    x = 3 * np.eye(3)[y] + 0.3 * random.standard_normal((ROWS, 3))
    return MLP((3, 16, 16, 3)), x, y


@pytest.fixture
def run(blobs):
    """``run(...)``: train with Adam at 1e-2 for three epochs, but for the settings."""

    def train_them(*, dtype=np.float64, seed=5, **settings):
        network, x, y = blobs
        settings = {"start": network.initial_weights(1, dtype)} | settings
        names = {field.name for field in fields(Regime)} & settings.keys()
        regime = {"batch_size": 8, "rate": 1e-2, "max_epochs": 3}
        regime |= {name: settings.pop(name) for name in names}
        return train(
            network, x.astype(dtype), y, Regime(**regime), seed=seed, **settings
        )

    return train_them


@pytest.fixture
def batches(monkeypatch):
    """The rows of every update, as they are trained on."""
    seen, evaluate = [], MLP.evaluate

    def spy(self, weights, x, y, **settings):
        if settings["statistics"] == "batch":
            seen.append((x.copy(), y.copy()))
        return evaluate(self, weights, x, y, **settings)

    monkeypatch.setattr(MLP, "evaluate", spy)
    return seen


@pytest.fixture
def scripted(run, monkeypatch):
    """Train to a script: the losses after the epochs, whatever the weights."""

    def make(losses, **settings):
        script = iter(losses)
        monkeypatch.setattr(
            Problem, "evaluate", lambda self, weights: Measured(next(script), 0.5)
        )
        return run(max_epochs=len(losses), **settings)

    return make
