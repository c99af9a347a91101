"""Search spaces: the full space, and a random subspace ``y -> w + A y``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from scipy.linalg import solve_triangular

from sharpkit._box.columns import MEMORY, Distribution, RandomColumns
from sharpkit._inputs.checks import at_least, one_of
from sharpkit._inputs.journal import tracked
from sharpkit._inputs.types import Array, Matrix
from sharpkit._vectors.kernels import reference
from sharpkit._vectors.space import Space

Scale = Literal["entries", "columns", "orthonormal"]

MOST_COLUMNS = 1 << 15  # their Gram matrix takes 8 GiB


@dataclass(frozen=True)
class Subspace:
    """A random subspace ``w + A y`` to search in, and how its matrix A is drawn.

    The half widths of its box, ``epsilon (|(A^+ w)_i| + 1)``, depend on how A is
    scaled. The paper leaves that open; unscaled entries fit its numbers.

    Attributes
    ----------
    columns : int
        The number of random directions, which are the columns of A; the paper has 100.
    distribution : {"normal", "rademacher"}
        The distribution of the entries of A, independent with mean 0 and variance 1:
        standard normal, or 1 and -1 with equal probability.
    scale : {"entries", "columns", "orthonormal"}
        What is done to A once it is drawn: nothing, each column is divided by its norm,
        or all columns are made orthonormal, ``A (A^T A)^(-1/2)``, by Cholesky.
    memory : int
        The bytes that A may take, 1 GiB by default. Where it would take more it is
        drawn again for each product, which gives the same bits and takes about 2 ns for
        each entry.
    """

    columns: int
    distribution: Distribution = "normal"
    scale: Scale = "entries"
    memory: int = MEMORY

    def __post_init__(self) -> None:
        # The object is frozen, and a whole number of NumPy's becomes a plain one.
        object.__setattr__(self, "columns", at_least("columns", self.columns, 1))
        object.__setattr__(self, "memory", at_least("memory", self.memory, 0))
        one_of("distribution", self.distribution, get_args(Distribution))
        one_of("scale", self.scale, get_args(Scale))
        if self.columns > MOST_COLUMNS:
            msg = (
                f"columns={self.columns} random directions need a {self.columns} x "
                f"{self.columns} matrix of {self.columns**2 / 2**27:.0f} GiB; give at "
                f"most {MOST_COLUMNS}"
            )
            raise ValueError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return what the values depend on, ready for JSON: all but the memory."""
        return {
            "columns": self.columns,
            "distribution": self.distribution,
            "scale": self.scale,
        }


def subspace_from(subspace: Any, n: int) -> Subspace | None:
    """Return the subspace of ``n`` weights that is meant; None is the full space.

    Takes no time: nothing is drawn yet.

    Parameters
    ----------
    subspace
        The number of random directions, a `Subspace`, or None.
    n
        The number of weights, which bounds that of the directions.

    Raises
    ------
    ValueError
        If there are more directions than weights.
    """
    if subspace is None:
        return None
    if isinstance(subspace, Subspace):
        drawn = subspace
    else:
        drawn = Subspace(at_least("subspace", subspace, 1))
    if drawn.columns > n:
        msg = (
            f"subspace={subspace}: give the number of random directions, 1 to {n} (the "
            "number of weights), or None for the full space"
        )
        raise ValueError(msg)
    return drawn


class FullSpace:
    """The search space of all weights: ``z -> w + z``, ``|z_i| <= eps (|w_i| + 1)``.

    Memory: one vector, the weights at hand.

    Parameters
    ----------
    space
        The space of the weights.
    weights
        The weights, the centre of the box.
    epsilon
        The size of the box relative to ``|w_i| + 1``.
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

    def beyond(self, d: Array, scale: float, out: Array | None) -> Array:
        """Return the weights at ``scale`` times the corner of d (a buffer)."""
        self.search.box_toward(
            self.anchor, scale * self.epsilon, d, d, 1.0, out, self._x
        )
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


class Moves:
    """The moves of a search space whose places are not the weights."""

    search: Space
    anchor: Array
    epsilon: float
    _y: Array

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

    def beyond(self, d: Array, scale: float, out: Array | None) -> Array:
        """Return the weights at ``scale`` times the corner of d (a buffer)."""
        out = self._y if out is None else out
        self.search.box_toward(self.anchor, scale * self.epsilon, d, d, 1.0, out, None)
        return self.weights_at(out)

    def scratch(self) -> Array:
        """Return a vector of the search space that the next step overwrites."""
        return self._y

    def weights_at(self, z: Array) -> Array:
        """Return the weights at ``z``, inside the box or not (a buffer)."""
        raise NotImplementedError


class RandomSubspace(Moves):
    """The search space ``y -> w + A y`` of ``p`` random columns (paper, Eq. 3).

    The box is ``|y_i| <= eps (|(A^+ w)_i| + 1)``. Vectors of the search space are
    float64 and on the host. With orthonormal columns the projected Hessian has the Ritz
    values of the subspace.

    Parameters
    ----------
    space
        The space of the weights.
    weights
        The weights, the centre of the box.
    subspace
        The number of columns, and how they are drawn.
    epsilon
        The size of the box relative to ``|(A^+ w)_i| + 1``.
    seed
        The seed of the columns; the same seed gives the same bits.
    """

    def __init__(
        self,
        space: Space,
        weights: Array,
        subspace: Subspace,
        epsilon: float,
        *,
        seed: int,
    ) -> None:
        self._space, self._weights, self._x = space, weights, space.empty()
        self._columns = RandomColumns(
            space,
            subspace.columns,
            distribution=subspace.distribution,
            seed=seed,
            memory=subspace.memory,
        )
        gram = self._columns.gram()
        _require_independent(gram, subspace, seed)
        self._mix = _mixing(gram, subspace.scale)  # A = (columns as drawn)^T @ mix
        # A^+ w = (mix^T G mix)^-1 mix^T (drawn^T w) = mix^-1 G^-1 (drawn^T w)
        solved = np.linalg.solve(gram, self._columns.dot(weights))
        self.anchor = np.linalg.solve(self._mix, solved)
        self.search = Space(reference, subspace.columns, np.float64)
        self.epsilon = epsilon
        self._y = self.search.empty()

    def weights_at(self, z: Array) -> Array:
        """Return the weights at ``z``, inside the box or not (a buffer)."""
        self._space.copy(self._weights, self._x)
        self._columns.add(self._mix @ z, self._x)
        return self._x

    def pull(self, gradient: Array) -> Array:
        """Return ``A^T g``, (p,) float64, for a gradient in the weights."""
        with np.errstate(invalid="ignore", over="ignore"):  # it may not be finite
            return np.asarray(self._mix.T @ self._columns.dot(gradient))

    def displacement(self, z: Array) -> Array:
        """Return the change of the weights that ``z`` stands for; it may be z."""
        return tracked(self.weights_at(z) - self._weights)


def _require_independent(gram: Matrix, subspace: Subspace, seed: int) -> None:
    """Raise unless the columns with this Gram matrix span a space of their number.

    Raises
    ------
    ValueError
        If they do not, as random signs in few dimensions may not.
    """
    if np.linalg.cond(gram) * len(gram) * np.finfo(np.float64).eps > 1:
        msg = (
            f"subspace={subspace.columns} with distribution="
            f"{subspace.distribution!r} and seed={seed} drew linearly dependent "
            "directions; ask for fewer, or take another distribution or seed"
        )
        raise ValueError(msg)


def _mixing(gram: Matrix, scale: Scale) -> Matrix:
    """Return the matrix that makes A of the columns as they are drawn."""
    if scale == "entries":
        return np.eye(len(gram))
    if scale == "columns":
        return np.diag(np.diag(gram) ** -0.5)
    lower = np.linalg.cholesky(gram)
    return np.asarray(
        solve_triangular(lower, np.eye(len(gram)), lower=True).T, np.float64
    )
