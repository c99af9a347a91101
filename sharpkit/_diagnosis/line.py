"""The loss and its slope at equally spaced points of a line through the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from sharpkit._inputs.types import Array
from sharpkit._vectors.space import Space

Evaluate = Callable[[Array], tuple[float, Array | None]]


class Centre(NamedTuple):
    """The centre of all lines.

    Attributes
    ----------
    weights : (n,)
        The weights w.
    loss : float
        The loss there.
    gradient : (n,) or None
        Its gradient; None if the callback returns none.
    """

    weights: Array
    loss: float
    gradient: Array | None


class Place(NamedTuple):
    """One place ``w + k d`` on a line.

    Attributes
    ----------
    loss : float
        The loss there.
    slope : float
        ``g . d`` there; NaN without a gradient.
    """

    loss: float
    slope: float


class Line:
    """The line ``w + t u`` for one direction u, whose entries are about 1.

    The points are ``w + k d`` with ``d = fl(w + t u) - w``, whose entries are multiples
    of the last bit of w: what the weights' own rounding would add to the loss is not
    noise of the loss, and it would hide what is looked for.

    Parameters
    ----------
    space
        The space of the weights.
    centre
        The weights w, and what is known there.
    direction : (n,)
        The direction u.
    evaluate
        The loss, ``w -> (loss, gradient or None)``.

    Attributes
    ----------
    scale : float
        ``1 + |w|``, with the root mean square of the weights for |w|.
    rounding : float
        The machine epsilon of the weights' dtype.
    shortest : float
        The shortest step that moves the weights.
    steepest : float
        The slope along the gradient, per unit of t.
    """

    def __init__(
        self, space: Space, centre: Centre, direction: Array, evaluate: Evaluate
    ) -> None:
        self._space, self.centre, self._u = space, centre, direction
        self._evaluate = evaluate
        self._d, self._x = space.empty(), space.empty()
        rms = np.sqrt(space.dot(centre.weights, centre.weights) / space.size)
        self.scale = 1 + float(rms)
        self.rounding = float(np.finfo(space.dtype).eps)
        self.shortest = self.rounding * self.scale
        known = centre.gradient
        self.steepest = 0.0 if known is None else space.norm(known)

    def sample(self, step: float, places: Iterable[int]) -> list[Place]:
        """Return loss and slope at ``w + k d`` for each k of ``places``."""
        self._shift(self.centre.weights, step, self._u, self._d)
        self._space.add(self.centre.weights, self._d, -1.0)
        return [self._at(k) for k in places]

    def _at(self, k: int) -> Place:
        loss, gradient = self.centre.loss, self.centre.gradient
        if k:
            self._shift(self.centre.weights, float(k), self._d, self._x)
            loss, gradient = self._evaluate(self._x)
        if gradient is None:
            return Place(loss, float("nan"))
        return Place(loss, self._space.dot(gradient, self._d))

    def _shift(self, start: Array, step: float, along: Array, out: Array) -> None:
        self._space.copy(start, out)
        self._space.add(along, out, step)
