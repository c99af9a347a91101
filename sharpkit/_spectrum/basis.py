"""A growing orthonormal basis of n-vectors."""

from __future__ import annotations

import math

import numpy as np

from sharpkit._inputs.types import Array, Matrix, Vector
from sharpkit._vectors.space import Space
from sharpkit._vectors.streams import Stream

SLAB_BYTES = 1 << 24  # of the buffer through which a basis is rotated in place


class Basis:
    """Orthonormal rows ``block[:count]`` in a block of ``capacity`` rows.

    Memory: ``capacity`` vectors.

    Parameters
    ----------
    space
        The space of the rows.
    capacity
        The largest number of rows.

    Attributes
    ----------
    block : (capacity, n)
        The rows, of which the first ``count`` are orthonormal.
    count : int
        The number of those.
    rounding : float
        The machine epsilon of the rows' dtype.
    """

    def __init__(self, space: Space, capacity: int) -> None:
        self.space = space
        self.block = space.empty(capacity)
        self.count = 0
        self.rounding = float(np.finfo(space.dtype).eps)

    @classmethod
    def of(cls, space: Space, rows: Array) -> Basis:
        """Return the basis of rows that are orthonormal: no copies, and no room."""
        made = cls(space, 0)
        made.block, made.count = rows, len(rows)
        return made

    def extend(self) -> tuple[Vector, float]:
        """Make the row after the last one orthonormal to all before, and count it in.

        By classical Gram-Schmidt, twice (Giraud, Langou, Rozloznik, van den Eshof
        2005). A row that is not finite raises a ValueError.

        Returns
        -------
        coefficients : (count,) float64
            The parts of the row along those before it: ``row as given = coefficients @
            block[:count] + norm * row as it is now``.
        norm : float
            The norm of what was left of it. 0 says that the row depended on those
            before it: it is then not counted in.
        """
        done, row = self.count, self.block[self.count]
        total = np.zeros(done)
        given = left = finite_norm(self.space, row)
        for _ in range(2):
            found = self.space.gram(self.block[:done], row[None])[:, 0]
            self.space.combine(-found[None], self.block[:done], row[None], beta=1.0)
            total += found
            left = finite_norm(self.space, row)
        if left <= 4 * self.rounding * given:
            return total, 0.0
        # The sum of squares of a tiny row may underflow; its direction is there.
        self.space.scale(row, 1 / left)
        self.space.scale(row, 1 / finite_norm(self.space, row))
        self.count += 1
        return total, left

    def draw(self, seed: int, stream: int) -> bool:
        """Append a random row orthogonal to all others; return whether there is one.

        Parameters
        ----------
        seed
            The seed of the random vectors.
        stream
            The number of this one among those that are drawn for the basis.
        """
        for attempt in range(3):
            if self.count == min(self.space.size, len(self.block)):
                return False
            row = self.block[self.count]
            self.space.fill_normal(row, seed, Stream.BASIS + 3 * stream + attempt)
            if self.extend()[1]:
                return True
        return False

    def rotate(self, mix: Matrix, first: int) -> None:
        """Replace m rows by p combinations of them, in place.

        ``block[first : first + p] = mix.T @ block[first : first + m]``. The rows from
        ``first + p`` on are then free: `count` follows.

        Parameters
        ----------
        mix : (m, p) float64
            The factors, orthonormal columns.
        first
            The first row that is replaced.
        """
        m, p = mix.shape
        rows = self.block[first : first + m]
        width = max(SLAB_BYTES // (self.space.dtype.itemsize * (m + p)), 1 << 10)
        width = min(width, self.space.n)
        for begin in range(0, self.space.n, max(width, 1)):
            piece = rows[:, begin : begin + width].copy()
            turned = self.space.kernels.empty((p, piece.shape[1]), self.space.dtype)
            self.space.combine(mix.T, piece, turned)
            rows[:p, begin : begin + width] = turned
        self.count = first + p


def finite_norm(space: Space, vector: Array) -> float:
    """Return the norm of a vector that products with an operator have made.

    Raises
    ------
    ValueError
        If it is not finite.
    """
    norm = space.norm(vector)
    if not math.isfinite(norm):
        msg = (
            "a product with the operator is not finite; check the weights, and hvp or "
            "loss_fn near them"
        )
        raise ValueError(msg)
    return norm


def finite_square(space: Space, vector: Array) -> float:
    """Return the squared norm of a vector that products have made.

    Raises
    ------
    ValueError
        If it is not finite.
    """
    size = finite_norm(space, vector)
    if not math.isfinite(size * size):
        msg = (
            f"a product with the operator has the norm {size:.1g}, and others are far "
            "smaller; check the weights, and hvp or loss_fn near them"
        )
        raise ValueError(msg)
    return size * size
