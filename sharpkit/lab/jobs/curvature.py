"""The Hessian at a point of a training run, beside the sharpness of the box around it.

The box is wide enough for the loss to leave its second-order model. How much of the
sharpness the Hessian explains is therefore measured: the model is searched in the same
box by the same solver, and its maximum stands beside the loss's own.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

import sharpkit
from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import XpArray
from sharpkit.lab.jobs.minimisers import Done
from sharpkit.lab.jobs.sharpness import measured_point, problem_at
from sharpkit.lab.jobs.task import Task
from sharpkit.lab.jobs.training import measured

Record = dict[str, Any]

TRACE_PRODUCTS = 20
# Nodes a few thousandths apart in the bulk; the share of negative curvature is then
# within 0.05 of what 480 steps find on the digits of the demonstration.
DENSITY_STEPS, DENSITY_PROBES = 60, 2


class Curved(Protocol):
    """A loss with exact products of its Hessian, such as `Problem`."""

    def __call__(self, weights: XpArray) -> tuple[float, XpArray]:
        """Return the loss and its gradient."""
        ...

    def hvp(self, weights: XpArray, v: XpArray) -> XpArray:
        """Return the Hessian at the weights times ``v``."""
        ...


def run(task: Task, needed: list[Done]) -> tuple[Record, Record]:
    """Measure the curvature at a point; return the metrics, and no arrays.

    The point is found as for the sharpness (`measured_point`); loss and accuracy there
    are among the metrics.
    """
    config = task.config
    network, data, here = measured_point(config, needed)
    problem = problem_at(network, data, here, config["batch_norm"])
    found = curvature(
        problem,
        here.weights,
        epsilons=config["epsilons"],
        seed=task.seed,
        with_density=config["density"],
    )
    return measured(network, data, here) | found, {}


class QuadraticModel:
    """``q(w + z) = f(w) + g . z + z . H z / 2`` and its gradient ``g + H z``.

    The second-order Taylor model of a loss around one point, by one exact product per
    evaluation. It may fall to any depth where H has negative eigenvalues.

    Parameters
    ----------
    problem
        The loss f.
    weights : (n,)
        The point w.
    """

    def __init__(self, problem: Curved, weights: XpArray) -> None:
        self._problem, self._weights = problem, weights.copy()
        self._loss, self._gradient = problem(self._weights)

    def __call__(self, weights: XpArray) -> tuple[float, XpArray]:
        """Return the model's value at ``weights`` and its gradient, (n,)."""
        z = weights - self._weights
        bend = self._problem.hvp(self._weights, z)
        slope = self._gradient + bend / 2  # on average on the way from w to w + z
        rise = array_module(z).dot(z.astype(np.float64), slope.astype(np.float64))
        return self._loss + float(rise), self._gradient + bend


def curvature(
    problem: Curved,
    weights: XpArray,
    *,
    epsilons: tuple[float, ...],
    seed: int,
    with_density: bool = False,
) -> Record:
    """Measure the Hessian at a minimiser, and the sharpness that it predicts.

    Parameters
    ----------
    problem
        The loss whose sharpness is measured.
    weights : (n,)
        The minimiser, where the problem's samples live.
    epsilons
        The sizes of the boxes, in the full space.
    seed
        The seed of the random vectors and of the solver's restarts, as for the
        sharpness.
    with_density
        Whether the density of all eigenvalues is estimated as well.

    Returns
    -------
    dict
        What the results' ``to_dict()`` return, ready for JSON. ``eigenvalues`` (the
        largest, with its residual), ``trace``, ``predicted`` (the sharpness of the
        `QuadraticModel`, one entry per epsilon) and, if asked for, ``density`` with
        ``negative_share``: value and standard error of the share of negative
        curvature, by size.

    References
    ----------
    Keskar et al., arXiv 1609.04836, section 2.2.2, for the spectrum of sharp minima.
    """
    products: Record = {"hvp": problem.hvp, "seed": seed, "progress": False}
    largest = sharpkit.eigenvalues(weights, k=1, **products)
    trace = sharpkit.trace(weights, max_products=TRACE_PRODUCTS, **products)
    model = QuadraticModel(problem, weights)
    predicted = [
        sharpkit.sharpness(weights, model, epsilon=epsilon, seed=seed, progress=False)
        for epsilon in epsilons
    ]
    record: Record = {
        "eigenvalues": largest.to_dict(),
        "trace": trace.to_dict(),
        "predicted": [each.to_dict() for each in predicted],
    }
    if with_density:
        density = sharpkit.spectral_density(
            weights,
            max_products=DENSITY_STEPS * DENSITY_PROBES,
            probes=DENSITY_PROBES,
            **products,
        )
        share = density.negative_share()._asdict()
        record["density"] = density.to_dict() | {"negative_share": share}
    return record
