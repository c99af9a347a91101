"""What measures along a direction, or from a start, are given: vectors and losses."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from sharpkit._inputs.arrays import array_module, is_array, is_masked
from sharpkit._inputs.checks import as_float
from sharpkit._inputs.foreign import native
from sharpkit._inputs.objective import ROUNDINGS, Objective, kind_of
from sharpkit._inputs.types import Array
from sharpkit.measures._point import Counted, Point
from sharpkit.measures._sharded import knows_ranks
from sharpkit.problem import is_problem

CALLS = 8  # of a noisy loss at the weights, besides the first two


def vector(point: Point, name: str, given: Any) -> Array:
    """Return a vector of the weights' length, dtype and place.

    Parameters
    ----------
    point
        The point whose weights it goes with.
    name
        The name of the argument.
    given
        What was given for it.

    Raises
    ------
    TypeError
        If it is no array of real numbers that lives where the weights do.
    ValueError
        If it has another shape, or is not finite.
    """
    array, _ = native(given)
    xp = array_module(point.weights)
    if not is_array(array) or is_masked(array) or array_module(array) is not xp:
        msg = (
            f"{name} is {kind_of(array)}; give a flat vector of {point.n} numbers that "
            f"lives where the weights do, for instance {xp.__name__}.asarray({name})"
        )
        raise TypeError(msg)
    if array.dtype.kind not in "fiu":
        msg = f"{name} has dtype {array.dtype}; give real numbers"
        raise TypeError(msg)
    if array.shape != point.weights.shape:
        msg = (
            f"{name} has shape {array.shape}; give one entry per weight, flattened: "
            f"{point.weights.shape}"
        )
        raise ValueError(msg)
    kept: Array = xp.array(array, dtype=point.weights.dtype, order="C")
    if not bool(np.isfinite(kept).all()):
        msg = f"{name} has entries that are not finite; give finite numbers"
        raise ValueError(msg)
    return kept


def start_of(point: Point, given: Any) -> Array:
    """Return the weights that a training began with.

    Parameters
    ----------
    point
        The point where it has come to.
    given
        A vector, or a problem at these weights.
    """
    return vector(point, "start", given.weights if is_problem(given) else given)


def direction_of(point: Point, given: Any, objective: Objective) -> Array:
    """Return the update that is taken off the weights.

    Parameters
    ----------
    point
        The point.
    given
        A vector; a problem, whose gradient at these weights it is; or None for the
        gradient of the point's own loss.
    objective
        The loss of the point.

    Raises
    ------
    ValueError
        If it is zero, or there is no gradient.
    """
    if given is None:
        found = _gradient(point, objective, "loss_fn")
    elif is_problem(given):
        found = _gradient(point, point.checked(given), "direction")
    else:
        found = vector(point, "direction", given)
    if not point.space.norm(found) > 0:
        msg = (
            "direction is zero (None is the gradient), along which nothing changes; "
            "give an update that is not, such as the optimiser's last"
        )
        raise ValueError(msg)
    return found


def _gradient(point: Point, objective: Objective, name: str) -> Array:
    gradient = objective(point.weights.copy())[1]
    if gradient is None:
        msg = (
            f"{name} returns no gradient to step along; return (loss, gradient), or "
            "give the update as direction="
        )
        raise ValueError(msg)
    if not bool(np.isfinite(gradient).all()):
        msg = f"the gradient of {name} is not finite; give direction="
        raise ValueError(msg)
    return gradient.copy()


def required(gradient: Array | None) -> Array:
    """Return the gradient.

    Raises
    ------
    ValueError
        If there is none.
    """
    if gradient is None:
        msg = (
            "loss_fn returns a loss alone, and this measure needs the gradient: return "
            "(loss, gradient)"
        )
        raise ValueError(msg)
    return gradient


def forward(point: Point) -> Objective:
    """Return the loss alone where the problem has it, which costs no gradient."""
    alone = getattr(point.problem, "forward", None)
    if alone is None:
        return point.objective()
    return point.checked(alone)


def error(point: Point) -> Objective:
    """Return the share of wrong answers as a function of the weights.

    Raises
    ------
    ValueError
        If the problem has no accuracy.
    NotImplementedError
        If it is that of a model over ranks.
    """
    accuracy = point.problem and point.problem.accuracy
    if accuracy is None and knows_ranks(point.problem):
        msg = (
            "of='error', and the problem of a model over ranks has no accuracy; give "
            "of='loss', or a problem of the whole model and its data in one process"
        )
        raise NotImplementedError(msg)

    def wrong(w: Any) -> float:
        share: Any = None if accuracy is None else accuracy(w)
        if share is None:
            msg = (
                "of='error', but the problem has no accuracy; give "
                "sharpkit.Problem(weights, loss_fn, accuracy=...), a model whose "
                "targets are classes, or of='loss'"
            )
            raise ValueError(msg)
        return 1 - as_float(share)

    return point.checked(wrong, ("1 - problem.accuracy(w) was", "accuracy"))


def positive(name: str, value: Any) -> float:
    """Return a finite number above 0.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is not above 0, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        msg = f"{name}={value!r} is not a number; give one above 0"
        raise TypeError(msg)
    if not 0 < as_float(value) < math.inf:
        msg = f"{name}={value!r}; give a finite number above 0"
        raise ValueError(msg)
    return float(value)


def centre(objective: Objective, weights: Array) -> tuple[float, Array | None, float]:
    """Return loss, gradient and noise at the weights, with more calls if it is noisy.

    A loss that is the same twice is called twice. Another is called ten times: the
    difference of two calls says too little of the noise, and one call of the mean.
    """
    loss, gradient, noise = objective.centre(weights)
    rounding = float(np.finfo(weights.dtype).eps) * (1 + abs(loss))
    if noise <= ROUNDINGS * rounding:
        return loss, gradient, noise
    losses = [loss] + [objective(weights.copy())[0] for _ in range(CALLS)]
    spread = float(np.std(losses, ddof=1))
    return float(np.mean(losses)), gradient, max(spread, noise / 2)


def closer(
    point: Point, objective: Objective, loss: float, noise: float, change: float
) -> float:
    """Return the noise, looked at closely if rounding may make such a change.

    That takes some 20 to 80 evaluations, once for all measures of a point.
    """
    rounding = float(np.finfo(point.weights.dtype).eps) * (1 + abs(loss))
    if change > ROUNDINGS * rounding:
        return noise
    return max(noise, point.looks.closely(objective, noise))


class Sum:
    """The calls of several callbacks together.

    Parameters
    ----------
    *counted
        The callbacks.
    """

    def __init__(self, *counted: Counted) -> None:
        self.calls = sum(each.calls for each in counted)
        self.seconds = sum(each.seconds for each in counted)
