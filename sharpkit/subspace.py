"""Search spaces: the full space, and a random subspace ``y -> w + A y``."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from sharpkit.space import Space

Array = NDArray[Any]
Law = Literal["normal", "sign"]
Scale = Literal["entries", "columns", "orthonormal"]

# The columns of A are held in memory, (p, n) of the weights' dtype.
MEMORY_LIMIT = 4 << 30
# Streams of the random numbers; one per purpose, so that no two purposes correlate.
COLUMNS_STREAM = 1 << 32


class FullSpace:
    """The search space of all weights: ``z -> w + z``, ``|z_i| <= eps (|w_i| + 1)``."""

    def __init__(self, space: Space, weights: Array, epsilon: float) -> None:
        self.search = space
        self.radius = space.empty()
        space.box_radius(weights, epsilon, self.radius)
        self._weights, self._x = weights, space.empty()

    def step(self, z: Array, d: Array, t: float, out: Array) -> Array:
        """Write ``clip(z + t d)`` to ``out``; return the weights there (a buffer)."""
        self.search.box_step(self._weights, z, d, t, self.radius, out, self._x)
        return self._x

    def corner(self, z: Array, d: Array, out: Array) -> None:
        """Write ``radius sign(d)`` to ``out``, and ``z`` where d is zero."""
        self.step(z, d, _huge(z), out)

    def weights_at(self, z: Array) -> Array:
        """Return the weights at ``z``, inside the box or not (a buffer)."""
        return np.add(self._weights, z, out=self._x)

    def pull(self, gradient: Array) -> Array:
        """Return the gradient in the search space for one in the weights."""
        return gradient

    def displacement(self, z: Array) -> Array:
        """Return the change of the weights that ``z`` stands for, a new (n,)."""
        return z.copy()


class RandomSubspace:
    """The search space ``y -> w + A y`` of ``p`` random columns (paper, Eq. 3).

    The box is ``|y_i| <= eps (|(A^+ w)_i| + 1)``. Its size depends on how A is scaled,
    which the paper leaves open; both law and scale are therefore named and recorded.

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
    ) -> None:
        check_subspace(space, columns, law, scale)
        self._space, self._weights, self._x = space, weights, space.empty()
        self._columns = space.empty(columns)
        fill = space.fill_normal if law == "normal" else space.fill_signs
        for index, column in enumerate(self._columns):
            fill(column, seed, COLUMNS_STREAM + index)
        gram = space.gram(self._columns, self._columns)
        _require_independent(gram, law, seed)
        self._mix = _mixing(gram, scale)  # A = (columns as drawn)^T @ mix
        drawn = space.gram(self._columns, weights[None])[:, 0]
        # A^+ w = (mix^T G mix)^-1 mix^T (drawn^T w) = mix^-1 G^-1 (drawn^T w)
        coordinates = np.linalg.solve(self._mix, np.linalg.solve(gram, drawn))
        self.search = Space(space.kernels, columns, np.float64)
        self.radius = self.search.empty()
        self.search.box_radius(coordinates, epsilon, self.radius)
        self._centre, self._y = self.search.zeros(), self.search.empty()

    def step(self, z: Array, d: Array, t: float, out: Array) -> Array:
        """Write ``clip(z + t d)`` to ``out``; return the weights there (a buffer)."""
        self.search.box_step(self._centre, z, d, t, self.radius, out, self._y)
        return self.weights_at(out)

    def corner(self, z: Array, d: Array, out: Array) -> None:
        """Write ``radius sign(d)`` to ``out``, and ``z`` where d is zero."""
        self.search.box_step(self._centre, z, d, _huge(z), self.radius, out, self._y)

    def weights_at(self, z: Array) -> Array:
        """Return the weights at ``z``, inside the box or not (a buffer)."""
        np.copyto(self._x, self._weights)
        self._space.combine((self._mix @ z)[None], self._columns, self._x[None], 1.0)
        return self._x

    def pull(self, gradient: Array) -> Array:
        """Return ``A^T g``, (p,) float64, for a gradient in the weights."""
        drawn = self._space.gram(self._columns, gradient[None])[:, 0]
        return np.asarray(self._mix.T @ drawn)

    def displacement(self, z: Array) -> Array:
        """Return the change of the weights that ``z`` stands for, a new (n,)."""
        return np.asarray(self.weights_at(z) - self._weights)


def _huge(z: Array) -> float:
    """Return the step length that makes `Space.box_step` a sign step."""
    return float(np.finfo(z.dtype).max)


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

    That is: law or scale is unknown, p is not in 1..n, or A would not fit
    `MEMORY_LIMIT`. Takes no time, unlike drawing A.
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
    needed = columns * space.n * space.dtype.itemsize
    if needed > MEMORY_LIMIT:
        msg = (
            f"subspace={columns} of {space.n} weights needs {needed / 2**30:.1f} GiB "
            f"for its columns, above the limit of {MEMORY_LIMIT / 2**30:.0f} GiB; ask "
            f"for at most {MEMORY_LIMIT // (space.n * space.dtype.itemsize)} columns"
        )
        raise ValueError(msg)
