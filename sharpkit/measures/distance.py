"""Lengths in the space of the weights: the distance from the start, the gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, LossFn
from sharpkit.measures._given import required, start_of
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import sharded
from sharpkit.problem import is_problem
from sharpkit.results.along import DistanceResult, GradientNormResult


@sharded
@documented
def distance(
    problem: Any,
    *,
    start: Any,
    backend: str | None = None,
    process_group: Any = None,
    comm: Any = None,
) -> DistanceResult:
    r"""Measure how far the weights are from where the training began, ``|w - w0|``.

    Parameters
    ----------
    problem
        $problem
    start
        The weights that the training began with: a flat vector, or a problem at them.
    backend
        $backend
    process_group
        $process_group
    comm
        $comm

    Returns
    -------
    DistanceResult
        The distance, in all and per layer, exact but for rounding.

    Raises
    ------
    TypeError, ValueError
        $raises

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> problem = sharpkit.Problem(np.array([3.0, 4.0]), lambda w: (0.0, 0 * w))
    >>> float(sharpkit.distance(problem, start=np.zeros(2)))
    5.0
    """
    known = isinstance(problem, Point) or is_problem(problem)
    point = Point.of(problem, None if known else _unasked, backend=backend, comm=comm)
    began = point.begin()
    away = start_of(point, start)
    point.space.combine([[1.0]], point.weights[None], away[None], beta=-1.0)
    value, relative, layers = _lengths(point, away)
    return DistanceResult(
        value=value,
        relative=relative,
        layers=layers,
        stderr=float(np.finfo(point.weights.dtype).eps) * value,
        run=point.run(_Uncalled(), began, seed=0, source="the weights"),
    )


@sharded
@documented
def gradient_norm(
    problem: Any,
    loss_fn: LossFn | None = None,
    *,
    backend: str | None = None,
    process_group: Any = None,
    comm: Any = None,
) -> GradientNormResult:
    r"""Measure the length of the gradient at the weights.

    Parameters
    ----------
    problem
        $problem
    loss_fn
        $loss_fn
        It must return the gradient, too.
    backend
        $backend
    process_group
        $process_group
    comm
        $comm

    Returns
    -------
    GradientNormResult
        The length, in all and per layer; its error is half the length of the change
        between two calls, and rounding.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        If the loss is not deterministic.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> float(sharpkit.gradient_norm(np.array([3.0, 4.0]), lambda w: (w @ w / 2, w)))
    5.0
    """
    point = Point.of(problem, loss_fn, backend=backend, comm=comm)
    began = point.begin()
    objective = point.objective()
    _, gradient, _ = point.centre(objective)
    gradient = required(gradient)
    again = objective(point.weights.copy())[1]
    assert again is not None  # it is the same kind at every call
    value, relative, layers = _lengths(point, gradient)
    point.space.combine([[-1.0]], again[None], gradient[None], beta=1.0)
    rounding = float(np.finfo(point.weights.dtype).eps) * value
    return GradientNormResult(
        value=value,
        relative=relative,
        layers=layers,
        stderr=math.hypot(point.space.norm(gradient) / 2, rounding),
        run=point.run(objective, began, seed=0, source="gradient"),
    )


def _lengths(point: Point, vector: Array) -> tuple[float, float, dict[str, float]]:
    """Return the length of a vector, its share of the weights', and those by layer."""
    length, whole = point.space.norm(vector), point.space.norm(point.weights)
    layers = (point.problem and point.problem.layers) or {}
    norms = np.array(
        [np.linalg.norm(vector[place].astype(np.float64)) for place in layers.values()]
    )
    if point.comm is not None:
        norms = np.sqrt(point.comm.sum(norms**2))
    parts = dict(zip(layers, norms.tolist(), strict=True))
    return length, length / whole if whole else math.nan, parts


def _unasked(w: Array) -> float:
    """Stand for a loss where none is needed."""
    raise AssertionError


class _Uncalled:
    """What is never called."""

    calls, seconds = 0, 0.0
