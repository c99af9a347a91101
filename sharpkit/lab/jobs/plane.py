"""Loss and accuracy on the plane through two minimisers and their start (Figure 3)."""

from __future__ import annotations

from typing import Any

import numpy as np

import sharpkit
from sharpkit._inputs.types import XpArray
from sharpkit.lab.jobs.minimisers import Done, point
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.jobs.training import initial_weights, setting_of
from sharpkit.lab.problem import Measured, Problem

Record = dict[str, Any]

NAMES = ("SB", "LB", "start")
KEPT = ("x", "y", "values", "marks", "axes")


class Evaluated(sharpkit.Problem):
    """The loss of a network at its weights, whose values need no gradient."""

    def evaluate(self, weights: XpArray) -> Measured:
        """Return the mean loss and the accuracy at ``weights``."""
        found: Measured = self.loss_fn.evaluate(weights)  # type: ignore[attr-defined]
        return found


def run(task: Task, needed: list[Done]) -> tuple[Record, Record]:
    """Evaluate the plane through the ends of both runs and the start of both.

    Normalised by the statistics of the whole set at each point, as the path is. Both
    runs began at what the seed draws. The first is at (0, 0), the second at (1, 0):
    the line through both is that of the path. Without both ends there is no plane, and
    the metrics are empty.
    """
    network, data = setting_of(needed[0].run.config)
    small, large = (point(network, data, each).weights for each in needed)
    if not all(np.isfinite(each).all() for each in (small, large)):
        return {}, {}
    problems = {
        part: Evaluated(small, Problem(network, x, y, batch_norm="batch"))
        for part, x, y in (
            ("train", data.x_train, data.y_train),
            ("test", data.x_test, data.y_test),
        )
    }
    found = sharpkit.landscape.plane(
        problems,
        through=[large, initial_weights(network, data, task.seed)],
        names=NAMES,
        points=task.config["points"],
        progress=False,
    )
    record = found.to_dict()
    places = np.concatenate([found.marks[name] for name in NAMES])
    apart = found.axes[0].norm * (places[:, None] - places)  # both axes have one length
    distances = np.linalg.norm(apart, axis=-1).tolist()
    return {name: record[name] for name in KEPT} | {"distances": distances}, {}
