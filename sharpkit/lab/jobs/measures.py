"""Take many measures at one point of a training run, each at a small budget."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import sharpkit
from sharpkit._inputs.arrays import array_module
from sharpkit.lab.jobs.minimisers import Done
from sharpkit.lab.jobs.sharpness import measured_point, problem_at
from sharpkit.lab.jobs.task import Task

Record = dict[str, Any]


def _flat(result: Any) -> tuple[float, float]:
    """Return ``1 / r^2`` of a radius, which is larger where it is sharper."""
    value = float(result)
    if not value > 0:
        return math.nan, math.nan
    return value**-2, 2 * result.error / value**3


def _plain(result: Any) -> tuple[float, float]:
    return float(result), float(result.error)


# What is called, with which options, and what is read off the result.
MEASURES: dict[str, tuple[Callable[..., Any], Record, Callable[[Any], Any]]] = {
    "sharpness": (sharpkit.sharpness, {"max_evaluations": 100}, _plain),
    "ball": (sharpkit.ball_sharpness, {"max_evaluations": 60}, _plain),
    "adaptive_ball": (
        sharpkit.ball_sharpness,
        {"radius": 0.5, "adaptive": True, "max_evaluations": 60},
        _plain,
    ),
    "one_step": (sharpkit.ball_sharpness, {"method": "one_step"}, _plain),
    "average": (sharpkit.average_sharpness, {"radius": 0.02, "samples": 40}, _plain),
    "adaptive_average": (
        sharpkit.average_sharpness,
        {"radius": 0.2, "adaptive": True, "samples": 40},
        _plain,
    ),
    "inverse_sigma": (sharpkit.flatness_radius, {"max_evaluations": 100}, _flat),
    "inverse_sigma_mag": (
        sharpkit.flatness_radius,
        {"magnitude": True, "max_evaluations": 100},
        _flat,
    ),
    "inverse_alpha_mag": (
        sharpkit.flatness_radius,
        {"kind": "worst", "magnitude": True, "max_evaluations": 100},
        _flat,
    ),
    "eigenvalue": (sharpkit.eigenvalues, {"max_products": 60}, _plain),
    "trace": (sharpkit.trace, {"max_products": 30}, _plain),
    "fisher_rao": (sharpkit.fisher_rao, {"max_samples": 200}, _plain),
    "gradient_noise": (
        sharpkit.gradient_noise,
        {"batch_size": 10, "batches": 50},
        _plain,
    ),
    "critical": (sharpkit.critical_sharpness, {}, _plain),
    "gradient_norm": (sharpkit.gradient_norm, {}, _plain),
}
UNSEEDED = ("critical", "gradient_norm")
# Of the weights alone, or of the training.
LENGTHS = ("weight_norm", "distance")
NAMES = (*MEASURES, *LENGTHS)


def run(task: Task, needed: list[Done]) -> tuple[Record, Record]:
    """Take the measures that ``config["measures"]`` names; return them, and no arrays.

    The metrics have each value by its name, None where there is none, its error and
    how it ended, and the gap: the test error above the training error, in points.
    """
    config, trained = task.config, needed[0].run.metrics
    network, data, here = measured_point(config, needed)
    lab = problem_at(network, data, here, config["batch_norm"])
    problem = sharpkit.Problem(
        here.weights,
        lab,
        hvp=lab.hvp,
        accuracy=lambda w: lab.evaluate(w).accuracy,
        samples=lab.samples,
        subset=lab.subset,
    )
    record: Record = {"errors": {}, "seconds_of": {}, "warned": {}}
    for name in config["measures"]:
        if name in MEASURES:
            _take(name, problem, task.seed, record)
    own = here.weights.astype(np.float64)
    record["weight_norm"] = float(array_module(own).linalg.norm(own))
    record["distance"] = trained["distance"]
    for part in ("train", "test"):
        record[part] = trained[part]
    train, test = trained["train"], trained["test"]
    record["gap"] = 100 * (train["accuracy"] - test["accuracy"])
    record["loss_gap"] = test["loss"] - train["loss"]
    record["reached"] = trained["reached"]
    return record, {}


def _take(name: str, problem: Any, seed: int, record: Record) -> None:
    """Add one measure to a record, and what it warned of."""
    function, options, read = MEASURES[name]
    if "max_samples" in options:
        most = min(options["max_samples"], problem.samples)
        options = options | {"max_samples": most}
    if name not in UNSEEDED:
        options = options | {"seed": seed}
    if name != "gradient_norm":
        options = options | {"progress": False}
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", sharpkit.SharpkitWarning)
        value, error = read(function(problem, **options))
    record[name] = value if math.isfinite(value) else None
    record["errors"][name] = error if math.isfinite(error) else None
    record["seconds_of"][name] = time.perf_counter() - began
    if caught:
        record["warned"][name] = str(caught[0].message)
