"""Measure the sharpness of one point of a training run."""

from __future__ import annotations

from typing import Any

import numpy as np

import sharpkit
from sharpkit.lab.data import Dataset
from sharpkit.lab.jobs.minimisers import Done, Point, point
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.jobs.training import setting_of
from sharpkit.lab.networks.base import Network, Statistics
from sharpkit.lab.networks.rescale import layer_norms, with_norms
from sharpkit.lab.problem import BatchNorm, Problem, frozen_statistics

Record = dict[str, Any]


def run(task: Task, needed: list[Done]) -> tuple[Record, Record]:
    """Measure what ``config["measure"]`` lists; return the metrics, and no arrays.

    Of a point that the run did not reach, an empty list.
    """
    config, origin = task.config, needed[0]
    if f"{config['at']}/weights" not in origin.arrays:
        return {"sharpness": []}, {}  # the run never came there
    network, data, here = measured_point(config, needed)
    problem = problem_at(network, data, here, config["batch_norm"])
    found = []
    for measure in config["measure"]:
        subspace = measure["subspace"]
        result = sharpkit.sharpness(
            here.weights,
            problem,
            epsilon=measure["epsilon"],
            subspace=None if subspace is None else min(subspace, here.weights.size),
            solver=measure["solver"],
            seed=task.seed,
            progress=False,
        )
        record = _finite(result.to_dict())
        found.append(record | {"drawn": record["subspace"]} | measure)
    return {"sharpness": found}, {}


def measured_point(
    config: Record, needed: list[Done]
) -> tuple[Network, Dataset, Point]:
    """Return network, data and the point ``config["at"]`` of the first run needed.

    With a second run the point takes layer norms of which that run's would be given as
    well: the geometric mean of both (the same function).
    """
    network, data = setting_of(needed[0].run.config)
    here = point(network, data, needed[0], config["at"])
    if len(needed) > 1:
        other = point(network, data, needed[1]).weights
        norms = np.sqrt(
            layer_norms(network, here.weights) * layer_norms(network, other)
        )
        here = Point(*with_norms(network, *here, norms))
    return network, data, here


def problem_at(
    network: Network, data: Dataset, here: Point, batch_norm: BatchNorm
) -> Problem:
    """Return the training loss around a point, normalised as ``batch_norm`` says."""
    x, y = data.x_train, data.y_train
    statistics: Statistics | None = here.statistics
    if batch_norm == "batch":
        statistics = None
    elif batch_norm == "frozen":
        statistics = frozen_statistics(network, here.weights, x, y)
    return Problem(network, x, y, batch_norm=batch_norm, statistics=statistics)


def _finite(record: Record) -> Record:
    """Return the record with None for numbers that are not finite, for JSON."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in record.items()
    }
