"""Search spaces: the full space, and a random subspace ``y -> w + A y``."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from sharpkit._box.columns import MEMORY, Law, RandomColumns
from sharpkit._inputs.types import Array
from sharpkit._vectors.kernels import reference
from sharpkit._vectors.space import Space

Scale = Literal["entries", "columns", "orthonormal"]

MOST_COLUMNS = 1 << 15  # their Gram matrix takes 8 GiB


class FullSpace:
    """The search space of all weights: ``z -> w + z``, ``|z_i| <= eps (|w_i| + 1)``.

    Memory: one vector, the weights at hand.
    """

    def __init__(self, space: Space, weights: Array, epsilon: float) -> None:
        self.search, self.anchor, self.epsilon = space, weights, epsilon
        self._x = space.empty()

    def step(self, z: Array, d: Array, t: float, out: Array | None) -> Array:
        """Return the weights at ``clip(z + t d)`` (a buffer); write that to ``out``."""
        self.search.box_step(self.anchor, self.epsilon, z, d, t, out, self._x)
        return self._x

    def toward(self, z: Array, d: Array, share: float, out: Array | None) -> Array:
        """Return the weights a share of the way from z to the corner of d (a buffer).

        Write the place itself to ``out``.
        """
        self.search.box_toward(self.anchor, self.epsilon, z, d, share, out, self._x)
        return self._x

    def weights_at(self, z: Array) -> Array:
        """Return the weights at ``z``, inside the box or not (a buffer)."""
        return np.add(self.anchor, z, out=self._x)

    def pull(self, gradient: Array) -> Array:
        """Return the gradient in the search space for one in the weights."""
        return gradient

    def displacement(self, z: Array) -> Array:
        """Return the change of the weights that ``z`` stands for; it may be z."""
        return z

    def scratch(self) -> Array:
        """Return a vector of the search space that the next step overwrites."""
        return self._x


class RandomSubspace:
    """The search space ``y -> w + A y`` of ``p`` random columns (paper, Eq. 3).

    The box is ``|y_i| <= eps (|(A^+ w)_i| + 1)``. Its size depends on how A is scaled,
    which the paper leaves open; both law and scale are therefore named and recorded.
    Vectors of the search space are float64 and on the host.

    Parameters
    ----------
    space
        The space of the weights.
    weights : (n,)
    columns
        p, at most n.
    epsilon
    law
        ``"normal"`` or ``"sign"``: independent entries of mean 0 and variance 1.
    scale
        ``"entries"``: as drawn. ``"columns"``: each column divided by its 2-norm.
        ``"orthonormal"``: ``A (A^T A)^(-1/2)`` by Cholesky; then the projected Hessian
        has the Ritz values of the subspace.
    seed
    memory
        Bytes that the columns may take; where they would take more they are drawn again
        for each product. The values are the same.

    Raises
    ------
    ValueError
        If `check_subspace` refuses the options, or the columns are linearly dependent
        (random signs in few dimensions).
    """

    def __init__(
        self,
        space: Space,
        weights: Array,
        columns: int,
        epsilon: float,
        *,
        law: str,
        scale: str,
        seed: int,
        memory: int = MEMORY,
    ) -> None:
        check_subspace(space, columns, law, scale)
        self._space, self._weights, self._x = space, weights, space.empty()
        self._columns = RandomColumns(space, columns, law=law, seed=seed, memory=memory)
        gram = self._columns.gram()
        _require_independent(gram, law, seed)
        self._mix = _mixing(gram, scale)  # A = (columns as drawn)^T @ mix
        # A^+ w = (mix^T G mix)^-1 mix^T (drawn^T w) = mix^-1 G^-1 (drawn^T w)
        solved = np.linalg.solve(gram, self._columns.dot(weights))
        self.anchor = np.linalg.solve(self._mix, solved)
        self.search, self.epsilon = Space(reference, columns, np.float64), epsilon
        self._y = self.search.empty()

    def step(self, z: Array, d: Array, t: float, out: Array | None) -> Array:
        """Return the weights at ``clip(z + t d)`` (a buffer); write that to ``out``."""
        out = self._y if out is None else out
        self.search.box_step(self.anchor, self.epsilon, z, d, t, out, None)
        return self.weights_at(out)

    def toward(self, z: Array, d: Array, share: float, out: Array | None) -> Array:
        """Return the weights a share of the way from z to the corner of d (a buffer).

        Write the place itself to ``out``.
        """
        out = self._y if out is None else out
        self.search.box_toward(self.anchor, self.epsilon, z, d, share, out, None)
        return self.weights_at(out)

    def weights_at(self, z: Array) -> Array:
        """Return the weights at ``z``, inside the box or not (a buffer)."""
        self._space.copy(self._weights, self._x)
        self._columns.add(self._mix @ z, self._x)
        return self._x

    def pull(self, gradient: Array) -> Array:
        """Return ``A^T g``, (p,) float64, for a gradient in the weights."""
        return np.asarray(self._mix.T @ self._columns.dot(gradient))

    def displacement(self, z: Array) -> Array:
        """Return the change of the weights that ``z`` stands for; it may be z."""
        return self.weights_at(z) - self._weights

    def scratch(self) -> Array:
        """Return a vector of the search space that the next step overwrites."""
        return self._y


def _require_independent(gram: NDArray[np.float64], law: str, seed: int) -> None:
    if np.linalg.cond(gram) * len(gram) * np.finfo(np.float64).eps > 1:
        msg = (
            f"subspace={len(gram)} with subspace_law={law!r} and seed={seed} drew "
            "linearly dependent directions; ask for fewer, or take another law or seed"
        )
        raise ValueError(msg)


def _mixing(gram: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    if scale == "entries":
        return np.eye(len(gram))
    if scale == "columns":
        return np.diag(np.diag(gram) ** -0.5)
    lower = np.linalg.cholesky(gram)
    return np.asarray(
        solve_triangular(lower, np.eye(len(gram)), lower=True).T, np.float64
    )


def check_subspace(space: Space, columns: int, law: str, scale: str) -> None:
    """Raise a ValueError where the options of a `RandomSubspace` cannot be had.

    That is: law or scale is unknown, or p is not in 1..n or above `MOST_COLUMNS`. Takes
    no time, unlike drawing A.
    """
    if law not in get_args(Law):
        msg = f"subspace_law={law!r} is none of {get_args(Law)}"
        raise ValueError(msg)
    if scale not in get_args(Scale):
        msg = f"subspace_scale={scale!r} is none of {get_args(Scale)}"
        raise ValueError(msg)
    if not 1 <= columns <= space.size:
        msg = (
            f"subspace={columns}: give the number of random directions, 1 to "
            f"{space.size} (the number of weights), or None for the full space"
        )
        raise ValueError(msg)
    if columns > MOST_COLUMNS:
        msg = (
            f"subspace={columns} needs a {columns} x {columns} matrix of "
            f"{columns**2 / 2**27:.0f} GiB; give at most {MOST_COLUMNS}"
        )
        raise ValueError(msg)
