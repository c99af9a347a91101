"""Descend with all samples at once, and watch the sharpness on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import sharpkit
from sharpkit.lab.data.source import Source
from sharpkit.lab.jobs.minimisers import Done
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.networks.smooth import SquaredError, chebyshev

Record = dict[str, Any]
Floats = NDArray[np.float64]

METHODS = ("gd", "polyak", "nesterov", "adam")
# Of the momentum; of Adam, the means of the gradient and of its square.
MOMENTUM, BETA1, BETA2, TINY = 0.5, 0.9, 0.999, 1e-8


def run(task: Task, needed: list[Done]) -> tuple[Record, Record]:
    """Descend as the task says; return the curves, and no arrays.

    The largest eigenvalue of the Hessian, of Adam's in its own metric, is recorded at
    every so many steps by `sharpkit.monitor.loop`, from exact products. Where the
    weights are not finite any more the curves end.
    """
    config = task.config
    loss_fn = problem_of(config)
    weights = loss_fn.initial_weights(task.seed)
    method = Method(config["method"], config["rate"])
    loss, gradient = loss_fn(weights)
    update, metric = method(gradient)
    name = "lambda_max" if metric is None else "preconditioned_lambda_max"
    momentum = MOMENTUM if config["method"] in ("polyak", "nesterov") else 0.0
    record: Record = {"n": len(weights), "losses": [], "products": 0}
    record |= {"steps": [], "values": [], "errors": []}
    with sharpkit.monitor.loop(
        sharpkit.Problem(weights, loss_fn, hvp=loss_fn.hvp),
        rate=config["rate"],
        momentum=momentum,
        nesterov=config["method"] == "nesterov",
        preconditioner=metric,
        measures=[name],
        every=config["every"],
        budget=None,
    ) as monitor:
        for _ in range(config["steps"] + 1):
            for row in monitor.step(weights, preconditioner=metric):
                record["threshold"] = row.threshold
                record["steps"].append(row.step)
                record["losses"].append(loss)
                record["values"].append(row.value)
                record["errors"].append(row.error)
                record["products"] += row.products
            weights = weights - update
            loss, gradient = loss_fn(weights)
            if not np.isfinite(loss):
                break
            update, metric = method(gradient)
    return record, {}


def problem_of(config: Record) -> SquaredError:
    """Return the loss that a task names: of a polynomial, or of the data's classes."""
    hidden = tuple(config["hidden"])
    if "degree" in config:
        return SquaredError(hidden, *chebyshev(config["degree"], config["points"]))
    data = Source(**config["data"]).load()
    x = data.x_train[: config["samples"]].astype(np.float64)
    y = np.eye(data.classes)[data.y_train[: config["samples"]]]
    return SquaredError(hidden, x, y)


class Method:
    """A way to descend: ``method(gradient)`` is the update to take off, and its metric.

    The metric is None where it is the identity. Adam's is
    ``P = (1 - beta^t) (sqrt(v) + eps)`` with the corrected v: it steps by the mean
    gradient over P.

    Parameters
    ----------
    name : {"gd", "polyak", "nesterov", "adam"}
        The name.
    rate
        The learning rate.
    """

    def __init__(self, name: str, rate: float) -> None:
        if name not in METHODS:
            msg = f"method={name!r}; give one of {', '.join(METHODS)}"
            raise ValueError(msg)
        self.name, self.rate = name, rate
        self._mean: Any = 0.0
        self._square: Any = 0.0
        self._steps = 0

    def __call__(self, g: Floats) -> tuple[Floats, sharpkit.Preconditioner | None]:
        """Return the update that a gradient makes, and the metric it is made in."""
        self._steps += 1
        if self.name == "gd":
            return self.rate * g, None
        if self.name == "adam":
            return self._adam(g)
        self._mean = MOMENTUM * self._mean + g
        ahead = self._mean if self.name == "polyak" else g + MOMENTUM * self._mean
        return self.rate * ahead, None

    def _adam(self, g: Floats) -> tuple[Floats, sharpkit.Preconditioner]:
        self._mean = BETA1 * self._mean + (1 - BETA1) * g
        self._square = BETA2 * self._square + (1 - BETA2) * g * g
        size = np.sqrt(self._square / (1 - BETA2**self._steps)) + TINY
        metric = (1 - BETA1**self._steps) * size
        threshold = (2 + 2 * BETA1) / ((1 - BETA1) * self.rate)
        return (
            self.rate * self._mean / metric,
            sharpkit.Preconditioner(metric, threshold, name="Adam"),
        )
