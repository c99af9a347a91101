"""Loss and accuracy on a path through two minimisers (Figures 3 and 7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sharpkit.lab.jobs.minimisers import Done, point
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.jobs.training import setting_of
from sharpkit.lab.problem import Problem

Record = dict[str, Any]

ALPHAS = np.linspace(-1, 2, 25)  # the paper's grid
# alpha -> the factors of the small-batch and of the large-batch minimiser
PATHS: dict[str, Callable[[float], tuple[float, float]]] = {
    "line": lambda alpha: (1 - alpha, alpha),
    # The same, computed in float64 and rounded once, not in the weights' dtype.
    "line in float64": lambda alpha: (np.float64(1 - alpha), np.float64(alpha)),
    "arc": lambda alpha: (np.cos(alpha * np.pi / 2), np.sin(alpha * np.pi / 2)),
}


def run(task: Task, needed: list[Done]) -> tuple[Record, Record]:
    """Evaluate the path ``config["path"]`` from the first run to the second.

    Normalised by the statistics of the whole set at each point, as the authors' code
    does (their Keras layers use batch statistics in evaluation, too).
    """
    network, data = setting_of(needed[0].run.config)
    small, large = (point(network, data, each).weights for each in needed)
    found: Record = {"alpha": ALPHAS.tolist()}
    for part, x, y in (
        ("train", data.x_train, data.y_train),
        ("test", data.x_test, data.y_test),
    ):
        problem = Problem(network, x, y, batch_norm="batch")
        points = []
        for alpha in ALPHAS:
            first, second = PATHS[task.config["path"]](float(alpha))
            weights = (first * small + second * large).astype(small.dtype)
            points.append(problem.evaluate(weights))
        found[f"{part}_loss"] = [each.loss for each in points]
        found[f"{part}_accuracy"] = [each.accuracy for each in points]
    return found, {}
