"""Figure 3: loss and accuracy on the line through two minimisers."""

from __future__ import annotations

from typing import Any

import numpy as np

from sharpkit.lab.data import Dataset
from sharpkit.lab.networks.mlp import MLP
from sharpkit.lab.problem import Problem

ALPHAS = np.linspace(-1, 2, 25)  # the paper's grid


def parametric_path(
    network: MLP, data: Dataset, small: Any, large: Any
) -> dict[str, list[float]]:
    """Evaluate ``f(alpha large + (1 - alpha) small)``, 25 alphas in [-1, 2].

    Normalised by the statistics of the whole set at each point, as the authors' code
    does (their Keras layers use batch statistics in evaluation too).

    Parameters
    ----------
    small, large : (n,)
        The minimisers: alpha 0 and 1.

    Returns
    -------
    dict
        ``alpha`` and, for train and test, ``..._loss`` (mean cross-entropy) and
        ``..._accuracy`` (in [0, 1]), 25 numbers each.

    References
    ----------
    arXiv 1609.04836, Figure 3, after Goodfellow, Vinyals and Saxe, arXiv 1412.6544.
    """
    found: dict[str, list[float]] = {"alpha": [float(alpha) for alpha in ALPHAS]}
    for part, x, y in (
        ("train", data.x_train, data.y_train),
        ("test", data.x_test, data.y_test),
    ):
        problem = Problem(network, x, y, batch_norm="batch")
        points = [
            problem.measure((alpha * large + (1 - alpha) * small).astype(small.dtype))
            for alpha in ALPHAS
        ]
        found[f"{part}_loss"] = [point.loss for point in points]
        found[f"{part}_accuracy"] = [point.accuracy for point in points]
    return found
