"""The Lanczos process with full orthogonality, restarts and frozen vectors."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sharpkit._inputs.types import Array, Matrix, Vector
from sharpkit._spectrum.basis import Basis, finite_norm
from sharpkit._spectrum.operators import Operator, is_asymmetric

# A new vector that is orthogonal to the others but for so many roundings needs no
# second turn of Gram-Schmidt.
ORTHOGONAL = 32
# A new vector gets its second turn at once where the first one left less than this
# share of its norm: what is left would be mostly rounding.
CANCELLED = 1e-2
# The space is closed (A leads nowhere out of it) where no more than so many roundings
# of the operator are left of a product.
CLOSED = 8
# The rounding of the basis and of the products in a residual, in units of eps ||A||.
FLOOR = 8


class Ritz(NamedTuple):
    """Eigenpairs of the operator restricted to the active rows, by ascending value.

    Attributes
    ----------
    values : (p,) float64
        The eigenvalues.
    residuals : (p,) float64
        What ``||A y - value y||`` is at most for the i-th pair, y being ``mix[:, i]``
        times the active rows, as far as products are exact and the operator symmetric.
    mix : (p, p) float64
        The eigenvectors, columns, in terms of the active rows.
    """

    values: Vector
    residuals: Vector
    mix: Matrix


class Lanczos:
    r"""Orthonormal rows V that span a Krylov space, and ``H = V A V^T``.

    One step costs a product and two passes over the rows: one for all inner products
    of the new vector and of its image, one to subtract. The second turn of
    Gram-Schmidt is delayed to the next step, where its inner products come with that
    step's own; it takes a pass of its own only where it would change anything
    (DCGS-2: Bielich, Langou, Thomas, Swirydowicz, Yamazaki, Boman 2022). No three-term
    recurrence is assumed: all inner products enter H, and with it the residuals, so an
    operator that is not quite symmetric shows.

    Rows before `frozen` are kept and held orthogonal, but do not take part: the process
    runs in their complement. The rows after them are the active ones.

    Memory: ``rows + 1`` vectors.

    Parameters
    ----------
    operator
        The symmetric operator A.
    rows
        The largest number of rows that are held.
    seed
        The seed of the random vectors that begin, or go on where the space is closed.

    Attributes
    ----------
    projected : (rows + 1, rows + 1) float64
        H, whose leading ``columns`` rows and columns are filled.
    columns : int
        The number of rows in use.
    frozen : int
        The number of those that are frozen.
    closed : bool
        Whether there is no next row to go on with.
    size : float
        The largest norm of a product so far.
    """

    def __init__(self, operator: Operator, rows: int, *, seed: int) -> None:
        self.operator, self.rows, self._seed = operator, rows, seed
        self._basis = Basis(operator.space, rows + 1)
        self._space, self._eps = operator.space, self._basis.rounding
        self.projected = np.zeros((rows + 1, rows + 1))  # H
        # A V = V H + next row * coupling: what the next row takes of each column
        self._coupling = np.zeros(rows + 1)
        self.columns, self.frozen, self.closed = 0, 0, True
        self._draws, self._restarts = 0, 0
        self.size, self._drift, self._loose = 0.0, 0.0, 1.0

    @property
    def block(self) -> Array:
        """The rows in use, (columns, n)."""
        return self._basis.block[: self.columns]

    @property
    def basis(self) -> Basis:
        """The rows in use as a basis of their own."""
        return Basis.of(self._space, self.block)

    @property
    def floor(self) -> float:
        """How much rounding may add to any residual."""
        return (FLOOR + self._restarts) * self._eps * self.size + self._drift

    def draw(self) -> bool:
        """Go on with a random vector; return whether any direction was left for it."""
        self._basis.count = self.columns
        self._coupling[:] = 0
        found = self._basis.draw(self._seed, self._draws)
        self._draws += 1
        self.closed = not found
        return found

    def begin(self) -> None:
        """Forget all rows and draw another start."""
        self.columns, self.frozen = 0, 0
        self.draw()

    def begin_at(self, start: Array) -> bool:
        """Begin with a given vector; return whether it is one, and not 0."""
        self._space.copy(start, self._basis.block[0])
        self._basis.count = self.columns
        self.closed = not self._basis.extend()[1]
        return not self.closed

    def step(self) -> None:
        """Multiply the next row, and make what is new in it the one after.

        There must be a next row: `closed` is False. A product that is not finite raises
        a ValueError.
        """
        j, V, H = self.columns, self._basis.block, self.projected
        self.operator.apply(V[j], V[j + 1])
        found = self._space.gram(V[: j + 2], V[j : j + 2])
        if not np.isfinite(found).all():
            finite_norm(self._space, V[j + 1])  # raises, and says why
        c, h = found[:j, 0], found[:j, 1]  # of the row and of its image
        norm = math.sqrt(found[j + 1, 1])
        self.size = max(self.size, norm)
        rho = math.sqrt(found[j, 0] - c @ c)
        turn = max(float(np.linalg.norm(c)), abs(rho - 1)) > ORTHOGONAL * self._eps
        if not turn:
            c, rho = np.zeros(j), 1.0
        # The row was v rho + V c. Rewrite in terms of v what those before took of it,
        # and its own image: A v = (w - V H c - v (H_j c)) / rho.
        b = self._coupling[:j]
        H[:j, :j] += np.outer(c, b)
        H[j, :j] = rho * b
        along = (found[j, 1] - c @ h) / rho  # v.w
        H[:j, j] = (h - H[:j, :j] @ c) / rho
        H[j, j] = (along - H[j, :j] @ c) / rho
        left = math.sqrt(max(norm**2 - h @ h - along**2, 0.0))
        cancelled = left <= CANCELLED * norm
        scale = norm if cancelled else left
        self._subtract(j, h - c * (along / rho), along / rho, scale or 1.0)
        if turn:
            self._space.combine(-c[None] / rho, V[:j], V[j : j + 1], beta=1 / rho)
        self.columns = self._basis.count = j + 1
        self._coupling[:] = 0
        self._coupling[j] = scale / rho
        self.closed = False
        # `left` is a difference, and the rows are orthogonal to some roundings only:
        # the norm of the next row is 1 to so much.
        self._loose = 1 + ORTHOGONAL * self._eps * (norm / scale) ** 2 if scale else 1.0
        if cancelled:
            self._clean(scale / rho)

    def _subtract(self, j: int, h: Vector, own: float, scale: float) -> None:
        """``image = (image - h V - own row) / scale``."""
        V = self._basis.block
        factors = np.append(h, own)[None] / -scale
        self._space.combine(factors, V[: j + 1], V[j + 1 : j + 2], beta=1 / scale)

    def _clean(self, scale: float) -> None:
        """Make the next row orthogonal again, now; see whether anything is left."""
        j = self.columns
        coefficients, norm = self._basis.extend()
        self._basis.count = j
        self.projected[:j, j - 1] += scale * coefficients
        self._coupling[j - 1] = scale * norm
        self.closed = scale * norm <= CLOSED * self._eps * self.size
        self._loose = 1 + ORTHOGONAL * self._eps

    def ritz(self, *, inside: bool = False) -> Ritz:
        """Return the eigenpairs of the active part, with residuals as measured.

        With ``inside`` they are those of the operator restricted to the complement of
        the frozen rows: what leads out of it does not count.
        """
        f, j = self.frozen, self.columns
        active = self.projected[f:j, f:j]
        values, mix = np.linalg.eigh((active + active.T) / 2)
        left = self.projected[:j, f:j] @ mix
        left[f:] -= mix * values
        if inside:
            left = left[f:]
        beyond = self._coupling[f:j] @ mix * self._loose
        residuals = np.sqrt((left**2).sum(axis=0) + beyond**2) + self.floor
        return Ritz(values, residuals, mix)

    @property
    def asymmetric(self) -> bool:
        """Whether the active part of H differs from a symmetric one beyond errors."""
        active = self.projected[self.frozen : self.columns, self.frozen : self.columns]
        gap, size = np.linalg.norm(active - active.T), np.linalg.norm(active)
        error = self.operator.error + self.floor
        return is_asymmetric(float(gap), float(size), len(active), error)

    def restart(self, mix: Matrix) -> None:
        """Keep ``mix.T`` times the active rows, and the next row (Wu and Simon 2000).

        Parameters
        ----------
        mix : (active rows, p)
            The vectors to keep, columns of `Ritz.mix`.
        """
        f, j, p = self.frozen, self.columns, mix.shape[1]
        H = self.projected
        active, above = H[f:j, f:j] @ mix, H[:f, f:j] @ mix
        kept, coupling = mix.T @ active, self._coupling[f:j] @ mix
        lost = np.linalg.norm(active - mix @ kept, axis=0).max(initial=0.0)
        self._drift += float(lost)
        self._basis.rotate(mix, f)
        if not self.closed:
            V = self._basis.block
            self._space.copy(V[j], V[f + p])
        H[f:] = 0
        H[:f, f:] = 0
        H[:f, f : f + p], H[f : f + p, f : f + p] = above, kept
        self._coupling[:] = 0
        self._coupling[f : f + p] = coupling
        self.columns = f + p
        self._restarts += 1

    def freeze(self) -> None:
        """Freeze all rows and go on, from a random vector, in their complement."""
        self.frozen = self.columns
        self._coupling[:] = 0
        self.closed = True

    def lock(self, mix: Matrix, values: Vector) -> None:
        """Keep ``mix.T`` times all rows, freeze all but the last and go on from that.

        Parameters
        ----------
        mix : (columns, count + 1)
            The vectors to keep in terms of the rows, orthonormal columns.
        values : (count,)
            The eigenvalues of those that are frozen.
        """
        self._basis.rotate(mix, 0)
        self.columns = self.frozen = len(values)
        self.projected[:] = 0
        self.projected[: len(values), : len(values)] = np.diag(values)
        self._coupling[:] = 0
        self.closed = False
        self._restarts += 1

    def whole(self) -> Matrix:
        """Return H of all rows, frozen ones included, symmetric."""
        f, j = self.frozen, self.columns
        found = self.projected[:j, :j].copy()
        found[f:, :f] = found[:f, f:].T
        return (found + found.T) / 2
