"""The maximisation problem that a solver sees: a loss over a box, and its budget.

Vectors are those of the search space (all weights, or a random subspace). The box keeps
the curve of best losses; points belong to the solvers.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from sharpkit._box.flips import gathered
from sharpkit._inputs.journal import tracked
from sharpkit._inputs.objective import LARGEST, Objective
from sharpkit._inputs.types import Array
from sharpkit._vectors.comm import Serial
from sharpkit._vectors.space import Space

# Float-only callbacks are differentiated numerically in search spaces up to this size:
# one gradient costs two calls per dimension.
NUMERICAL_LIMIT = 1000
NEAR = 2.0  # times the box; what cannot be evaluated there has no use outside it


class SearchSpace(Protocol):
    """What `FullSpace` and `RandomSubspace` have in common.

    Weights are returned in a buffer that the next call overwrites. Where ``out`` is
    None, the place of a step is not wanted, only the weights there.

    Attributes
    ----------
    search : Space
        The space of the places z.
    anchor : vector of that space
        What the box is made of: ``|z_i| <= r_i`` with ``r = epsilon (|anchor| + 1)``.
    epsilon : float
        The size of the box relative to that.
    """

    search: Space
    anchor: Array
    epsilon: float

    def step(self, z: Array, d: Array, t: float, out: Array | None) -> Array:
        """Return the weights at ``clip(z + t d)``; write that to ``out``."""
        ...

    def beyond(self, d: Array, scale: float, out: Array | None) -> Array:
        """Return the weights at ``scale`` times the corner of d; write that to out."""
        ...

    def toward(self, z: Array, d: Array, share: float, out: Array | None) -> Array:
        """Return the weights a share of the way from z to the corner of d."""
        ...

    def weights_at(self, z: Array) -> Array:
        """Return the weights at ``z``, inside the box or not."""
        ...

    def pull(self, gradient: Array) -> Array:
        """Return the gradient in the search space for one in the weights."""
        ...

    def displacement(self, z: Array) -> Array:
        """Return the change of the weights that ``z`` stands for; it may be z."""
        ...

    def scratch(self) -> Array:
        """Return a vector of the search space that the next step overwrites."""
        ...


@dataclass
class Point:
    """A place in the box, which belongs to whoever holds it.

    Attributes
    ----------
    z : vector of the search space
        The displacement from the centre of the box.
    loss : float
        The loss there.
    gradient : vector of the search space
        Its gradient with respect to z, a vector of the point's own, unlike that of
        `Found`.
    """

    z: Array
    loss: float
    gradient: Array


class Outcome(NamedTuple):
    """What a maximiser has found.

    Attributes
    ----------
    best : Point
        The best point.
    starts : tuple of float
        The best loss that each start reached, in order.
    kin : tuple of bool
        Of each start, whether it owes its direction to others: it lay between two of
        them, or came from the same gradient.
    stopped : bool
        Whether the maximiser stopped by itself, with evaluations left.
    settled : bool
        Whether it knows no place that may be higher, as far as it looks for one.
    """

    best: Point
    starts: tuple[float, ...]
    kin: tuple[bool, ...]
    stopped: bool = False
    settled: bool = True


class Found(NamedTuple):
    """What one evaluation has found.

    Attributes
    ----------
    loss : float
        The loss.
    gradient : vector of the search space
        Its gradient, which may be the callback's own buffer: it must be copied before
        the next evaluation.
    """

    loss: float
    gradient: Array


class Box:
    """``max f(z)`` over ``|z_i| <= r_i = epsilon (|anchor_i| + 1)``, with a budget.

    Parameters
    ----------
    objective
        The checked callback, already evaluated at the centre.
    where
        The search space: the full space or a random subspace.
    loss
        The loss at the centre.
    gradient
        The gradient there, with respect to the weights; None says that the callback
        returns none, and that gradients are taken numerically.
    budget
        The number of evaluations that may be spent in all; None is no limit.
    spent
        The number of evaluations that were spent at the centre.
    first
        The number of evaluations after which the solver looks whether to go on.
    outside
        Whether the loss may be evaluated outside the box.
    report
        A function that is called with (evaluations, best loss) after each evaluation.

    Attributes
    ----------
    space : Space
        The space of the places z.
    anchor, epsilon
        What the half widths r are made of.
    centre : Point
        The centre of the box, z = 0. A solver may take over its vectors.
    history : list of float
        The best loss so far after each evaluation.
    non_finite : bool
        Whether a loss or a gradient that is not finite has been met in the box.
    outside : bool
        Whether the loss may be, and can be, evaluated outside the box.
    report : callable
        What is called with (evaluations, best loss) after each evaluation.
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
        first: int | None = None,
        outside: bool = True,
        report: Callable[[int, float], None] = lambda evaluations, best: None,
    ) -> None:
        self._objective, self._where, self._budget = objective, where, budget
        self._first = first
        self.report = report
        self.space = where.search
        self.anchor, self.epsilon = where.anchor, where.epsilon
        self.non_finite, self.outside = False, outside
        self.history = [loss] * spent
        zero = self.space.zeros()
        if gradient is None and not isinstance(self.space.comm, Serial):
            msg = (
                "loss_fn returns no gradient, and the weights that are searched are "
                "spread over ranks; return (loss, gradient), or search a random "
                "subspace with subspace=100"
            )
            raise ValueError(msg)
        # Differences are taken at a place that must then be at hand.
        self._place = self.space.empty() if gradient is None else None
        if gradient is None:
            pulled = self._differences(zero)
        else:
            pulled = where.pull(gradient)
        if not np.isfinite(self.space.dot(pulled, pulled)):
            self.non_finite, pulled = True, self.space.zeros()
        self.centre = Point(zero, loss, tracked(pulled))

    @property
    def left(self) -> int:
        """How many evaluations may still be spent, before `extend` or in all."""
        budget = self._budget if self._first is None else self._first
        if budget is None:
            return np.iinfo(np.int64).max
        return max(budget - len(self.history), 0)

    def at(self, centre: Point) -> Box:
        """Return the box with a centre of its own, and nothing spent but there."""
        own = copy(self)
        own.history, own.centre = self.history.copy(), centre
        return own

    @property
    def kept_back(self) -> bool:
        """Whether evaluations are kept back that `extend` allows."""
        return self._first is not None

    def extend(self) -> bool:
        """Allow the evaluations kept back; return whether there were any."""
        kept, self._first = self._first is not None, None
        return kept

    def evaluate(self, z: Array, d: Array, t: float, out: Array | None = None) -> Found:
        """Evaluate at ``clip(z + t d)``, which is written to ``out`` if given.

        A loss that is not finite, or so large that its square is not, is returned as
        -inf (no maximum) and remembered; a gradient that is not finite comes back as
        zero, so that no solver follows it.
        """
        out = self._place if out is None else out
        return self._found(self._where.step(z, d, t, out), out)

    def evaluate_toward(self, z: Array, d: Array, share: float) -> Found:
        """Evaluate a share of the way from z to the corner that d points to."""
        return self._found(self._where.toward(z, d, share, self._place), self._place)

    def evaluate_outside(self, d: Array, scale: float) -> Found | None:
        """Return loss and gradient at ``scale`` times the corner that d points to.

        They steer and are no result: the loss does not enter the history. None says
        that there is nothing finite there. A loss that raises an error, or that has no
        finite value at twice the box, is never asked outside it again.
        """
        place = self._place
        loss, raw, gradient, failed = np.nan, None, d, False
        weights = self._where.beyond(d, scale, place)
        with np.errstate(all="ignore"):  # of no concern to whoever asked for the box
            try:
                loss, raw = self._objective(weights)
                # Differences are calls, too; a gradient is pulled when no rank failed.
                gradient = self._pulled(None, place) if raw is None else raw
            except Exception:
                failed = True
        self._count(self.history[-1])
        failed = bool(self.space.comm.max(np.array([float(failed)]))[0])
        if not failed:
            gradient = gradient if raw is None else self._where.pull(raw)
            finite = np.isfinite(self.space.dot(gradient, gradient))
            if finite and abs(loss) < LARGEST:
                return Found(loss, gradient)
        self.outside = not failed and scale > NEAR
        return None

    def _count(self, loss: float) -> None:
        self.history.append(max(loss, self.history[-1]))
        self.report(len(self.history), self.history[-1])

    def _pulled(self, raw: Array | None, place: Array | None) -> Array:
        if raw is not None:
            return self._where.pull(raw)
        assert place is not None
        return self._differences(place)

    def _found(self, weights: Array, place: Array | None) -> Found:
        loss, raw = self._objective(weights)
        gradient = self._pulled(raw, place)
        finite = np.isfinite(self.space.dot(gradient, gradient))
        usable = abs(loss) < LARGEST
        if not (finite and usable):
            self.non_finite = True
            gradient = self.space.zeros()
        loss = loss if usable else -np.inf
        self._count(loss)
        return Found(loss, gradient)

    def step(self, z: Array, d: Array, t: float, out: Array) -> None:
        """``out = clip(z + t d)``."""
        self.space.box_step(self.anchor, self.epsilon, z, d, t, out, None)

    def toward(self, z: Array, d: Array, share: float, out: Array) -> None:
        """``out = (1 - share) z + share r sign(d)``, and z where d is 0."""
        self.space.box_toward(self.anchor, self.epsilon, z, d, share, out, None)

    def corner(self, d: Array, out: Array) -> None:
        """``out = r sign(d)``; it may be d."""
        self.space.box_toward(self.anchor, self.epsilon, d, d, 1.0, out, None)

    def scratch(self) -> Array:
        """Return a vector of the search space that the next evaluation overwrites."""
        return self._where.scratch()

    def keep_free(self, z: Array, v: Array) -> None:
        """``v = 0`` where z touches a wall."""
        self.space.box_free(self.anchor, self.epsilon, z, v, v)

    def reach(self, z: Array, d: Array) -> float:
        """Return the longest step from z along d that stays in the box."""
        return self.space.box_reach(self.anchor, self.epsilon, z, d)

    def radius(self) -> Array:
        """Return the half widths r, a new vector."""
        out = self.space.empty()
        self.space.box_radius(self.anchor, self.epsilon, out)
        return out

    def first_step_scale(self) -> float:
        """Return the c with which the step ``c g`` from the centre has the box's size.

        ``c = sum(r^2) / sum(r |g|)``; 1 where the gradient vanishes.
        """
        corner, gradient = self._where.scratch(), self.centre.gradient
        self.toward(self.centre.z, gradient, 1.0, corner)
        slope = self.space.dot(gradient, corner)
        return self.space.dot(corner, corner) / slope if slope > 0 else 1.0

    def gap(self, here: Point) -> float:
        """Return ``max_s <gradient, s - z>`` over the box, the Frank-Wolfe gap."""
        corner = self._where.scratch()
        self.toward(here.z, here.gradient, 1.0, corner)
        dot = self.space.dot
        return dot(here.gradient, corner) - dot(here.gradient, here.z)

    def displacement(self, z: Array) -> Array:
        """Return the change of the weights that ``z`` stands for; it may be z."""
        return self._where.displacement(z)

    def _differences(self, z: Array) -> Array:
        """Return the gradient at ``z`` by central differences.

        The step is a small share of the box, eps^(1/3), which balances the rounding of
        the loss against its third derivative. Points may leave the box by that share,
        where they may be outside; their losses steer the search only and are never
        reported.
        """
        share = float(np.finfo(self._objective.dtype).eps) ** (1 / 3)
        gradient, near = self.space.empty(), tracked(z.copy())
        places, radius = (
            gathered(self.space, each).astype(z.dtype) for each in (z, self.radius())
        )
        for i, here in enumerate(places):
            h, wall = share * radius[i], np.inf if self.outside else radius[i]
            right, left = min(here + h, wall), max(here - h, -wall)
            near[i] = right
            above, _ = self._objective(self._where.weights_at(near))
            near[i] = left
            below, _ = self._objective(self._where.weights_at(near))
            gradient[i] = (above - below) / (right - left)
            near[i] = here
        return gradient
