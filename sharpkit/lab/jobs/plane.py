"""Loss and accuracy on the plane through two minimisers and their start (Figure 3)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import sharpkit
from sharpkit._inputs.arrays import to_host
from sharpkit._inputs.types import XpArray
from sharpkit.lab.jobs.minimisers import Done, point
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.jobs.training import initial_weights, setting_of
from sharpkit.lab.problem import Measured, Problem

Record = dict[str, Any]

NAMES = ("SB", "LB", "start")
MARGIN = 0.25  # beyond the points, as a share of the larger extent
KEPT = ("x", "y", "values", "marks", "axes")


class Evaluated(sharpkit.Problem):
    """The loss of a network at its weights, whose values need no gradient."""

    def evaluate(self, weights: XpArray) -> Measured:
        """Return the mean loss and the accuracy at ``weights``."""
        found: Measured = self.loss_fn.evaluate(weights)  # type: ignore[attr-defined]
        return found


def run(task: Task, needed: list[Done]) -> tuple[Record, Record]:
    """Evaluate the plane through the ends of both runs and the start of both.

    Of the training data, normalised by their statistics at each point, as the path is.
    Both runs began at what the seed draws. The first is at (0, 0), the second at
    (1, 0): the line through both is that of the path.
    """
    network, data = setting_of(needed[0].run.config)
    small, large = (point(network, data, each).weights for each in needed)
    start = initial_weights(network, data, task.seed)
    three = [to_host(each).astype(np.float64) for each in (small, large, start)]
    distances = [[float(np.linalg.norm(a - b)) for b in three] for a in three]
    problem = Problem(network, data.x_train, data.y_train, batch_norm="batch")
    found = sharpkit.landscape.plane(
        Evaluated(small, problem),
        through=[large, start],
        names=NAMES,
        points=task.config["points"],
        span=square(distances),
        progress=False,
    )
    record = found.to_dict()
    return {name: record[name] for name in KEPT} | {"distances": distances}, {}


def square(distances: list[list[float]]) -> list[tuple[float, float]]:
    """Return the ends of both axes: a square around the three points.

    Parameters
    ----------
    distances : (3, 3)
        How far they are apart. The first is at 0, the second at 1 of the first axis.
    """
    one, two, three = distances[0][1], distances[0][2], distances[1][2]
    x = (1 + (two**2 - three**2) / one**2) / 2  # of the third, by the law of cosines
    y = math.sqrt(max((two / one) ** 2 - x**2, 0))
    extents = ((min(x, 0), max(x, 1)), (0, y))
    half = (0.5 + MARGIN) * max(high - low for low, high in extents)
    return [((low + high) / 2 - half, (low + high) / 2 + half) for low, high in extents]
