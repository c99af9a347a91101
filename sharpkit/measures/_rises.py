"""What measures of absolute rises share: loss and noise at the weights, a radius."""

from __future__ import annotations

import math
import numbers
from typing import Any, NamedTuple

import numpy as np

from sharpkit._inputs.checks import as_float
from sharpkit._inputs.objective import Objective, require_moderate
from sharpkit._inputs.types import Array
from sharpkit.measures._point import Point

NOTABLE = 1e-2  # noise above this share of the rise is looked at closely
LOST = 4.0  # so many roundings of the weights are no step


class Centre(NamedTuple):
    """The loss at the weights.

    Attributes
    ----------
    loss : float
        The loss.
    gradient : (n,) or None
        Its gradient, where there is one.
    noise, calls_differ : float
        The noise that a first look shows, and that of two calls at the weights.
    spent : int
        The evaluations at the weights.
    """

    loss: float
    gradient: Array | None
    noise: float
    calls_differ: float
    spent: int


def looked_at(point: Point, objective: Objective, step: float) -> Centre:
    """Evaluate twice at the weights, and with a gradient on both sides of them.

    Parameters
    ----------
    point
        The point.
    objective
        Its loss.
    step
        The size of the set, relative to ``|w| + 1``, in which the look is taken.
    """
    loss, gradient, noise = point.centre(objective)
    require_moderate(loss)
    seen = point.looks.noise(objective, loss, gradient, epsilon=step)
    return Centre(loss, gradient, max(noise, seen), noise, 2)


def taken(point: Point, objective: Objective, known: Centre) -> Centre:
    """Evaluate once at the weights; the noise is that of another part of the samples.

    Raises
    ------
    ValueError
        If the loss or the gradient is not finite there.
    """
    loss, gradient = objective(point.weights.copy())
    if gradient is not None:
        gradient = gradient.copy()
    if not (math.isfinite(loss) and (gradient is None or np.isfinite(gradient).all())):
        msg = (
            f"the loss of a subset is {loss} at the given weights, or its gradient is "
            "not finite; give the weights of a finite model"
        )
        raise ValueError(msg)
    require_moderate(loss)
    return Centre(loss, gradient, known.noise, known.calls_differ, 1)


def closer_noise(
    point: Point, objective: Objective, rise: float, centre: Centre
) -> float:
    """Return the noise of the loss, looked at more closely where it may matter."""
    seen = centre.noise
    doubtful = seen > NOTABLE * abs(rise) and (rise != 0 or seen > centre.calls_differ)
    if doubtful or not objective.has_gradient or point.looks.astray:
        return point.looks.closely(objective, centre.calls_differ)
    return seen


def checked_radius(radius: Any, point: Point, *, adaptive: bool, spread: bool) -> float:
    """Return a radius as a float if steps of that size exist in the weights' dtype.

    Parameters
    ----------
    radius
        What was given.
    point
        The point.
    adaptive
        Whether it is relative to each weight.
    spread
        Whether it is the length of a whole step, and not the size of its entries.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is not above 0 and finite, or too small or large for the dtype.
    """
    if isinstance(radius, bool) or not isinstance(radius, numbers.Real):
        msg = f"radius={radius!r} is not a number; give one above 0, such as 0.05"
        raise TypeError(msg)
    number = as_float(radius)
    if not (math.isfinite(number) and number > 0):
        msg = f"radius={radius!r}; give a finite number above 0, such as 0.05"
        raise ValueError(msg)
    limits, space = np.finfo(point.weights.dtype), point.space
    root = math.sqrt(space.size)
    length = root if adaptive else space.norm(point.weights)
    least = LOST * float(limits.eps) * (length if spread else length / root)
    widest = 8 * number * (space.norm(point.weights) if adaptive else 1.0)
    if number < max(least, float(limits.tiny)):
        msg = (
            f"radius={radius!r} is lost in the rounding of the weights, which are "
            f"{point.weights.dtype}; give at least {max(least, float(limits.tiny)):.2g}"
            f"{', or weights of float64' if limits.bits < 64 else ''}"
        )
        raise ValueError(msg)
    if widest + space.norm(point.weights) > float(limits.max):
        msg = (
            f"radius={radius!r} leads beyond the range of {point.weights.dtype}; give "
            "a number such as 0.05"
        )
        raise ValueError(msg)
    return number
