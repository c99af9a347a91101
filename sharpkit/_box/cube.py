"""The search space of boxes around the weights whose widths do not add one.

`Box` has the half widths ``epsilon (|anchor| + 1)``. With an anchor of zeros they are
epsilon for each coordinate: that is the cube, and coordinates ``z = displacement /
|w|`` make of it the box in proportion to the weights.
"""

from __future__ import annotations

import numpy as np

from sharpkit._inputs.types import Array
from sharpkit._vectors.space import Space


class Cube:
    """The search space ``z -> w + c z`` with ``|z_i| <= epsilon``; c is 1 or ``|w|``.

    Memory: three vectors, five with c.

    Parameters
    ----------
    space
        The space of the weights.
    weights
        The weights, the centre of the box.
    epsilon
        The half width of the cube.
    scaled
        Whether c is ``|w|``.
    """

    def __init__(
        self, space: Space, weights: Array, epsilon: float, *, scaled: bool
    ) -> None:
        self.search, self.anchor, self.epsilon = space, space.zeros(), epsilon
        self._weights, self._x, self._z = weights, space.empty(), space.empty()
        self._scale = np.abs(weights) if scaled else None
        self._pulled = space.empty() if scaled else None

    def step(self, z: Array, d: Array, t: float, out: Array | None) -> Array:
        """Return the weights at ``clip(z + t d)`` (a buffer); write that to ``out``."""
        out = self._z if out is None else out
        self.search.box_step(self.anchor, self.epsilon, z, d, t, out, None)
        return self.weights_at(out)

    def toward(self, z: Array, d: Array, share: float, out: Array | None) -> Array:
        """Return the weights a share of the way from z to the corner of d (a buffer).

        Write the place itself to ``out``.
        """
        out = self._z if out is None else out
        self.search.box_toward(self.anchor, self.epsilon, z, d, share, out, None)
        return self.weights_at(out)

    def beyond(self, d: Array, scale: float, out: Array | None) -> Array:
        """Return the weights at ``scale`` times the corner of d (a buffer)."""
        out, epsilon = self._z if out is None else out, scale * self.epsilon
        self.search.box_toward(self.anchor, epsilon, d, d, 1.0, out, None)
        return self.weights_at(out)

    def weights_at(self, z: Array) -> Array:
        """Return the weights at ``z``, inside the box or not (a buffer)."""
        return np.add(self._weights, self._times(z, self._x), out=self._x)

    def pull(self, gradient: Array) -> Array:
        """Return the gradient in the search space for one in the weights."""
        return gradient if self._pulled is None else self._times(gradient, self._pulled)

    def displacement(self, z: Array) -> Array:
        """Return the change of the weights that ``z`` stands for; it may be z."""
        return z if self._scale is None else self._times(z, self.search.empty())

    def scratch(self) -> Array:
        """Return a vector of the search space that the next step overwrites."""
        return self._z

    def _times(self, vector: Array, out: Array) -> Array:
        return vector if self._scale is None else np.multiply(vector, self._scale, out)
