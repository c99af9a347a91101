"""Directional sharpness: the curvature along an update, per unit of its slope."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sharpkit._inputs.objective import ROUNDINGS, gradient_rounding
from sharpkit._inputs.texts import documented
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._inputs.warn import warn
from sharpkit._spectrum.operators import Operator
from sharpkit.measures._given import direction_of, required
from sharpkit.measures._point import Point
from sharpkit.measures._sharded import sharded
from sharpkit.results.along import DirectionalResult


@sharded
@documented
def directional_sharpness(
    problem: Any,
    direction: Any = None,
    *,
    loss_fn: LossFn | None = None,
    hvp: Hvp | None = None,
    backend: str | None = None,
    process_group: Any = None,
    comm: Any = None,
) -> DirectionalResult:
    r"""Measure ``d.Hd / d.g`` along an update d, which is taken off the weights.

    A step ``w - s d`` changes the loss by ``-s d.g + s^2 d.Hd / 2``: it falls while
    ``s < 2 / value``. With the gradient as d it is a mean of the eigenvalues, at most
    the largest; with the step of Adam one of the preconditioned Hessian's.

    Parameters
    ----------
    problem
        $problem
    direction
        The update d, in the sign of a gradient: what is *subtracted* from the weights.
        A vector; a problem, whose gradient at these weights it is; or None for the
        gradient of the loss itself. A multiple of d gives that multiple of the value.
    loss_fn
        $gradient_fn
    hvp
        $hvp
    backend
        $backend
    process_group
        $process_group
    comm
        $comm

    Returns
    -------
    DirectionalResult
        The value with its error, the curvature and the slope.

    Raises
    ------
    TypeError, ValueError
        $raises

    Warns
    -----
    SharpkitWarning
        If the slope along the update is not above its error: the loss does not fall
        along it.

    See Also
    --------
    critical_sharpness : The same by forward passes, not only to second order.

    Notes
    -----
    It takes one product and two gradients, beside what proves the product once. The
    error of the product is taken to lie along d, which is the worst case; that of the
    slope is the change between two calls, and rounding.

    Examples
    --------
    >>> import numpy as np, sharpkit
    >>> h = np.array([1.0, 4.0])
    >>> problem = sharpkit.Problem(np.ones(2), lambda w: (0.5 * float(h @ w**2), h * w))
    >>> round(float(sharpkit.directional_sharpness(problem)), 6)  # (1 + 64) / (1 + 16)
    3.823529
    """
    point = Point.of(problem, loss_fn, hvp=hvp, backend=backend, comm=comm)
    began = point.begin()
    objective, space = point.objective(), point.space
    loss, gradient, _ = point.centre(objective)
    gradient = required(gradient)
    d = direction_of(point, gradient if direction is None else direction, objective)
    length, slope = space.norm(d), space.dot(d, gradient)
    again = objective(point.weights.copy())[1]
    assert again is not None  # it is the same kind at every call
    norms = space.norm(gradient), loss, space.norm(point.weights)
    rounding = length * gradient_rounding(*norms, space.dtype) / ROUNDINGS
    slope_error = math.hypot(space.dot(d, again) - slope, rounding)
    if not slope > slope_error:
        warn(
            f"d.g = {slope:.3g} along the update, with an error of {slope_error:.1g}: "
            "the loss does not fall along it, and the value says nothing of a step; "
            "give the update in the sign of a gradient (weights - step * direction)"
        )
    operator = point.operator(0, lambda done, value: None)
    curvature, error = _form(operator, d, length)
    value = curvature / slope if slope else math.nan
    stderr = math.hypot(error, value * slope_error) / abs(slope or math.nan)
    return DirectionalResult(
        value=value,
        stderr=stderr,
        curvature=curvature,
        slope=slope,
        run=point.run_of_products(operator, began, 0),
    )


def _form(operator: Operator, d: Array, length: float) -> tuple[float, float]:
    """Return ``d.Hd`` and its error."""
    space = operator.space
    unit, product = space.empty(), space.empty()
    space.copy(d, unit, 1 / length)
    operator.apply(unit, product)
    rounding = float(np.finfo(space.dtype).eps) * space.norm(product)
    error = math.hypot(operator.error_along(unit), rounding)
    return length**2 * space.dot(unit, product), length**2 * error
