"""Balls ``||d / c||_p <= radius`` as sets to search in, c = 1 or the weights.

Places are ``y = d / c``: an ellipsoid is then a ball and a box with walls of different
distances a cube, so that projections are exact and no set needs more than its radius.
A weight of 0 does not move where c is the weights. The cube is a `Box` with the half
widths ``radius (|0| + 1)``, the ball a box whose corners lie on the sphere.
"""

from __future__ import annotations

import numpy as np

from sharpkit._box.box import Box
from sharpkit._box.subspace import Moves
from sharpkit._inputs.types import Array
from sharpkit._vectors.space import Space


class Cube(Moves):
    """The search space ``y -> w + c y`` with the set ``|y_i| <= radius``.

    Memory: three vectors, one of them the weights at hand.

    Parameters
    ----------
    space
        The space of the weights.
    weights
        The weights, the centre of the set.
    radius
        The radius.
    adaptive
        Whether c is the weights, and not 1. Their signs do not change the set.
    """

    def __init__(
        self, space: Space, weights: Array, radius: float, *, adaptive: bool
    ) -> None:
        self.search, self.anchor, self.epsilon = space, space.zeros(), radius
        self._weights, self._adaptive = weights, adaptive
        self._x, self._y = space.empty(), space.empty()

    def weights_at(self, z: Array) -> Array:
        """Return the weights at ``z``, inside the set or not (a buffer)."""
        if self._adaptive:
            z = np.multiply(self._weights, z, out=self._x)
        return np.add(self._weights, z, out=self._x)

    def pull(self, gradient: Array) -> Array:
        """Return the gradient in the search space for one in the weights."""
        if not self._adaptive:
            return gradient
        with np.errstate(invalid="ignore", over="ignore"):  # it may not be finite
            pulled: Array = gradient * self._weights
        return pulled

    def displacement(self, z: Array) -> Array:
        """Return the change of the weights that ``z`` stands for; it may be z."""
        return self._weights * z if self._adaptive else z


class Round(Cube):
    """The search space ``y -> w + c y`` with the set ``||y||_2 <= radius``."""

    def step(self, z: Array, d: Array, t: float, out: Array | None) -> Array:
        """Return the weights at ``z + t d``, moved straight inwards if need be."""
        out = self._y if out is None else out
        space = self.search
        if out is not z:
            space.copy(z, out)
        if t:
            space.add(d, out, t)
        length = space.norm(out)
        if length > self.epsilon:
            space.scale(out, self.epsilon / length)
        return self.weights_at(out)

    def toward(self, z: Array, d: Array, share: float, out: Array | None) -> Array:
        """Return the weights a share of the way from z to ``radius d / ||d||``."""
        out = self._y if out is None else out
        self.put(z, d, share, out)
        return self.weights_at(out)

    def beyond(self, d: Array, scale: float, out: Array | None) -> Array:
        """Return the weights at ``scale radius d / ||d||`` (a buffer)."""
        out = self._y if out is None else out
        self.put(d, d, 1.0, out, scale)
        return self.weights_at(out)

    def put(
        self, z: Array, d: Array, share: float, out: Array, scale: float = 1.0
    ) -> None:
        """``out = (1 - share) z + share scale radius d / ||d||``; it may be z or d."""
        space, length = self.search, self.search.norm(d)
        far = share * scale * self.epsilon / length if length > 0 else 0.0
        if out is d:
            space.scale(out, far)
            if share < 1:
                space.add(z, out, 1 - share)
        else:
            if out is not z:
                space.copy(z, out)
            space.scale(out, 1 - share if length > 0 else 1.0)
            space.add(d, out, far)


class Ball(Box):
    """``max f(y)`` over ``||y||_2 <= radius``, with a budget, in a `Round` space."""

    _where: Round

    def toward(self, z: Array, d: Array, share: float, out: Array) -> None:
        """``out = (1 - share) z + share radius d / ||d||``, and z where d is 0."""
        self._where.put(z, d, share, out)

    def corner(self, d: Array, out: Array) -> None:
        """``out = radius d / ||d||``; it may be d."""
        self._where.put(d, d, 1.0, out)
