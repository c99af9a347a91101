"""Network F1 of the paper at a minimiser that a few epochs have found."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from sharpkit.lab.data import draw_glyphs
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.problem import Problem
from sharpkit.lab.training.loop import train
from sharpkit.lab.training.regime import Regime

SIZES = (784, *[512] * 5, 10)
SAMPLES, BATCH, SEED = 6000, 256, 31


def trained_f1(
    *, epochs: int, samples: int = SAMPLES, sizes: tuple[int, ...] = SIZES
) -> tuple[NDArray[Any], Problem]:
    """Return the weights and the loss over all samples, with running statistics."""
    data = draw_glyphs(train=samples, test=1, seed=SEED)
    network = MLP(sizes)
    trained = train(
        network,
        data.x_train,
        data.y_train,
        Regime(BATCH, max_epochs=epochs),
        start=network.initial_weights(SEED),
        seed=SEED,
    )
    problem = Problem(
        network,
        data.x_train,
        data.y_train,
        batch_norm="running",
        statistics=trained.statistics,
    )
    return trained.weights, problem
