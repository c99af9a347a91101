"""A symmetric operator known by its products with vectors: the Hessian of a loss.

Either the user's own product, or central differences of the gradient.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from sharpkit._inputs.journal import journal, resumable_here
from sharpkit._inputs.objective import Objective, ReturnedVector, gradient_rounding
from sharpkit._inputs.seal import Seal
from sharpkit._inputs.types import Array, Hvp, LossFn
from sharpkit._inputs.warn import warn
from sharpkit._vectors.space import Space
from sharpkit._vectors.streams import Stream

LADDER = 4.0  # steps that are tried one after the other differ by this factor
ROUGH = 0.1  # if a larger share of the product is error, a better direction is tried
TURNS = 4  # ... which so many products turn to the largest eigenvalues
RUNGS = 8  # so many steps are tried at most, longer and longer or shorter and shorter
# An operator whose products differ so much from symmetric ones, beyond what their
# error explains, is not a Hessian.
ASYMMETRY = 1e-3


class Operator(Protocol):
    """What estimators see: products, what they cost, and how wrong they may be.

    Attributes
    ----------
    space : Space
        The space of the vectors.
    products : int
        The number of products done.
    error : float
        An estimate of ``||computed - A v||`` for unit v; 0 where nothing is known but
        rounding.
    drift : float
        The part of it along v, which is alike for all v.
    source : str
        How products are obtained, in words.
    """

    space: Space
    products: int
    error: float
    drift: float
    source: str

    @property
    def calls(self) -> int:
        """How often the callback was called."""
        ...

    @property
    def seconds(self) -> float:
        """The seconds that were spent inside the callback."""
        ...

    def apply(self, v: Array, out: Array) -> None:
        """``out = A v``, both (n,); v is not the zero vector."""
        ...

    def error_along(self, v: Array) -> float:
        """Return an estimate of ``||computed - A v||`` for this very unit v."""
        ...

    def fresh(self) -> Operator:
        """Return the same operator with all counts at 0."""
        ...


class Given:
    """The user's product ``hvp(w, v)``, checked at every call.

    Parameters
    ----------
    space
        The space of the weights.
    weights : (n,)
        The weights w.
    hvp
        The product: exact, symmetric and linear in v. Its result may be a buffer of its
        own.
    error
        The error of a product with a unit vector, where more is known than rounding.
    spent
        The calls, and the seconds inside them, that were made before.
    """

    source = "hvp"
    drift = 0.0

    def __init__(
        self,
        space: Space,
        weights: Array,
        hvp: Hvp,
        error: float = 0.0,
        spent: tuple[int, float] = (0, 0.0),
    ) -> None:
        self.space, self._weights, self._hvp = space, weights, hvp
        self._seal, self.error = Seal(weights), error
        self._returned = ReturnedVector("hvp", "product", weights)
        self.products, (self._before, self.seconds) = 0, spent

    @property
    def calls(self) -> int:
        """How often a callback was called."""
        return self._before + self.products

    def apply(self, v: Array, out: Array) -> None:
        """``out = hvp(w, v)``.

        Raises
        ------
        ValueError
            If ``hvp`` wrote into w or v.
        """
        kept = journal()
        if kept is None:
            self._multiply(v, out)
            return
        with kept.calling() as known:
            if known:
                self.products += 1
            else:
                self._multiply(v, out)

    def _multiply(self, v: Array, out: Array) -> None:
        seal = Seal(v)
        began = time.perf_counter()
        try:
            value = self._hvp(self._weights, v)
        finally:
            self.seconds += time.perf_counter() - began
        self.products += 1
        seal.require_intact("hvp", "v")
        self._seal.require_intact("hvp", "w")
        self.space.copy(self._returned.checked(value), out)

    def error_along(self, v: Array) -> float:
        """Return `error`, which is that of the directions of large eigenvalues."""
        return self.error

    def fresh(self) -> Given:
        """Return the same operator with all counts at 0."""
        again = copy.copy(self)
        again.products, again._before, again.seconds = 0, 0, 0.0
        return again


class Differences:
    r"""Central differences of the gradient along v: ``(g(w + h u) - g(w - h u)) / 2h``.

    u is v of norm 1, and the product is multiplied by the norm of v again. Too long a
    step is wrong by ``h^2 / 6`` times the third derivative of the gradient along u, too
    short a one by the gradient's rounding over h. The step is therefore looked for: on
    a ladder of steps, the one whose product differs least from that of the next rung.
    That difference is the estimate of the error.

    Parameters
    ----------
    space
        The space of the weights.
    weights : (n,)
        The weights w.
    loss_fn
        The loss with its gradient, ``w -> (loss, gradient)``.
    seed
        The seed of the direction in which the step is chosen: a random one, multiplied
        by the operator once, so that the large eigenvalues count.
    preparing
        A function that is called after each difference while the step is chosen.

    Raises
    ------
    ValueError
        If the callback returns no gradient. It is one, too, if no gradient near the
        weights is finite.
    """

    def __init__(
        self,
        space: Space,
        weights: Array,
        loss_fn: LossFn,
        *,
        seed: int,
        preparing: Callable[[], None] = lambda: None,
    ) -> None:
        self.space, self._weights, self._preparing = space, weights, preparing
        self._objective = Objective(loss_fn, weights)
        loss, gradient, _ = self._objective.centre(weights)
        if gradient is None:
            msg = (
                "loss_fn returns no gradient, and a product needs one: return (loss, "
                "gradient), or give hvp="
            )
            raise ValueError(msg)
        size = space.norm(gradient)
        self._x, self.products, self._moved = space.empty(), 0, False
        self.drift = 0.0
        with resumable_here():
            self._step, self.error = self._chosen(seed)
        # What its own rounding hides, though steps of the ladder may round alike.
        hidden = float(np.finfo(space.dtype).eps) * size / self._step
        self.error = max(self.error, hidden)
        space.copy(weights, self._x)
        _, again = self._objective(self._x)
        assert again is not None
        allowed = gradient_rounding(size, loss, space.norm(weights), space.dtype)
        self.space.add(again, gradient, -1.0)
        if self._length(gradient) > allowed:
            warn(
                "loss_fn returned another gradient at the same weights after calls at "
                "others: return that of this very call, not of the one before or a sum "
                "over calls, and make it deterministic"
            )
        self.source = f"central differences of the gradient, step {self._step:.2g}"

    @property
    def calls(self) -> int:
        """How often the callback was called."""
        return self._objective.calls

    @property
    def seconds(self) -> float:
        """The seconds that were spent inside the callback."""
        return self._objective.seconds

    def apply(self, v: Array, out: Array) -> None:
        """``out`` = the product with v, to about `error` times the norm of v."""
        self._difference(v, self._step, out)
        self.products += 1

    def error_along(self, v: Array) -> float:
        """Return the error of the product with v, by that of half the step.

        It is an estimate, not a bound: the two differ by 3/4 of the first one's error.
        """
        gap = self.space.empty()
        self._difference(v, self._step, gap)
        self._difference(v, self._step / 2, gap, beyond=True)
        return max(self.error, 4 / 3 * self._length(gap))

    def fresh(self) -> Differences:
        """Return the same operator, its step chosen, with all counts at 0."""
        again = copy.copy(self)
        again._objective, again.products = self._objective.fresh(), 0
        return again

    def over(self, loss_fn: LossFn, weights: Array | None = None) -> Differences:
        """Return the operator of another loss of the kind, with the step of this one.

        Parameters
        ----------
        loss_fn
            The loss with its gradient, such as that of other samples.
        weights : (n,)
            Other weights, near these; None stands for the same.
        """
        again = copy.copy(self)
        if weights is not None:
            again._weights, again._x = weights, self.space.empty()
        again._objective, again.products = Objective(loss_fn, again._weights), 0
        return again

    def _difference(
        self, v: Array, step: float, out: Array, *, beyond: bool = False
    ) -> None:
        """Write the product with v by a step, or what it lacks of ``out``."""
        norm, first = self.space.norm(v), self.space.add if beyond else self.space.copy
        scale = (-norm if beyond else norm) / (2 * step)
        for sign, take in ((1.0, first), (-1.0, self.space.add)):
            self.space.copy(self._weights, self._x)
            self.space.add(v, self._x, sign * step / norm)
            _, gradient = self._objective(self._x)
            assert gradient is not None  # the first call decided, and it is enforced
            take(gradient, out, sign * scale)

    def _chosen(self, seed: int) -> tuple[float, float]:
        """Return the best step and the error there.

        Raises
        ------
        ValueError
            If no gradient near the weights is finite.
        """
        rounding = float(np.finfo(self.space.dtype).eps)
        size = self.space.norm(self._weights)
        start = rounding ** (1 / 3) * (1 + size) / LADDER
        u = self.space.empty()
        self.space.fill_normal(u, seed, Stream.STEP)
        self._multiply(u, start)
        error, step = self._best(u, start)
        if np.isfinite(error) and error > ROUGH * self._multiply(u, step / LADDER):
            # Kinks hide the curvature of a direction in which there is little.
            for _ in range(TURNS):
                self._multiply(u, step / LADDER)
            error, step = self._best(u, start)
        if not self._moved:
            return start * LADDER**RUNGS, 0.0
        self.drift = self._drift_of(u, step)
        if not np.isfinite(error):
            msg = (
                "the gradients that loss_fn returns near the given weights are not "
                "finite; check the weights, or give hvp="
            )
            raise ValueError(msg)
        return step, error

    def _multiply(self, u: Array, step: float) -> float:
        """Turn u to its product, of norm 1, in which large eigenvalues count.

        Where there is none u is only made a unit vector. Returns the product's norm.
        """
        product = self.space.empty()
        self._difference(u, step, product)
        self._preparing()
        size = self.space.norm(product)
        if np.isfinite(size) and size > 0:
            self.space.copy(product, u)
        self.space.scale(u, 1 / self.space.norm(u))
        return size

    def _drift_of(self, u: Array, step: float) -> float:
        """Return the error along u itself, by that of a shorter step."""
        product, curved = self.space.empty(), []
        for each in (step, step / LADDER):
            self._difference(u, each, product)
            curved.append(self.space.dot(u, product))
        drift = abs(curved[0] - curved[1])
        return drift if np.isfinite(drift) else 0.0

    def _best(self, u: Array, start: float) -> tuple[float, float]:
        """Return error and step of the best rung of all."""
        shorter, longer = (self._walk(u, start, by) for by in (1 / LADDER, LADDER))
        # A longer step must be clearly better: far out a loss may be flat.
        return shorter if shorter[0] <= 2 * longer[0] else longer

    def _walk(self, u: Array, step: float, factor: float) -> tuple[float, float]:
        """Return error and step of the best rung when walking one way on the ladder.

        Steps that leave the gradient as it was tell nothing, if others move it: they
        are too short for how a callback rounds the weights.
        """
        here, there = self.space.empty(), self.space.empty()
        self._difference(u, step, here)
        best = (math.inf, step)
        for _ in range(RUNGS):
            self._difference(u, step * factor, there)
            self._preparing()
            moved = not self.space.norm(here) == self.space.norm(there) == 0
            self._moved |= moved
            self.space.add(there, here, -1.0)
            gap = self._length(here) if moved else math.inf
            found = (gap, max(step, step * factor))
            if found[0] >= best[0] and np.isfinite(best[0]):
                break
            best = min(best, found)
            step, here, there = step * factor, there, here
        return best

    def _length(self, gap: Array) -> float:
        length = self.space.norm(gap)
        return length if np.isfinite(length) else math.inf


def is_asymmetric(gap: float, size: float, dimensions: int, error: float) -> bool:
    """Return whether an operator is further from a symmetric one than errors explain.

    Parameters
    ----------
    gap, size
        The Frobenius norms ``||H - H^T||`` and ``||H||`` of the operator on some
        subspace.
    dimensions
        The number of dimensions of that subspace.
    error
        The error of a product with a unit vector.
    """
    return gap > ASYMMETRY * size + 4 * math.sqrt(dimensions) * error
