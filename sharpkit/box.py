"""The maximisation problem that a solver sees: a loss over a box, and its budget.

Vectors are those of the search space (all weights, or a random subspace). The box keeps
the curve of best losses; points belong to the solvers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sharpkit.objective import Objective
from sharpkit.space import Space

Array = NDArray[Any]

# Float-only callbacks are differentiated numerically in search spaces up to this size:
# one gradient costs two calls per dimension.
NUMERICAL_LIMIT = 1000


class SearchSpace(Protocol):
    """What `FullSpace` and `RandomSubspace` have in common."""

    search: Space
    radius: Array

    def step(self, z: Array, d: Array, t: float, out: Array) -> Array:
        """Write ``clip(z + t d)`` to ``out``; return the weights there (a buffer)."""
        ...

    def corner(self, z: Array, d: Array, out: Array) -> None:
        """Write ``radius sign(d)`` to ``out``, and ``z`` where d is zero."""
        ...

    def weights_at(self, z: Array) -> Array:
        """Return the weights at ``z``, inside the box or not (a buffer)."""
        ...

    def pull(self, gradient: Array) -> Array:
        """Return the gradient in the search space for one in the weights."""
        ...

    def displacement(self, z: Array) -> Array:
        """Return the change of the weights that ``z`` stands for, a new (n,)."""
        ...


@dataclass
class Point:
    """A place in the box: ``z``, the loss there and its gradient with respect to z."""

    z: Array
    loss: float
    gradient: Array


class Box:
    """``max f(z)`` over ``|z_i| <= radius_i``, with a budget of evaluations.

    Parameters
    ----------
    objective
        The checked callback; already evaluated at the centre.
    where
        Full space or subspace.
    loss, gradient
        At the centre, with respect to the weights; no gradient means numerically.
    budget
        Evaluations that may be spent in all; None: no limit.
    spent
        Evaluations already spent at the centre.
    report
        Called with (evaluations, best loss) after each evaluation.
    """

    def __init__(
        self,
        objective: Objective,
        where: SearchSpace,
        loss: float,
        gradient: Array | None,
        *,
        budget: int | None,
        spent: int,
        report: Callable[[int, float], None] = lambda evaluations, best: None,
    ) -> None:
        self._objective, self._where, self._budget = objective, where, budget
        self._report = report
        self.space, self.radius = where.search, where.radius
        self.non_finite = False
        self.history = [loss] * spent
        zero = self.space.zeros()
        if gradient is None:
            pulled = self._differences(zero)
        else:
            pulled = where.pull(gradient)
        if not np.isfinite(self.space.dot(pulled, pulled)):
            self.non_finite, pulled = True, self.space.zeros()
        self.centre = Point(zero, loss, pulled)

    @property
    def left(self) -> int:
        """Evaluations that may still be spent."""
        if self._budget is None:
            return np.iinfo(np.int64).max
        return max(self._budget - len(self.history), 0)

    def evaluate(self, z: Array, d: Array, t: float, out: Array) -> Point:
        """Evaluate at ``clip(z + t d)``, which is written to ``out``.

        The gradient may be the callback's own buffer: copy what must outlive the next
        evaluation. A loss that is not finite is returned as -inf (no maximum) and
        remembered; a gradient that is not finite comes back as zero, so that no solver
        follows it.
        """
        loss, raw = self._objective(self._where.step(z, d, t, out))
        gradient = self._differences(out) if raw is None else self._where.pull(raw)
        finite = np.isfinite(self.space.dot(gradient, gradient))
        if not (finite and np.isfinite(loss)):
            self.non_finite = True
            gradient = self.space.zeros()
        loss = loss if np.isfinite(loss) else -np.inf
        self.history.append(max(loss, self.history[-1]))
        self._report(len(self.history), self.history[-1])
        return Point(out, loss, gradient)

    def corner(self, here: Point, out: Array) -> None:
        """Write the corner that the gradient points to: ``radius sign(gradient)``.

        Coordinates whose gradient is zero stay where they are.
        """
        self._where.corner(here.z, here.gradient, out)

    def toward(self, here: Point, share: float, out: Array) -> Point:
        """Evaluate a share of the way from ``here`` to its gradient's corner."""
        if share == 1:
            huge = float(np.finfo(self.space.dtype).max)
            return self.evaluate(here.z, here.gradient, huge, out)
        self.corner(here, out)
        self.space.combine([[1 - share]], here.z[None], out[None], beta=share)
        return self.evaluate(out, out, 0.0, out)

    def gap(self, here: Point, spare: Array) -> float:
        """Return ``max_s <gradient, s - z>`` over the box, the Frank-Wolfe gap."""
        self.corner(here, spare)
        return self.space.dot(here.gradient, spare) - self.space.dot(
            here.gradient, here.z
        )

    def displacement(self, z: Array) -> Array:
        """Return the change of the weights that ``z`` stands for, a new (n,)."""
        return self._where.displacement(z)

    def _differences(self, z: Array) -> Array:
        """Central differences in z, the step a small share of the box.

        The share eps^(1/3) balances rounding of the loss against the third derivative.
        Points may leave the box by that share; their losses steer the search only and
        are never reported.
        """
        share = float(np.finfo(self._objective.dtype).eps) ** (1 / 3)
        gradient, near = self.space.empty(), z.copy()
        for i, here in enumerate(z):
            h = share * self.radius[i]
            near[i] = here + h
            above, _ = self._objective(self._where.weights_at(near))
            near[i] = here - h
            below, _ = self._objective(self._where.weights_at(near))
            gradient[i] = (above - below) / (2 * h)
            near[i] = here
        return gradient
