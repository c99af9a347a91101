"""Logits of unit length in the lab's networks, with what derivatives they need.

``u = C z / |C z|`` per row, with C the map that takes the mean over the classes away; a
norm below 1e-10 counts as 1e-10 (arXiv 2302.07011). For networks of classes and rows,
on any array module.
"""

from __future__ import annotations

from typing import NamedTuple

from sharpkit._inputs.arrays import array_module
from sharpkit._inputs.types import XpArray

SMALLEST = 1e-10


class Normalized(NamedTuple):
    """Logits of unit length.

    Attributes
    ----------
    unit : (rows, classes)
        The logits.
    norm : (rows, 1)
        What they were divided by.
    moves : (rows, 1)
        1 where that is their norm, 0 where it is the constant.
    """

    unit: XpArray
    norm: XpArray
    moves: XpArray

    @classmethod
    def of(cls, z: XpArray) -> Normalized:
        """Return the logits z, (rows, classes), normalised."""
        xp = array_module(z)
        centred = z - z.mean(axis=1, keepdims=True)
        norm = xp.sqrt(_dot(centred, centred))
        moves = (norm > SMALLEST).astype(z.dtype)
        norm = xp.maximum(norm, z.dtype.type(SMALLEST))
        return cls(centred / norm, norm, moves)

    def tangent(self, rz: XpArray) -> XpArray:
        """Return how the logits move when z moves by ``rz``."""
        return self.pulled(rz - rz.mean(axis=1, keepdims=True))

    def pulled(self, du: XpArray) -> XpArray:
        """Return the gradient by z of what has the gradient ``du``, of row sums 0."""
        return (du - self.moves * self.unit * _dot(self.unit, du)) / self.norm

    def pulled_tangent(self, du: XpArray, rdu: XpArray, rz: XpArray) -> XpArray:
        """Return how `pulled` moves when z moves by ``rz`` and ``du`` by ``rdu``."""
        unit, moves = self.unit, self.moves
        ru, rnorm = self.tangent(rz), moves * _dot(unit, rz)
        moved = ru * _dot(unit, du) + unit * (_dot(ru, du) + _dot(unit, rdu))
        return (rdu - moves * moved - self.pulled(du) * rnorm) / self.norm


def _dot(a: XpArray, b: XpArray) -> XpArray:
    return (a * b).sum(axis=1, keepdims=True)
