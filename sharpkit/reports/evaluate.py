"""The loss and the accuracy of a problem, whatever library its weights are of."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.checks import at_least
from sharpkit._inputs.types import Array
from sharpkit.measures._point import Point
from sharpkit.results.common import Run
from sharpkit.results.report import Fit


class Fitted(NamedTuple):
    """What a first look at a problem finds.

    Attributes
    ----------
    fit : Fit
        The loss and the accuracy at the weights.
    run : Run
        What it took.
    differentiable : bool
        Whether the loss came with its gradient.
    gradient_norm : float
        The Euclidean norm of the gradient; NaN without one.
    evaluation_seconds : float
        The time of an evaluation: not of the first one, which may have to compile.
    building_seconds : float
        What the first one took beyond that.
    """

    fit: Fit
    run: Run
    differentiable: bool
    gradient_norm: float
    evaluation_seconds: float
    building_seconds: float


def fitted(
    point: Point, seed: int, *, epsilon: float, products: bool = False
) -> Fitted:
    """Return loss, noise and accuracy at a point.

    Parameters
    ----------
    point
        The point of a problem.
    seed
        The seed of the measures that follow, for the record.
    epsilon
        The size of the box in which noise is looked for.
    products
        Whether measures follow that take products.
    """
    objective, began = point.objective(), point.begin()
    loss, gradient, noise = point.centre(objective)
    first = objective.calls, objective.seconds
    near = point.looks.noise(objective, loss, gradient, epsilon=epsilon, keep=products)
    noise = max(noise, near)
    size = math.nan if gradient is None else point.space.norm(gradient)
    looks, lapse = objective.calls - first[0], objective.seconds - first[1]
    each = lapse / looks if looks else objective.seconds / max(objective.calls, 1)
    building = max(first[1] - first[0] * each, 0.0)
    del gradient
    share, samples = accuracy(point, point.weights), None
    if share is not None and point.problem is not None:
        # To count the samples may take a pass over the data.
        samples = point.problem.samples
    if samples is not None:
        samples = at_least("samples", samples, 1)
    run = point.run(objective, began, source="gradient", seed=seed)
    fit = Fit(loss, noise, share, samples)
    return Fitted(fit, run, bool(objective.has_gradient), size, each, building)


def accuracy(point: Point, w: Array) -> float | None:
    """Return the share of right answers at w, None where there is none.

    Raises
    ------
    ValueError
        If it is not between 0 and 1.
    """
    if point.problem is None or point.problem.accuracy is None:
        return None
    share = point.problem.accuracy(w if point.kind is None else point.kind.given(w))
    if share is None:
        return None
    if not 0 <= float(share) <= 1:
        msg = (
            f"accuracy returned {float(share)!r}; return the share of right answers, "
            "from 0 to 1"
        )
        raise ValueError(msg)
    return float(share)


def norm(w: Array) -> float:
    """Return the Euclidean norm, summed in float64."""
    wide = w.astype(np.float64)
    return math.sqrt(float(array_module(wide).vdot(wide, wide)))
