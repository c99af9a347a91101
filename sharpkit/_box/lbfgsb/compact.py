"""The limited-memory BFGS matrix in compact form: some rows, and small host matrices.

``B = theta I - W M W^T`` with ``W = [Y, theta S]`` and
``M^-1 = [[-D, L^T], [L, theta S^T S]]``, where D is the diagonal of ``S^T Y`` and L
what lies below it (Byrd, Lu, Nocedal and Zhu 1995, Eqs. 3.1 to 3.6).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from sharpkit._inputs.types import Array, Matrix, Vector
from sharpkit._vectors.space import Space

PAIR = 2  # rows of one pair: y, then s


class Compact:
    """The matrix B of up to ``memory`` pairs (s, y) of steps and gradient changes.

    Small vectors and matrices have one entry for each row of `rows`: y, s, y, s, ...
    Memory: ``2 memory`` rows of ``block``.

    Parameters
    ----------
    space
        The space of the rows.
    block : (2 memory, n)
        The block in which the pairs are kept; its content does not matter.

    Attributes
    ----------
    theta : float
        The factor of the identity in B.
    """

    def __init__(self, space: Space, block: Array) -> None:
        self._space, self._block = space, block
        self.forget()

    def forget(self) -> None:
        """Return to ``B = I``."""
        self.theta = 1.0
        self._slots: list[int] = []  # where the pairs are, the oldest first
        self._gram = np.zeros((len(self._block), len(self._block)))
        self._factor: Any = None

    @property
    def rows(self) -> Array:
        """The rows of the pairs, (2 pairs, n)."""
        return self._block[: PAIR * len(self._slots)]

    @property
    def scale(self) -> Vector:
        """The factors of the rows in W: 1 for y, theta for s."""
        return np.tile([1.0, self.theta], len(self._slots))

    def next_pair(self) -> Array:
        """Return the two rows, y and s, that the next pair is to be written to.

        They hold the oldest pair if there is no room for another one.
        """
        full = PAIR * len(self._slots) == len(self._block)
        slot = self._slots[0] if full else len(self._slots)
        return self._block[PAIR * slot : PAIR * (slot + 1)]

    def add(self) -> bool:
        """Take in the pair that was written to `next_pair`; one pass over the rows.

        Return whether B is still positive definite in this arithmetic; if it is not,
        everything is forgotten.
        """
        if PAIR * len(self._slots) == len(self._block):
            self._slots.append(self._slots.pop(0))
        else:
            self._slots.append(len(self._slots))
        new = slice(PAIR * self._slots[-1], PAIR * (self._slots[-1] + 1))
        known = slice(0, len(self.rows))
        products = self._space.gram(self._block[new], self.rows)
        self._gram[new, known] = products
        self._gram[known, new] = products.T
        y, s = PAIR * self._slots[-1], PAIR * self._slots[-1] + 1
        if not self._gram[s, y] > 0:
            self.forget()
            return False
        self.theta = float(self._gram[y, y] / self._gram[s, y])
        return self._factorise()

    def _factorise(self) -> bool:
        y = PAIR * np.array(self._slots)
        s = y + 1
        sy = self._gram[np.ix_(s, y)]
        self._diagonal, self._lower = np.diag(sy).copy(), np.tril(sy, -1)
        middle = self.theta * self._gram[np.ix_(s, s)]
        middle += (self._lower / self._diagonal) @ self._lower.T
        try:
            self._factor = cho_factor(middle)
        except np.linalg.LinAlgError:
            self.forget()
            return False
        self._y, self._s = y, s
        return True

    def middle(self, v: Vector) -> Vector:
        """Return ``M v`` (Eq. 3.4, by the Cholesky factor of Theorem 3.5's T)."""
        out = np.zeros_like(v)
        if not self._slots:
            return out
        below = v[self._s] + self._lower @ (v[self._y] / self._diagonal)
        out[self._s] = cho_solve(self._factor, below)
        out[self._y] = (self._lower.T @ out[self._s] - v[self._y]) / self._diagonal
        return out

    def solve_free(self, v: Vector, free: Matrix) -> Vector:
        """Return ``(I - M F / theta)^-1 M v`` with ``F = W^T W`` over free coordinates.

        That is the small part of ``B^-1`` on those coordinates (section 5.1, steps 4 to
        7). If B is singular there, NumPy raises a LinAlgError.
        """
        rotated = np.stack([self.middle(column) for column in free.T], axis=1)
        matrix = np.eye(len(v)) - rotated / self.theta
        return np.asarray(np.linalg.solve(matrix, self.middle(v)), np.float64)
