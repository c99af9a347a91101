"""Flips of coordinates, which count where a box has not too many of them.

At z the flip of coordinate i changes a quadratic by ``2 (H_ii z_i^2 - g_i z_i)``. The
diagonal is estimated from the gradients at all places seen, ``sum d_i y_i / sum d_i^2``
over the differences d of the places and y of the gradients, as by Bekas, Kokiopoulou
and Saad (Applied Numerical Mathematics 57, 2007) of random signs.
"""

from __future__ import annotations

import numpy as np

from sharpkit._inputs.arrays import to_host
from sharpkit._inputs.types import Array, Vector
from sharpkit._vectors.space import Space

KEPT = 256  # places by which flips are judged, the last ones
LITTLE = 1e-2  # of the rise: flips that gain no more in all are worth no evaluation


class Flips:
    """What gradients seen tell of the flips at some place.

    Places and slopes are those of the box as the cube from -1 to 1, whole and on the
    host.

    Attributes
    ----------
    places, slopes : list of (n,) float64
        The places seen, and the slopes there.
    """

    def __init__(self) -> None:
        self.places: list[Vector] = []
        self.slopes: list[Vector] = []

    def saw(self, place: Vector, slope: Vector) -> None:
        """Take note of a place and the slope there."""
        self.places = [*self.places, place][-KEPT:]
        self.slopes = [*self.slopes, slope][-KEPT:]

    def gains(self, at: Vector, slope: Vector) -> Vector:
        """Return how much each flip gains by the curvature seen, at a place."""
        moved, lengths = np.zeros_like(at), np.zeros_like(at)
        for place, there in zip(self.places, self.slopes, strict=True):
            step = place - at
            moved += step * (there - slope)
            lengths += step**2
        curvature = np.divide(moved, lengths, out=moved, where=lengths > 0)
        return np.asarray(2 * (curvature * at**2 - slope * at))


def settled(gains: Vector, rise: float) -> bool:
    """Return whether all flips together gain next to nothing."""
    return bool(np.maximum(gains, 0).sum() <= LITTLE * rise)


def gathered(space: Space, vector: Array) -> Vector:
    """Return a vector as a whole on the host, the same on every rank."""
    whole, own = np.zeros(space.size), to_host(vector)
    for here, there in space.places():
        whole[there] = own[here]
    return np.asarray(space.comm.sum(whole), np.float64)
