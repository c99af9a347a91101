"""What the stochastic estimators share: when they look, and what an error bar holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import stdtrit

from sharpkit._inputs.journal import tracked
from sharpkit._inputs.types import Array, Matrix, Vector
from sharpkit._spectrum.operators import Operator, is_asymmetric
from sharpkit._vectors.space import Space
from sharpkit._vectors.streams import Stream

FIRST_LOOK = 20  # products; fewer say too little about their own spread
FEW = 10  # samples, whose own spread says too little of their error
LOOKS_PER_DOUBLING = 2  # of the number of products
LEVEL = 0.95  # the probability that an interval holds the value
ROUNDINGS = 4.0  # so many roundings of ||A||_F may be in a trace
ALIKE = 0.5  # of what is lost in parallel directions, squared, may be error
PARALLEL = 1e-5  # below this squared sine of an angle, 1 / sine^2 is mostly rounding


def looks(most: int, first: int = FIRST_LOOK) -> Iterator[int]:
    """Yield the numbers of products to make an estimate at: 20, 28, 40, 57, ... most.

    They are fixed beforehand and few: who looks after each probe, and stops where the
    error bar is small, stops where it is too small.

    Yields
    ------
    int
        A number of products.
    """
    step = 0
    while (products := round(first * 2 ** (step / LOOKS_PER_DOUBLING))) < most:
        yield products
        step += 1
    yield most


def quantile(degrees: float) -> float:
    """Return how many standard errors a 95 % interval is wide to each side.

    By Student's t; infinitely many degrees of freedom are the normal distribution.
    """
    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def error_of_products(operator: Operator, norm: float) -> float:
    r"""Return what inexact products do to a trace.

    ``sqrt(n error^2 + (n drift)^2 + (4 eps ||A||_F)^2)``: the error of a product is
    taken for a vector that points anywhere, but for its drift: it then changes ``v.Av``
    of a probe, ``||v||^2 = n``, by about ``error sqrt(n)``. No average over the probes
    is taken, because their errors may be alike.

    Parameters
    ----------
    operator
        The operator, with the error and the drift of a product with a unit vector.
    norm
        An estimate of ``||A||_F``: the root mean square of ``||A v||`` over probes.
    """
    n, rounding = operator.space.size, float(np.finfo(operator.space.dtype).eps)
    return math.hypot(
        math.sqrt(n) * operator.error, n * operator.drift, ROUNDINGS * rounding * norm
    )


def looks_asymmetric(h: Matrix, error: float) -> bool:
    """Return whether ``H = Q^T A Q``, Q orthonormal, tells that A is not symmetric.

    ``error`` is that of a product with a unit vector.
    """
    gap, size = float(np.linalg.norm(h - h.T)), float(np.linalg.norm(h))
    return is_asymmetric(gap, size, len(h), error)


class SignProbes:
    """Random sign vectors, and how far the forms ``w.Bw`` of the first few spread.

    A few samples tell little of their own spread; with signs, in few dimensions, they
    may even be the same. Their entries ``w * Bw`` tell more: the variance of a sample
    is twice the sum of the squares of B off the diagonal, and that sum is the sum of
    the entries' variances. Beside that, no two of the few probes are the same but for
    the sign, which leaves the mean unbiased: the second would say nothing new.

    Parameters
    ----------
    space
        The space of the vectors.
    seed
        The seed of the probes.
    first
        The number of the first probe's stream among those of probes.
    """

    def __init__(self, space: Space, seed: int, first: int = 0) -> None:
        self._space, self._seed, self._index = space, seed, first
        # So many of the first are to differ: of all signs there may be fewer than few.
        few = space.size < FIRST_LOOK
        self._apart = min(FEW, 2 ** (space.size - 1)) if few else 0
        self._small: list[Array] = []  # those drawn so far
        self._mean, self._signs = space.zeros(), space.empty()
        self._squares, self._count = 0.0, 0

    def draw(self, out: Array) -> None:
        """Fill ``out`` with the next probe."""
        space = self._space
        if len(self._small) == self._apart:  # from here on they are independent
            self._small, self._apart = [], 0
        known = True
        while known:
            space.fill_signs(out, self._seed, Stream.PROBES + self._index)
            self._index += 1
            same = (abs(space.dot(out, each)) for each in self._small)
            known = any(agreed > space.size - 1 for agreed in same)
        if self._apart:
            self._small.append(tracked(out.copy()))

    def see(self, product: Array) -> None:
        """Take in B times the last probe, which is overwritten; only a few are."""
        if self._count >= FEW:
            return
        signs, last = self._signs, self._index - 1
        self._space.fill_signs(signs, self._seed, Stream.PROBES + last)
        product *= signs
        self._space.add(self._mean, product, -1.0)
        self._count += 1
        share = 1 / self._count  # Welford 1962
        self._squares += (1 - share) * self._space.dot(product, product)
        self._space.add(product, self._mean, share)

    def stderr(self, samples: Vector) -> float:
        """Return the standard error of the mean of all samples so far.

        It is ``std / sqrt(m)``, with fewer than ten at least what their entries say.
        """
        spread = float(np.var(samples, ddof=1))
        if len(samples) < FEW:
            spread = max(spread, 2 * self._squares / (self._count - 1))
        return math.sqrt(spread / len(samples))


class Directions(NamedTuple):
    """What each probe alone contributes to the basis Q of ``Y = Q R``.

    Attributes
    ----------
    s : (p, p) float64
        The directions, columns of norm 1: ``Q s_i`` is orthogonal to all columns of Y
        but the i-th, and without it Q is a basis of the others.
    own : (p,) float64
        The part of the i-th column along its direction, ``s_i . r_i``.
    cosines : (p, p) float64
        The cosines of the angles between the directions, ``S^T S``.
    inverse_sines : (p, p) float64
        ``1 / (1 - cosines^2)``, and 0 on the diagonal and for pairs so nearly parallel
        that leaving out both says nothing.
    """

    s: Matrix
    own: Vector
    cosines: Matrix
    inverse_sines: Matrix


def directions(r: Matrix, rounding: float) -> Directions:
    """Return the directions that are lost when a probe, or a pair, is left out.

    They are ``s_i = R^{-T} e_i``, normalised (Epperly, Tropp, Webber 2024, section
    2.1).

    Parameters
    ----------
    r : (p, p) float64
        The matrix R, upper triangular and not singular.
    rounding
        The machine epsilon of the vectors.
    """
    s = solve_triangular(r, np.eye(len(r)), trans="T")
    s /= np.linalg.norm(s, axis=0)
    cosines = s.T @ s
    sines = 1 - cosines**2
    clear = sines > max(PARALLEL, math.sqrt(rounding))
    np.fill_diagonal(clear, val=False)
    inverse = np.where(clear, 1 / np.where(clear, sines, 1.0), 0.0)
    return Directions(s, (s * r).sum(axis=0), cosines, inverse)


def alike(cosines: Matrix) -> Matrix:
    """Return what share of two probes' squared losses counts as one error of both.

    Leaving out either of two probes may lose nearly the same direction of the basis.
    Whatever the other probes say then errs alike, and their spread shows none of it.

    Parameters
    ----------
    cosines : (p, p) float64
        The cosines of the angles between the directions that are lost.
    """
    return ALIKE * cosines**4
