"""The generalised Cauchy point: where a model first stops falling along a bent path.

The path ``z(t) = clip(z + t g, -r, r)`` follows the gradient and turns at every wall
it hits. Along it the quadratic model of `Compact` is piecewise quadratic; Byrd, Lu,
Nocedal and Zhu (1995, section 4) walk it from wall to wall, sorted. Here its slope is
computed at any two t in one pass over the vectors, and the first zero is bracketed: a
few passes, however many walls there are. Where the slope has several zeros that may
be another one than the first; up to `FEW` coordinates every wall is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sharpkit._box.box import Box
from sharpkit._box.flips import gathered
from sharpkit._box.lbfgsb.compact import Compact
from sharpkit._inputs.types import Array, Vector
from sharpkit._vectors.comm import Serial

# Shares of the first slope that count as nothing, by the dtype's rounding.
CLOSE = {np.dtype(np.float32): 1e-7, np.dtype(np.float64): 1e-10}
MARGIN = 1e-6  # share of a bracket that a guess keeps from its ends
PROBE = 0.05  # of the way to the far end of a bracket
MOST_PASSES = 100  # more than bisection would take
FEW = 1000  # coordinates, as in a random subspace


@dataclass
class CauchyPoint:
    """Where the path first stops going down on the model.

    Attributes
    ----------
    t : float
        The place on the path.
    along : (rows of the model,) float64
        ``W^T (z(t) - z)`` there.
    passes : int
        The number of passes over the vectors that it took to find it.
    """

    t: float
    along: Vector
    passes: int


@dataclass
class _Place:
    """The model at one place on the path.

    Attributes
    ----------
    t : float
        The place.
    slope, curvature : float
        The first two derivatives of the model along the path.
    along, ahead : (rows of the model,) float64
        ``W^T (z(t) - z)``, and W^T times the direction in which the path goes on.
    """

    t: float
    slope: float
    curvature: float
    along: Vector
    ahead: Vector

    def vanishes(self, nothing: float) -> bool:
        """Return whether this is a zero of the slope, and not the end of the path."""
        return self.curvature > 0 and abs(self.slope) <= nothing

    def newton(self) -> float:
        """Return where the slope would vanish if no wall came before."""
        if not self.curvature > 0:
            return np.inf
        return self.t - self.slope / self.curvature


def cauchy_point(box: Box, model: Compact, z: Array, g: Array) -> CauchyPoint:
    """Return the first local minimum of the model along the path from ``z``.

    Parameters
    ----------
    box
        The box, whose walls bend the path.
    model
        The matrix B of the quadratic model.
    z
        The place where the path begins. It must not be stationary: the slope there is
        negative.
    g
        The direction of ascent of the loss, that is minus the gradient of what the
        model models.
    """
    if not len(model.rows):
        # B = theta I: on every piece the slope is (theta t - 1) times a square.
        return CauchyPoint(1 / model.theta, np.zeros(0), 0)
    if box.space.size <= FEW and isinstance(box.space.comm, Serial):
        return _walk(_places(box, model, z, g, _walls(box, z, g)))
    begin, first = _places(box, model, z, g, (0.0, 1 / model.theta))
    nothing = -CLOSE[box.space.dtype] * begin.slope
    low, high = (first, None) if first.slope < 0 else (begin, first)
    passes, last_width = 1, np.inf
    while passes < MOST_PASSES:
        if high is None:
            guesses = _ahead(low)
        else:
            width = high.t - low.t
            left = width * (high.slope - low.slope)
            if high.vanishes(nothing) or left <= nothing * high.t:
                break
            guesses = _between(low, high, thirds=width > last_width / 2)
            last_width = width
        passes += 1
        for place in _places(box, model, z, g, guesses):
            if place.slope >= 0 or place.vanishes(nothing):
                high = place
                break
            low = place
    last = high or low
    return CauchyPoint(last.t, last.along, passes)


def _walls(box: Box, z: Array, g: Array) -> Vector:
    """Return 0 and every t at which the path has just hit a wall, sorted."""
    r8, z8, g8 = (gathered(box.space, v) for v in (box.radius(), z, g))
    moving = g8 != 0
    hits = (np.copysign(r8, g8) - z8)[moving] / g8[moving]
    # Later by the rounding of z + t g, so that it has been hit in that arithmetic too.
    late = 4 * float(np.finfo(box.space.dtype).eps) * r8[moving] / np.abs(g8[moving])
    return np.unique([0.0, *(hits + late)[hits > 0]])


def _walk(places: list[_Place]) -> CauchyPoint:
    """Return the first local minimum, from the model at every wall."""
    walls = [place.t for place in places[1:]]
    for low, wall in zip(places, [*walls, np.inf], strict=True):
        if low.slope >= 0:  # it jumped at this wall
            return CauchyPoint(low.t, low.along, 1)
        t = low.newton()
        if t < wall:
            return CauchyPoint(t, low.along + (t - low.t) * low.ahead, 1)
    return CauchyPoint(places[-1].t, places[-1].along, 1)


def _ahead(low: _Place) -> tuple[float, float]:
    """Return two places beyond, where no zero has been seen yet."""
    first = min(max(low.newton(), 1.1 * low.t), 4 * low.t)
    return first, 1.5 * first


def _between(low: _Place, high: _Place, *, thirds: bool) -> tuple[float, float]:
    """Return two places between: where the zero is likely, and one to bracket it.

    Or thirds, which always get on.
    """
    width = high.t - low.t
    if thirds:
        return low.t + width / 3, low.t + 2 * width / 3
    share = float(np.clip(_hermite_zero(low, high), MARGIN, 1 - MARGIN))
    # The other one goes to the side that is still far off.
    other = share * (1 - PROBE) if share > 0.5 else share + PROBE * (1 - share)
    first, last = sorted((low.t + share * width, low.t + other * width))
    return first, last


def _hermite_zero(low: _Place, high: _Place) -> float:
    """Return the zero of the cubic with the slopes' values and derivatives, in [0, 1].

    Its error is of fourth order in the width, of second where one end is near.
    """
    width = high.t - low.t
    a, b = low.slope, high.slope
    da, db = low.curvature * width, high.curvature * width
    cubic = np.array([2 * a + da - 2 * b + db, -3 * a - 2 * da + 3 * b - db, da, a])
    left, right = 0.0, 1.0
    for _ in range(60):  # bisection: the ends have different signs
        middle = 0.5 * (left + right)
        if np.polyval(cubic, middle) < 0:
            left = middle
        else:
            right = middle
    return right


def _places(box: Box, model: Compact, z: Array, g: Array, ts: Any) -> list[_Place]:
    """Return the model at some places, in one pass."""
    sums = box.space.path_gram(model.rows, box.anchor, box.epsilon, z, g, ts)
    found = []
    for t, pairs in zip(ts, sums, strict=True):
        square = pairs[-1, 0]  # of the directions that still move
        ahead, along = model.scale * pairs[:-1, 0], model.scale * pairs[:-1, 1]
        turned = model.middle(ahead)
        slope = square * (model.theta * t - 1) - turned @ along
        curvature = model.theta * square - turned @ ahead
        found.append(_Place(float(t), slope, curvature, along, ahead))
    return found
