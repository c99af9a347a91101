"""Whether products are symmetric, linear, and those of the gradient's derivative."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from sharpkit._diagnosis.line import Centre, Evaluate, Place
from sharpkit._inputs.types import Array
from sharpkit._vectors.space import Space

Product = Callable[[Array], Array]  # v -> H v, a vector of its own

LONGEST = 1e-2  # the longest step, as a share of 1 + |w|
FACTOR = 10.0  # between steps
NOISE = 6.0  # so many standard deviations may be rounding
ROUNDINGS = 16.0  # so many roundings of a product are always allowed
# Second differences of the gradient fall with the square of the step if it is smooth,
# with its root if it has many kinks, and not at all where they are rounding.
SMOOTH = FACTOR**1.5
ROUGH = 2.0
PATIENCE = 3  # the search for a step ends after so many without progress
GROSS = 1.0  # errors above this, as a share, do not come from kinks
MARGIN = 2.0  # the factor by which differences may be wrong beyond their bound


class Symmetry(NamedTuple):
    """How far products are from symmetric and linear ones, as shares of ``||H v||``.

    Attributes
    ----------
    asymmetry : float
        ``|u.Hv - v.Hu|``.
    nonlinearity : float
        ``||H(u + v) - Hu - Hv||``, which rounding alone should explain.
    tolerance : float
        The asymmetry that is allowed, by what the nonlinearity says of the products'
        rounding.
    """

    asymmetry: float
    nonlinearity: float
    tolerance: float


class Consistency(NamedTuple):
    """How far a product is from differences of the gradient.

    All are shares of ``||H v||`` or ``||D v||``, whichever is smaller.

    Attributes
    ----------
    error, tolerance : float
        ``||H v - D v||``, and how much of it the differences' own error explains.
    kinks : bool
        Whether the gradient jumps so near to the weights that D v holds more than H v
        should.
    """

    error: float
    tolerance: float
    kinks: bool

    @property
    def wrong(self) -> bool:
        """Whether the product is not that of the gradient's derivative."""
        return self.error > self.tolerance and not (self.kinks and self.error <= GROSS)


def symmetry(space: Space, product: Product, u: Array, v: Array) -> Symmetry | None:
    """Return how far three products are from symmetric ones; None where H v = 0.

    For standard normal u and v, ``u.Hv - v.Hu`` has the variance ``||H - H^T||_F^2``,
    and ``||H v||^2`` the mean ``||H||_F^2``.
    """
    hu, hv, both = product(u), product(v), space.empty()
    size = math.sqrt(space.norm(hu) * space.norm(hv))
    if not size > 0:
        return None
    space.copy(u, both)
    space.add(v, both)
    gap = abs(space.dot(u, hv) - space.dot(v, hu)) / size
    left = product(both)
    for part in (hu, hv):
        space.add(part, left, -1.0)
    nonlinear = space.norm(left) / size
    rounding = ROUNDINGS * float(np.finfo(space.dtype).eps)
    return Symmetry(gap, nonlinear, max(NOISE * nonlinear, rounding))


def consistency(
    space: Space, centre: Centre, evaluate: Evaluate, product: Product, v: Array
) -> Consistency | None:
    r"""Compare ``H v`` with ``(g(w + h v) - g(w - h v)) / 2h``; v has entries about 1.

    The step is the one of a ladder of steps at which ``||g(w + h v) - 2 g(w) + g(w - h
    v)|| / 2h`` is least: that bounds the error of the difference where it is rounding,
    one kink, or the third derivative. Where there are many kinks on both sides it does
    not: their mean effect is curvature of its own, which the Hessian of a piecewise
    smooth loss leaves out.

    Parameters
    ----------
    space
        The space of the weights.
    centre
        The weights, and what is known there.
    evaluate
        The loss, ``w -> (loss, gradient)``.
    product
        The product, ``v -> H v``.
    v : (n,)
        The vector, whose entries are about 1.

    Returns
    -------
    Consistency or None
        How far they are apart; None if no gradient near the weights is finite.
    """
    hv = product(v)
    scale = 1 + math.sqrt(space.dot(centre.weights, centre.weights) / space.size)
    step, rungs, settled = LONGEST * scale, list[Rung](), 0
    unmoved: list[float] = []  # what rounding w - h v does to D v
    rounding, known = float(np.finfo(space.dtype).eps), 0.0
    if centre.gradient is not None:
        known = math.sqrt(rounding) * space.norm(centre.gradient)
    while step > rounding * scale and settled < PATIENCE:
        here = rung(space, centre, evaluate, v, step)
        if math.isfinite(here.second):
            if rungs:
                stays = rungs[-1].second < ROUGH * here.second
                settled = settled + 1 if stays else 0
                # Rounding, not a kink; below it a gradient of few digits is frozen.
                if stays and here.second < known:
                    break
            rungs.append(here)
            unmoved.append(rounding * scale / step * space.norm(here.first))
        step /= FACTOR
    if not rungs:
        return None
    bounds = _bounds(space, rungs, unmoved)
    best = min(range(len(rungs)), key=lambda i: bounds[i])
    first, bound = rungs[best].first, MARGIN * bounds[best]
    size, error = min(space.norm(hv), space.norm(first)), distance(space, first, hv)
    if not size > 0:
        told = error == 0 or error > bound
        shares = math.inf if error else 0.0, 0.0 if told else math.inf
        return Consistency(*shares, kinks=False)
    uneven = [
        # At a minimum mere rounding falls with the step, too.
        other.bound > ROUNDINGS * rounding * space.norm(other.first)
        and ROUGH <= one.second / other.second < SMOOTH
        for one, other in pairwise(rungs)
    ]
    # One such fall is where rounding begins; two in a row that end at the step are not.
    end = max(best, 2)
    kinks = len(uneven) >= end and all(uneven[end - 2 : end])
    return Consistency(error / size, bound / size, kinks)


def _bounds(space: Space, rungs: list[Rung], unmoved: list[float]) -> list[float]:
    """Return how wrong the differences of each rung may be.

    Second differences vanish where the gradient is linear, which rounding the places
    bounds then, and where it is odd, which the next shorter step shows.
    """
    found = [max(one.bound, less) for one, less in zip(rungs, unmoved, strict=True)]
    for i, (one, less) in enumerate(zip(rungs, unmoved, strict=True)):
        if FACTOR * one.bound < less:
            after = rungs[min(i + 1, len(rungs) - 1)].first
            found[i] = max(NOISE * less, distance(space, one.first, after))
    return found


class Rung(NamedTuple):
    """What one step to both sides gives.

    Attributes
    ----------
    first : (n,)
        The difference D v.
    second : float
        The norm of the second difference.
    bound : float
        A bound on the error of D v.
    places : (left, centre, right)
        The losses, and the slopes times the step.
    """

    first: Array
    second: float
    bound: float
    places: tuple[Place, Place, Place]


def rung(
    space: Space, centre: Centre, evaluate: Evaluate, v: Array, step: float
) -> Rung:
    """Return what the loss and its gradient at ``w - step v`` and ``w + step v`` tell.

    Parameters
    ----------
    space
        The space of the weights.
    centre
        The weights w, and what is known there, a gradient too.
    evaluate
        The loss, ``w -> (loss, gradient)``.
    v : (n,)
        The vector, whose entries are about 1.
    step
        The step.
    """
    assert centre.gradient is not None  # there are no differences without one
    second, first = space.empty(), space.zeros()
    x, moved = space.empty(), space.empty()
    space.copy(centre.gradient, second, -2.0)
    space.copy(centre.weights, moved)
    space.add(v, moved, step)
    space.add(centre.weights, moved, -1.0)
    sides = []
    for sign in (1.0, -1.0):
        space.copy(centre.weights, x)
        space.add(moved, x, sign)
        loss, gradient = evaluate(x)
        assert gradient is not None  # enforced at every call
        space.add(gradient, second)
        space.add(gradient, first, sign / (2 * step))
        sides.append(Place(loss, space.dot(gradient, moved)))
    here = Place(centre.loss, space.dot(centre.gradient, moved))
    size = space.norm(second)
    return Rung(first, size, size / (2 * step), (sides[1], here, sides[0]))


def distance(space: Space, one: Array, other: Array) -> float:
    """Return the norm of the difference of two vectors."""
    gap = space.empty()
    space.copy(one, gap)
    space.add(other, gap, -1.0)
    return space.norm(gap)
